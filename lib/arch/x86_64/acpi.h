/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables of a machine (ACPI 6.5, chapter 5), by which a kernel finds processors, interrupt
 * controller and devices, and how to reset and power off. The platform is hardware-reduced
 * (3.11.1): there are no fixed registers but those of sleep and reset, and events come as
 * interrupts.
 */
#ifndef VMK_ARCH_X86_64_ACPI_H
#define VMK_ARCH_X86_64_ACPI_H

#include "util/bytes.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stdint.h>

/* The registers of a virtio device over MMIO, below 4 GiB. */
struct vmk_acpi_virtio {
    uint32_t address;
    uint32_t size;
    uint32_t gsi;
};

/* What the machine has. A device whose port is 0 is not there. */
struct vmk_acpi_options {
    uint32_t vcpu_count; /* their APIC identifiers are 0 and on */
    bool has_pic;        /* two 8259, as the whole interrupt controller of KVM has */
    uint16_t serial_port;
    uint32_t serial_gsi;
    uint16_t clock_port;
    uint16_t panic_port;
    uint32_t power_button_gsi; /* 0: no power button */
    uint16_t sleep_control_port;
    uint16_t sleep_status_port;
    uint8_t sleep_type_off; /* SLP_TYP of S5 */
    uint16_t reset_port;
    uint8_t reset_value;
    const struct vmk_acpi_virtio *virtio; /* up to 4096 */
    uint32_t virtio_count;
};

#define VMK_ACPI_VIRTIO_LIMIT 4096

/* Append the tables, the RSDP first, as they are when they lie at `gpa`, a multiple of 16. 0, or
 * -ENOMEM. */
int
vmk_acpi_build(const struct vmk_acpi_options *options, uint64_t gpa, struct vmk_bytes *bytes,
               vmkit_error **ret_error);

/* The definition block alone, without a table's head. */
void
vmk_acpi_put_dsdt(const struct vmk_acpi_options *options, struct vmk_bytes *aml);

#endif
