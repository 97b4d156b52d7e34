/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest program and its benchmark agree on. */
#ifndef VMK_BENCH_GUEST_H
#define VMK_BENCH_GUEST_H

/* System calls between two bytes of output. */
#define BENCH_BATCH 200

#endif
