/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All vCPUs of a VM held still, between two instructions each, so that what one thread reads of
 * them and of memory is one moment of the guest.
 */
#include "vm/hold.h"
#include "vm/private.h"

#include <errno.h>
#include <stdlib.h>

/* A vCPU whose last reference is gone is still in the list for a moment. */
static bool
ref_unless_gone(struct vmkit_vcpu *vcpu)
{
    unsigned int references = atomic_load(&vcpu->references);
    while (references != 0) {
        if (atomic_compare_exchange_weak(&vcpu->references, &references, references + 1))
            return true;
    }
    return false;
}

/* As vmk_vcpu_lock_settled(), whatever the instruction makes of it. */
static int
lock_abandoned(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    if (!vcpu->held)
        result = vmk_vcpu_abandon(vcpu, ret_error);
    if (result < 0)
        vmk_vcpu_unlock(vcpu);
    return result;
}

static int
hold(struct vmkit_vcpu *vcpu, bool abandon, vmkit_error **ret_error)
{
    int result = (abandon ? lock_abandoned : vmk_vcpu_lock_settled)(vcpu, ret_error);
    if (result < 0)
        return result;
    if (vcpu->held) {
        result = vmk_vcpu_fail_held(vcpu, ret_error);
    } else {
        vcpu->held = true;
        vcpu->holder = pthread_self();
    }
    vmk_vcpu_unlock(vcpu);
    return result;
}

static int
compare_ids(const void *one, const void *other)
{
    uint32_t first = vmk_vcpu_get_id(*(struct vmkit_vcpu *const *)one);
    uint32_t second = vmk_vcpu_get_id(*(struct vmkit_vcpu *const *)other);
    return first < second ? -1 : first > second;
}

int
vmk_vm_list_vcpus(struct vmkit_vm *vm, struct vmk_held_vcpus *held, vmkit_error **ret_error)
{
    size_t count = 0;
    for (struct vmkit_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next)
        count++;
    *held = (struct vmk_held_vcpus){.vcpus = calloc(count + 1, sizeof *held->vcpus)};
    if (held->vcpus == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a list of %zu vCPUs", count);
    for (struct vmkit_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next) {
        if (ref_unless_gone(vcpu))
            held->vcpus[held->count++] = vcpu;
    }
    qsort(held->vcpus, held->count, sizeof held->vcpus[0], compare_ids);
    return 0;
}

static int
hold_all(struct vmk_held_vcpus *held, bool abandon, vmkit_error **ret_error)
{
    int result = 0;
    while (result == 0 && held->still < held->count) {
        result = hold(held->vcpus[held->still], abandon, ret_error);
        held->still += result == 0;
    }
    return result;
}

int
vmk_vm_hold_vcpus(struct vmkit_vm *vm, struct vmk_held_vcpus *held, vmkit_error **ret_error)
{
    int result = vmk_vm_list_vcpus(vm, held, ret_error);
    return result < 0 ? result : hold_all(held, false, ret_error);
}

int
vmk_vm_hold_to_reset(struct vmk_held_vcpus *held, vmkit_error **ret_error)
{
    return hold_all(held, true, ret_error);
}

void
vmk_vm_let_go(struct vmk_held_vcpus *held)
{
    for (uint32_t i = 0; i < held->count; i++) {
        struct vmkit_vcpu *vcpu = held->vcpus[i];
        if (i < held->still) {
            pthread_mutex_lock(&vcpu->lock);
            vcpu->held = false;
            pthread_mutex_unlock(&vcpu->lock);
        }
        vmk_vcpu_unref(vcpu);
    }
    free(held->vcpus);
    *held = (struct vmk_held_vcpus){0};
}
