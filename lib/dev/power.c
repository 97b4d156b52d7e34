/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/power.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>

/* ACPI 6.5, tables 4.20 and 4.21. */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_TYPE 7
#define SLEEP_ENABLE 0x20

/* A command of the keyboard controller: pulse the line that resets the processor. */
#define KEYBOARD_PULSE_RESET 0xfe
/* Bits of the PCI reset control register, port 0xcf9: reset the processor. */
#define PCI_RESET 0x04

#define PANICKED 0x01
#define CRASH_LOADED 0x02

struct power {
    vmk_power_callback callback;
    void *user_data;
};

/* One of the places. */
struct place {
    uint64_t port;
    uint64_t size;
    vmkit_access_callback access;
};

static int
access_acpi(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    const struct power *power = user_data;
    uint8_t value = (uint8_t)access->value;
    (void)vcpu;
    if (!access->is_write) {
        access->value = 0;
        return VMKIT_HANDLED;
    }
    if (access->address == VMK_POWER_SLEEP_CONTROL && (value & SLEEP_ENABLE) != 0 &&
        (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE) == VMK_POWER_S5)
        return power->callback(power->user_data, VMK_POWER_OFF);
    if (access->address == VMK_POWER_RESET && value == VMK_POWER_RESET_VALUE)
        return power->callback(power->user_data, VMK_POWER_RESTART);
    return VMKIT_HANDLED;
}

/* The controller that is there has no keyboard: its status is that nothing waits. */
static int
access_keyboard(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    const struct power *power = user_data;
    (void)vcpu;
    if (!access->is_write)
        access->value = 0;
    else if (access->offset == 0 && (uint8_t)access->value == KEYBOARD_PULSE_RESET)
        return power->callback(power->user_data, VMK_POWER_RESTART);
    return VMKIT_HANDLED;
}

static int
access_pci_reset(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    const struct power *power = user_data;
    (void)vcpu;
    if (!access->is_write)
        access->value = 0;
    else if ((access->value & PCI_RESET) != 0)
        return power->callback(power->user_data, VMK_POWER_RESTART);
    return VMKIT_HANDLED;
}

static int
access_pvpanic(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    const struct power *power = user_data;
    (void)vcpu;
    if (!access->is_write) {
        access->value = PANICKED | CRASH_LOADED;
        return VMKIT_HANDLED;
    }
    if ((access->value & PANICKED) != 0)
        return power->callback(power->user_data, VMK_POWER_PANIC);
    if ((access->value & CRASH_LOADED) != 0)
        return power->callback(power->user_data, VMK_POWER_CRASH_LOADED);
    return VMKIT_HANDLED;
}

static const struct place places[] = {
    {VMK_POWER_PORT, 4, access_acpi},
    {0x64, 1, access_keyboard},
    {0xcf9, 1, access_pci_reset},
    {VMK_PVPANIC_PORT, 1, access_pvpanic},
};

int
vmk_power_add(const struct vmk_board *board, vmk_power_callback callback, void *user_data,
              vmkit_error **ret_error)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct power *power = malloc(sizeof *power);
        if (power == NULL)
            return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "no memory for the registers that switch a machine off");
        *power = (struct power){callback, user_data};
        const struct vmk_bus_handler handler = {places[i].access, free, power};
        int result = board->ops->add_handler(board->data, VMKIT_SPACE_PIO, places[i].port,
                                             places[i].size, &handler, ret_error);
        if (result < 0) {
            free(power);
            return result;
        }
    }
    return 0;
}
