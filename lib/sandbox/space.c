/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/space.h"

#include "sandbox/file.h"
#include "sandbox/process.h"

#include <errno.h>
#include <string.h>

#define PAGE_MASK (~(uint64_t)(VMK_PAGE_SIZE - 1))
/* The host frees or protects no more at once than 2 MiB in pages of 4 KiB, or 8 MiB in large pages,
 * which are quicker: a kill and the limits of time are noticed in between. */
#define MAX_RUN_WEIGHT 512u
#define LARGE_WEIGHT 128u
/* Pages that a walk passes between two looks at the limits of time. */
#define STEPS_BETWEEN_CHECKS 1024u
#define LARGE_MASK (~(uint64_t)(VMK_LARGE_PAGE_SIZE - 1))

/* The guest's page tables are charged and counted like its pages, and never given back. */
static uint64_t
alloc_table(void *user_data)
{
    return vmk_frames_alloc(user_data);
}

int
vmk_space_init(struct vmk_space *space, struct vmk_process *process, struct vmk_frames *frames,
               uint64_t commit_limit)
{
    *space = (struct vmk_space){
        .process = process,
        .frames = frames,
        .commit_limit = commit_limit,
        .mmap_top = VMK_SPACE_HIGH,
    };
    return vmk_paging_init(&space->paging, vmk_frames_get_memory(frames),
                           vmk_frames_get_size(frames), alloc_table, frames);
}

void
vmk_space_clear(struct vmk_space *space)
{
    vmk_vmas_clear(&space->vmas);
    vmk_paging_free(&space->paging);
}

/* A run of consecutive frames that an operation collects, to act on it with one call of the host.
 */
struct run {
    struct vmk_space *space;
    int (*act)(struct vmk_space *space, uint64_t gpa, uint64_t size);
    uint64_t gpa;
    uint64_t size;
    unsigned weight;
    int result;
};

static void
run_flush(struct run *run)
{
    if (run->size == 0)
        return;
    int r = run->act(run->space, run->gpa, run->size);
    if (r < 0)
        run->result = r;
    run->size = 0;
    run->weight = 0;
}

/* True when what was collected before was acted on. */
static bool
run_add(struct run *run, uint64_t gpa, uint64_t size)
{
    bool begins = run->size == 0 || run->gpa + run->size != gpa || run->weight >= MAX_RUN_WEIGHT;
    if (begins) {
        run_flush(run);
        run->gpa = gpa;
    }
    run->size += size;
    run->weight += size == VMK_PAGE_SIZE ? 1 : LARGE_WEIGHT;
    return begins;
}

static int
act_release(struct vmk_space *space, uint64_t gpa, uint64_t size)
{
    vmk_frames_release(space->frames, gpa, size);
    return 0;
}

static int
act_drop(struct vmk_space *space, uint64_t gpa, uint64_t size)
{
    /* Where the host cannot, the whole VM's translations go instead. */
    if (vmk_frames_drop_translations(space->frames, gpa, size) < 0)
        space->paging.structure_changed = true;
    return 0;
}

/* The leaf at `va` as a piece of [va, end): a large page that reaches beyond the range is split,
 * which needs a table. */
static int
leaf_within(struct vmk_space *space, uint64_t va, uint64_t end, struct vmk_leaf *ret_leaf)
{
    *ret_leaf = vmk_paging_find(&space->paging, va);
    if (!ret_leaf->used || ret_leaf->size == VMK_PAGE_SIZE)
        return 0;
    if ((va & ~LARGE_MASK) == 0 && end - va >= VMK_LARGE_PAGE_SIZE)
        return 0;
    return vmk_paging_need(&space->paging, va, ret_leaf);
}

/* Whether a walk over pages leaves off; `acted` says that the step was a long one. The guest then
 * never goes on, so that it does not matter where. */
static bool
leaves_off(struct vmk_space *space, unsigned *steps, bool acted)
{
    return (++*steps % STEPS_BETWEEN_CHECKS == 0 || acted) && vmk_process_must_stop(space->process);
}

static uint64_t
next_leaf(uint64_t va, const struct vmk_leaf *leaf)
{
    return (va | (leaf->size - 1)) + 1;
}

/* Make `va` a boundary between pages. */
static int
split_at(struct vmk_space *space, uint64_t va)
{
    struct vmk_leaf leaf = vmk_paging_find(&space->paging, va);
    bool across = leaf.used && leaf.size == VMK_LARGE_PAGE_SIZE && (va & ~LARGE_MASK) != 0;
    return across ? vmk_paging_need(&space->paging, va, &leaf) : 0;
}

/* Split the large pages that reach across an end of [start, end), and only they can: done first, so
 * that a failure changes nothing. */
static int
split_ends(struct vmk_space *space, uint64_t start, uint64_t end)
{
    return split_at(space, start) < 0 || split_at(space, end) < 0 ? -ENOMEM : 0;
}

/* Take the pages of [start, end) away and give their frames back. */
static int
drop_pages(struct vmk_space *space, uint64_t start, uint64_t end)
{
    struct vmk_leaf leaf;
    if (split_ends(space, start, end) < 0)
        return -ENOMEM;

    struct run run = {.space = space, .act = act_release};
    unsigned steps = 0;
    bool acted = false;
    for (uint64_t va = start; va < end && !leaves_off(space, &steps, acted);
         va = next_leaf(va, &leaf)) {
        acted = false;
        if (leaf_within(space, va, end, &leaf) < 0)
            return -ENOMEM;
        if (!leaf.used)
            continue;
        uint64_t gpa = leaf.gpa;
        vmk_paging_clear(&space->paging, &leaf);
        acted = run_add(&run, gpa, leaf.size);
    }
    run_flush(&run);
    return 0;
}

int
vmk_space_map(struct vmk_space *space, const struct vmk_vma *vma)
{
    bool counts =
        (vma->rights & VMK_PAGE_WRITE) && (vma->flags & (VMK_VMA_STACK | VMK_VMA_NO_RESERVE)) == 0;
    uint64_t committed =
        space->vmas.committed - vmk_vmas_committed_in(&space->vmas, vma->start, vma->end);
    if (counts && vma->end - vma->start > space->commit_limit - committed) {
        space->refused = true;
        return -ENOMEM;
    }

    size_t splits = vmk_vmas_count_splits(&space->vmas, vma->start, vma->end);
    if (vmk_vmas_reserve(&space->vmas, splits + 1) < 0 ||
        vmk_space_unmap(space, vma->start, vma->end - vma->start) < 0)
        return -ENOMEM;
    return vmk_vmas_add(&space->vmas, vma);
}

int
vmk_space_unmap(struct vmk_space *space, uint64_t va, uint64_t size)
{
    uint64_t end = va + size;
    if (vmk_vmas_reserve(&space->vmas, vmk_vmas_count_splits(&space->vmas, va, end)) < 0 ||
        split_ends(space, va, end) < 0)
        return -ENOMEM;

    size_t i = vmk_vmas_after(&space->vmas, va);
    for (; i < space->vmas.count && space->vmas.items[i].start < end; i++) {
        uint64_t from = space->vmas.items[i].start, to = space->vmas.items[i].end;
        if (drop_pages(space, from > va ? from : va, to < end ? to : end) < 0)
            return -ENOMEM;
    }
    return vmk_vmas_cut(&space->vmas, va, end);
}

int
vmk_space_empty(struct vmk_space *space)
{
    int r = vmk_space_unmap(space, 0, VMK_SPACE_HIGH);
    space->mmap_top = VMK_SPACE_HIGH;
    space->brk_start = space->brk = 0;
    return r;
}

static int
protect_pages(struct vmk_space *space, uint64_t start, uint64_t end, unsigned rights)
{
    struct vmk_leaf leaf;
    struct run run = {.space = space, .act = act_drop};
    unsigned steps = 0;
    bool acted = false;
    for (uint64_t va = start; va < end && !leaves_off(space, &steps, acted);
         va = next_leaf(va, &leaf)) {
        acted = false;
        if (leaf_within(space, va, end, &leaf) < 0)
            return -ENOMEM;
        if (!leaf.used || leaf.rights == rights)
            continue;
        bool loses = (leaf.rights & ~rights) != 0;
        vmk_paging_set(&space->paging, &leaf, leaf.gpa, rights);
        acted = loses && run_add(&run, leaf.gpa, leaf.size);
    }
    run_flush(&run);
    return 0;
}

int
vmk_space_protect(struct vmk_space *space, uint64_t va, uint64_t size, unsigned rights)
{
    uint64_t end = va + size;
    if (!vmk_vmas_cover(&space->vmas, va, end))
        return -ENOMEM;
    if (vmk_vmas_commit_delta(&space->vmas, va, end, rights) >
            space->commit_limit - space->vmas.committed ||
        vmk_vmas_reserve(&space->vmas, vmk_vmas_count_splits(&space->vmas, va, end)) < 0)
        return -ENOMEM;
    if (split_ends(space, va, end) < 0 || protect_pages(space, va, end, rights) < 0)
        return -ENOMEM;
    return vmk_vmas_protect(&space->vmas, va, end, rights);
}

int
vmk_space_discard(struct vmk_space *space, uint64_t va, uint64_t size)
{
    if (!vmk_vmas_cover(&space->vmas, va, va + size))
        return -ENOMEM;
    return drop_pages(space, va, va + size);
}

/* Make the leaf that takes the page at `va` over, at `to`, splitting a large page that cannot stay
 * one there. */
static int
prepare_move(struct vmk_space *space, uint64_t va, uint64_t to, struct vmk_leaf *leaf)
{
    struct vmk_leaf target;
    if (leaf->size == VMK_LARGE_PAGE_SIZE && (to & ~LARGE_MASK) == (va & ~LARGE_MASK)) {
        int r = vmk_paging_need_large(&space->paging, to, &target);
        if (r != -EEXIST)
            return r;
    }
    int r = vmk_paging_need(&space->paging, va, leaf);
    return r < 0 ? r : vmk_paging_need(&space->paging, to, &target);
}

int
vmk_space_move(struct vmk_space *space, uint64_t from, uint64_t to, uint64_t size)
{
    const struct vmk_vma *old = vmk_vmas_find(&space->vmas, from);
    struct vmk_vma copy = *old;
    copy.offset += from - old->start;
    copy.start = to;
    copy.end = to + size;
    if (vmk_vmas_reserve(&space->vmas, 3) < 0)
        return -ENOMEM;

    /* All that can fail comes first. */
    struct vmk_leaf leaf;
    unsigned steps = 0;
    for (uint64_t va = from; va < from + size; va = next_leaf(va, &leaf)) {
        if (leaves_off(space, &steps, false) || leaf_within(space, va, from + size, &leaf) < 0 ||
            (leaf.used && prepare_move(space, va, to + (va - from), &leaf) < 0))
            return -ENOMEM;
    }

    struct run run = {.space = space, .act = act_drop};
    bool acted = false;
    for (uint64_t va = from; va < from + size && !leaves_off(space, &steps, acted);
         va = next_leaf(va, &leaf)) {
        acted = false;
        leaf = vmk_paging_find(&space->paging, va);
        if (!leaf.used)
            continue;
        struct vmk_leaf target;
        uint64_t there = to + (va - from);
        if (leaf.size == VMK_PAGE_SIZE)
            vmk_paging_need(&space->paging, there, &target);
        else
            vmk_paging_need_large(&space->paging, there, &target);
        vmk_paging_set(&space->paging, &target, leaf.gpa, leaf.rights);
        acted = run_add(&run, leaf.gpa, leaf.size);
        vmk_paging_clear(&space->paging, &leaf);
    }
    run_flush(&run);
    /* The old mapping may hold the last reference to the file. */
    if (copy.file != NULL)
        vmk_file_ref(copy.file);
    vmk_vmas_cut(&space->vmas, from, from + size);
    int r = vmk_vmas_add(&space->vmas, &copy);
    vmk_file_unref(copy.file);
    return r;
}

uint64_t
vmk_space_find_hole(const struct vmk_space *space, uint64_t size, uint64_t from)
{
    uint64_t alignment = size >= VMK_LARGE_PAGE_SIZE ? VMK_LARGE_PAGE_SIZE : VMK_PAGE_SIZE;
    return vmk_vmas_find_hole(&space->vmas, size, VMK_SPACE_LOW, space->mmap_top, alignment,
                              from & (alignment - 1));
}
