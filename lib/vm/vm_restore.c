/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw VM made anew from a snapshot. Memory is there before the vCPUs, some of whose registers
 * have KVM look at it; the clock too, from which KVM derives what they show; the outer interrupt
 * controllers come last, since what waits in them goes on to the vCPUs.
 */
#include "vm/private.h"
#include "vm/reset_memory.h"
#include "vm/tracking.h"
#include "vm/vm_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is noted of writes to its memory from the beginning on. */
enum noting {
    NOTE_NOTHING,
    NOTE_FOR_RESET, /* so that even the first reset brings back no more than that */
    NOTE_FOR_TRACK, /* the same, and for increments; the program tells what it writes itself */
};

int
vmk_vm_check_room(const struct vmk_vm_state *state, const struct vmk_vm_room *room,
                  vmkit_error **ret_error)
{
    if (room->count != NULL)
        *room->count = state->vcpu_count;
    if (state->vcpu_count <= room->capacity)
        return 0;
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "the snapshot has %u vCPUs, and there is room for %u", state->vcpu_count,
                         room->capacity);
}

/* Nothing is made for a snapshot that this host cannot take. */
static int
check(const struct vmk_kvm_system *system, const struct vmk_vm_state *state,
      const struct vmk_vm_room *room, vmkit_error **ret_error)
{
    int result = vmk_vm_check_room(state, room, ret_error);
    if (result == 0)
        result = vmk_arch_vm_state_check(state->bytes, state->size,
                                         vmk_vm_get_controllers(state->irqchip), ret_error);
    for (uint32_t i = 0; result == 0 && i < state->vcpu_count; i++)
        result =
            vmk_vcpu_state_check(system, state->vcpus[i].bytes, state->vcpus[i].size, ret_error);
    return result;
}

static int
set_routes(struct vmkit_vm *vm, const struct vmk_vm_state *state, vmkit_error **ret_error)
{
    if (!state->has_routes)
        return 0;
    struct vmk_kvm_route *routes = calloc((size_t)state->route_count + 1, sizeof *routes);
    if (routes == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %u interrupt routes", state->route_count);
    memcpy(routes, state->routes, state->route_count * sizeof *routes);
    pthread_mutex_lock(&vm->lock);
    int result = vmk_vm_replace_routes(vm, routes, state->route_count, ret_error);
    pthread_mutex_unlock(&vm->lock);
    if (result < 0)
        free(routes);
    return result;
}

static int
add_region(struct vmkit_vm *vm, const struct vmk_vm_state_region *region,
           struct vmkit_memory *memory, uint64_t offset, vmkit_error **ret_error)
{
    return vmk_vm_add_memory(vm, region->gpa, memory, offset, region->size, region->read_only,
                             ret_error);
}

static int
add_own(struct vmkit_vm *vm, struct vmk_image *image, const struct vmk_vm_state_region *region,
        vmkit_error **ret_error)
{
    struct vmkit_memory *memory = NULL;
    int result = vmk_memory_new_copy(image, region->gpa, region->size, &memory, ret_error);
    if (result < 0)
        return result;
    result = add_region(vm, region, memory, 0, ret_error);
    vmk_memory_unref(memory);
    return result;
}

/* The memory of a region that was added before, once more. */
static int
add_shared(struct vmkit_vm *vm, const struct vmk_vm_state_region *region, vmkit_error **ret_error)
{
    pthread_mutex_lock(&vm->lock);
    const struct vmk_region *home = vmk_regions_find(&vm->regions, region->image);
    struct vmkit_memory *memory = home == NULL ? NULL : vmk_memory_ref(home->memory);
    uint64_t offset = home == NULL ? 0 : region->image - home->gpa;
    pthread_mutex_unlock(&vm->lock);
    if (memory == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                             "the saved state of a VM is malformed in its memory regions");
    int result = add_region(vm, region, memory, offset, ret_error);
    vmk_memory_unref(memory);
    return result;
}

static int
add_memory(struct vmkit_vm *vm, struct vmk_image *image, const struct vmk_vm_state *state,
           vmkit_error **ret_error)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < state->region_count; i++) {
        if (state->regions[i].image == state->regions[i].gpa)
            result = add_own(vm, image, &state->regions[i], ret_error);
    }
    for (uint32_t i = 0; result == 0 && i < state->region_count; i++) {
        if (state->regions[i].image != state->regions[i].gpa)
            result = add_shared(vm, &state->regions[i], ret_error);
    }
    return result;
}

static int
add_vcpu(struct vmkit_vm *vm, const struct vmk_vm_state_vcpu *state,
         struct vmk_vcpu_state_clock *clock, struct vmkit_vcpu **ret_vcpu, vmkit_error **ret_error)
{
    int result = vmk_vcpu_new(vm, state->id, ret_vcpu, ret_error);
    if (result < 0)
        return result;
    struct vmkit_vcpu *vcpu = *ret_vcpu;
    result = vmk_vcpu_state_load(vcpu->kvm, vmk_vm_get_controllers(vm->irqchip), state->bytes,
                                 state->size, clock, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vcpu->lock);
    vcpu->state_is_set = true;
    pthread_mutex_unlock(&vcpu->lock);
    atomic_store(&vcpu->nmi, state->nmi);
    for (size_t k = 0; k < 4; k++)
        atomic_store(&vcpu->vectors[k], state->vectors[k]);
    atomic_store(&vcpu->injections, true);
    return 0;
}

static int
fill(struct vmkit_vm *vm, struct vmkit_snapshot *snapshot, enum noting noting,
     struct vmkit_vcpu **vcpus, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(snapshot);
    struct vmk_image *image = vmk_vm_snapshot_get_image(snapshot);
    struct vmk_vcpu_state_clock clock = {0};
    vm->home = vmk_snapshot_ref(snapshot);
    if (vmk_image_is_lazy(image))
        vm->lazy = vmk_image_ref(image);
    int result = set_routes(vm, state, ret_error);
    if (result == 0)
        result = add_memory(vm, image, state, ret_error);
    pthread_mutex_lock(&vm->lock);
    for (uint32_t i = 0; i < vm->regions.count; i++)
        vm->regions.entries[i].is_home = true;
    if (result == 0 && noting == NOTE_FOR_TRACK)
        result = vmk_vm_track(vm, image, ret_error);
    if (result == 0 && noting != NOTE_NOTHING)
        result = vmk_vm_follow(vm, ret_error);
    vm->followed = noting != NOTE_NOTHING;
    vm->told = noting == NOTE_FOR_TRACK;
    pthread_mutex_unlock(&vm->lock);
    if (result == 0)
        result = vmk_arch_vm_state_load_clock(vm->kvm, state->bytes, state->size, ret_error);
    for (uint32_t i = 0; result == 0 && i < state->vcpu_count; i++)
        result = add_vcpu(vm, &state->vcpus[i], &clock, &vcpus[i], ret_error);
    if (result == 0)
        result = vmk_arch_vm_state_load_controllers(vm->kvm, vmk_vm_get_controllers(vm->irqchip),
                                                    state->bytes, state->size, ret_error);
    return result;
}

static int
make(struct vmkit_snapshot *snapshot, struct vmk_kvm_system *system, enum noting noting,
     struct vmkit_vcpu **vcpus, struct vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(snapshot);
    const struct vmk_vm_options options = {.system = system,
                                           .irqchip = state->irqchip,
                                           .split_pins = state->split_pins,
                                           .real_mode = state->real_mode};
    struct vmkit_vm *vm = NULL;
    int result = vmk_vm_new(&options, &vm, ret_error);
    if (result < 0)
        return result;
    result = fill(vm, snapshot, noting, vcpus, ret_error);
    if (result == 0) {
        *ret_vm = vm;
        return 0;
    }
    for (uint32_t i = 0; i < state->vcpu_count; i++)
        vmk_vcpu_unref(vcpus[i]);
    vmk_vm_unref(vm);
    return result;
}

static int
make_checked(struct vmkit_snapshot *snapshot, struct vmk_kvm_system *system, enum noting noting,
             const struct vmk_vm_room *room, struct vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(snapshot);
    int result = check(system, state, room, ret_error);
    if (result < 0)
        return result;
    struct vmkit_vcpu **vcpus = calloc((size_t)state->vcpu_count + 1, sizeof *vcpus);
    if (vcpus == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a list of %u vCPUs", state->vcpu_count);
    result = make(snapshot, system, noting, vcpus, ret_vm, ret_error);
    if (result == 0 && state->vcpu_count > 0)
        memcpy(room->vcpus, vcpus, state->vcpu_count * sizeof *vcpus);
    free(vcpus);
    return result;
}

int
vmk_vm_new_from_snapshot(struct vmkit_snapshot *snapshot, struct vmk_kvm_system *system, bool track,
                         const struct vmk_vm_room *room, struct vmkit_vm **ret_vm,
                         vmkit_error **ret_error)
{
    return make_checked(snapshot, system, track ? NOTE_FOR_TRACK : NOTE_NOTHING, room, ret_vm,
                        ret_error);
}

int
vmk_vm_new_to_reset(struct vmkit_snapshot *snapshot, struct vmk_kvm_system *system,
                    const struct vmk_vm_room *room, struct vmkit_vm **ret_vm,
                    vmkit_error **ret_error)
{
    return make_checked(snapshot, system, NOTE_FOR_RESET, room, ret_vm, ret_error);
}

int
vmk_vm_new_from_snapshot_configured(struct vmkit_snapshot *snapshot,
                                    const struct vmkit_vm_config *config, bool track,
                                    const struct vmk_vm_room *room, struct vmkit_vm **ret_vm,
                                    vmkit_error **ret_error)
{
    struct vmk_kvm_system *system = NULL;
    int result = vmk_snapshot_check_kind(snapshot, &vmk_snapshot_of_vm, ret_error);
    if (result == 0)
        result = vmk_vm_config_open(config, &system, ret_error);
    if (result == 0)
        result = vmk_vm_new_from_snapshot(snapshot, system, track, room, ret_vm, ret_error);
    vmk_kvm_system_unref(system);
    return result;
}
