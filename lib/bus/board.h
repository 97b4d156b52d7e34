/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device may ask of the machine that it sits on. A device knows this table and nothing of
 * who is behind it: the machine over its VM, or a test with a buffer for memory. Every call may
 * come from any thread; none calls the device back before it returns.
 */
#ifndef VMK_BUS_BOARD_H
#define VMK_BUS_BOARD_H

#include "bus/bus.h"

#include <stdbool.h>
#include <stdint.h>

struct vmk_board_ops {
    /* As vmk_bus_new_with() of the VM's bus. */
    int (*add_handler)(void *data, enum vmkit_space space, uint64_t address, uint64_t size,
                       const struct vmk_bus_handler *handler, vmkit_error **ret_error);
    /* The level of an interrupt line. */
    void (*set_line)(void *data, uint32_t gsi, bool level);
};

struct vmk_board {
    const struct vmk_board_ops *ops;
    void *data;
};

#endif
