/* SPDX-License-Identifier: Apache-2.0 */
#include "acpi.h"

#include "layout.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>

#define CHECKSUM_AT 9
#define ALIGNMENT 16

#define RSDP_SIZE 36
#define RSDP_V1_SIZE 20
#define RSDP_CHECKSUM_AT 8
#define RSDP_EXTENDED_CHECKSUM_AT 32

#define FADT_REVISION 6
#define FADT_MINOR 4
#define FADT_WBINVD (1u << 0)
#define FADT_PWR_BUTTON (1u << 4)
#define FADT_SLP_BUTTON (1u << 5)
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED_ACPI (1u << 20)
/* The keyboard controller is said not to be there, so that no kernel looks for a keyboard. */
#define BOOT_NO_VGA (1u << 2)
#define BOOT_NO_CMOS_RTC (1u << 5)

#define MADT_REVISION 5
#define MADT_PCAT_COMPAT 1
#define MADT_LOCAL_APIC 0
#define MADT_IO_APIC 1
#define MADT_LOCAL_APIC_NMI 4
#define ALL_PROCESSORS 0xff

#define SPCR_REVISION 2
#define SPCR_SIZE 80
#define SPCR_IO_APIC 2
#define SPCR_BAUD_115200 7
#define SPCR_TERMINAL_ANSI 3

#define SPACE_IO 1
#define ACCESS_BYTE 1

static void
put_u16(struct vmk_bytes *bytes, uint16_t value)
{
    value = htole16(value);
    vmk_bytes_put(bytes, &value, sizeof value);
}

static void
put_zeros(struct vmk_bytes *bytes, size_t size)
{
    uint8_t *at = vmk_bytes_append(bytes, size);
    if (at != NULL)
        memset(at, 0, size);
}

/* Bytes of a table that begins at `start` are zero up to `offset` of it. */
static void
put_zeros_until(struct vmk_bytes *bytes, size_t start, size_t offset)
{
    if (!bytes->failed && bytes->size - start < offset)
        put_zeros(bytes, offset - (bytes->size - start));
}

static uint8_t
get_checksum(const uint8_t *data, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    return (uint8_t)-sum;
}

static size_t
begin_table(struct vmk_bytes *bytes, const char *signature, uint8_t revision)
{
    put_zeros(bytes, -bytes->size % ALIGNMENT);
    size_t start = bytes->size;
    vmk_bytes_put(bytes, signature, 4);
    vmk_bytes_put_u32(bytes, 0);
    vmk_bytes_put_u8(bytes, revision);
    vmk_bytes_put_u8(bytes, 0);
    vmk_bytes_put(bytes, "VMKIT VMKITPC ", 14);
    vmk_bytes_put_u32(bytes, 1);
    vmk_bytes_put(bytes, "VMKT", 4);
    vmk_bytes_put_u32(bytes, 1);
    return start;
}

static void
end_table(struct vmk_bytes *bytes, size_t start)
{
    if (bytes->failed)
        return;
    uint8_t *table = bytes->data + start;
    uint32_t size = htole32((uint32_t)(bytes->size - start));
    memcpy(table + 4, &size, sizeof size);
    table[CHECKSUM_AT] = get_checksum(table, bytes->size - start);
}

/* A Generic Address Structure (5.2.3.2) of a register of one byte. */
static void
put_port(struct vmk_bytes *bytes, uint16_t port)
{
    vmk_bytes_put_u8(bytes, SPACE_IO);
    vmk_bytes_put_u8(bytes, 8);
    vmk_bytes_put_u8(bytes, 0);
    vmk_bytes_put_u8(bytes, ACCESS_BYTE);
    vmk_bytes_put_u64(bytes, port);
}

static size_t
put_dsdt(const struct vmk_acpi_options *options, struct vmk_bytes *bytes)
{
    size_t start = begin_table(bytes, "DSDT", 2);
    vmk_acpi_put_dsdt(options, bytes);
    end_table(bytes, start);
    return start;
}

/* 5.2.9; the fixed hardware, of which there is none, is all zero. */
static size_t
put_fadt(const struct vmk_acpi_options *options, uint64_t dsdt, struct vmk_bytes *bytes)
{
    size_t start = begin_table(bytes, "FACP", FADT_REVISION);
    put_zeros_until(bytes, start, 40);
    vmk_bytes_put_u32(bytes, (uint32_t)dsdt);
    put_zeros_until(bytes, start, 109);
    put_u16(bytes, BOOT_NO_VGA | (options->clock_port == 0 ? BOOT_NO_CMOS_RTC : 0));
    put_zeros_until(bytes, start, 112);
    /* Both buttons are no fixed hardware. */
    vmk_bytes_put_u32(bytes, FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP |
                                 FADT_HW_REDUCED_ACPI);
    put_port(bytes, options->reset_port);
    vmk_bytes_put_u8(bytes, options->reset_value);
    put_zeros_until(bytes, start, 131);
    vmk_bytes_put_u8(bytes, FADT_MINOR);
    put_zeros_until(bytes, start, 140);
    vmk_bytes_put_u64(bytes, dsdt);
    put_zeros_until(bytes, start, 244);
    put_port(bytes, options->sleep_control_port);
    put_port(bytes, options->sleep_status_port);
    vmk_bytes_put(bytes, "VMKIT\0\0", 8);
    end_table(bytes, start);
    return start;
}

/* 5.2.12 */
static size_t
put_madt(const struct vmk_acpi_options *options, struct vmk_bytes *bytes)
{
    size_t start = begin_table(bytes, "APIC", MADT_REVISION);
    vmk_bytes_put_u32(bytes, (uint32_t)VMK_X86_LOCAL_APIC);
    vmk_bytes_put_u32(bytes, options->has_pic ? MADT_PCAT_COMPAT : 0);
    for (uint32_t i = 0; i < options->vcpu_count; i++) {
        const uint8_t processor[] = {MADT_LOCAL_APIC, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0};
        vmk_bytes_put(bytes, processor, sizeof processor);
    }
    const uint8_t io_apic[] = {MADT_IO_APIC, 12, 0, 0};
    vmk_bytes_put(bytes, io_apic, sizeof io_apic);
    vmk_bytes_put_u32(bytes, (uint32_t)VMK_X86_IOAPIC);
    vmk_bytes_put_u32(bytes, 0);
    const uint8_t nmi[] = {MADT_LOCAL_APIC_NMI, 6, ALL_PROCESSORS, 0, 0, 1};
    vmk_bytes_put(bytes, nmi, sizeof nmi);
    end_table(bytes, start);
    return start;
}

/* Microsoft, "Serial Port Console Redirection Table". */
static size_t
put_spcr(const struct vmk_acpi_options *options, struct vmk_bytes *bytes)
{
    size_t start = begin_table(bytes, "SPCR", SPCR_REVISION);
    put_zeros_until(bytes, start, 40);
    put_port(bytes, options->serial_port);
    vmk_bytes_put_u8(bytes, SPCR_IO_APIC);
    vmk_bytes_put_u8(bytes, 0);
    vmk_bytes_put_u32(bytes, options->serial_gsi);
    const uint8_t line[] = {SPCR_BAUD_115200, 0, 1, 0, SPCR_TERMINAL_ANSI, 0};
    vmk_bytes_put(bytes, line, sizeof line);
    vmk_bytes_put_u32(bytes, UINT32_MAX); /* no PCI device */
    put_zeros_until(bytes, start, SPCR_SIZE);
    end_table(bytes, start);
    return start;
}

/* 5.2.5.3 */
static void
fill_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
    uint32_t size = htole32(RSDP_SIZE);
    xsdt = htole64(xsdt);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "VMKIT ", 6);
    rsdp[15] = 2;
    memcpy(rsdp + 20, &size, sizeof size);
    memcpy(rsdp + 24, &xsdt, sizeof xsdt);
    rsdp[RSDP_CHECKSUM_AT] = get_checksum(rsdp, RSDP_V1_SIZE);
    rsdp[RSDP_EXTENDED_CHECKSUM_AT] = get_checksum(rsdp, RSDP_SIZE);
}

int
vmk_acpi_build(const struct vmk_acpi_options *options, uint64_t gpa, struct vmk_bytes *bytes,
               vmkit_error **ret_error)
{
    struct vmk_bytes all = {0};
    put_zeros(&all, RSDP_SIZE);
    size_t dsdt = put_dsdt(options, &all);
    uint64_t tables[] = {
        gpa + put_fadt(options, gpa + dsdt, &all),
        gpa + put_madt(options, &all),
        options->serial_port == 0 ? 0 : gpa + put_spcr(options, &all),
    };
    size_t xsdt = begin_table(&all, "XSDT", 1);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (tables[i] != 0)
            vmk_bytes_put_u64(&all, tables[i]);
    }
    end_table(&all, xsdt);
    if (!all.failed) {
        fill_rsdp(all.data, gpa + xsdt);
        vmk_bytes_put(bytes, all.data, all.size);
    }
    bool failed = all.failed || bytes->failed;
    vmk_bytes_clear(&all);
    if (failed)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the ACPI tables");
    return 0;
}
