/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of vmkit/x86_64.h on another architecture: there is no vCPU to call them with. */
#include "api/check.h"
#include "api/export.h"

#include <vmkit/x86_64.h>

static int
fail(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                         "this vCPU is not an x86-64 one");
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_regs(vmkit_vcpu *vcpu, struct vmkit_x86_regs *regs, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_regs(vmkit_vcpu *vcpu, const struct vmkit_x86_regs *regs,
                        vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_sregs(vmkit_vcpu *vcpu, struct vmkit_x86_sregs *sregs, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_sregs(vmkit_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                         vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_fpu(vmkit_vcpu *vcpu, struct vmkit_x86_fpu *fpu, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_fpu(vmkit_vcpu *vcpu, const struct vmkit_x86_fpu *fpu, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_debug_regs(vmkit_vcpu *vcpu, struct vmkit_x86_debug_regs *debug_regs,
                              vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_debug_regs(vmkit_vcpu *vcpu, const struct vmkit_x86_debug_regs *debug_regs,
                              vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_events(vmkit_vcpu *vcpu, struct vmkit_x86_events *events,
                          vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_events(vmkit_vcpu *vcpu, const struct vmkit_x86_events *events,
                          vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_msrs(vmkit_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                        vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_msrs(vmkit_vcpu *vcpu, const struct vmkit_x86_msr *msrs, uint32_t count,
                        vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_cpuid(vmkit_vcpu *vcpu, struct vmkit_x86_cpuid *leaves, uint32_t capacity,
                         uint32_t *ret_count, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_cpuid(vmkit_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves, uint32_t count,
                         vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT uint64_t
vmkit_vcpu_get_x86_xsave_size(const vmkit_vcpu *vcpu)
{
    return 0;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_xsave(vmkit_vcpu *vcpu, void *buffer, uint64_t size, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_xsave(vmkit_vcpu *vcpu, const void *buffer, uint64_t size,
                         vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_xcr0(vmkit_vcpu *vcpu, uint64_t *ret_value, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_xcr0(vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_mp_state(vmkit_vcpu *vcpu, uint32_t *ret_state, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_mp_state(vmkit_vcpu *vcpu, uint32_t state, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_real_mode(vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                             vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_protected_mode(vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                                  vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_long_mode(vmkit_vcpu *vcpu, uint64_t entry, uint64_t stack, uint64_t page_tables,
                             uint64_t flags, vmkit_error **ret_error)
{
    return fail(ret_error);
}

VMKIT_EXPORT int
vmkit_vm_write_x86_identity_map(vmkit_vm *vm, uint64_t gpa, uint64_t limit, uint64_t flags,
                                uint64_t *ret_size, vmkit_error **ret_error)
{
    return fail(ret_error);
}
