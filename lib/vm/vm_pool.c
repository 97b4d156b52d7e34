/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/vm_pool.h"

#include "util/error.h"
#include "vm/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the VMs of a pool are made from. */
struct source {
    vmkit_snapshot *snapshot;
    struct vmk_kvm_system *system;
};

/* A VM in a pool. */
struct member {
    struct vmkit_vm *vm; /* its reference is the taker's while it is taken */
    uint32_t vcpu_count;
    struct vmkit_vcpu *vcpus[]; /* by number; each with a reference */
};

static int
make(void *user_data, const struct vmk_pool_place *place, void **ret_machine,
     vmkit_error **ret_error)
{
    struct source *source = user_data;
    uint32_t count = vmk_vm_snapshot_get_state(source->snapshot)->vcpu_count;
    struct member *member = calloc(1, sizeof *member + count * sizeof member->vcpus[0]);
    if (member == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a list of %u vCPUs", count);
    const struct vmk_vm_room room = {.vcpus = member->vcpus, .capacity = count};
    int result =
        vmk_vm_new_to_reset(source->snapshot, source->system, &room, &member->vm, ret_error);
    if (result < 0) {
        free(member);
        return result;
    }
    member->vcpu_count = count;
    member->vm->pool = *place;
    *ret_machine = member;
    return 0;
}

static const void *
get_handle(const void *machine)
{
    return ((const struct member *)machine)->vm;
}

/* All vCPUs that there are, also one that was made since. */
static int
check_still(void *machine, vmkit_error **ret_error)
{
    struct vmkit_vm *vm = ((struct member *)machine)->vm;
    struct vmkit_vcpu *busy = NULL;
    pthread_mutex_lock(&vm->lock);
    for (struct vmkit_vcpu *vcpu = vm->vcpus; busy == NULL && vcpu != NULL; vcpu = vcpu->next) {
        pthread_mutex_lock(&vcpu->lock);
        if (vcpu->running || vcpu->held)
            busy = vcpu;
        pthread_mutex_unlock(&vcpu->lock);
    }
    int result = busy == NULL
                     ? 0
                     : vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                                     "vCPU %u is running: kick it first", vmk_vcpu_get_id(busy));
    pthread_mutex_unlock(&vm->lock);
    return result;
}

/* Whether the caller's reference to the VM, and the pool's to its vCPUs, are all that there are.
 * Each vCPU has one to the VM. */
static bool
is_alone(const struct member *member)
{
    bool alone = atomic_load_explicit(&member->vm->references, memory_order_acquire) ==
                 member->vcpu_count + 1;
    for (uint32_t i = 0; alone && i < member->vcpu_count; i++)
        alone = atomic_load_explicit(&member->vcpus[i]->references, memory_order_acquire) == 1;
    return alone;
}

/* What KVM keeps besides: a doorbell or an irqfd could tell one taker of another one's guest, and a
 * vCPU that was made and released can still be sent interrupts. */
static bool
has_more(const struct member *member)
{
    struct vmkit_vm *vm = member->vm;
    pthread_mutex_lock(&vm->lock);
    bool has_vcpus = vm->vcpus_made != member->vcpu_count, has_handlers = vm->bus != NULL;
    pthread_mutex_unlock(&vm->lock);
    return has_vcpus || has_handlers || atomic_load(&vm->doorbells) != 0 ||
           atomic_load(&vm->had_irqfd);
}

/* Its memory is back, and who was told where it is has given it back: only what the next taker
 * asks for may be written through pointers. */
static void
forget_pointers(struct vmkit_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    for (uint32_t i = 0; i < vm->regions.count; i++)
        vm->regions.entries[i].exposed_start = vm->regions.entries[i].exposed_end = 0;
    pthread_mutex_unlock(&vm->lock);
}

static bool
renew(void *machine)
{
    struct member *member = machine;
    /* Whoever is told that a handler goes may give up references, or do anything else. */
    if (vmk_vm_remove_handlers(member->vm, NULL) < 0 || !is_alone(member) || has_more(member) ||
        vmk_vm_reset(member->vm, NULL) < 0)
        return false;
    forget_pointers(member->vm);
    return true;
}

/* The vCPUs alone. */
static void
leave(void *machine)
{
    struct member *member = machine;
    for (uint32_t i = 0; i < member->vcpu_count; i++)
        vmk_vcpu_unref(member->vcpus[i]);
    free(member);
}

static void
release(void *machine)
{
    struct vmkit_vm *vm = ((struct member *)machine)->vm;
    leave(machine);
    vmk_vm_unref(vm);
}

static void
free_source(void *user_data)
{
    struct source *source = user_data;
    vmk_snapshot_unref(source->snapshot);
    vmk_kvm_system_unref(source->system);
    free(source);
}

static const struct vmk_pool_kind vms = {
    .name = "VM",
    .plural = "raw VMs",
    .make = make,
    .get_handle = get_handle,
    .check_still = check_still,
    .renew = renew,
    .release = release,
    .leave = leave,
    .free_source = free_source,
};

int
vmk_vm_pool_new(vmkit_snapshot *snapshot, struct vmk_kvm_system *system, uint32_t warm,
                uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error)
{
    struct source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a pool");
    *source = (struct source){.snapshot = vmk_snapshot_ref(snapshot),
                              .system = vmk_kvm_system_ref(system)};
    return vmk_pool_new(&vms, source, warm, limit, ret_pool, ret_error);
}

int
vmk_vm_pool_new_configured(vmkit_snapshot *snapshot, const struct vmkit_vm_config *config,
                           uint32_t warm, uint32_t limit, vmkit_pool **ret_pool,
                           vmkit_error **ret_error)
{
    struct vmk_kvm_system *system = NULL;
    int result = vmk_snapshot_check_kind(snapshot, &vmk_snapshot_of_vm, ret_error);
    if (result == 0)
        result = vmk_vm_config_open(config, &system, ret_error);
    if (result == 0)
        result = vmk_vm_pool_new(snapshot, system, warm, limit, ret_pool, ret_error);
    vmk_kvm_system_unref(system);
    return result;
}

int
vmk_vm_pool_take(vmkit_pool *pool, uint64_t timeout_ns, const struct vmk_vm_room *room,
                 struct vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    void *machine = NULL;
    int result = vmk_pool_check_kind(pool, &vms, ret_error);
    if (result < 0)
        return result;
    const struct source *source = vmk_pool_get_source(pool);
    result = vmk_vm_check_room(vmk_vm_snapshot_get_state(source->snapshot), room, ret_error);
    if (result == 0)
        result = vmk_pool_take(pool, timeout_ns, &machine, ret_error);
    if (result < 0)
        return result;
    const struct member *member = machine;
    if (member->vcpu_count > 0)
        memcpy(room->vcpus, member->vcpus, member->vcpu_count * sizeof member->vcpus[0]);
    *ret_vm = member->vm;
    return 0;
}

int
vmk_vm_pool_give_back(vmkit_pool *pool, struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = vmk_pool_check_kind(pool, &vms, ret_error);
    return result < 0 ? result : vmk_pool_give_back(pool, &vm->pool, vm, ret_error);
}
