/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Populating: the pages of a mapping come when they are first touched. An exception costs more than
 * the page itself, so a fault brings some neighbours along: few at first, and twice as many each
 * time that the guest goes on where the last ones ended. Large anonymous mappings get pages of 2
 * MiB as long as memory is plentiful.
 */
#include "sandbox/file.h"
#include "sandbox/process.h"
#include "sandbox/space.h"

#include <errno.h>
#include <string.h>

#define FIRST_WINDOW (4 * (uint64_t)VMK_PAGE_SIZE)
#define LAST_WINDOW ((uint64_t)VMK_LARGE_PAGE_SIZE)
/* Between two looks at the limits of time. */
#define POPULATE_STEP (64 * (uint64_t)VMK_PAGE_SIZE)
#define FILE_WINDOW (16 * (uint64_t)VMK_PAGE_SIZE)

#define PAGE_START(va) ((va) & ~(uint64_t)(VMK_PAGE_SIZE - 1))
#define LARGE_START(va) ((va) & ~(uint64_t)(VMK_LARGE_PAGE_SIZE - 1))

/* Frames that were allocated for consecutive pages and follow each other: filled with one call. */
struct batch {
    struct vmk_space *space;
    const struct vmk_vma *vma;
    int image; /* A descriptor to map, in place of reading the file; -1 for none. */
    uint64_t va;
    uint64_t gpa;
    uint64_t size;
};

/* Read the file's part of the batch, and give the frames that lie beyond its end back: a touch
 * there is SIGBUS on Linux. -EIO when all of them do. */
static int
batch_read(struct batch *batch)
{
    uint8_t *memory = vmk_frames_get_memory(batch->space->frames) + batch->gpa;
    uint64_t offset = batch->vma->offset + (batch->va - batch->vma->start);
    uint64_t done = 0;
    while (done < batch->size) {
        ssize_t n = vmk_file_pread(batch->space->process, batch->vma->file, memory + done,
                                   batch->size - done, offset + done);
        if (n <= 0)
            break;
        done += (uint64_t)n;
    }
    uint64_t whole = (done + VMK_PAGE_SIZE - 1) & ~(uint64_t)(VMK_PAGE_SIZE - 1);
    if (whole < batch->size)
        vmk_frames_release(batch->space->frames, batch->gpa + whole, batch->size - whole);
    batch->size = whole;
    return whole == 0 ? -EIO : 0;
}

static int
batch_map(struct batch *batch)
{
    uint64_t offset = batch->vma->offset + (batch->va - batch->vma->start);
    int r =
        vmk_frames_map_file(batch->space->frames, batch->gpa, batch->size, batch->image, offset);
    if (r < 0) {
        vmk_frames_release(batch->space->frames, batch->gpa, batch->size);
        batch->size = 0;
    }
    return r;
}

/* Fill the frames and show them to the guest. Pages that a file cannot fill are given back. */
static int
batch_flush(struct batch *batch)
{
    if (batch->size == 0)
        return 0;
    if (batch->image >= 0 && batch_map(batch) < 0)
        return -ENOMEM;
    if (batch->image < 0 && batch->vma->file != NULL && batch_read(batch) < 0)
        return -EIO;
    if (batch->vma->file == NULL && batch->size > VMK_PAGE_SIZE)
        vmk_frames_populate(batch->space->frames, batch->gpa, batch->size);

    for (uint64_t at = 0; at < batch->size; at += VMK_PAGE_SIZE) {
        struct vmk_leaf leaf = vmk_paging_find(&batch->space->paging, batch->va + at);
        vmk_paging_set(&batch->space->paging, &leaf, batch->gpa + at, batch->vma->rights);
    }
    batch->size = 0;
    return 0;
}

/* Populate the empty pages of [start, end), which lies in `vma`. */
static int
populate_small(struct vmk_space *space, const struct vmk_vma *vma, uint64_t start, uint64_t end,
               int image)
{
    struct batch batch = {.space = space, .vma = vma, .image = image};
    struct vmk_leaf leaf;
    int r = 0;
    for (uint64_t va = start; va < end && r == 0; va = (va | (leaf.size - 1)) + 1) {
        leaf = vmk_paging_find(&space->paging, va);
        if (leaf.used)
            continue;
        r = vmk_paging_need(&space->paging, va, &leaf);
        uint64_t gpa = r == 0 ? vmk_frames_alloc(space->frames) : 0;
        if (gpa == 0) {
            r = -ENOMEM;
            break;
        }
        if (batch.size != 0 && (batch.gpa + batch.size != gpa || batch.va + batch.size != va))
            r = batch_flush(&batch);
        if (batch.size == 0) {
            batch.va = va;
            batch.gpa = gpa;
        }
        batch.size += VMK_PAGE_SIZE;
    }
    int flushed = batch_flush(&batch);
    return r < 0 ? r : flushed;
}

/* The step of [at, end) that begins at `at`. */
static int
populate_step(struct vmk_space *space, const struct vmk_vma *vma, uint64_t at, uint64_t end)
{
    return populate_small(space, vma, at, end - at > POPULATE_STEP ? at + POPULATE_STEP : end, -1);
}

/* Whether a page of 2 MiB around `va` is worth it: it lies in the mapping as a whole, nothing of it
 * is populated, and a quarter of the memory limit stays for others. */
static bool
populate_large(struct vmk_space *space, const struct vmk_vma *vma, uint64_t va)
{
    uint64_t start = LARGE_START(va);
    if (vma->file != NULL || start < vma->start || vma->end - start < VMK_LARGE_PAGE_SIZE ||
        vma->flags & VMK_VMA_STACK || !vmk_frames_has_plenty(space->frames, VMK_LARGE_PAGE_SIZE))
        return false;

    struct vmk_leaf leaf;
    if (vmk_paging_need_large(&space->paging, start, &leaf) < 0 || leaf.used)
        return false;
    uint64_t gpa = vmk_frames_alloc_large(space->frames);
    if (gpa == 0)
        return false;
    vmk_paging_set(&space->paging, &leaf, gpa, vma->rights);
    return true;
}

/* The range to populate for a fault at `va`. */
static void
choose_window(struct vmk_space *space, const struct vmk_vma *vma, uint64_t va, uint64_t *ret_start,
              uint64_t *ret_end)
{
    uint64_t page = PAGE_START(va), start = page, end;
    bool down = page == space->fault_before || vma->flags & VMK_VMA_STACK;
    bool sequential = page == space->fault_next || page == space->fault_before;
    uint64_t window = vma->file != NULL ? FILE_WINDOW : FIRST_WINDOW;
    if (sequential && space->fault_window * 2 <= LAST_WINDOW)
        window = space->fault_window * 2;
    else if (sequential)
        window = LAST_WINDOW;

    if (vma->file != NULL)
        start = page - (page - vma->start) % FILE_WINDOW;
    if (down)
        start = page - vma->start >= window ? page + VMK_PAGE_SIZE - window : vma->start;
    end = down ? page + VMK_PAGE_SIZE : start + window;
    if (end > vma->end || end < start)
        end = vma->end;

    space->fault_window = window;
    space->fault_next = end;
    space->fault_before = start - VMK_PAGE_SIZE;
    *ret_start = start;
    *ret_end = end;
}

/* Populate [start, end) in steps, the one with the page that is asked for first: only the
 * neighbours are left out when the process must stop. */
static int
populate_window(struct vmk_space *space, const struct vmk_vma *vma, uint64_t va, uint64_t start,
                uint64_t end)
{
    uint64_t first = start + (va - start) / POPULATE_STEP * POPULATE_STEP;
    int r = populate_step(space, vma, first, end);
    for (uint64_t at = start; at < end && r == 0; at += POPULATE_STEP) {
        if (at == first)
            continue;
        if (space->process->running && vmk_process_must_stop(space->process))
            return 0;
        r = populate_step(space, vma, at, end);
    }
    return r;
}

int
vmk_space_fault(struct vmk_space *space, uint64_t va, unsigned access)
{
    const struct vmk_vma *vma = vmk_vmas_find(&space->vmas, va);
    if (vma == NULL)
        return -EFAULT;
    if ((vma->rights & access) == 0)
        return -EACCES;

    space->faults++;
    struct vmk_leaf leaf = vmk_paging_find(&space->paging, va);
    if (leaf.used) {
        /* A snapshot's file may say less of a page than of the mapping that it is in. */
        if ((leaf.rights & access) == 0)
            vmk_paging_set(&space->paging, &leaf, leaf.gpa, vma->rights);
        /* The tables allow it by now: KVM had not seen that yet. */
        if (vmk_frames_drop_translations(space->frames, leaf.gpa, leaf.size) < 0)
            space->paging.structure_changed = true;
        return 0;
    }
    if (vma->end - vma->start >= VMK_LARGE_PAGE_SIZE && populate_large(space, vma, va))
        return 0;

    uint64_t start, end;
    choose_window(space, vma, va, &start, &end);
    int r = populate_window(space, vma, va, start, end);
    if (r == 0 || vmk_paging_find(&space->paging, va).used)
        return 0;

    /* The neighbours were too much; the page alone may do. */
    space->fault_window = FIRST_WINDOW;
    return populate_small(space, vma, PAGE_START(va), PAGE_START(va) + VMK_PAGE_SIZE, -1);
}

int
vmk_space_populate(struct vmk_space *space, uint64_t va, uint64_t size)
{
    uint64_t end = va + size;
    while (va < end) {
        const struct vmk_vma *vma = vmk_vmas_find(&space->vmas, va);
        if (vma == NULL)
            return -EFAULT;
        uint64_t stop = vma->end < end ? vma->end : end;
        stop = stop - va > POPULATE_STEP ? va + POPULATE_STEP : stop;
        if (vmk_process_must_stop(space->process))
            return -EINTR;
        int r = vma->rights == 0 ? -EACCES : populate_small(space, vma, va, stop, -1);
        if (r < 0)
            return r;
        va = stop;
    }
    return 0;
}

int
vmk_space_populate_image(struct vmk_space *space, uint64_t va, uint64_t size, int image)
{
    const struct vmk_vma *vma = vmk_vmas_find(&space->vmas, va);
    return populate_small(space, vma, va, va + size, image);
}

int
vmk_space_populate_file(struct vmk_space *space, const struct vmk_vma *vma)
{
    struct statx status;
    uint64_t size = vma->end - vma->start, end = vma->end;
    if (vmk_file_statx(vma->file, &status) < 0 || status.stx_size <= vma->offset)
        return 0;
    uint64_t left = status.stx_size - vma->offset;
    if (left < size)
        end = PAGE_START(vma->start + left + VMK_PAGE_SIZE - 1);
    for (uint64_t va = vma->start; va < end; va += POPULATE_STEP) {
        uint64_t stop = end - va > POPULATE_STEP ? va + POPULATE_STEP : end;
        int r = populate_small(space, vma, va, stop, -1);
        if (r < 0)
            return r == -EIO ? 0 : r;
    }
    return 0;
}
