/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest program and its benchmark agree on. */
#ifndef VMK_BENCH_GUEST_H
#define VMK_BENCH_GUEST_H

#include <stdint.h>

/* System calls between two bytes of output. */
#define BENCH_BATCH 200

/* What the guest of the resets reads from its standard input. */
struct bench_input {
    uint64_t pages;     /* of its table, that it writes to each time */
    uint64_t untouched; /* bytes that it maps besides, and leaves alone */
};

/* Where a guest has the table that it writes to. */
#define BENCH_TABLE 0x10000000
#define BENCH_TABLE_SIZE 0x4000000

#endif
