/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that are ELF files, such as Linux's vmlinux, and raw binaries. An ELF kernel has a 64-bit
 * entry point in its header, which is entered as that of a bzImage is, or a 32-bit one in a note
 * (Xen, include/public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY; docs/misc/pvh.pandoc), or both.
 */
#include "boot/kernel.h"

#include "layout.h"
#include "util/error.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define NOTE_OWNER "Xen"
#define NOTE_PHYS32_ENTRY 18
/* Beyond what any processor can address. */
#define ADDRESS_LIMIT (UINT64_C(1) << 52)

#define BAD(file, ret_error, format, ...)                                                 \
    vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE, "%s: " format, (file)->name, \
                  ##__VA_ARGS__)

/* 1 and the entry point, 0 when there is none. */
static int
find_pvh_entry(const struct vmk_boot_file *file, const struct vmk_elf *elf, uint64_t *ret_entry,
               vmkit_error **ret_error)
{
    uint8_t note[8] = {0};
    size_t size;
    int r = vmk_elf_find_note(file, elf, NOTE_OWNER, NOTE_PHYS32_ENTRY, note, sizeof note, &size,
                              ret_error);
    if (r <= 0)
        return r;
    if (size != 4 && size != 8)
        return BAD(file, ret_error, "the PVH entry point has %zu bytes, not 4 or 8", size);
    uint64_t value;
    memcpy(&value, note, sizeof value);
    value = le64toh(value);
    if (!vmk_elf_holds(elf, value, 1))
        return BAD(file, ret_error, "the PVH entry point 0x%llx is in no segment",
                   (unsigned long long)value);
    *ret_entry = value;
    return 1;
}

static int
choose_entry(const struct vmk_boot_file *file, const struct vmk_elf *elf, bool is_pvh,
             bool is_64_bit, struct vmk_boot_kernel *kernel, vmkit_error **ret_error)
{
    kernel->mode = VMK_X86_BOOT_PVH;
    int r = is_64_bit ? 0 : find_pvh_entry(file, elf, &kernel->entry, ret_error);
    if (r != 0)
        return r < 0 ? r : 0;
    if (is_pvh)
        return BAD(file, ret_error, "there is no note of a PVH entry point (%s, type %u)",
                   NOTE_OWNER, NOTE_PHYS32_ENTRY);
    if (elf->entry == 0)
        return BAD(file, ret_error, "the entry point is in no executable segment");
    kernel->mode = VMK_X86_BOOT_64;
    kernel->entry = elf->entry;
    return 0;
}

static int
refuse_place(const struct vmk_boot_file *file, const struct vmk_boot_memory *memory, uint64_t start,
             uint64_t size, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_OUT_OF_RANGE,
                         "%s: [0x%llx, 0x%llx) is not within the memory for kernels, "
                         "[0x100000, 0x%llx)",
                         file->name, (unsigned long long)start, (unsigned long long)(start + size),
                         (unsigned long long)memory->low_size);
}

static int
load_segments(const struct vmk_boot_file *file, const struct vmk_elf *elf,
              const struct vmk_boot_memory *memory, vmkit_error **ret_error)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct vmk_elf_segment *segment = &elf->segments[i];
        if (!vmk_boot_memory_is_free(memory, segment->va, segment->memory_size))
            return refuse_place(file, memory, segment->va, segment->memory_size, ret_error);
    }
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct vmk_elf_segment *segment = &elf->segments[i];
        int r = vmk_boot_memory_load(memory, segment->va, file, segment->offset, segment->file_size,
                                     ret_error);
        if (r == 0)
            r = vmk_boot_memory_clear(memory, segment->va + segment->file_size,
                                      segment->memory_size - segment->file_size, file->name,
                                      ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

int
vmk_boot_load_elf(const struct vmk_boot_file *file, bool is_pvh, bool is_64_bit,
                  const struct vmk_boot_memory *memory, struct vmk_boot_kernel *ret_kernel,
                  vmkit_error **ret_error)
{
    struct vmk_elf elf;
    int r = vmk_elf_read_kernel(file, EM_X86_64, ADDRESS_LIMIT, &elf, ret_error);
    if (r < 0)
        return r;
    struct vmk_boot_kernel kernel = {
        .start = elf.low,
        .end = elf.high,
        .initrd_end = memory->low_size,
        .command_line_max = VMK_COMMAND_LINE_MAX,
    };
    r = choose_entry(file, &elf, is_pvh, is_64_bit, &kernel, ret_error);
    if (r == 0)
        r = load_segments(file, &elf, memory, ret_error);
    if (r == 0)
        *ret_kernel = kernel;
    return r;
}

int
vmk_boot_load_raw(const struct vmk_boot_file *file, uint64_t address,
                  const struct vmk_boot_memory *memory, struct vmk_boot_kernel *ret_kernel,
                  vmkit_error **ret_error)
{
    if (file->size == 0)
        return BAD(file, ret_error, "the file is empty");
    if (!vmk_boot_memory_is_free(memory, address, file->size))
        return refuse_place(file, memory, address, file->size, ret_error);
    int r = vmk_boot_memory_load(memory, address, file, 0, file->size, ret_error);
    if (r < 0)
        return r;
    *ret_kernel = (struct vmk_boot_kernel){
        .mode = VMK_X86_BOOT_64,
        .entry = address,
        .start = address,
        .end = address + file->size,
        .initrd_end = memory->low_size,
        .command_line_max = VMK_X86_COMMAND_LINE_ROOM - 1,
    };
    return 0;
}
