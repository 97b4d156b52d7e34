/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/page_runs.h"

#include "sandbox/space.h"
#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>

#define RIGHTS ((unsigned)(VMK_PAGE_READ | VMK_PAGE_WRITE | VMK_PAGE_EXECUTE))
#define RUN_SIZE 26 /* of an encoded run */

void
vmk_page_runs_clear(struct vmk_page_runs *runs)
{
    free(runs->items);
    *runs = (struct vmk_page_runs){0};
}

static bool
extends(const struct vmk_page_run *last, const struct vmk_page_run *run)
{
    return last->va + last->size == run->va && last->gpa + last->size == run->gpa &&
           last->rights == run->rights && last->large == run->large;
}

static int
append(struct vmk_page_runs *runs, const struct vmk_page_run *run)
{
    runs->total += run->size;
    if (run->gpa + run->size > runs->end)
        runs->end = run->gpa + run->size;
    if (runs->count > 0 && extends(&runs->items[runs->count - 1], run)) {
        runs->items[runs->count - 1].size += run->size;
        return 0;
    }
    if (runs->count == runs->capacity) {
        size_t capacity = runs->capacity == 0 ? 64 : runs->capacity * 2;
        struct vmk_page_run *items = realloc(runs->items, capacity * sizeof *items);
        if (items == NULL)
            return -ENOMEM;
        runs->items = items;
        runs->capacity = capacity;
    }
    runs->items[runs->count++] = *run;
    return 0;
}

int
vmk_page_runs_list(const struct vmk_paging *paging, struct vmk_page_runs *ret_runs)
{
    struct vmk_page_runs runs = {0};
    struct vmk_leaf leaf;
    for (uint64_t va = 0; va < VMK_SPACE_HIGH; va = (va | (leaf.size - 1)) + 1) {
        leaf = vmk_paging_find(paging, va);
        const struct vmk_page_run run = {va, leaf.gpa, leaf.size, leaf.rights & RIGHTS,
                                         leaf.size == VMK_LARGE_PAGE_SIZE};
        if (leaf.used && append(&runs, &run) < 0) {
            vmk_page_runs_clear(&runs);
            return -ENOMEM;
        }
    }
    *ret_runs = runs;
    return 0;
}

uint64_t
vmk_page_runs_find_end(const struct vmk_paging *paging)
{
    struct vmk_leaf leaf;
    uint64_t end = 0;
    for (uint64_t va = 0; va < VMK_SPACE_HIGH; va = (va | (leaf.size - 1)) + 1) {
        leaf = vmk_paging_find(paging, va);
        if (leaf.used && leaf.gpa + leaf.size > end)
            end = leaf.gpa + leaf.size;
    }
    return end;
}

void
vmk_page_runs_encode(const struct vmk_page_runs *runs, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u64(bytes, runs->count);
    for (size_t i = 0; i < runs->count; i++) {
        const struct vmk_page_run *run = &runs->items[i];
        vmk_bytes_put_u64(bytes, run->va);
        vmk_bytes_put_u64(bytes, run->gpa);
        vmk_bytes_put_u64(bytes, run->size);
        vmk_bytes_put_u8(bytes, (uint8_t)run->rights);
        vmk_bytes_put_u8(bytes, run->large);
    }
}

uint64_t
vmk_page_runs_get_room(uint64_t limit)
{
    return sizeof(uint64_t) + limit / VMK_PAGE_SIZE * RUN_SIZE;
}

static int
bad(vmkit_error **ret_error, const char *what, uint64_t number, uint64_t value)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         "the snapshot's list of pages is damaged: %s in run %llu, 0x%llx", what,
                         (unsigned long long)number, (unsigned long long)value);
}

static bool
is_whole(const struct vmk_page_run *run)
{
    uint64_t unit = run->large ? VMK_LARGE_PAGE_SIZE : VMK_PAGE_SIZE;
    return ((run->va | run->gpa | run->size) & (unit - 1)) == 0 && run->size != 0;
}

/* `low` is where the run before ends, and `left` what is left of the limit. */
static int
check(const struct vmk_page_run *run, uint64_t number, uint64_t low, uint64_t left,
      uint64_t memory_size, vmkit_error **ret_error)
{
    if (!is_whole(run))
        return bad(ret_error, "a size of no whole pages", number, run->size);
    if (run->va < low || !vmk_range_inside(run->va, run->size, 0, VMK_SPACE_HIGH))
        return bad(ret_error, "an address out of order", number, run->va);
    if (run->gpa == 0 || !vmk_range_inside(run->gpa, run->size, 0, memory_size))
        return bad(ret_error, "guest memory that is not there", number, run->gpa);
    if (run->size > left)
        return bad(ret_error, "more memory than the sandbox's limit", number, run->size);
    return 0;
}

static int
decode(struct vmk_byte_cursor *in, uint64_t memory_size, uint64_t limit, struct vmk_page_runs *runs,
       vmkit_error **ret_error)
{
    uint64_t count = vmk_cursor_get_u64(in), low = VMK_SPACE_LOW;
    if (in->failed || count != in->left / RUN_SIZE || in->left % RUN_SIZE != 0)
        return bad(ret_error, "its size", count, in->left);
    for (uint64_t i = 0; i < count; i++) {
        struct vmk_page_run run = {.va = vmk_cursor_get_u64(in)};
        run.gpa = vmk_cursor_get_u64(in);
        run.size = vmk_cursor_get_u64(in);
        run.rights = vmk_cursor_get_u8(in);
        uint8_t large = vmk_cursor_get_u8(in);
        run.large = large != 0;
        if ((run.rights & ~RIGHTS) != 0 || large > 1)
            return bad(ret_error, "unknown rights", i, run.rights);
        int r = check(&run, i, low, limit - runs->total, memory_size, ret_error);
        if (r < 0)
            return r;
        if (append(runs, &run) < 0)
            return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "no memory for the snapshot's list of pages");
        low = run.va + run.size;
    }
    return 0;
}

int
vmk_page_runs_decode(const void *bytes, size_t size, uint64_t memory_size, uint64_t limit,
                     struct vmk_page_runs *ret_runs, vmkit_error **ret_error)
{
    struct vmk_byte_cursor in = {.data = bytes, .left = size};
    struct vmk_page_runs runs = {0};
    int r = decode(&in, memory_size, limit, &runs, ret_error);
    if (r < 0)
        vmk_page_runs_clear(&runs);
    else
        *ret_runs = runs;
    return r;
}
