/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock and the memory of a PC's CMOS: Motorola's MC146818 (its data sheet; the century at
 * 0x32), at ports 0x70 and 0x71. It shows the host's time in UTC, plus what the guest has set it
 * forward. It raises no interrupts: Linux has better clocks, and reads this one once.
 */
#ifndef VMK_DEV_CMOS_H
#define VMK_DEV_CMOS_H

#include "bus/board.h"

#include <time.h>

#define VMK_CMOS_PORT 0x70

struct vmk_cmos_options {
    struct vmk_board board;
    uint64_t low_memory;  /* bytes of memory below 4 GiB, which old kernels read here */
    uint64_t high_memory; /* and above */
    /* Seconds since 1970; NULL: the host's clock. */
    time_t (*now)(void *user_data);
    void *user_data;
};

/* Put it onto a board. */
int
vmk_cmos_add(const struct vmk_cmos_options *options, vmkit_error **ret_error);

#endif
