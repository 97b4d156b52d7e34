/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a machine, by the names under which kernels know them. */
#include "acpi.h"

#include "aml.h"

#include <stdio.h>

#define SERIAL_PORTS 8
#define CLOCK_PORTS 2
#define POWER_BUTTON_PRESSED 0x80
#define STATUS_PRESENT 0xf

static void
put_serial(const struct vmk_acpi_options *options, struct vmk_bytes *aml)
{
    if (options->serial_port == 0)
        return;
    size_t device = vmk_aml_begin_device(aml, "COM1");
    vmk_aml_put_eisa_id(aml, "_HID", "PNP0501");
    vmk_aml_put_integer(aml, "_UID", 1);
    size_t resources = vmk_aml_begin_resources(aml);
    vmk_aml_put_ports(aml, options->serial_port, SERIAL_PORTS);
    vmk_aml_put_interrupt(aml, options->serial_gsi);
    vmk_aml_end_resources(aml, resources);
    vmk_aml_end(aml, device);
}

/* It raises no interrupts, so that none is named. */
static void
put_clock(const struct vmk_acpi_options *options, struct vmk_bytes *aml)
{
    if (options->clock_port == 0)
        return;
    size_t device = vmk_aml_begin_device(aml, "RTC_");
    vmk_aml_put_eisa_id(aml, "_HID", "PNP0B00");
    size_t resources = vmk_aml_begin_resources(aml);
    vmk_aml_put_ports(aml, options->clock_port, CLOCK_PORTS);
    vmk_aml_end_resources(aml, resources);
    vmk_aml_end(aml, device);
}

static void
put_panic(const struct vmk_acpi_options *options, struct vmk_bytes *aml)
{
    if (options->panic_port == 0)
        return;
    size_t device = vmk_aml_begin_device(aml, "PEVT");
    vmk_aml_put_string(aml, "_HID", "QEMU0001");
    vmk_aml_put_integer(aml, "_STA", STATUS_PRESENT);
    size_t resources = vmk_aml_begin_resources(aml);
    vmk_aml_put_ports(aml, options->panic_port, 1);
    vmk_aml_end_resources(aml, resources);
    vmk_aml_end(aml, device);
}

/* The button, and the Generic Event Device (5.6.9) that has its interrupt. */
static void
put_power_button(const struct vmk_acpi_options *options, struct vmk_bytes *aml)
{
    if (options->power_button_gsi == 0)
        return;
    size_t device = vmk_aml_begin_device(aml, "PWRB");
    vmk_aml_put_eisa_id(aml, "_HID", "PNP0C0C");
    vmk_aml_put_integer(aml, "_UID", 0);
    vmk_aml_end(aml, device);

    device = vmk_aml_begin_device(aml, "GED_");
    vmk_aml_put_string(aml, "_HID", "ACPI0013");
    vmk_aml_put_integer(aml, "_UID", 0);
    size_t resources = vmk_aml_begin_resources(aml);
    vmk_aml_put_interrupt(aml, options->power_button_gsi);
    vmk_aml_end_resources(aml, resources);
    size_t method = vmk_aml_begin_method(aml, "_EVT", 1);
    size_t condition = vmk_aml_begin_if_argument(aml, options->power_button_gsi);
    vmk_aml_put_notify(aml, "PWRB", POWER_BUTTON_PRESSED);
    vmk_aml_end(aml, condition);
    vmk_aml_end(aml, method);
    vmk_aml_end(aml, device);
}

static void
put_virtio(const struct vmk_acpi_virtio *virtio, uint32_t number, struct vmk_bytes *aml)
{
    char name[8];
    snprintf(name, sizeof name, "V%03X", number & 0xfff);
    size_t device = vmk_aml_begin_device(aml, name);
    vmk_aml_put_string(aml, "_HID", "LNRO0005");
    vmk_aml_put_integer(aml, "_UID", number);
    size_t resources = vmk_aml_begin_resources(aml);
    vmk_aml_put_memory(aml, virtio->address, virtio->size);
    vmk_aml_put_interrupt(aml, virtio->gsi);
    vmk_aml_end_resources(aml, resources);
    vmk_aml_end(aml, device);
}

void
vmk_acpi_put_dsdt(const struct vmk_acpi_options *options, struct vmk_bytes *aml)
{
    size_t scope = vmk_aml_begin_scope(aml, "_SB_");
    put_serial(options, aml);
    put_clock(options, aml);
    put_panic(options, aml);
    put_power_button(options, aml);
    for (uint32_t i = 0; i < options->virtio_count; i++)
        put_virtio(&options->virtio[i], i, aml);
    vmk_aml_end(aml, scope);
    const uint8_t off[] = {options->sleep_type_off, options->sleep_type_off, 0, 0};
    vmk_aml_put_package(aml, "_S5_", off, sizeof off);
}
