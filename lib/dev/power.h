/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in which a guest asks for its end, and tells of it: ACPI's sleep control and status
 * registers of hardware-reduced platforms (ACPI 6.5, 4.8.3.7), its reset register (4.8.3.6), the
 * keyboard controller's reset line and the PCI reset control register, which kernels try as well,
 * and pvpanic (QEMU, docs/specs/pvpanic), by which a guest says that it has crashed.
 */
#ifndef VMK_DEV_POWER_H
#define VMK_DEV_POWER_H

#include "bus/board.h"

/* Where they are. Sleep control, sleep status, reset and a reserved port follow one another. */
#define VMK_POWER_PORT 0x600
#define VMK_POWER_SLEEP_CONTROL VMK_POWER_PORT
#define VMK_POWER_SLEEP_STATUS (VMK_POWER_PORT + 1)
#define VMK_POWER_RESET (VMK_POWER_PORT + 2)
#define VMK_POWER_RESET_VALUE 1
/* SLP_TYP of the state S5, as the DSDT's \\_S5 has to say it. */
#define VMK_POWER_S5 5
#define VMK_PVPANIC_PORT 0x505

enum vmk_power_request {
    VMK_POWER_OFF = 1,
    VMK_POWER_RESTART = 2,
    VMK_POWER_PANIC = 3,        /* the guest's kernel has panicked */
    VMK_POWER_CRASH_LOADED = 4, /* it has, and goes on in a crash kernel */
};

/* What the guest asks for or tells, on a vCPU's thread, with no lock held. Returns what the access
 * returns: enum vmkit_handled. */
typedef int (*vmk_power_callback)(void *user_data, enum vmk_power_request request);

/* Put all of them onto a board. `user_data` has to stay as long as the board keeps its handlers. */
int
vmk_power_add(const struct vmk_board *board, vmk_power_callback callback, void *user_data,
              vmkit_error **ret_error);

#endif
