/* SPDX-License-Identifier: Apache-2.0 */
/* The x86-64 state of a vCPU. aarch64.c has the same functions, all of which say no. */
#include "api/export.h"
#include "api/record.h"
#include "kvm/x86_64.h"
#include "vm/vcpu.h"
#include "vm/x86_64.h"

#define MSR_LIMIT 4096

static int
check_capability(vmkit_vcpu *vcpu, enum vmkit_capability capability, vmkit_error **ret_error)
{
    return vmk_vm_check_capability(vmk_vcpu_get_vm(vcpu), capability, ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_regs(vmkit_vcpu *vcpu, struct vmkit_x86_regs *regs, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(regs, rflags);
    struct vmkit_x86_regs full = {.size = sizeof full};
    int result = vmk_vcpu_get_x86_regs(vcpu, &full, ret_error);
    if (result == 0)
        vmk_record_store(regs, regs->size, &full, sizeof full);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_regs(vmkit_vcpu *vcpu, const struct vmkit_x86_regs *regs,
                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(regs, rflags);
    struct vmkit_x86_regs full;
    vmk_record_load(&full, sizeof full, regs, regs->size);
    return vmk_vcpu_set_x86_regs(vcpu, &full, ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_sregs(vmkit_vcpu *vcpu, struct vmkit_x86_sregs *sregs, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(sregs, interrupt_bitmap);
    struct vmkit_x86_sregs full = {.size = sizeof full};
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_sregs(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    if (result == 0)
        vmk_record_store(sregs, sregs->size, &full, sizeof full);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_sregs(vmkit_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                         vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(sregs, interrupt_bitmap);
    struct vmkit_x86_sregs full;
    vmk_record_load(&full, sizeof full, sregs, sregs->size);
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_sregs(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_fpu(vmkit_vcpu *vcpu, struct vmkit_x86_fpu *fpu, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(fpu, reserved3);
    struct vmkit_x86_fpu full = {.size = sizeof full};
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_fpu(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    if (result == 0)
        vmk_record_store(fpu, fpu->size, &full, sizeof full);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_fpu(vmkit_vcpu *vcpu, const struct vmkit_x86_fpu *fpu, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(fpu, reserved3);
    struct vmkit_x86_fpu full;
    vmk_record_load(&full, sizeof full, fpu, fpu->size);
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_fpu(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_debug_regs(vmkit_vcpu *vcpu, struct vmkit_x86_debug_regs *debug_regs,
                              vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(debug_regs, dr7);
    struct vmkit_x86_debug_regs full = {.size = sizeof full};
    int result = check_capability(vcpu, VMKIT_CAPABILITY_DEBUG_REGISTERS, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_debug_regs(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    if (result == 0)
        vmk_record_store(debug_regs, debug_regs->size, &full, sizeof full);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_debug_regs(vmkit_vcpu *vcpu, const struct vmkit_x86_debug_regs *debug_regs,
                              vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(debug_regs, dr7);
    struct vmkit_x86_debug_regs full;
    vmk_record_load(&full, sizeof full, debug_regs, debug_regs->size);
    int result = check_capability(vcpu, VMKIT_CAPABILITY_DEBUG_REGISTERS, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_debug_regs(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_events(vmkit_vcpu *vcpu, struct vmkit_x86_events *events,
                          vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(events, sipi_vector);
    struct vmkit_x86_events full = {.size = sizeof full};
    int result = check_capability(vcpu, VMKIT_CAPABILITY_VCPU_EVENTS, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_events(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    if (result == 0)
        vmk_record_store(events, events->size, &full, sizeof full);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_events(vmkit_vcpu *vcpu, const struct vmkit_x86_events *events,
                          vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_RECORD(events, sipi_vector);
    struct vmkit_x86_events full;
    vmk_record_load(&full, sizeof full, events, events->size);
    int result = check_capability(vcpu, VMKIT_CAPABILITY_VCPU_EVENTS, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_events(vmk_vcpu_get_kvm(vcpu), &full, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

static int
check_msrs(const struct vmkit_x86_msr *msrs, uint32_t count, vmkit_error **ret_error)
{
    if (count != 0)
        VMK_API_CHECK_POINTER(msrs);
    if (count > MSR_LIMIT)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%u MSRs are more than the %d of one call", count, MSR_LIMIT);
    return 0;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_msrs(vmkit_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    int result = check_msrs(msrs, count, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_msrs(vmk_vcpu_get_kvm(vcpu), msrs, count, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_msrs(vmkit_vcpu *vcpu, const struct vmkit_x86_msr *msrs, uint32_t count,
                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    int result = check_msrs(msrs, count, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_msrs(vmk_vcpu_get_kvm(vcpu), msrs, count, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_cpuid(vmkit_vcpu *vcpu, struct vmkit_x86_cpuid *leaves, uint32_t capacity,
                         uint32_t *ret_count, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_POINTER(ret_count);
    if (capacity != 0)
        VMK_API_CHECK_POINTER(leaves);
    return vmk_vcpu_get_x86_cpuid(vcpu, leaves, capacity, ret_count, ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_cpuid(vmkit_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves, uint32_t count,
                         vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_POINTER(leaves);
    if (count == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "a vCPU without CPUID leaves cannot run");
    return vmk_vcpu_set_x86_cpuid(vcpu, leaves, count, ret_error);
}

VMKIT_EXPORT uint64_t
vmkit_vcpu_get_x86_xsave_size(const vmkit_vcpu *vcpu)
{
    return vcpu == NULL ? 0 : vmk_vcpu_get_x86_xsave_size(vcpu);
}

static int
check_xsave_size(const vmkit_vcpu *vcpu, uint64_t size, vmkit_error **ret_error)
{
    uint64_t needed = vmk_vcpu_get_x86_xsave_size(vcpu);
    if (size >= needed)
        return 0;
    return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the extended state has %llu bytes, and there are %llu",
                         (unsigned long long)needed, (unsigned long long)size);
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_xsave(vmkit_vcpu *vcpu, void *buffer, uint64_t size, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_POINTER(buffer);
    int result = check_xsave_size(vcpu, size, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_xsave(vmk_vcpu_get_kvm(vcpu), buffer, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_xsave(vmkit_vcpu *vcpu, const void *buffer, uint64_t size,
                         vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_POINTER(buffer);
    int result = check_xsave_size(vcpu, size, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_xsave(vmk_vcpu_get_kvm(vcpu), buffer, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_xcr0(vmkit_vcpu *vcpu, uint64_t *ret_value, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_POINTER(ret_value);
    int result = check_capability(vcpu, VMKIT_CAPABILITY_XCRS, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_xcr0(vmk_vcpu_get_kvm(vcpu), ret_value, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_xcr0(vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    int result = check_capability(vcpu, VMKIT_CAPABILITY_XCRS, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_xcr0(vmk_vcpu_get_kvm(vcpu), value, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_get_x86_mp_state(vmkit_vcpu *vcpu, uint32_t *ret_state, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_POINTER(ret_state);
    int result = check_capability(vcpu, VMKIT_CAPABILITY_MP_STATE, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_mp_state(vmk_vcpu_get_kvm(vcpu), ret_state, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_mp_state(vmkit_vcpu *vcpu, uint32_t state, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    int result = check_capability(vcpu, VMKIT_CAPABILITY_MP_STATE, ret_error);
    if (result == 0)
        result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_mp_state(vmk_vcpu_get_kvm(vcpu), state, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_real_mode(vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                             vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    if (entry > 0xffff || stack > 0xffff)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "address 0x%x is beyond the first 64 KiB of real mode",
                             entry > 0xffff ? entry : stack);
    return vmk_vcpu_set_x86_real_mode(vcpu, entry, stack, ret_error);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_protected_mode(vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                                  vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    return vmk_vcpu_set_x86_protected_mode(vcpu, entry, stack, ret_error);
}

static int
check_table_address(uint64_t gpa, vmkit_error **ret_error)
{
    if (gpa % 4096 == 0)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the page tables' address 0x%llx is not a multiple of 4096",
                         (unsigned long long)gpa);
}

VMKIT_EXPORT int
vmkit_vcpu_set_x86_long_mode(vmkit_vcpu *vcpu, uint64_t entry, uint64_t stack, uint64_t page_tables,
                             uint64_t flags, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vcpu);
    VMK_API_CHECK_FLAGS(flags, VMKIT_X86_USER_MODE);
    int result = check_table_address(page_tables, ret_error);
    if (result < 0)
        return result;
    return vmk_vcpu_set_x86_long_mode(vcpu, entry, stack, page_tables,
                                      (flags & VMKIT_X86_USER_MODE) != 0, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_write_x86_identity_map(vmkit_vm *vm, uint64_t gpa, uint64_t limit, uint64_t flags,
                                uint64_t *ret_size, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vm);
    VMK_API_CHECK_FLAGS(flags, VMKIT_X86_USER_MODE);
    int result = check_table_address(gpa, ret_error);
    if (result < 0)
        return result;
    return vmk_vm_write_x86_identity_map(vm, gpa, limit, (flags & VMKIT_X86_USER_MODE) != 0,
                                         ret_size, ret_error);
}
