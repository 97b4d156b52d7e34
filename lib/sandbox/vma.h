/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings of an address space: which ranges the guest asked for, with what rights and from
 * where they are filled. Sorted by address, apart from each other. Knows nothing of page tables.
 */
#ifndef VMK_SANDBOX_VMA_H
#define VMK_SANDBOX_VMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_file;

/* As on Linux (vm.max_map_count), where more than that is ENOMEM too. */
#define VMK_VMA_MAX 65530

enum vmk_vma_flags {
    VMK_VMA_STACK = 1,      /* Filled downwards; not counted as committed. */
    VMK_VMA_NO_RESERVE = 2, /* Not counted as committed. */
    VMK_VMA_SHARED = 4, /* Asked for as shared; without another process it is as good as private. */
    VMK_VMA_FOLLOWS = 8,  /* Of a file, and shows what the guest does to that (mapped.h). */
    VMK_VMA_WRITTEN = 16, /* One of those that is private and may have been written to. */
};

struct vmk_vma {
    uint64_t start;
    uint64_t end;
    unsigned rights;       /* enum vmk_page_rights; 0 for PROT_NONE. */
    unsigned flags;        /* enum vmk_vma_flags. */
    struct vmk_file *file; /* NULL: zeros. */
    uint64_t offset;       /* In the file, of `start`. */
};

struct vmk_vmas {
    struct vmk_vma *items;
    size_t count;
    size_t capacity;
    uint64_t mapped;    /* Bytes of all of them. */
    uint64_t committed; /* Bytes of those that the guest may write and that count. */
    uint64_t following; /* Bytes of those that follow their files. */
};

void
vmk_vmas_clear(struct vmk_vmas *vmas);

/* Make room for `extra` further entries, so that the calls below that need no more cannot fail. 0
 * or -ENOMEM. */
int
vmk_vmas_reserve(struct vmk_vmas *vmas, size_t extra);

/* The index of the first that ends above `va`; `count` when there is none. */
size_t
vmk_vmas_after(const struct vmk_vmas *vmas, uint64_t va);

/* The one that holds `va`, or NULL. */
struct vmk_vma *
vmk_vmas_find(const struct vmk_vmas *vmas, uint64_t va);

/* Whether [start, end) is covered without a hole. */
bool
vmk_vmas_cover(const struct vmk_vmas *vmas, uint64_t start, uint64_t end);

/* How many entries a boundary at both addresses would add: 0 to 2. */
size_t
vmk_vmas_count_splits(const struct vmk_vmas *vmas, uint64_t start, uint64_t end);

/* Cut what lies in [start, end) out. Needs room for the splits. 0 or -ENOMEM, and then nothing
 * changed. */
int
vmk_vmas_cut(struct vmk_vmas *vmas, uint64_t start, uint64_t end);

/* Add one where nothing is, joining it to its neighbours where they are alike. It takes a reference
 * of its own to the file. 0 or -ENOMEM. */
int
vmk_vmas_add(struct vmk_vmas *vmas, const struct vmk_vma *vma);

/* Change the rights of all that lies in [start, end), which is covered. 0 or -ENOMEM, and then
 * nothing changed. */
int
vmk_vmas_protect(struct vmk_vmas *vmas, uint64_t start, uint64_t end, unsigned rights);

/* How many bytes of [start, end) are committed. */
uint64_t
vmk_vmas_committed_in(const struct vmk_vmas *vmas, uint64_t start, uint64_t end);

/* How many bytes of [start, end) would be newly committed if they got these rights. */
uint64_t
vmk_vmas_commit_delta(const struct vmk_vmas *vmas, uint64_t start, uint64_t end, unsigned rights);

/* The highest hole of `size` bytes that ends at or below `top` and lies at or above `bottom`, its
 * start congruent to `phase` modulo `alignment`; 0 when there is none. */
uint64_t
vmk_vmas_find_hole(const struct vmk_vmas *vmas, uint64_t size, uint64_t bottom, uint64_t top,
                   uint64_t alignment, uint64_t phase);

#endif
