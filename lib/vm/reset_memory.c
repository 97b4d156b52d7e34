/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/reset_memory.h"
#include "vm/private.h"
#include "vm/tracking.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE VMK_REGION_PAGE

/* Of what pointers were handed out to, so much is brought back page by page. */
#define EXPOSED_PAGES 512

/* One region while it is brought back. */
struct work {
    struct vmkit_vm *vm;
    struct vmk_region *region;
    const struct vmk_image *image;
    const struct vmk_arch_tables *tables;
    const uint8_t *view;  /* what the image has there, or NULL: it has to be read */
    bool *tables_changed; /* KVM may have translations that are not true any more */
    int result;           /* of reading */
    _Alignas(uint64_t) uint8_t page[VMK_REGION_PAGE]; /* that was read */
};

static bool
is_own(const struct vmk_vm_state *state, uint32_t index)
{
    return state->regions[index].image == state->regions[index].gpa;
}

int
vmk_vm_follow(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < vm->regions.count; i++) {
        struct vmk_region *region = &vm->regions.entries[i];
        result = vmk_region_follow(region, ret_error);
        if (result == 0 && vmk_rollback_make(&region->rollback, vmk_region_count_words(region)) < 0)
            result =
                vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                              "no memory for the dirty log of %" PRIu64 " bytes", region->size);
        if (result == 0)
            result = vmk_vm_log_region(vm, region, ret_error);
    }
    return result;
}

/* A log that is cleared by reading it does as well, more slowly. */
static int
keep_log(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    vmkit_error *error = NULL;
    int result = vm->log_is_kept ? 0 : vmk_kvm_vm_keep_dirty_log(vm->kvm, &error);
    vm->log_is_kept |= result == 0;
    if (result == -ENOTSUP || result == 0)
        vmk_error_unref(error);
    else
        vmk_error_hand_over(error, ret_error);
    return result == -ENOTSUP ? 0 : result;
}

int
vmk_vm_check_regions(const struct vmkit_vm *vm, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(vm->home);
    for (uint32_t i = 0; i < vm->regions.count; i++) {
        const struct vmk_region *region = &vm->regions.entries[i];
        if (!region->is_home)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                                 "the memory region at 0x%" PRIx64
                                 " was added since the VM was made: remove it before the reset",
                                 region->gpa);
    }
    for (uint32_t i = 0; i < state->region_count; i++) {
        const struct vmk_region *region = vmk_regions_find(&vm->regions, state->regions[i].gpa);
        if (region == NULL)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                                 "the memory region at 0x%" PRIx64
                                 " was removed since the VM was made: make another VM",
                                 state->regions[i].gpa);
    }
    return 0;
}

int
vmk_vm_prepare_memory_reset(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = keep_log(vm, ret_error);
    if (result == 0 && !vm->followed)
        result = vmk_vm_follow(vm, ret_error);
    for (uint32_t i = 0; result == 0 && i < vm->regions.count; i++) {
        struct vmk_region *region = &vm->regions.entries[i];
        uint64_t *log = region->rollback.log;
        memset(log, 0, region->rollback.words * sizeof *log);
        if (!region->logged)
            continue;
        result = vmk_kvm_vm_get_dirty_log(vm->kvm, region->slot, log, ret_error);
        /* Reading may have cleared it. */
        for (size_t word = 0; result == 0 && word < region->rollback.words; word++) {
            region->changed[word] |= log[word];
            if (region->written != NULL)
                region->written[word] |= region->changed[word];
        }
    }
    return result;
}

/* What was written through a region that has the memory of another one, was written there. */
static void
merge_shared(struct vmkit_vm *vm, const struct vmk_vm_state *state, uint32_t index)
{
    struct vmk_region *region = &vm->regions.entries[index];
    const struct vmk_region *found = vmk_regions_find(&vm->regions, state->regions[index].image);
    struct vmk_region *home = &vm->regions.entries[found - vm->regions.entries];
    uint64_t shift = state->regions[index].image - home->gpa;
    for (size_t word = 0; word < region->rollback.words; word++) {
        for (uint64_t left = region->changed[word]; left != 0; left &= left - 1) {
            uint64_t page = shift / PAGE + word * 64 + (unsigned)__builtin_ctzll(left);
            home->changed[page / 64] |= UINT64_C(1) << page % 64;
            if (home->written != NULL)
                home->written[page / 64] |= UINT64_C(1) << page % 64;
        }
        region->changed[word] = 0;
    }
    if (region->exposed_start == region->exposed_end)
        return;
    bool first = home->exposed_start == home->exposed_end;
    if (first || region->exposed_start + shift < home->exposed_start)
        home->exposed_start = region->exposed_start + shift;
    if (first || region->exposed_end + shift > home->exposed_end)
        home->exposed_end = region->exposed_end + shift;
}

/* What the image has in a page, or NULL when it cannot be read. */
static const uint8_t *
read_image(struct work *work, uint64_t page)
{
    uint64_t inside = page * PAGE;
    if (work->view != NULL)
        return work->view + inside;
    int result = vmk_image_read(work->image, work->region->gpa + inside, work->page, PAGE);
    if (result < 0)
        work->result = result;
    return result < 0 ? NULL : work->page;
}

static void
look_for_tables(struct work *work, uint64_t page, uint64_t count)
{
    for (uint64_t i = 0; i < count && !*work->tables_changed && work->result == 0; i++) {
        const uint8_t *then = read_image(work, page + i);
        const uint8_t *now = work->region->hva + (page + i) * PAGE;
        *work->tables_changed =
            then != NULL && vmk_arch_tables_differ(work->tables, now, then, PAGE);
    }
}

static void
copy_pages(void *user_data, uint64_t page, uint64_t count)
{
    struct work *work = user_data;
    uint64_t inside = page * PAGE;
    size_t size = (size_t)count * PAGE;
    look_for_tables(work, page, count);
    if (work->result < 0)
        return;
    if (work->view != NULL)
        memcpy(work->region->hva + inside, work->view + inside, size);
    else
        work->result = vmk_image_read(work->image, work->region->gpa + inside,
                                      work->region->hva + inside, size);
}

static void
discard_pages(void *user_data, uint64_t page, uint64_t count)
{
    struct work *work = user_data;
    look_for_tables(work, page, count);
    if (work->result == 0)
        work->result = vmk_memory_revert(work->region->memory, work->image, work->region->gpa,
                                         page * PAGE, count * PAGE);
}

static bool
is_equal(void *user_data, uint64_t page)
{
    struct work *work = user_data;
    const uint8_t *then = read_image(work, page);
    return then != NULL && memcmp(work->region->hva + page * PAGE, then, PAGE) == 0;
}

/* Bring [start, end) of the region back without a look at what was written. */
static int
revert(struct work *work, uint64_t start, uint64_t end)
{
    struct vmk_region *region = work->region;
    *work->tables_changed = true;
    for (uint64_t page = start / PAGE; page < end / PAGE; page++) {
        uint64_t bit = UINT64_C(1) << page % 64;
        region->rollback.log[page / 64] &= ~bit;
        region->rollback.kept[page / 64] &= ~bit;
        region->changed[page / 64] &= ~bit;
        if (region->written != NULL)
            region->written[page / 64] |= bit;
    }
    return vmk_memory_revert(region->memory, work->image, region->gpa, start, end - start);
}

/* What pointers were handed out to may have been written through them. */
static int
revert_exposed(struct work *work)
{
    struct vmk_region *region = work->region;
    uint64_t start = region->exposed_start / PAGE * PAGE;
    uint64_t end = (region->exposed_end + PAGE - 1) / PAGE * PAGE;
    if (!work->vm->followed)
        return revert(work, 0, region->size);
    if (work->vm->told || start == end)
        return 0;
    if (end - start > EXPOSED_PAGES * (uint64_t)PAGE)
        return revert(work, start, end);
    for (uint64_t page = start / PAGE; page < end / PAGE; page++) {
        region->changed[page / 64] |= UINT64_C(1) << page % 64;
        if (region->written != NULL)
            region->written[page / 64] |= UINT64_C(1) << page % 64;
    }
    return 0;
}

static int
reset_region(struct work *work, vmkit_error **ret_error)
{
    const struct vmk_rollback_pages pages = {
        .copy = copy_pages, .discard = discard_pages, .is_equal = is_equal, .user_data = work};
    struct vmk_region *region = work->region;
    work->result = revert_exposed(work);
    if (work->result == 0 && vmk_rollback_run(&region->rollback, region->changed, &pages) &&
        work->vm->log_is_kept && region->logged)
        vmk_kvm_vm_clear_dirty_log(work->vm->kvm, region->slot, region->size / PAGE,
                                   region->rollback.log, NULL);
    if (work->result == 0)
        return 0;
    if (vmk_image_check(work->image, ret_error) < 0)
        return -EIO;
    return vmk_error_set_errno(ret_error, -work->result, VMKIT_ERROR_IO,
                               "reading a snapshot's memory for the region at 0x%" PRIx64,
                               region->gpa);
}

/* Every slot that goes has KVM forget all translations: the smallest one comes back soonest. */
static int
drop_translations(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    const struct vmk_region *least = &vm->regions.entries[0];
    for (uint32_t i = 1; i < vm->regions.count; i++) {
        if (vm->regions.entries[i].size < least->size)
            least = &vm->regions.entries[i];
    }
    int result = vmk_kvm_vm_delete_slot(vm->kvm, least->slot, ret_error);
    return result < 0 ? result : vmk_vm_set_slot(vm, least, ret_error);
}

int
vmk_vm_reset_memory(struct vmkit_vm *vm, const struct vmk_vm_reset_parts *parts,
                    const struct vmk_arch_tables *tables, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(vm->home);
    bool tables_changed = false;
    int result = 0;
    for (uint32_t i = 0; i < state->region_count; i++) {
        if (!is_own(state, i))
            merge_shared(vm, state, i);
    }
    for (uint32_t i = 0; result == 0 && i < state->region_count; i++) {
        struct work work = {
            .vm = vm,
            .region = &vm->regions.entries[i],
            .image = vmk_vm_snapshot_get_image(vm->home),
            .tables = tables,
            .view = parts->views[i] == NULL ? NULL : vmk_memory_get_pointer(parts->views[i]),
            .tables_changed = &tables_changed,
        };
        if (is_own(state, i))
            result = reset_region(&work, ret_error);
    }
    if (result == 0 && tables_changed)
        result = drop_translations(vm, ret_error);
    if (result == 0)
        vm->followed = true;
    return result;
}
