/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/load.h"

#include "boot/kernel.h"
#include "boot/params.h"
#include "boot/setup_header.h"
#include "layout.h"
#include "modes.h"
#include "util/checked.h"
#include "util/error.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define INITRD_UNIT 4

static int
check_memory(const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    if (memory->low_size < VMK_BOOT_MEMORY_MIN)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory of %llu bytes is below the %llu that a kernel is booted in",
                             (unsigned long long)memory->low_size,
                             (unsigned long long)VMK_BOOT_MEMORY_MIN);
    if (memory->low_size > VMK_X86_LOW_RAM_LIMIT)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%llu bytes of memory below 4 GiB are above the limit of %llu",
                             (unsigned long long)memory->low_size,
                             (unsigned long long)VMK_X86_LOW_RAM_LIMIT);
    return 0;
}

static int
load_any(const struct vmk_boot_file *file, const struct vmk_boot_memory *memory,
         struct vmk_boot_kernel *kernel, vmkit_error **ret_error)
{
    uint8_t head[VMK_SETUP_HEADER_END];
    if (vmk_boot_file_read(file, head, SELFMAG, 0) == 0 && memcmp(head, ELFMAG, SELFMAG) == 0)
        return vmk_boot_load_elf(file, false, false, memory, kernel, ret_error);
    if (vmk_boot_file_read(file, head, VMK_SETUP_VERSION.offset, 0) == 0 &&
        memcmp(head + VMK_SETUP_MAGIC.offset, "HdrS", 4) == 0)
        return vmk_boot_load_bzimage(file, memory, kernel, ret_error);
    return vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                         "%s: neither a bzImage nor an ELF file", file->name);
}

static int
load_kernel(const struct vmk_boot_options *options, const struct vmk_boot_memory *memory,
            struct vmk_boot_kernel *kernel, vmkit_error **ret_error)
{
    const struct vmk_boot_file *file = options->kernel;
    switch (options->format) {
    case VMK_BOOT_ANY:
        return load_any(file, memory, kernel, ret_error);
    case VMK_BOOT_BZIMAGE:
        return vmk_boot_load_bzimage(file, memory, kernel, ret_error);
    case VMK_BOOT_PVH:
        return vmk_boot_load_elf(file, true, false, memory, kernel, ret_error);
    case VMK_BOOT_ELF_64:
        return vmk_boot_load_elf(file, false, true, memory, kernel, ret_error);
    case VMK_BOOT_RAW:
        return vmk_boot_load_raw(file, options->raw_address, memory, kernel, ret_error);
    }
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "%d is no format of a kernel", (int)options->format);
}

/* As high as it may be, so that a kernel that grows does not reach it. */
static int
place_initrds(const struct vmk_boot_options *options, const struct vmk_boot_kernel *kernel,
              uint64_t *ret_start, uint64_t *ret_size, vmkit_error **ret_error)
{
    uint64_t total = 0, padded;
    for (size_t i = 0; i < options->initrd_count; i++) {
        if (!vmk_round_up_u64(options->initrds[i].size, INITRD_UNIT, &padded) ||
            !vmk_add_u64(total, padded, &total))
            total = UINT64_MAX;
        if (total > VMK_X86_LOW_RAM_LIMIT)
            break;
    }
    uint64_t first = (kernel->end + PAGE - 1) & ~(PAGE - 1);
    if (total > kernel->initrd_end || ((kernel->initrd_end - total) & ~(PAGE - 1)) < first)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_OUT_OF_RANGE,
                             "%s: the initrd of %llu bytes does not fit between the kernel's end "
                             "at 0x%llx and 0x%llx",
                             options->initrds[0].name, (unsigned long long)total,
                             (unsigned long long)kernel->end,
                             (unsigned long long)kernel->initrd_end);
    *ret_start = (kernel->initrd_end - total) & ~(PAGE - 1);
    *ret_size = total;
    return 0;
}

static int
load_initrds(const struct vmk_boot_options *options, const struct vmk_boot_kernel *kernel,
             const struct vmk_boot_memory *memory, struct vmk_boot_params *params,
             vmkit_error **ret_error)
{
    if (options->initrd_count == 0)
        return 0;
    int r = place_initrds(options, kernel, &params->initrd, &params->initrd_size, ret_error);
    uint64_t at = params->initrd;
    for (size_t i = 0; r == 0 && i < options->initrd_count; i++) {
        const struct vmk_boot_file *file = &options->initrds[i];
        r = vmk_boot_memory_load(memory, at, file, 0, file->size, ret_error);
        uint64_t padding = -file->size % INITRD_UNIT;
        if (r == 0)
            r = vmk_boot_memory_clear(memory, at + file->size, padding, file->name, ret_error);
        at += file->size + padding;
    }
    return r;
}

static int
write_command_line(const struct vmk_boot_options *options, const struct vmk_boot_kernel *kernel,
                   const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    const char *line = options->command_line == NULL ? "" : options->command_line;
    uint64_t limit = kernel->command_line_max;
    if (limit > VMK_X86_COMMAND_LINE_ROOM - 1)
        limit = VMK_X86_COMMAND_LINE_ROOM - 1;
    size_t length = strnlen(line, (size_t)limit + 1);
    if (length > limit)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "a command line of %zu bytes is above this kernel's limit of %llu",
                             strlen(line), (unsigned long long)limit);
    return vmk_boot_memory_write(memory, VMK_X86_COMMAND_LINE, line, length + 1, "command line",
                                 ret_error);
}

static int
write_acpi(const struct vmk_boot_options *options, const struct vmk_boot_memory *memory,
           vmkit_error **ret_error)
{
    if (options->acpi_size > VMK_X86_ACPI_ROOM)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "ACPI tables of %zu bytes are above the limit of %llu",
                             options->acpi_size, (unsigned long long)VMK_X86_ACPI_ROOM);
    return vmk_boot_memory_write(memory, VMK_X86_ACPI, options->acpi, options->acpi_size,
                                 "ACPI tables", ret_error);
}

static int
write_cpu_tables(const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    uint64_t gdt[VMK_X86_BOOT_GDT_ENTRIES], entries[PAGE / sizeof(uint64_t)];
    vmk_x86_boot_get_gdt(gdt);
    int r =
        vmk_boot_memory_write(memory, VMK_X86_GDT, gdt, sizeof gdt, "descriptor table", ret_error);
    uint64_t pages = vmk_x86_identity_map_size(VMK_X86_IDENTITY_LIMIT) / PAGE;
    for (uint64_t i = 0; r == 0 && i < pages; i++) {
        vmk_x86_identity_map_page(VMK_X86_PAGE_TABLES, VMK_X86_IDENTITY_LIMIT, false, i, entries);
        r = vmk_boot_memory_write(memory, VMK_X86_PAGE_TABLES + i * PAGE, entries, sizeof entries,
                                  "page tables", ret_error);
    }
    return r;
}

static int
write_info(const struct vmk_boot_kernel *kernel, const struct vmk_boot_params *params,
           const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    if (kernel->mode == VMK_X86_BOOT_PVH)
        return vmk_boot_write_start_info(params, memory, ret_error);
    int r = write_cpu_tables(memory, ret_error);
    return r < 0 ? r : vmk_boot_write_params(params, kernel, memory, ret_error);
}

int
vmk_boot_load(const struct vmk_boot_options *options, const struct vmk_boot_memory *memory,
              struct vmk_x86_boot_entry *ret_entry, vmkit_error **ret_error)
{
    struct vmk_boot_kernel kernel = {0};
    struct vmk_boot_params params = {
        .command_line = VMK_X86_COMMAND_LINE,
        .rsdp = options->acpi_size == 0 ? 0 : VMK_X86_ACPI,
    };
    int r = check_memory(memory, ret_error);
    if (r == 0)
        r = load_kernel(options, memory, &kernel, ret_error);
    if (r == 0)
        r = load_initrds(options, &kernel, memory, &params, ret_error);
    if (r == 0)
        r = write_command_line(options, &kernel, memory, ret_error);
    if (r == 0)
        r = write_acpi(options, memory, ret_error);
    if (r < 0)
        return r;
    params.e820_count = vmk_e820_build(memory->low_size, memory->high_size, params.e820);
    r = write_info(&kernel, &params, memory, ret_error);
    if (r < 0)
        return r;
    bool is_pvh = kernel.mode == VMK_X86_BOOT_PVH;
    *ret_entry = (struct vmk_x86_boot_entry){
        .mode = kernel.mode,
        .address = kernel.entry,
        .info = is_pvh ? VMK_X86_START_INFO : VMK_X86_BOOT_PARAMS,
    };
    return 0;
}
