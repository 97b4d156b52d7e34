/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest program and its benchmark agree on. */
#ifndef VMK_BENCH_GUEST_H
#define VMK_BENCH_GUEST_H

/* System calls between two bytes of output. */
#define BENCH_BATCH 200

/* Where a guest has the table that it writes to. */
#define BENCH_TABLE 0x10000000
#define BENCH_TABLE_SIZE 0x4000000

#endif
