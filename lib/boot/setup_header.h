/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of Linux's setup header and of boot_params around it (Documentation/arch/x86/boot.rst,
 * "The Real-Mode Kernel Header"; zero-page.rst). A field is at the same offset of a bzImage and of
 * boot_params.
 */
#ifndef VMK_BOOT_SETUP_HEADER_H
#define VMK_BOOT_SETUP_HEADER_H

#include <stddef.h>
#include <stdint.h>

struct vmk_setup_field {
    size_t offset;
    size_t size; /* bytes, at most 8 */
};

#define VMK_SETUP_FIELD(offset, size) ((struct vmk_setup_field){offset, size})

#define VMK_SETUP_ACPI_RSDP VMK_SETUP_FIELD(0x070, 8)
#define VMK_SETUP_EXT_RAMDISK_IMAGE VMK_SETUP_FIELD(0x0c0, 4)
#define VMK_SETUP_EXT_RAMDISK_SIZE VMK_SETUP_FIELD(0x0c4, 4)
#define VMK_SETUP_EXT_CMD_LINE VMK_SETUP_FIELD(0x0c8, 4)
#define VMK_SETUP_E820_ENTRIES VMK_SETUP_FIELD(0x1e8, 1)
#define VMK_SETUP_SECTS VMK_SETUP_FIELD(0x1f1, 1)
#define VMK_SETUP_SYSSIZE VMK_SETUP_FIELD(0x1f4, 4)
#define VMK_SETUP_BOOT_FLAG VMK_SETUP_FIELD(0x1fe, 2)
/* The distance of a jump that stands here, which is from the magic to the header's end. */
#define VMK_SETUP_JUMP VMK_SETUP_FIELD(0x201, 1)
#define VMK_SETUP_MAGIC VMK_SETUP_FIELD(0x202, 4)
#define VMK_SETUP_VERSION VMK_SETUP_FIELD(0x206, 2)
#define VMK_SETUP_LOADER VMK_SETUP_FIELD(0x210, 1)
#define VMK_SETUP_LOADFLAGS VMK_SETUP_FIELD(0x211, 1)
#define VMK_SETUP_CODE32_START VMK_SETUP_FIELD(0x214, 4)
#define VMK_SETUP_RAMDISK_IMAGE VMK_SETUP_FIELD(0x218, 4)
#define VMK_SETUP_RAMDISK_SIZE VMK_SETUP_FIELD(0x21c, 4)
#define VMK_SETUP_CMD_LINE VMK_SETUP_FIELD(0x228, 4)
#define VMK_SETUP_INITRD_ADDR_MAX VMK_SETUP_FIELD(0x22c, 4)
#define VMK_SETUP_KERNEL_ALIGNMENT VMK_SETUP_FIELD(0x230, 4)
#define VMK_SETUP_RELOCATABLE VMK_SETUP_FIELD(0x234, 1)
#define VMK_SETUP_XLOADFLAGS VMK_SETUP_FIELD(0x236, 2)
#define VMK_SETUP_CMDLINE_SIZE VMK_SETUP_FIELD(0x238, 4)
#define VMK_SETUP_SETUP_DATA VMK_SETUP_FIELD(0x250, 8)
#define VMK_SETUP_PREF_ADDRESS VMK_SETUP_FIELD(0x258, 8)
#define VMK_SETUP_INIT_SIZE VMK_SETUP_FIELD(0x260, 4)
/* Entries of 20 bytes: address, size and type. */
#define VMK_SETUP_E820_TABLE 0x2d0

static inline uint64_t
vmk_setup_get(const uint8_t *page, struct vmk_setup_field field)
{
    uint64_t value = 0;
    for (size_t i = 0; i < field.size; i++)
        value |= (uint64_t)page[field.offset + i] << (8 * i);
    return value;
}

static inline void
vmk_setup_put(uint8_t *page, struct vmk_setup_field field, uint64_t value)
{
    for (size_t i = 0; i < field.size; i++)
        page[field.offset + i] = (uint8_t)(value >> (8 * i));
}

#endif
