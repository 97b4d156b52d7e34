/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device may ask of the machine that it sits on. A device knows no VM: it is given a board,
 * and a test gives one of its own. Every function may be called from any thread, also while the
 * device holds a lock of its own: none calls the device back before it returns, but for the release
 * callback of a handler that is removed.
 */
#ifndef VMK_BUS_BOARD_H
#define VMK_BUS_BOARD_H

#include "bus/bus.h"

#include <stdbool.h>
#include <stdint.h>

/* A run of guest RAM, and where it is in this process. */
struct vmk_board_memory {
    uint64_t gpa;
    uint64_t size;
    uint8_t *hva;
};

struct vmk_board_ops {
    /* As vmk_bus_new_with() and vmk_bus_new_without() of the VM's bus. */
    int (*add_handler)(void *board, enum vmkit_space space, uint64_t address, uint64_t size,
                       const struct vmk_bus_handler *handler, vmkit_error **ret_error);
    int (*remove_handler)(void *board, enum vmkit_space space, uint64_t address,
                          vmkit_error **ret_error);
    /* The level of an interrupt line. */
    void (*set_line)(void *board, uint32_t gsi, bool level);
    /* An eventfd that pulses the line; with `resample_fd` (else -1) it holds the level until the
     * guest ends the interrupt. -ENOTSUP where the board has none. */
    int (*set_irqfd)(void *board, int fd, uint32_t gsi, int resample_fd, bool assign,
                     vmkit_error **ret_error);
    /* An eventfd that a write of the guest signals, without an exit: any write of `size` bytes
     * there, or with `match` that of `value`. -ENOTSUP where the board has none: then such writes
     * reach the handler. */
    int (*set_doorbell)(void *board, enum vmkit_space space, uint64_t address, uint32_t size,
                        bool match, uint64_t value, int fd, bool assign, vmkit_error **ret_error);
    /* The region of writable RAM that holds `gpa`. -EFAULT without one. Regions stay where they are
     * for as long as the board lives, so that what was found may be kept. */
    int (*find_memory)(void *board, uint64_t gpa, struct vmk_board_memory *ret_memory);
    /* The device wrote to [gpa, gpa + size), which find_memory() gave: for who tracks changes. */
    void (*note_write)(void *board, uint64_t gpa, uint64_t size);
};

struct vmk_board {
    const struct vmk_board_ops *ops;
    void *data;
};

#endif
