/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/mapped.h"

#include "sandbox/file.h"
#include "sandbox/process.h"
#include "sandbox/space.h"

#include <sys/sysmacros.h>

#define PAGE_MASK ((uint64_t)VMK_PAGE_SIZE - 1)

/* A descriptor stays with its file for good, so that its inode is asked for once. */
static bool
identify(struct vmk_file *file)
{
    struct statx status;
    if (!file->identified && vmk_file_statx(file, &status) == 0) {
        file->device = makedev(status.stx_dev_major, status.stx_dev_minor);
        file->inode = status.stx_ino;
        file->identified = true;
    }
    return file->identified;
}

static bool
is_of(const struct vmk_vma *vma, const struct vmk_file *file)
{
    if ((vma->flags & VMK_VMA_FOLLOWS) == 0 || vma->file == NULL)
        return false;
    return vma->file == file ||
           (vma->file->ops == file->ops && identify(vma->file) &&
            vma->file->device == file->device && vma->file->inode == file->inode);
}

/* Whether its pages are those of the file. */
static bool
shows_file(const struct vmk_vma *vma)
{
    return (vma->flags & VMK_VMA_SHARED) != 0 || (vma->flags & VMK_VMA_WRITTEN) == 0;
}

/* Drop the pages of a mapping that show [offset, end) of the file. They are small ones, which need
 * no split, so that it cannot fail. */
static void
drop(struct vmk_space *space, const struct vmk_vma *vma, uint64_t offset, uint64_t end)
{
    uint64_t size = vma->end - vma->start;
    uint64_t from = offset > vma->offset ? (offset - vma->offset) & ~PAGE_MASK : 0;
    if (end <= vma->offset || from >= size)
        return;
    uint64_t to = end - vma->offset < size ? (end - vma->offset + PAGE_MASK) & ~PAGE_MASK : size;
    if (from < to)
        (void)vmk_space_discard(space, vma->start + from, to - from);
}

void
vmk_mapped_change(struct vmk_process *process, struct vmk_file *file, uint64_t offset,
                  uint64_t size)
{
    struct vmk_space *space = process->space;
    if (space->vmas.following == 0 || size == 0 || !identify(file))
        return;
    for (size_t i = 0; i < space->vmas.count; i++) {
        const struct vmk_vma *vma = &space->vmas.items[i];
        if (is_of(vma, file) && shows_file(vma))
            drop(space, vma, offset, offset + size);
    }
}

void
vmk_mapped_cut(struct vmk_process *process, struct vmk_file *file, uint64_t size)
{
    struct vmk_space *space = process->space;
    if (space->vmas.following == 0 || !identify(file))
        return;
    uint64_t whole = (size + PAGE_MASK) & ~PAGE_MASK;
    for (size_t i = 0; i < space->vmas.count; i++) {
        const struct vmk_vma *vma = &space->vmas.items[i];
        if (is_of(vma, file))
            drop(space, vma, shows_file(vma) ? size : whole, UINT64_MAX);
    }
}

void
vmk_mapped_refresh(struct vmk_process *process, uint64_t start, uint64_t end)
{
    struct vmk_vmas *vmas = &process->space->vmas;
    if (vmas->following == 0)
        return;
    for (size_t i = vmk_vmas_after(vmas, start); i < vmas->count && vmas->items[i].start < end;
         i++) {
        const struct vmk_vma *vma = &vmas->items[i];
        uint64_t from = vma->start > start ? vma->start : start;
        uint64_t to = vma->end < end ? vma->end : end;
        if (vma->flags & VMK_VMA_FOLLOWS && shows_file(vma))
            (void)vmk_space_discard(process->space, from, to - from);
    }
}
