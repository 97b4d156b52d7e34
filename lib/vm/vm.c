/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/machine.h"
#include "util/origin.h"
#include "vm/private.h"
#include "vm/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
vmk_vm_check_capability(struct vmkit_vm *vm, enum vmkit_capability capability,
                        vmkit_error **ret_error)
{
    if (vmk_kvm_system_has(vmk_kvm_vm_get_system(vm->kvm), capability))
        return 0;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                         "this host's KVM lacks the capability \"%s\"",
                         vmk_kvm_capability_get_name(capability));
}

static int
create_irqchip(struct vmkit_vm *vm, const struct vmk_vm_options *options, vmkit_error **ret_error)
{
    int result;
    switch (options->irqchip) {
    case VMK_VM_IRQCHIP_KERNEL:
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_IRQCHIP, ret_error);
        return result < 0 ? result : vmk_kvm_vm_create_irqchip(vm->kvm, ret_error);
    case VMK_VM_IRQCHIP_SPLIT:
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_SPLIT_IRQCHIP, ret_error);
        return result < 0 ? result
                          : vmk_arch_vm_split_irqchip(vm->kvm, options->split_pins, ret_error);
    case VMK_VM_IRQCHIP_NONE:
        return 0;
    }
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "interrupt controller %d is not known", (int)options->irqchip);
}

static int
vm_create(struct vmkit_vm *vm, const struct vmk_vm_options *options, vmkit_error **ret_error)
{
    struct vmk_kvm_system *system = vmk_kvm_system_ref(options->system);
    int result = 0;
    if (system == NULL)
        result = vmk_kvm_system_open(NULL, NULL, &system, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_vm_new(system, &vm->kvm, ret_error);
    vmk_kvm_system_unref(system);
    if (result == 0 && options->real_mode)
        result = vmk_arch_vm_prepare(vm->kvm, ret_error);
    if (result == 0)
        result = create_irqchip(vm, options, ret_error);
    return result;
}

int
vmk_vm_new(const struct vmk_vm_options *options, struct vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    static const struct vmk_vm_options defaults;
    int result = vmk_arch_check(ret_error);
    if (result < 0)
        return result;
    struct vmkit_vm *vm = calloc(1, sizeof *vm);
    if (vm == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a VM");
    atomic_init(&vm->references, 1);
    pthread_mutex_init(&vm->lock, NULL);
    if (options == NULL)
        options = &defaults;
    vm->irqchip = options->irqchip;
    vm->split_pins = options->split_pins;
    vm->real_mode = options->real_mode;
    vm->process = vmk_origin_get();
    result = vm_create(vm, options, ret_error);
    if (result < 0)
        vmk_vm_unref(vm);
    else
        *ret_vm = vm;
    return result;
}

struct vmkit_vm *
vmk_vm_ref(struct vmkit_vm *vm)
{
    if (vm != NULL)
        atomic_fetch_add_explicit(&vm->references, 1, memory_order_relaxed);
    return vm;
}

void
vmk_vm_unref(struct vmkit_vm *vm)
{
    if (vm == NULL || atomic_fetch_sub_explicit(&vm->references, 1, memory_order_acq_rel) != 1)
        return;
    /* The VM first: memory that still belongs to one is slow to unmap. */
    vmk_kvm_vm_free(vm->kvm);
    vmk_regions_clear(&vm->regions);
    vmk_bus_unref(vm->bus);
    vmk_image_unref(vm->tracked);
    vmk_image_unref(vm->lazy);
    vmk_snapshot_unref(vm->home);
    free(vm->routes);
    free(vm->free_slots);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

struct vmk_kvm_vm *
vmk_vm_get_kvm(struct vmkit_vm *vm)
{
    return vm->kvm;
}

bool
vmk_vm_is_own(const struct vmkit_vm *vm)
{
    return vmk_origin_is_here(vm->process);
}

/* What the host's memory alone answers, works in every process. */
static int
check_health(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    if (atomic_load_explicit(&vm->failed, memory_order_acquire) != VMK_VM_FAILED)
        return 0;
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_WRONG_STATE, "the VM has failed: %s",
                         vm->failure);
}

int
vmk_vm_check(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = check_health(vm, ret_error);
    return result < 0 ? result : vmk_origin_check(vm->process, "VM", ret_error);
}

void
vmk_vm_fail(struct vmkit_vm *vm, const char *reason)
{
    unsigned int healthy = 0;
    if (!atomic_compare_exchange_strong(&vm->failed, &healthy, VMK_VM_FAILING))
        return;
    snprintf(vm->failure, sizeof vm->failure, "%s", reason);
    atomic_store_explicit(&vm->failed, VMK_VM_FAILED, memory_order_release);
}

/* Room for a number to be given back later is made when it is taken, so that removal cannot fail.
 */
static int
take_slot(struct vmkit_vm *vm, uint32_t *ret_slot, vmkit_error **ret_error)
{
    if (vm->free_slot_count > 0) {
        *ret_slot = vm->free_slots[--vm->free_slot_count];
        return 0;
    }
    uint32_t limit = vmk_kvm_system_get_max_slots(vmk_kvm_vm_get_system(vm->kvm));
    if (vm->next_slot >= limit)
        return vmk_error_set(ret_error, ENOSPC, VMKIT_ERROR_LIMIT,
                             "all %u memory regions that this host allows a VM are in use", limit);
    if (vm->next_slot >= vm->free_slot_capacity) {
        uint32_t capacity = vm->next_slot == 0 ? 4 : vm->next_slot * 2;
        uint32_t *slots = realloc(vm->free_slots, capacity * sizeof *slots);
        if (slots == NULL)
            return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "no memory for %u memory regions", capacity);
        vm->free_slots = slots;
        vm->free_slot_capacity = capacity;
    }
    *ret_slot = vm->next_slot++;
    return 0;
}

static void
give_slot(struct vmkit_vm *vm, uint32_t slot)
{
    vm->free_slots[vm->free_slot_count++] = slot;
}

int
vmk_vm_set_slot(struct vmkit_vm *vm, const struct vmk_region *region, vmkit_error **ret_error)
{
    uint32_t flags = (region->read_only ? VMK_KVM_SLOT_READ_ONLY : 0u) |
                     (region->logged ? VMK_KVM_SLOT_DIRTY_LOG : 0u);
    return vmk_kvm_vm_set_slot(vm->kvm, region->slot, flags, region->gpa, region->size, region->hva,
                               ret_error);
}

static int
add_region(struct vmkit_vm *vm, struct vmk_region *region, vmkit_error **ret_error)
{
    int result = take_slot(vm, &region->slot, ret_error);
    if (result < 0)
        return result;
    result = vmk_regions_add(&vm->regions, region, ret_error);
    if (result < 0) {
        give_slot(vm, region->slot);
        return result;
    }
    result = vmk_vm_set_slot(vm, vmk_regions_find(&vm->regions, region->gpa), ret_error);
    if (result < 0) {
        vmk_regions_remove(&vm->regions, region->gpa);
        give_slot(vm, region->slot);
    }
    return result;
}

static int
add_locked(struct vmkit_vm *vm, struct vmk_region *region, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    result = add_region(vm, region, ret_error);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

int
vmk_vm_add_memory(struct vmkit_vm *vm, uint64_t gpa, struct vmkit_memory *memory, uint64_t offset,
                  uint64_t size, bool read_only, vmkit_error **ret_error)
{
    struct vmk_region region = {
        .gpa = gpa, .size = size, .offset = offset, .memory = memory, .read_only = read_only};
    int result = vmk_vm_check(vm, ret_error);
    if (result == 0 && read_only)
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_READONLY_MEMORY, ret_error);
    return result < 0 ? result : add_locked(vm, &region, ret_error);
}

int
vmk_vm_add_logged_memory(struct vmkit_vm *vm, uint64_t gpa, struct vmkit_memory *memory,
                         uint64_t offset, uint64_t size, vmkit_error **ret_error)
{
    struct vmk_region region = {
        .gpa = gpa, .size = size, .offset = offset, .memory = memory, .logged = true};
    return add_locked(vm, &region, ret_error);
}

static int
remove_region(struct vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error)
{
    const struct vmk_region *region = vmk_regions_find(&vm->regions, gpa);
    if (region == NULL || region->gpa != gpa)
        return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "no memory region begins at 0x%" PRIx64, gpa);
    int result = vmk_kvm_vm_delete_slot(vm->kvm, region->slot, ret_error);
    if (result < 0)
        return result;
    give_slot(vm, region->slot);
    vmk_regions_remove(&vm->regions, gpa);
    return 0;
}

int
vmk_vm_remove_memory(struct vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error)
{
    struct vmkit_memory *memory = NULL;
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    const struct vmk_region *region = vmk_regions_find(&vm->regions, gpa);
    /* A release callback of the caller must not run under the lock. */
    if (region != NULL)
        memory = vmk_memory_ref(region->memory);
    result = remove_region(vm, gpa, ret_error);
    pthread_mutex_unlock(&vm->lock);
    vmk_memory_unref(memory);
    return result;
}

int
vmk_vm_read(struct vmkit_vm *vm, uint64_t gpa, void *destination, uint64_t size,
            vmkit_error **ret_error)
{
    int result = check_health(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    result = vmk_regions_read(&vm->regions, gpa, destination, size, ret_error);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

int
vmk_vm_write(struct vmkit_vm *vm, uint64_t gpa, const void *source, uint64_t size,
             vmkit_error **ret_error)
{
    int result = check_health(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    result = vmk_regions_write(&vm->regions, gpa, source, size, ret_error);
    if ((vm->tracked != NULL || vm->followed) && size <= UINT64_MAX - gpa)
        vmk_regions_note_write(&vm->regions, gpa, size);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

int
vmk_vm_get_pointer(struct vmkit_vm *vm, uint64_t gpa, uint64_t size, void **ret_pointer,
                   vmkit_error **ret_error)
{
    int result = check_health(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    result = vmk_regions_get_pointer(&vm->regions, gpa, size, ret_pointer, ret_error);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

int
vmk_vm_refresh_memory(struct vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    const struct vmk_region *region = vmk_regions_find(&vm->regions, gpa);
    if (region == NULL) {
        result = vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                               "no memory region holds 0x%" PRIx64, gpa);
    } else {
        result = vmk_kvm_vm_delete_slot(vm->kvm, region->slot, ret_error);
        if (result == 0)
            result = vmk_vm_set_slot(vm, region, ret_error);
    }
    pthread_mutex_unlock(&vm->lock);
    return result;
}
