/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address space in its saved form: the mappings and where the next ones go. The memory itself,
 * the page tables included, is not the codec's.
 */
#include "sandbox/file.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/state_codec.h"
#include "util/error.h"

#include <errno.h>

#define RIGHTS ((unsigned)(VMK_PAGE_READ | VMK_PAGE_WRITE | VMK_PAGE_EXECUTE))
#define FLAGS                                                                           \
    ((unsigned)(VMK_VMA_STACK | VMK_VMA_NO_RESERVE | VMK_VMA_SHARED | VMK_VMA_FOLLOWS | \
                VMK_VMA_WRITTEN))

static bool
is_page_aligned(uint64_t value)
{
    return value % VMK_PAGE_SIZE == 0;
}

int
vmk_state_save_space(struct vmk_state_writer *writer)
{
    const struct vmk_space *space = writer->process->space;
    struct vmk_bytes *bytes = writer->bytes;
    vmk_bytes_put_u64(bytes, space->mmap_top);
    vmk_bytes_put_u64(bytes, space->brk_start);
    vmk_bytes_put_u64(bytes, space->brk);
    vmk_bytes_put_u32(bytes, (uint32_t)space->vmas.count);
    for (size_t i = 0; i < space->vmas.count; i++) {
        const struct vmk_vma *vma = &space->vmas.items[i];
        vmk_bytes_put_u64(bytes, vma->start);
        vmk_bytes_put_u64(bytes, vma->end);
        vmk_bytes_put_u8(bytes, (uint8_t)vma->rights);
        vmk_bytes_put_u8(bytes, (uint8_t)vma->flags);
        vmk_bytes_put_u32(bytes, vma->file == NULL ? 0 : vma->file->state_number);
        if (vma->file != NULL)
            vmk_bytes_put_u64(bytes, vma->offset);
    }
    return 0;
}

/* What is mapped of a file: nothing asks for it before the guest touches the page, so that all is
 * checked that mmap(2) would have. */
static int
load_file(struct vmk_state_reader *reader, struct vmk_vma *vma, uint32_t number)
{
    uint64_t end;
    vma->file = vmk_state_get_file(reader, number);
    if (vma->file == NULL)
        return -EINVAL;
    vma->offset = vmk_cursor_get_u64(&reader->in);
    if (!vmk_file_readable(vma->file) || !vma->file->ops->mappable)
        return vmk_state_bad(reader, "file %u is mapped, which cannot be", number);
    if (!is_page_aligned(vma->offset) ||
        __builtin_add_overflow(vma->offset, vma->end - vma->start, &end) || end > INT64_MAX)
        return vmk_state_bad(reader, "a mapping of a file at 0x%llx",
                             (unsigned long long)vma->offset);
    return 0;
}

static int
load_vma(struct vmk_state_reader *reader, struct vmk_vmas *vmas, uint64_t low)
{
    struct vmk_byte_cursor *in = &reader->in;
    struct vmk_vma vma = {0};
    vma.start = vmk_cursor_get_u64(in);
    vma.end = vmk_cursor_get_u64(in);
    vma.rights = vmk_cursor_get_u8(in);
    vma.flags = vmk_cursor_get_u8(in);
    uint32_t number = vmk_cursor_get_u32(in);
    if (in->failed)
        return vmk_state_bad(reader, "a mapping ends early");
    if (vma.start < low || vma.start >= vma.end || vma.end > VMK_SPACE_HIGH ||
        !is_page_aligned(vma.start) || !is_page_aligned(vma.end))
        return vmk_state_bad(reader, "a mapping from 0x%llx to 0x%llx",
                             (unsigned long long)vma.start, (unsigned long long)vma.end);
    if ((vma.rights & ~RIGHTS) != 0 || (vma.flags & ~FLAGS) != 0)
        return vmk_state_bad(reader, "a mapping with rights 0x%x and flags 0x%x", vma.rights,
                             vma.flags);
    int r = number == 0 ? 0 : load_file(reader, &vma, number);
    if (r < 0)
        return r;
    return vmk_vmas_add(vmas, &vma) < 0 ? vmk_state_no_memory(reader->ret_error) : 0;
}

static int
load_places(struct vmk_state_reader *reader, struct vmk_space *space)
{
    space->mmap_top = vmk_cursor_get_u64(&reader->in);
    space->brk_start = vmk_cursor_get_u64(&reader->in);
    space->brk = vmk_cursor_get_u64(&reader->in);
    if (space->mmap_top > VMK_SPACE_HIGH || !is_page_aligned(space->mmap_top))
        return vmk_state_bad(reader, "mappings below 0x%llx", (unsigned long long)space->mmap_top);
    if (space->brk_start > space->brk || space->brk > VMK_SPACE_HIGH)
        return vmk_state_bad(reader, "a program break of 0x%llx behind 0x%llx",
                             (unsigned long long)space->brk, (unsigned long long)space->brk_start);
    return 0;
}

int
vmk_state_load_space(struct vmk_state_reader *reader)
{
    struct vmk_space *space = reader->process->space;
    int r = load_places(reader, space);
    uint32_t count = vmk_cursor_get_u32(&reader->in);
    if (r == 0 && count > VMK_VMA_MAX)
        r = vmk_state_bad(reader, "%u mappings, above the limit of %d", count, VMK_VMA_MAX);
    /* None lies so low that a null pointer with an offset could be one. */
    uint64_t low = VMK_SPACE_LOW;
    for (uint32_t i = 0; i < count && r == 0; i++) {
        r = load_vma(reader, &space->vmas, low);
        if (r == 0)
            low = space->vmas.items[space->vmas.count - 1].end;
    }
    if (r < 0)
        return r;
    if (space->vmas.committed > space->commit_limit)
        return vmk_error_set(reader->ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the snapshot's process has %llu bytes of memory mapped, above the "
                             "memory limit of %llu bytes",
                             (unsigned long long)space->vmas.committed,
                             (unsigned long long)space->commit_limit);
    space->fault_next = space->fault_before = space->fault_window = 0;
    space->faults = 0;
    return 0;
}
