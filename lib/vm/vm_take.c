/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a snapshot of a raw VM. The vCPUs stand still and the VM is locked from the first byte to
 * the last, so that all of it is one moment: the clock and the outer interrupt controllers first,
 * then the vCPUs, then memory.
 */
#include "util/checked.h"
#include "vm/hold.h"
#include "vm/private.h"
#include "vm/tracking.h"
#include "vm/vm_snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What is put together while the VM stands still. */
struct taking {
    struct vmkit_vm *vm;
    struct vmk_image *parent;
    struct vmk_held_vcpus held;
    struct vmk_vm_state state;
    struct vmk_bytes parts; /* what KVM told, of the VM and of each vCPU */
    struct vmk_bytes bytes;
    struct vmk_image *image;
};

static int
fail_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a snapshot");
}

/* Where a region lies in the image: at its own address, or inside of the largest region that has
 * the same memory; of equal ones, the first. */
static int
place_region(const struct vmk_regions *regions, uint32_t index, uint64_t *ret_image,
             vmkit_error **ret_error)
{
    const struct vmk_region *region = &regions->entries[index];
    const struct vmk_region *home = region;
    for (uint32_t i = 0; i < regions->count; i++) {
        const struct vmk_region *other = &regions->entries[i];
        if (i == index || other->memory != region->memory ||
            !vmk_range_overlaps(region->offset, region->size, other->offset, other->size))
            continue;
        bool inside = vmk_range_inside(region->offset, region->size, other->offset, other->size);
        if (!inside && !vmk_range_inside(other->offset, other->size, region->offset, region->size))
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                                 "the memory regions at 0x%" PRIx64 " and 0x%" PRIx64
                                 " have a part of their memory in common: a snapshot needs one to "
                                 "lie inside of the other",
                                 region->gpa, other->gpa);
        if (inside && (other->size > home->size || (other->size == home->size && other < home)))
            home = other;
    }
    *ret_image = home->gpa + (region->offset - home->offset);
    return 0;
}

static int
note_regions(struct taking *taking, vmkit_error **ret_error)
{
    const struct vmk_regions *regions = &taking->vm->regions;
    struct vmk_vm_state *state = &taking->state;
    state->regions = calloc((size_t)regions->count + 1, sizeof *state->regions);
    if (state->regions == NULL)
        return fail_memory(ret_error);
    state->region_count = regions->count;
    for (uint32_t i = 0; i < regions->count; i++) {
        const struct vmk_region *region = &regions->entries[i];
        state->regions[i] = (struct vmk_vm_state_region){
            .gpa = region->gpa, .size = region->size, .read_only = region->read_only};
        int result = place_region(regions, i, &state->regions[i].image, ret_error);
        if (result < 0)
            return result;
    }
    return 0;
}

static int
note_vm(struct taking *taking, vmkit_error **ret_error)
{
    const struct vmkit_vm *vm = taking->vm;
    struct vmk_vm_state *state = &taking->state;
    state->irqchip = vm->irqchip;
    state->split_pins = vm->split_pins;
    state->real_mode = vm->real_mode;
    state->has_routes = vm->has_routes;
    state->routes = calloc((size_t)vm->route_count + 1, sizeof *state->routes);
    if (state->routes == NULL)
        return fail_memory(ret_error);
    state->route_count = vm->route_count;
    if (vm->route_count > 0)
        memcpy(state->routes, vm->routes, vm->route_count * sizeof *vm->routes);
    int result = note_regions(taking, ret_error);
    if (result == 0)
        result = vmk_arch_vm_state_save(vm->kvm, vmk_vm_get_controllers(vm->irqchip),
                                        &taking->parts, ret_error);
    state->size = taking->parts.size;
    return result;
}

static int
note_vcpus(struct taking *taking, vmkit_error **ret_error)
{
    struct vmk_vm_state *state = &taking->state;
    state->vcpus = calloc((size_t)taking->held.count + 1, sizeof *state->vcpus);
    if (state->vcpus == NULL)
        return fail_memory(ret_error);
    state->vcpu_count = taking->held.count;
    for (uint32_t i = 0; i < taking->held.count; i++) {
        struct vmkit_vcpu *vcpu = taking->held.vcpus[i];
        struct vmk_vm_state_vcpu *note = &state->vcpus[i];
        size_t start = taking->parts.size;
        int result = vmk_vcpu_state_save(vcpu->kvm, vmk_vm_get_controllers(taking->vm->irqchip),
                                         &taking->parts, ret_error);
        if (result < 0)
            return result;
        note->id = vmk_vcpu_get_id(vcpu);
        note->nmi = atomic_load(&vcpu->nmi);
        for (size_t k = 0; k < 4; k++)
            note->vectors[k] = atomic_load(&vcpu->vectors[k]);
        note->size = taking->parts.size - start;
    }
    return 0;
}

/* The parts grew while they were noted; where each of them lies is known only now. */
static int
encode(struct taking *taking, vmkit_error **ret_error)
{
    const uint8_t *at = taking->parts.data;
    taking->state.bytes = at;
    at += taking->state.size;
    for (uint32_t i = 0; i < taking->state.vcpu_count; i++) {
        taking->state.vcpus[i].bytes = at;
        at += taking->state.vcpus[i].size;
    }
    return vmk_vm_state_encode(&taking->state, &taking->bytes, ret_error);
}

/* Pages that were written to are compared, the others are the parent's. */
static int
copy_tracked(struct vmk_image_builder *builder, const struct vmk_region *region,
             vmkit_error **ret_error)
{
    uint64_t pages = region->size / VMK_REGION_PAGE;
    int result = 0;
    for (uint64_t page = 0; result == 0 && page < pages;) {
        bool written = (region->written[page / 64] >> page % 64 & 1) != 0;
        uint64_t end = page + 1;
        while (end < pages && ((region->written[end / 64] >> end % 64 & 1) != 0) == written)
            end++;
        uint64_t inside = page * VMK_REGION_PAGE, size = (end - page) * VMK_REGION_PAGE;
        result = written
                     ? vmk_image_builder_add(builder, region->gpa + inside, region->memory,
                                             region->offset + inside, size, ret_error)
                     : vmk_image_builder_add_base(builder, region->gpa + inside, size, ret_error);
        page = end;
    }
    return result;
}

/* Memory that is in several places at once is written to through any of them. */
static bool
is_tracked(const struct taking *taking, uint32_t index)
{
    const struct vmk_regions *regions = &taking->vm->regions;
    if (taking->parent == NULL || taking->parent != taking->vm->tracked ||
        regions->entries[index].written == NULL)
        return false;
    const struct vmk_region *region = &regions->entries[index];
    for (uint32_t i = 0; i < regions->count; i++) {
        const struct vmk_region *other = &regions->entries[i];
        if (i != index && other->memory == region->memory &&
            vmk_range_overlaps(region->offset, region->size, other->offset, other->size))
            return false;
    }
    return true;
}

static int
copy_memory(struct taking *taking, vmkit_error **ret_error)
{
    const struct vmk_regions *regions = &taking->vm->regions;
    struct vmk_image_builder *builder = NULL;
    int result = vmk_image_builder_new(taking->parent, &builder, ret_error);
    for (uint32_t i = 0; result == 0 && i < regions->count; i++) {
        const struct vmk_region *region = &regions->entries[i];
        if (taking->state.regions[i].image != region->gpa)
            continue;
        result = is_tracked(taking, i)
                     ? copy_tracked(builder, region, ret_error)
                     : vmk_image_builder_add(builder, region->gpa, region->memory, region->offset,
                                             region->size, ret_error);
    }
    if (result == 0)
        result = vmk_image_builder_finish(builder, &taking->image, ret_error);
    vmk_image_builder_free(builder);
    return result;
}

/* With the VM locked. */
static int
take(struct taking *taking, bool track, struct vmkit_snapshot **ret_snapshot,
     vmkit_error **ret_error)
{
    struct vmkit_snapshot *snapshot = NULL;
    int result = vmk_vm_hold_vcpus(taking->vm, &taking->held, ret_error);
    if (result == 0)
        result = note_vm(taking, ret_error);
    if (result == 0)
        result = note_vcpus(taking, ret_error);
    if (result == 0)
        result = encode(taking, ret_error);
    if (result == 0 && taking->vm->tracked != NULL)
        result = vmk_vm_harvest(taking->vm, ret_error);
    if (result == 0)
        result = copy_memory(taking, ret_error);
    if (result == 0)
        result = vmk_vm_snapshot_new(taking->image, &taking->bytes, &snapshot, ret_error);
    if (result < 0)
        return result;
    taking->image = NULL;
    if (track)
        result = vmk_vm_track(taking->vm, vmk_vm_snapshot_get_image(snapshot), ret_error);
    if (result < 0)
        vmk_snapshot_unref(snapshot);
    else
        *ret_snapshot = snapshot;
    return result;
}

int
vmk_vm_snapshot(struct vmkit_vm *vm, struct vmkit_snapshot *parent, bool track,
                struct vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    struct taking taking = {.vm = vm};
    int result = vmk_vm_check(vm, ret_error);
    if (result == 0 && parent != NULL)
        result = vmk_snapshot_check_kind(parent, &vmk_snapshot_of_vm, ret_error);
    if (result < 0)
        return result;
    taking.parent = parent == NULL ? NULL : vmk_vm_snapshot_get_image(parent);
    pthread_mutex_lock(&vm->lock);
    result = take(&taking, track, ret_snapshot, ret_error);
    pthread_mutex_unlock(&vm->lock);
    vmk_vm_let_go(&taking.held);
    vmk_vm_state_clear(&taking.state);
    vmk_bytes_clear(&taking.parts);
    vmk_bytes_clear(&taking.bytes);
    vmk_image_unref(taking.image);
    return result;
}
