/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export.h"
#include "api/record.h"
#include "api/uncancelled.h"
#include "vm/vcpu.h"

VMKIT_EXPORT int
vmkit_vcpu_new(vmkit_vm *vm, uint32_t id, vmkit_vcpu **ret_vcpu, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    VMK_API_CHECK_POINTER(ret_vcpu);
    return vmk_vcpu_new(vm, id, ret_vcpu, ret_error);
}

VMKIT_EXPORT vmkit_vcpu *
vmkit_vcpu_ref(vmkit_vcpu *vcpu)
{
    return vmk_vcpu_ref(vcpu);
}

VMKIT_EXPORT void
vmkit_vcpu_unref(vmkit_vcpu *vcpu)
{
    VMK_API_UNCANCELLED;
    vmk_vcpu_unref(vcpu);
}

VMKIT_EXPORT uint32_t
vmkit_vcpu_get_id(const vmkit_vcpu *vcpu)
{
    return vcpu == NULL ? UINT32_MAX : vmk_vcpu_get_id(vcpu);
}

VMKIT_EXPORT vmkit_vm *
vmkit_vcpu_get_vm(const vmkit_vcpu *vcpu)
{
    return vcpu == NULL ? NULL : vmk_vcpu_get_vm(vcpu);
}

VMKIT_EXPORT int
vmkit_vcpu_run(vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(exit, data);
    struct vmkit_exit full;
    int result = vmk_vcpu_run(vcpu, &full, ret_error);
    if (result >= 0)
        vmk_record_store(exit, exit->size, &full, sizeof full);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_exit_value(vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    return vmk_vcpu_set_exit_value(vcpu, value, ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_complete(vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    return vmk_vcpu_finish_access(vcpu, ret_error);
}

VMKIT_EXPORT void
vmkit_vcpu_kick(vmkit_vcpu *vcpu)
{
    VMK_API_UNCANCELLED;
    if (vcpu != NULL)
        vmk_vcpu_kick(vcpu);
}

VMKIT_EXPORT int
vmkit_vcpu_interrupt(vmkit_vcpu *vcpu, uint32_t vector, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    return vmk_vcpu_interrupt(vcpu, vector, ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_nmi(vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    return vmk_vcpu_nmi(vcpu, ret_error);
}
