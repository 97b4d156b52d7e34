/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/vcpu_state.h"

#include <errno.h>

static int
fail(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                         "this release saves and loads VMs of x86-64 only, and this host is arm64");
}

int
vmk_vcpu_state_save(struct vmk_kvm_vcpu *vcpu, enum vmk_arch_controllers controllers,
                    struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_vcpu_state_check(const struct vmk_kvm_system *system, const void *bytes, size_t size,
                     vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_vcpu_state_load(struct vmk_kvm_vcpu *vcpu, enum vmk_arch_controllers controllers,
                    const void *bytes, size_t size, struct vmk_vcpu_state_clock *clock,
                    vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vm_state_save(struct vmk_kvm_vm *vm, enum vmk_arch_controllers controllers,
                       struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vm_state_check(const void *bytes, size_t size, enum vmk_arch_controllers controllers,
                        vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vm_state_load_clock(struct vmk_kvm_vm *vm, const void *bytes, size_t size,
                             vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vm_state_load_controllers(struct vmk_kvm_vm *vm, enum vmk_arch_controllers controllers,
                                   const void *bytes, size_t size, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_vcpu_state_prepare(struct vmk_kvm_vcpu *vcpu, const void *bytes, size_t size,
                       struct vmk_vcpu_state **ret_state, vmkit_error **ret_error)
{
    return fail(ret_error);
}

void
vmk_vcpu_state_free(struct vmk_vcpu_state *state)
{
}

int
vmk_vcpu_state_reset(struct vmk_kvm_vcpu *vcpu, const struct vmk_vcpu_state *state,
                     struct vmk_vcpu_state_clock *clock, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_vcpu_state_add_tables(struct vmk_kvm_vcpu *vcpu, const struct vmk_vcpu_state *state,
                          struct vmk_arch_tables *tables, vmkit_error **ret_error)
{
    return fail(ret_error);
}

bool
vmk_arch_tables_differ(const struct vmk_arch_tables *tables, const void *now, const void *then,
                       size_t size)
{
    return true;
}

uint32_t
vmk_arch_vm_list_default_routes(enum vmk_arch_controllers controllers, struct vmk_kvm_route *routes)
{
    return 0;
}
