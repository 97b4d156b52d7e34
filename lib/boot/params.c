/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/params.h"

#include "boot/setup_header.h"
#include "layout.h"

#include <endian.h>
#include <string.h>

#define PARAMS_SIZE 4096
#define E820_ENTRY_SIZE 20
#define LOADER_UNDEFINED 0xff
#define PROTOCOL_VERSION 0x20c
#define BOOT_FLAG 0xaa55
#define MAGIC 0x53726448 /* "HdrS" */
#define LOADED_HIGH 1

#define START_MAGIC 0x336ec578
#define START_VERSION 1

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t memory_map;
    uint32_t memory_map_count;
    uint32_t reserved;
};

struct module {
    uint64_t address;
    uint64_t size;
    uint64_t command_line;
    uint64_t reserved;
};

struct map_entry {
    uint64_t address;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

struct start_page {
    struct start_info info;
    struct module module;
    struct map_entry map[VMK_E820_MAX];
};

_Static_assert(sizeof(struct start_info) == 56, "layout");

/* A kernel without a setup header, which an ELF file has none of, looks for these alone. */
static void
put_header(const struct vmk_boot_kernel *kernel, uint8_t *page)
{
    memcpy(page + VMK_SETUP_HEADER, kernel->setup_header, sizeof kernel->setup_header);
    if (vmk_setup_get(page, VMK_SETUP_MAGIC) == MAGIC)
        return;
    vmk_setup_put(page, VMK_SETUP_BOOT_FLAG, BOOT_FLAG);
    vmk_setup_put(page, VMK_SETUP_MAGIC, MAGIC);
    vmk_setup_put(page, VMK_SETUP_VERSION, PROTOCOL_VERSION);
    vmk_setup_put(page, VMK_SETUP_LOADFLAGS, LOADED_HIGH);
}

int
vmk_boot_write_params(const struct vmk_boot_params *params, const struct vmk_boot_kernel *kernel,
                      const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    uint8_t page[PARAMS_SIZE] = {0};
    put_header(kernel, page);
    vmk_setup_put(page, VMK_SETUP_LOADER, LOADER_UNDEFINED);
    vmk_setup_put(page, VMK_SETUP_CODE32_START, kernel->start);
    vmk_setup_put(page, VMK_SETUP_SETUP_DATA, 0);
    vmk_setup_put(page, VMK_SETUP_RAMDISK_IMAGE, params->initrd);
    vmk_setup_put(page, VMK_SETUP_EXT_RAMDISK_IMAGE, params->initrd >> 32);
    vmk_setup_put(page, VMK_SETUP_RAMDISK_SIZE, params->initrd_size);
    vmk_setup_put(page, VMK_SETUP_EXT_RAMDISK_SIZE, params->initrd_size >> 32);
    vmk_setup_put(page, VMK_SETUP_CMD_LINE, params->command_line);
    vmk_setup_put(page, VMK_SETUP_EXT_CMD_LINE, params->command_line >> 32);
    vmk_setup_put(page, VMK_SETUP_ACPI_RSDP, params->rsdp);
    vmk_setup_put(page, VMK_SETUP_E820_ENTRIES, params->e820_count);
    for (unsigned i = 0; i < params->e820_count; i++) {
        size_t at = VMK_SETUP_E820_TABLE + (size_t)i * E820_ENTRY_SIZE;
        vmk_setup_put(page, VMK_SETUP_FIELD(at, 8), params->e820[i].start);
        vmk_setup_put(page, VMK_SETUP_FIELD(at + 8, 8), params->e820[i].size);
        vmk_setup_put(page, VMK_SETUP_FIELD(at + 16, 4), params->e820[i].type);
    }
    return vmk_boot_memory_write(memory, VMK_X86_BOOT_PARAMS, page, sizeof page, "boot parameters",
                                 ret_error);
}

int
vmk_boot_write_start_info(const struct vmk_boot_params *params,
                          const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    bool has_initrd = params->initrd_size != 0;
    uint64_t modules = VMK_X86_START_INFO + offsetof(struct start_page, module);
    struct start_page page = {
        .info =
            {
                .magic = htole32(START_MAGIC),
                .version = htole32(START_VERSION),
                .module_count = htole32(has_initrd ? 1 : 0),
                .modules = htole64(has_initrd ? modules : 0),
                .command_line = htole64(params->command_line),
                .rsdp = htole64(params->rsdp),
                .memory_map = htole64(VMK_X86_START_INFO + offsetof(struct start_page, map)),
                .memory_map_count = htole32(params->e820_count),
            },
        .module = {.address = htole64(params->initrd), .size = htole64(params->initrd_size)},
    };
    for (unsigned i = 0; i < params->e820_count; i++)
        page.map[i] = (struct map_entry){
            .address = htole64(params->e820[i].start),
            .size = htole64(params->e820[i].size),
            .type = htole32(params->e820[i].type),
        };
    return vmk_boot_memory_write(memory, VMK_X86_START_INFO, &page, sizeof page, "start info",
                                 ret_error);
}
