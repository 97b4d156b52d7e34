/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's address space: its mappings (vma.h), the frames that stand behind them (frames.h) and
 * the page tables that show them to the guest (arch/paging.h), kept in step. Mapping costs nothing;
 * pages come when they are touched, by the guest (vmk_space_fault) or by the library (uaccess.h).
 */
#ifndef VMK_SANDBOX_SPACE_H
#define VMK_SANDBOX_SPACE_H

#include "arch/paging.h"
#include "sandbox/frames.h"
#include "sandbox/vma.h"

#include <stdbool.h>
#include <stdint.h>

/* Linux's limits on x86-64: mmap_min_addr and TASK_SIZE with four levels of page tables. */
#define VMK_SPACE_LOW UINT64_C(0x10000)
#define VMK_SPACE_HIGH UINT64_C(0x7ffffffff000)

struct vmk_process;

struct vmk_space {
    struct vmk_process *process; /* Whose files the mappings read. */
    struct vmk_frames *frames;
    struct vmk_paging paging;
    struct vmk_vmas vmas;
    uint64_t commit_limit; /* What may be committed, see vmk_vmas. */
    bool refused;          /* A mapping went beyond it. */
    uint64_t mmap_top;     /* Mappings without an address of their own lie below. */
    uint64_t brk_start;
    uint64_t brk;
    uint64_t fault_next;   /* The page after, and the one before, the last that were populated: */
    uint64_t fault_before; /* a fault there is sequential. */
    uint64_t fault_window; /* Bytes to populate at the next sequential fault. */
    uint64_t faults;       /* Resolved. */
};

/* Make an empty space over `frames`, which it does not own. 0 or -ENOMEM. */
int
vmk_space_init(struct vmk_space *space, struct vmk_process *process, struct vmk_frames *frames,
               uint64_t commit_limit);

/* Free the mappings. The frames go with their arena. */
void
vmk_space_clear(struct vmk_space *space);

/* Map [va, va + size), page-aligned and inside of the limits, in place of whatever was there. 0, or
 * -ENOMEM, and then what was there still is. */
int
vmk_space_map(struct vmk_space *space, const struct vmk_vma *vma);

/* Unmap what lies in [va, va + size). 0 or -ENOMEM. */
int
vmk_space_unmap(struct vmk_space *space, uint64_t va, uint64_t size);

/* Change the rights of [va, va + size). 0, or -ENOMEM, also for a hole in it. */
int
vmk_space_protect(struct vmk_space *space, uint64_t va, uint64_t size, unsigned rights);

/* Unmap everything, for execve(2). 0 or -ENOMEM. */
int
vmk_space_empty(struct vmk_space *space);

/* Drop the contents of [va, va + size), as MADV_DONTNEED does. 0 or -ENOMEM. */
int
vmk_space_discard(struct vmk_space *space, uint64_t va, uint64_t size);

/* Move the pages and the mapping of [from, from + size), which lies in one mapping, to `to`, where
 * nothing is. 0, or -ENOMEM, and then nothing moved. */
int
vmk_space_move(struct vmk_space *space, uint64_t from, uint64_t to, uint64_t size);

/* Find room for `size` bytes below mmap_top. `from` gives the phase for huge pages: an address that
 * is to be congruent modulo 2 MiB. 0 when there is none. */
uint64_t
vmk_space_find_hole(const struct vmk_space *space, uint64_t size, uint64_t from);

/* Resolve an access to `va` that needs `access` (one of VMK_PAGE_READ, _WRITE, _EXECUTE). 0: try
 * again; -EFAULT: nothing is mapped there; -EACCES: the rights do not allow it; -ENOMEM: the memory
 * limit; -EIO: the file behind it ends before, or cannot be read. */
int
vmk_space_fault(struct vmk_space *space, uint64_t va, unsigned access);

/* Populate [va, va + size), which lies in one mapping of a file, with the same bytes of a sealed
 * memfd, which the host then shares. 0 or -ENOMEM. */
int
vmk_space_populate_image(struct vmk_space *space, uint64_t va, uint64_t size, int image);

/* Populate all of a mapping of a file, whatever its rights, up to the end of the file. 0 or
 * -ENOMEM.
 */
int
vmk_space_populate_file(struct vmk_space *space, const struct vmk_vma *vma);

/* Populate [va, va + size), which is mapped. As vmk_space_fault, and -EINTR when the process must
 * stop. */
int
vmk_space_populate(struct vmk_space *space, uint64_t va, uint64_t size);

#endif
