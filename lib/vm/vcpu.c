/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/machine.h"
#include "vm/private.h"

#include <errno.h>
#include <stdlib.h>

static void
list_add(struct vmkit_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->lock);
    vcpu->next = vcpu->vm->vcpus;
    vcpu->vm->vcpus = vcpu;
    vcpu->vm->vcpus_made++;
    pthread_mutex_unlock(&vcpu->vm->lock);
}

static void
list_remove(struct vmkit_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->lock);
    for (struct vmkit_vcpu **link = &vcpu->vm->vcpus; *link != NULL; link = &(*link)->next) {
        if (*link == vcpu) {
            *link = vcpu->next;
            break;
        }
    }
    pthread_mutex_unlock(&vcpu->vm->lock);
}

static int
vcpu_create(struct vmkit_vcpu *vcpu, uint32_t id, vmkit_error **ret_error)
{
    struct vmk_kvm_vm *kvm = vcpu->vm->kvm;
    uint32_t limit = vmk_kvm_system_get_max_vcpus(vmk_kvm_vm_get_system(kvm));
    if (id >= limit)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_LIMIT,
                             "vCPU %u is beyond the last number %u that this host allows", id,
                             limit - 1);
    int result = vmk_kvm_vcpu_new(kvm, id, &vcpu->kvm, ret_error);
    return result < 0 ? result : vmk_arch_vcpu_prepare(vcpu->kvm, ret_error);
}

int
vmk_vcpu_new(struct vmkit_vm *vm, uint32_t id, struct vmkit_vcpu **ret_vcpu,
             vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    struct vmkit_vcpu *vcpu = calloc(1, sizeof *vcpu);
    if (vcpu == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for vCPU %u",
                             id);
    atomic_init(&vcpu->references, 1);
    pthread_mutex_init(&vcpu->lock, NULL);
    vcpu->vm = vmk_vm_ref(vm);
    result = vcpu_create(vcpu, id, ret_error);
    if (result < 0) {
        vmk_vcpu_unref(vcpu);
        return result;
    }
    list_add(vcpu);
    *ret_vcpu = vcpu;
    return 0;
}

struct vmkit_vcpu *
vmk_vcpu_ref(struct vmkit_vcpu *vcpu)
{
    if (vcpu != NULL)
        atomic_fetch_add_explicit(&vcpu->references, 1, memory_order_relaxed);
    return vcpu;
}

void
vmk_vcpu_unref(struct vmkit_vcpu *vcpu)
{
    if (vcpu == NULL || atomic_fetch_sub_explicit(&vcpu->references, 1, memory_order_acq_rel) != 1)
        return;
    list_remove(vcpu);
    vmk_kick_timer_delete(&vcpu->timer);
    vmk_kvm_vcpu_free(vcpu->kvm);
    vmk_bus_unref(vcpu->bus);
    pthread_mutex_destroy(&vcpu->lock);
    vmk_vm_unref(vcpu->vm);
    free(vcpu);
}

struct vmk_kvm_vcpu *
vmk_vcpu_get_kvm(struct vmkit_vcpu *vcpu)
{
    return vcpu->kvm;
}

struct vmkit_vm *
vmk_vcpu_get_vm(const struct vmkit_vcpu *vcpu)
{
    return vcpu->vm;
}

uint32_t
vmk_vcpu_get_id(const struct vmkit_vcpu *vcpu)
{
    return vmk_kvm_vcpu_get_id(vcpu->kvm);
}

int
vmk_vcpu_fail_held(const struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                         "vCPU %u stands still until a snapshot of its VM is taken, or it is reset",
                         vmk_kvm_vcpu_get_id(vcpu->kvm));
}

int
vmk_vcpu_lock(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vcpu->vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vcpu->lock);
    bool held = vcpu->held && !pthread_equal(vcpu->holder, pthread_self());
    if (!held && (!vcpu->running || pthread_equal(vcpu->thread, pthread_self())))
        return 0;
    pthread_mutex_unlock(&vcpu->lock);
    if (held)
        return vmk_vcpu_fail_held(vcpu, ret_error);
    return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                         "vCPU %u is running on another thread: kick it first",
                         vmk_kvm_vcpu_get_id(vcpu->kvm));
}

void
vmk_vcpu_unlock(struct vmkit_vcpu *vcpu)
{
    pthread_mutex_unlock(&vcpu->lock);
}
