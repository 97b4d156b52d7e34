/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/vma.h"

#include "arch/paging.h"
#include "sandbox/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
committed_bytes(const struct vmk_vma *vma)
{
    bool counts =
        (vma->rights & VMK_PAGE_WRITE) && (vma->flags & (VMK_VMA_STACK | VMK_VMA_NO_RESERVE)) == 0;
    return counts ? vma->end - vma->start : 0;
}

static uint64_t
following_bytes(const struct vmk_vma *vma)
{
    return vma->flags & VMK_VMA_FOLLOWS ? vma->end - vma->start : 0;
}

static void
count_in(struct vmk_vmas *vmas, const struct vmk_vma *vma)
{
    vmas->following += following_bytes(vma);
    vmas->mapped += vma->end - vma->start;
    vmas->committed += committed_bytes(vma);
}

static void
count_out(struct vmk_vmas *vmas, const struct vmk_vma *vma)
{
    vmas->following -= following_bytes(vma);
    vmas->mapped -= vma->end - vma->start;
    vmas->committed -= committed_bytes(vma);
}

void
vmk_vmas_clear(struct vmk_vmas *vmas)
{
    for (size_t i = 0; i < vmas->count; i++)
        vmk_file_unref(vmas->items[i].file);
    free(vmas->items);
    *vmas = (struct vmk_vmas){0};
}

size_t
vmk_vmas_after(const struct vmk_vmas *vmas, uint64_t va)
{
    size_t low = 0, high = vmas->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (vmas->items[middle].end <= va)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct vmk_vma *
vmk_vmas_find(const struct vmk_vmas *vmas, uint64_t va)
{
    size_t i = vmk_vmas_after(vmas, va);
    return i < vmas->count && vmas->items[i].start <= va ? &vmas->items[i] : NULL;
}

bool
vmk_vmas_cover(const struct vmk_vmas *vmas, uint64_t start, uint64_t end)
{
    for (size_t i = vmk_vmas_after(vmas, start); start < end; i++) {
        if (i == vmas->count || vmas->items[i].start > start)
            return false;
        start = vmas->items[i].end;
    }
    return true;
}

int
vmk_vmas_reserve(struct vmk_vmas *vmas, size_t extra)
{
    if (vmas->count + extra > VMK_VMA_MAX)
        return -ENOMEM;
    if (vmas->count + extra <= vmas->capacity)
        return 0;
    size_t capacity = vmas->capacity == 0 ? 32 : vmas->capacity * 2;
    struct vmk_vma *items = realloc(vmas->items, capacity * sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    vmas->items = items;
    vmas->capacity = capacity;
    return 0;
}

static bool
is_inside(const struct vmk_vmas *vmas, uint64_t va)
{
    const struct vmk_vma *vma = vmk_vmas_find(vmas, va);
    return vma != NULL && vma->start < va;
}

size_t
vmk_vmas_count_splits(const struct vmk_vmas *vmas, uint64_t start, uint64_t end)
{
    return (size_t)is_inside(vmas, start) + (size_t)is_inside(vmas, end);
}

static void
insert_at(struct vmk_vmas *vmas, size_t index, const struct vmk_vma *vma)
{
    memmove(&vmas->items[index + 1], &vmas->items[index],
            (vmas->count - index) * sizeof vmas->items[0]);
    vmas->items[index] = *vma;
    vmas->count++;
}

/* Make `va` a boundary: no entry reaches across it. Room for one entry was reserved. */
static void
split_at(struct vmk_vmas *vmas, uint64_t va)
{
    size_t i = vmk_vmas_after(vmas, va);
    if (i == vmas->count || vmas->items[i].start >= va)
        return;
    struct vmk_vma upper = vmas->items[i];
    upper.start = va;
    upper.offset += va - vmas->items[i].start;
    if (upper.file != NULL)
        vmk_file_ref(upper.file);
    vmas->items[i].end = va;
    insert_at(vmas, i + 1, &upper);
}

int
vmk_vmas_cut(struct vmk_vmas *vmas, uint64_t start, uint64_t end)
{
    if (vmk_vmas_reserve(vmas, vmk_vmas_count_splits(vmas, start, end)) < 0)
        return -ENOMEM;
    split_at(vmas, start);
    split_at(vmas, end);

    size_t first = vmk_vmas_after(vmas, start), last = first;
    while (last < vmas->count && vmas->items[last].start < end) {
        count_out(vmas, &vmas->items[last]);
        vmk_file_unref(vmas->items[last].file);
        last++;
    }
    if (first == last)
        return 0;
    memmove(&vmas->items[first], &vmas->items[last], (vmas->count - last) * sizeof vmas->items[0]);
    vmas->count -= last - first;
    return 0;
}

static bool
can_join(const struct vmk_vma *lower, const struct vmk_vma *upper)
{
    return lower->end == upper->start && lower->rights == upper->rights &&
           lower->flags == upper->flags && lower->file == upper->file &&
           (lower->file == NULL || lower->offset + (lower->end - lower->start) == upper->offset);
}

static void
join_with_next(struct vmk_vmas *vmas, size_t index)
{
    if (index + 1 >= vmas->count || !can_join(&vmas->items[index], &vmas->items[index + 1]))
        return;
    vmas->items[index].end = vmas->items[index + 1].end;
    vmk_file_unref(vmas->items[index + 1].file);
    memmove(&vmas->items[index + 1], &vmas->items[index + 2],
            (vmas->count - index - 2) * sizeof vmas->items[0]);
    vmas->count--;
}

/* Join what is alike among the entries from `first` to `last`. In one pass, whatever their number:
 * a guest can have many. */
static void
join_range(struct vmk_vmas *vmas, size_t first, size_t last)
{
    size_t kept = first;
    for (size_t i = first + 1; i <= last; i++) {
        if (can_join(&vmas->items[kept], &vmas->items[i])) {
            vmas->items[kept].end = vmas->items[i].end;
            vmk_file_unref(vmas->items[i].file);
        } else {
            vmas->items[++kept] = vmas->items[i];
        }
    }
    memmove(&vmas->items[kept + 1], &vmas->items[last + 1],
            (vmas->count - last - 1) * sizeof vmas->items[0]);
    vmas->count -= last - kept;
}

int
vmk_vmas_add(struct vmk_vmas *vmas, const struct vmk_vma *vma)
{
    if (vmk_vmas_reserve(vmas, 1) < 0)
        return -ENOMEM;
    size_t i = vmk_vmas_after(vmas, vma->start);
    if (vma->file != NULL)
        vmk_file_ref(vma->file);
    insert_at(vmas, i, vma);
    count_in(vmas, vma);
    join_with_next(vmas, i);
    if (i > 0)
        join_with_next(vmas, i - 1);
    return 0;
}

int
vmk_vmas_protect(struct vmk_vmas *vmas, uint64_t start, uint64_t end, unsigned rights)
{
    if (vmk_vmas_reserve(vmas, vmk_vmas_count_splits(vmas, start, end)) < 0)
        return -ENOMEM;
    split_at(vmas, start);
    split_at(vmas, end);

    size_t first = vmk_vmas_after(vmas, start), i = first;
    for (; i < vmas->count && vmas->items[i].start < end; i++) {
        count_out(vmas, &vmas->items[i]);
        vmas->items[i].rights = rights;
        if (rights & VMK_PAGE_WRITE && vmas->items[i].flags & VMK_VMA_FOLLOWS)
            vmas->items[i].flags |= VMK_VMA_WRITTEN;
        count_in(vmas, &vmas->items[i]);
    }
    join_range(vmas, first > 0 ? first - 1 : 0, i < vmas->count ? i : vmas->count - 1);
    return 0;
}

/* The part of an entry that lies in [start, end). */
static struct vmk_vma
clip(const struct vmk_vma *vma, uint64_t start, uint64_t end)
{
    struct vmk_vma part = *vma;
    part.start = part.start > start ? part.start : start;
    part.end = part.end < end ? part.end : end;
    return part;
}

uint64_t
vmk_vmas_committed_in(const struct vmk_vmas *vmas, uint64_t start, uint64_t end)
{
    uint64_t bytes = 0;
    for (size_t i = vmk_vmas_after(vmas, start); i < vmas->count && vmas->items[i].start < end;
         i++) {
        struct vmk_vma part = clip(&vmas->items[i], start, end);
        bytes += committed_bytes(&part);
    }
    return bytes;
}

uint64_t
vmk_vmas_commit_delta(const struct vmk_vmas *vmas, uint64_t start, uint64_t end, unsigned rights)
{
    uint64_t delta = 0;
    for (size_t i = vmk_vmas_after(vmas, start); i < vmas->count && vmas->items[i].start < end;
         i++) {
        struct vmk_vma part = clip(&vmas->items[i], start, end);
        uint64_t before = committed_bytes(&part);
        part.rights = rights;
        delta += committed_bytes(&part) - (before != 0 ? committed_bytes(&part) : 0);
    }
    return delta;
}

uint64_t
vmk_vmas_find_hole(const struct vmk_vmas *vmas, uint64_t size, uint64_t bottom, uint64_t top,
                   uint64_t alignment, uint64_t phase)
{
    size_t i = vmk_vmas_after(vmas, top);
    uint64_t hole_end = top;
    if (i < vmas->count && vmas->items[i].start < top)
        hole_end = vmas->items[i].start;
    for (;;) {
        uint64_t hole_start = i > 0 ? vmas->items[i - 1].end : bottom;
        if (hole_start < bottom)
            hole_start = bottom;
        if (hole_end >= size && hole_end - size >= hole_start) {
            uint64_t start = hole_end - size;
            uint64_t down = (start - phase) & (alignment - 1);
            if (start >= down && start - down >= hole_start)
                return start - down;
        }
        if (i == 0 || hole_start == bottom)
            return 0;
        hole_end = vmas->items[--i].start;
    }
}
