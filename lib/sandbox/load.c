/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/load.h"

#include "arch/usermode.h"
#include "boot/symbols.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/stack.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE_MASK ((uint64_t)VMK_PAGE_SIZE - 1)
#define PAGE_DOWN(value) ((value) & ~PAGE_MASK)
#define PAGE_UP(value) (((value) + PAGE_MASK) & ~PAGE_MASK)

#define PIE_BASE UINT64_C(0x555555554000)
#define MMAP_GAP (UINT64_C(1) << 20)

/* The read-only parts of a program that has an image are there at the start and cost nothing until
 * they are touched. Else a program up to this size is read as a whole, and the pages of a larger
 * one come when they are touched. Likewise the zeros behind its data. */
#define EAGER_SIZE (UINT64_C(4) << 20)
#define EAGER_ZEROS (UINT64_C(64) << 10)

struct reader {
    struct vmk_process *process;
    struct vmk_file *file;
};

static ssize_t
read_file(void *user_data, void *buffer, size_t size, uint64_t offset)
{
    const struct reader *reader = user_data;
    return vmk_file_pread(reader->process, reader->file, buffer, size, offset);
}

/* The program's file as boot/ reads one, which `reader` stands behind. */
static int
open_file(struct vmk_process *process, const struct vmk_program *program, struct reader *reader,
          struct vmk_boot_file *ret_file, vmkit_error **ret_error)
{
    struct statx status;
    int r = vmk_file_statx(program->file, &status);
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO, "%s",
                                   program->path);
    *reader = (struct reader){.process = process, .file = program->file};
    *ret_file = (struct vmk_boot_file){
        .read = read_file, .user_data = reader, .size = status.stx_size, .name = program->path};
    return 0;
}

int
vmk_load_check(struct vmk_process *process, struct vmk_program *program, vmkit_error **ret_error)
{
    struct reader reader;
    struct vmk_boot_file file;
    int r = open_file(process, program, &reader, &file, ret_error);
    if (r < 0)
        return r;
    r = vmk_elf_read(&file, VMK_ARCH_ELF_MACHINE, VMK_SPACE_HIGH, &program->elf, ret_error);
    if (r < 0)
        return r;
    if (program->elf.wants_interpreter)
        return vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                             "%s: dynamically linked; a sandbox runs static programs (link it with "
                             "-static or -static-pie)",
                             program->path);
    if (!program->elf.relocatable && program->elf.low < VMK_SPACE_LOW)
        return vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                             "%s: a segment at 0x%llx is below the lowest address 0x%llx",
                             program->path, (unsigned long long)program->elf.low,
                             (unsigned long long)VMK_SPACE_LOW);
    return 0;
}

static unsigned
rights_from_segment(const struct vmk_elf_segment *segment)
{
    unsigned rights = segment->rights != 0 ? VMK_PAGE_READ : 0;
    rights |= segment->rights & VMK_ELF_WRITE ? VMK_PAGE_WRITE : 0;
    rights |= segment->rights & VMK_ELF_EXECUTE ? VMK_PAGE_EXECUTE : 0;
    return rights;
}

/* Clear what of the file's last page lies behind the segment's bytes in the file. */
static int
clear_tail(struct vmk_space *space, uint64_t va)
{
    uint64_t page = PAGE_DOWN(va);
    int r = vmk_space_populate(space, page, VMK_PAGE_SIZE);
    if (r < 0)
        return r;
    struct vmk_leaf leaf = vmk_paging_find(&space->paging, page);
    memset(vmk_frames_get_memory(space->frames) + leaf.gpa + (va - page), 0,
           VMK_PAGE_SIZE - (va - page));
    return 0;
}

/* Populate the part of a segment that comes from the file: by the shared image where the guest only
 * reads it, by a copy where it writes. */
static int
populate_file(struct vmk_space *space, const struct vmk_program *program, const struct vmk_vma *vma)
{
    uint64_t size = vma->end - vma->start;
    if (program->image >= 0 && (vma->rights & VMK_PAGE_WRITE) == 0)
        return vmk_space_populate_image(space, vma->start, size, program->image);
    return vmk_space_populate(space, vma->start, size);
}

static int
map_segment(struct vmk_space *space, const struct vmk_program *program,
            const struct vmk_elf_segment *segment, uint64_t bias, bool eager)
{
    uint64_t va = segment->va + bias;
    uint64_t file_end = va + segment->file_size, end = PAGE_UP(va + segment->memory_size);
    struct vmk_vma vma = {.start = PAGE_DOWN(va), .rights = rights_from_segment(segment)};

    if (segment->file_size > 0) {
        vma.end = PAGE_UP(file_end);
        vma.file = program->file;
        vma.offset = PAGE_DOWN(segment->offset);
        int r = vmk_space_map(space, &vma);
        if (r == 0 && eager && vma.rights != 0)
            r = populate_file(space, program, &vma);
        if (r == 0 && segment->memory_size > segment->file_size && (file_end & PAGE_MASK) != 0 &&
            vma.rights & VMK_PAGE_WRITE)
            r = clear_tail(space, file_end);
        if (r < 0)
            return r;
        vma.start = vma.end;
    }
    if (vma.start >= end)
        return 0;
    vma.end = end;
    vma.file = NULL;
    vma.offset = 0;
    int r = vmk_space_map(space, &vma);
    if (r == 0 && end - vma.start <= EAGER_ZEROS && vma.rights != 0)
        r = vmk_space_populate(space, vma.start, end - vma.start);
    return r;
}

static uint64_t
choose_bias(const struct vmk_elf *elf)
{
    if (!elf->relocatable)
        return 0;
    uint64_t base = (PIE_BASE + elf->alignment - 1) & ~(elf->alignment - 1);
    return base - (elf->low & ~(elf->alignment - 1));
}

int
vmk_load_read_symbols(struct vmk_process *process, struct vmk_program *program,
                      struct vmk_symbols **ret_symbols, uint64_t *ret_bias, vmkit_error **ret_error)
{
    struct reader reader;
    struct vmk_boot_file file;
    int r = vmk_load_check(process, program, ret_error);
    if (r == 0)
        r = open_file(process, program, &reader, &file, ret_error);
    if (r == 0)
        r = vmk_symbols_read(&file, &program->elf, ret_symbols, ret_error);
    if (r == 0)
        *ret_bias = choose_bias(&program->elf);
    return r;
}

static int
map_program(struct vmk_process *process, const struct vmk_program *program, uint64_t bias)
{
    struct vmk_space *space = process->space;
    uint64_t file_size = 0;
    for (unsigned i = 0; i < program->elf.segment_count; i++)
        file_size += program->elf.segments[i].file_size;
    for (unsigned i = 0; i < program->elf.segment_count; i++) {
        int r = map_segment(space, program, &program->elf.segments[i], bias,
                            file_size <= EAGER_SIZE || program->image >= 0);
        if (r < 0)
            return r;
    }
    space->brk_start = space->brk = program->elf.high + bias;
    return 0;
}

int
vmk_load(struct vmk_process *process, const struct vmk_program *program, vmkit_error **ret_error)
{
    uint64_t bias = choose_bias(&program->elf), stack_pointer;
    if (program->elf.high > VMK_STACK_BOTTOM - MMAP_GAP - bias)
        return vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                             "%s: a segment reaches into the stack", program->path);

    int r = map_program(process, program, bias);
    if (r == 0)
        r = vmk_stack_build(process, program, bias, &stack_pointer);
    process->space->mmap_top = VMK_STACK_BOTTOM - MMAP_GAP;
    if (r == 0)
        r = vmk_usermode_start(process->usermode, program->elf.entry + bias, stack_pointer);
    if (r == -EIO)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_IO, "%s: the file cannot be read",
                             program->path);
    if (r == -EAGAIN)
        return vmk_error_set(ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
                             "%s: the host gives it no random bytes to start with (getrandom(2))",
                             program->path);
    if (r == -ENOMEM && !process->memory->refused && !process->space->refused)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: the host has no memory, or no mapping, left for the program "
                             "(/proc/sys/vm/max_map_count)",
                             program->path);
    if (r < 0)
        return vmk_error_set(
            ret_error, E2BIG, VMKIT_ERROR_LIMIT,
            "%s: the program, its arguments and its environment do not fit under the "
            "memory limit of %llu bytes",
            program->path, (unsigned long long)process->limits.memory_bytes);
    return 0;
}
