/* SPDX-License-Identifier: Apache-2.0 */
/* What guests/pause.c and its tests agree on: what the program has at the moment, as bits of its
 * variable `holds`. Those of registers are set in `uses` as well when it used them at all. */
#ifndef VMK_TEST_GUEST_PAUSE_H
#define VMK_TEST_GUEST_PAUSE_H

enum {
    PAUSE_HOLDS_PENDING = 1, /* a signal that is blocked and pending */
    PAUSE_HOLDS_HANDLER = 2, /* a handler runs: a signal frame is on the stack */
    PAUSE_HOLDS_SSE = 4,     /* its own value in every register XMM */
    PAUSE_HOLDS_AVX = 8,     /* in every register YMM */
    PAUSE_HOLDS_AVX512 = 16, /* in every register ZMM, 32 of them, and in each mask register */
};

#endif
