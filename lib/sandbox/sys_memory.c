/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory calls: brk(2), mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2) and what goes with
 * them. A shared mapping of memory is served as a private one, since there is no second process; a
 * shared mapping of a file is served for reading.
 */
#include "sandbox/files.h"
#include "sandbox/mapped.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include "util/checked.h"

#include <errno.h>
#include <linux/mman.h>
#include <sys/mman.h>

#define PAGE_MASK ((uint64_t)VMK_PAGE_SIZE - 1)

static bool
is_user_range(uint64_t va, uint64_t size)
{
    return vmk_range_inside(va, size, 0, VMK_SPACE_HIGH);
}

static unsigned
rights_from_prot(uint64_t prot)
{
    unsigned rights = 0;
    rights |= prot & PROT_READ ? VMK_PAGE_READ : 0;
    rights |= prot & PROT_WRITE ? VMK_PAGE_READ | VMK_PAGE_WRITE : 0;
    rights |= prot & PROT_EXEC ? VMK_PAGE_READ | VMK_PAGE_EXECUTE : 0;
    return rights;
}

int64_t
vmk_sys_brk(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_space *space = process->space;
    uint64_t end, old_end = (space->brk + PAGE_MASK) & ~PAGE_MASK;
    if (args[0] < space->brk_start || args[0] >= VMK_SPACE_HIGH)
        return (int64_t)space->brk;

    end = (args[0] + PAGE_MASK) & ~PAGE_MASK;
    if (end < old_end) {
        if (vmk_space_unmap(space, end, old_end - end) < 0)
            return (int64_t)space->brk;
    } else if (end > old_end) {
        size_t next = vmk_vmas_after(&space->vmas, old_end);
        struct vmk_vma vma = {
            .start = old_end, .end = end, .rights = VMK_PAGE_READ | VMK_PAGE_WRITE};
        if ((next < space->vmas.count && space->vmas.items[next].start < end) ||
            vmk_space_map(space, &vma) < 0)
            return (int64_t)space->brk;
    }
    space->brk = args[0];
    return (int64_t)space->brk;
}

/* Choose the address of a mapping: where the caller insists, where it would like, or anywhere. */
static int64_t
choose_address(struct vmk_space *space, uint64_t hint, uint64_t size, uint64_t flags)
{
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (hint & PAGE_MASK)
            return -EINVAL;
        if (!is_user_range(hint, size))
            return -ENOMEM;
        if (hint < VMK_SPACE_LOW)
            return -EPERM;
        size_t next = vmk_vmas_after(&space->vmas, hint);
        if (flags & MAP_FIXED_NOREPLACE && next < space->vmas.count &&
            space->vmas.items[next].start < hint + size)
            return -EEXIST;
        return (int64_t)hint;
    }

    hint &= ~PAGE_MASK;
    size_t next = vmk_vmas_after(&space->vmas, hint);
    if (hint >= VMK_SPACE_LOW && is_user_range(hint, size) &&
        (next == space->vmas.count || space->vmas.items[next].start >= hint + size))
        return (int64_t)hint;
    uint64_t va = vmk_space_find_hole(space, size, 0);
    return va == 0 ? -ENOMEM : (int64_t)va;
}

/* The file that a descriptor names, if it can be mapped like that. Lent. */
static int
find_file(struct vmk_process *process, uint64_t fd, uint64_t prot, unsigned type,
          struct vmk_file **ret_file)
{
    struct vmk_file *file = vmk_files_get(process->files, fd);
    if (file == NULL)
        return -EBADF;
    if (!vmk_file_readable(file))
        return -EACCES;
    if (!file->ops->mappable)
        return -ENODEV;
    if (type != MAP_PRIVATE && prot & PROT_WRITE)
        return vmk_file_writable(file) ? -ENODEV : -EACCES;
    *ret_file = file;
    return 0;
}

int64_t
vmk_sys_mmap(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size = args[1], prot = args[2], flags = args[3], offset = args[5];
    unsigned type = (unsigned)(flags & MAP_TYPE);
    if (size == 0 || (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    if (offset & PAGE_MASK)
        return -EINVAL;
    if (!vmk_round_up_u64(size, VMK_PAGE_SIZE, &size) || size >= VMK_SPACE_HIGH)
        return -ENOMEM;
    if (flags & MAP_HUGETLB)
        return -ENOMEM;
    uint64_t end;
    if (!vmk_add_u64(offset, size, &end) || end > INT64_MAX)
        return -EOVERFLOW;

    struct vmk_vma vma = {.rights = rights_from_prot(prot), .offset = offset};
    if (!(flags & MAP_ANONYMOUS)) {
        int r = find_file(process, args[4], prot, type, &vma.file);
        if (r < 0)
            return r;
        vma.flags |= VMK_VMA_FOLLOWS;
        vma.flags |= prot & PROT_WRITE ? VMK_VMA_WRITTEN : 0;
    }
    vma.flags |= flags & MAP_NORESERVE ? VMK_VMA_NO_RESERVE : 0;
    vma.flags |= type != MAP_PRIVATE ? VMK_VMA_SHARED : 0;

    int64_t va = choose_address(process->space, args[0], size, flags);
    if (va >= 0) {
        vma.start = (uint64_t)va;
        vma.end = vma.start + size;
        int r = vmk_space_map(process->space, &vma);
        if (r < 0)
            va = r;
    }
    if (va >= 0 && flags & (MAP_POPULATE | MAP_LOCKED) && vma.rights != 0)
        vmk_space_populate(process->space, (uint64_t)va, size);
    return va;
}

int64_t
vmk_sys_munmap(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size = args[1];
    if (args[0] & PAGE_MASK || size == 0 || !vmk_round_up_u64(size, VMK_PAGE_SIZE, &size) ||
        !is_user_range(args[0], size))
        return -EINVAL;
    return vmk_space_unmap(process->space, args[0], size);
}

/* A shared mapping of a file is served for reading alone: what the program wrote would not get into
 * the file. */
static bool
holds_shared_file(const struct vmk_vmas *vmas, uint64_t start, uint64_t end)
{
    for (size_t i = vmk_vmas_after(vmas, start); i < vmas->count && vmas->items[i].start < end;
         i++) {
        if (vmas->items[i].file != NULL && vmas->items[i].flags & VMK_VMA_SHARED)
            return true;
    }
    return false;
}

int64_t
vmk_sys_mprotect(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size = args[1], prot = args[2];
    if (args[0] & PAGE_MASK ||
        prot & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN))
        return -EINVAL;
    if (size == 0)
        return 0;
    if (!vmk_round_up_u64(size, VMK_PAGE_SIZE, &size) || !is_user_range(args[0], size))
        return -ENOMEM;

    uint64_t va = args[0];
    const struct vmk_vma *vma = vmk_vmas_find(&process->space->vmas, va);
    if (prot & PROT_GROWSDOWN) {
        if (vma == NULL || !(vma->flags & VMK_VMA_STACK))
            return -EINVAL;
        size += va - vma->start;
        va = vma->start;
    }
    if (prot & PROT_WRITE && holds_shared_file(&process->space->vmas, va, va + size))
        return -EACCES;
    return vmk_space_protect(process->space, va, size, rights_from_prot(prot));
}

int64_t
vmk_sys_pkey_mprotect(struct vmk_process *process, const uint64_t args[6])
{
    return (int64_t)args[3] == -1 ? vmk_sys_mprotect(process, args) : -EINVAL;
}

/* Let a mapping grow where it stands. 0 when there was no room. */
static int64_t
grow_in_place(struct vmk_space *space, const struct vmk_vma *vma, uint64_t va, uint64_t old_size,
              uint64_t new_size)
{
    size_t next = vmk_vmas_after(&space->vmas, va + old_size);
    if (vma->end != va + old_size || va + new_size > VMK_SPACE_HIGH ||
        (next < space->vmas.count && space->vmas.items[next].start < va + new_size))
        return 0;
    struct vmk_vma more = *vma;
    more.start = va + old_size;
    more.end = va + new_size;
    more.offset += more.start - vma->start;
    int r = vmk_space_map(space, &more);
    return r < 0 ? r : (int64_t)va;
}

static int64_t
move_mapping(struct vmk_space *space, uint64_t va, uint64_t old_size, uint64_t new_size,
             uint64_t to)
{
    const struct vmk_vma *vma = vmk_vmas_find(&space->vmas, va);
    struct vmk_vma more = *vma;
    more.offset += old_size + (va - vma->start);
    more.start = to + old_size;
    more.end = to + new_size;
    /* The new part first: it is what can exceed the limit. */
    if (new_size > old_size) {
        int r = vmk_space_map(space, &more);
        if (r < 0)
            return r;
    }
    int r = vmk_space_move(space, va, to, old_size);
    if (r < 0) {
        if (new_size > old_size)
            vmk_space_unmap(space, more.start, new_size - old_size);
        return r;
    }
    return (int64_t)to;
}

int64_t
vmk_sys_mremap(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_space *space = process->space;
    uint64_t va = args[0], old_size = args[1], new_size = args[2], flags = args[3], to = args[4];
    if (va & PAGE_MASK || flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED) || new_size == 0 ||
        (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (!vmk_round_up_u64(old_size, VMK_PAGE_SIZE, &old_size) ||
        !vmk_round_up_u64(new_size, VMK_PAGE_SIZE, &new_size) || old_size == 0 ||
        new_size >= VMK_SPACE_HIGH)
        return -EINVAL;

    const struct vmk_vma *vma = vmk_vmas_find(&space->vmas, va);
    if (vma == NULL || vma->end - va < old_size)
        return -EFAULT;

    if (flags & MREMAP_FIXED) {
        if (to & PAGE_MASK || to < VMK_SPACE_LOW || !is_user_range(to, new_size) ||
            vmk_range_overlaps(va, old_size, to, new_size))
            return -EINVAL;
        int r = vmk_space_unmap(space, to, new_size);
        if (r < 0)
            return r;
    }
    if (new_size < old_size) {
        int r = vmk_space_unmap(space, va + new_size, old_size - new_size);
        if (r < 0)
            return r;
        old_size = new_size;
    }
    if (flags & MREMAP_FIXED)
        return move_mapping(space, va, old_size, new_size, to);
    if (new_size == old_size)
        return (int64_t)va;

    int64_t grown = grow_in_place(space, vma, va, old_size, new_size);
    if (grown != 0)
        return grown;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    to = vmk_space_find_hole(space, new_size, va);
    return to == 0 ? -ENOMEM : move_mapping(space, va, old_size, new_size, to);
}

int64_t
vmk_sys_madvise(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size = args[1];
    if (args[0] & PAGE_MASK || !vmk_round_up_u64(size, VMK_PAGE_SIZE, &size) ||
        !is_user_range(args[0], size))
        return -EINVAL;
    if (size == 0)
        return 0;

    switch (args[2]) {
    case MADV_DONTNEED:
        return vmk_space_discard(process->space, args[0], size);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return vmk_space_populate(process->space, args[0], size);
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_FREE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return vmk_vmas_cover(&process->space->vmas, args[0], args[0] + size) ? 0 : -ENOMEM;
    default:
        return -EINVAL;
    }
}

int64_t
vmk_sys_msync(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size = args[1];
    if (args[0] & PAGE_MASK || args[2] & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
        (args[2] & MS_ASYNC && args[2] & MS_SYNC))
        return -EINVAL;
    if (!vmk_round_up_u64(size, VMK_PAGE_SIZE, &size) || !is_user_range(args[0], size) ||
        !vmk_vmas_cover(&process->space->vmas, args[0], args[0] + size))
        return -ENOMEM;
    if (args[2] & MS_INVALIDATE)
        vmk_mapped_refresh(process, args[0], args[0] + size);
    return 0;
}

int64_t
vmk_sys_mincore(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size = args[1];
    if (args[0] & PAGE_MASK)
        return -EINVAL;
    if (!vmk_round_up_u64(size, VMK_PAGE_SIZE, &size) || !is_user_range(args[0], size) ||
        !vmk_vmas_cover(&process->space->vmas, args[0], args[0] + size))
        return -ENOMEM;

    uint8_t resident[1024];
    uint64_t pages = size / VMK_PAGE_SIZE;
    for (uint64_t done = 0; done < pages && !vmk_process_must_stop(process);) {
        size_t part = pages - done < sizeof resident ? (size_t)(pages - done) : sizeof resident;
        for (size_t i = 0; i < part; i++)
            resident[i] =
                vmk_paging_find(&process->space->paging, args[0] + (done + i) * VMK_PAGE_SIZE).used;
        if (vmk_uaccess_write(process->space, args[2] + done, resident, part) < 0)
            return -EFAULT;
        done += part;
    }
    return 0;
}

/* Guest memory is never swapped by the guest's own doing: locking it has nothing to add. */
static int64_t
check_lock_range(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t size;
    if (!vmk_round_up_u64(args[1] + (args[0] & PAGE_MASK), VMK_PAGE_SIZE, &size) ||
        !is_user_range(args[0] & ~PAGE_MASK, size))
        return -EINVAL;
    uint64_t start = args[0] & ~PAGE_MASK;
    return vmk_vmas_cover(&process->space->vmas, start, start + size) ? 0 : -ENOMEM;
}

int64_t
vmk_sys_mlock(struct vmk_process *process, const uint64_t args[6])
{
    return check_lock_range(process, args);
}

int64_t
vmk_sys_mlock2(struct vmk_process *process, const uint64_t args[6])
{
    return args[2] & ~(uint64_t)1 ? -EINVAL : check_lock_range(process, args);
}

int64_t
vmk_sys_munlock(struct vmk_process *process, const uint64_t args[6])
{
    return check_lock_range(process, args);
}

int64_t
vmk_sys_mlockall(struct vmk_process *process, const uint64_t args[6])
{
    return args[0] == 0 || args[0] & ~(uint64_t)7 ? -EINVAL : 0;
}

int64_t
vmk_sys_munlockall(struct vmk_process *process, const uint64_t args[6])
{
    return 0;
}
