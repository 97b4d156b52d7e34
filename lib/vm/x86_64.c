/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/x86_64.h"
#include "modes.h"
#include "kvm/x86_64.h"
#include "vm/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define IDENTITY_LIMIT (UINT64_C(512) << 30)

/* The public record is the kernel's order after a head of eight bytes. */
_Static_assert(sizeof(struct vmkit_x86_regs) == 8 + sizeof(struct vmk_user_regs), "layout");
_Static_assert(offsetof(struct vmkit_x86_regs, rflags) ==
                   8 + offsetof(struct vmk_user_regs, rflags),
               "layout");

int
vmk_vcpu_get_x86_regs(struct vmkit_vcpu *vcpu, struct vmkit_x86_regs *regs, vmkit_error **ret_error)
{
    struct vmk_user_regs user;
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_regs(vcpu->kvm, &user, ret_error);
    vmk_vcpu_unlock(vcpu);
    if (result == 0)
        memcpy(&regs->rax, &user, sizeof user);
    return result;
}

int
vmk_vcpu_set_x86_regs(struct vmkit_vcpu *vcpu, const struct vmkit_x86_regs *regs,
                      vmkit_error **ret_error)
{
    struct vmk_user_regs user;
    memcpy(&user, &regs->rax, sizeof user);
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_regs(vcpu->kvm, &user, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

int
vmk_vcpu_get_x86_cpuid(struct vmkit_vcpu *vcpu, struct vmkit_x86_cpuid *leaves, uint32_t capacity,
                       uint32_t *ret_count, vmkit_error **ret_error)
{
    struct vmkit_x86_cpuid all[VMK_KVM_X86_CPUID_LIMIT];
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_cpuid(vcpu->kvm, all, ret_count, ret_error);
    vmk_vcpu_unlock(vcpu);
    if (result < 0)
        return result;
    if (*ret_count > capacity)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the vCPU has %u CPUID leaves, and there is room for %u", *ret_count,
                             capacity);
    memcpy(leaves, all, *ret_count * sizeof all[0]);
    return 0;
}

int
vmk_vcpu_set_x86_cpuid(struct vmkit_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves,
                       uint32_t count, vmkit_error **ret_error)
{
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_set_cpuid(vcpu->kvm, leaves, count, ret_error);
    vcpu->cpuid_is_set |= result == 0;
    vmk_vcpu_unlock(vcpu);
    return result;
}

uint64_t
vmk_vcpu_get_x86_xsave_size(const struct vmkit_vcpu *vcpu)
{
    return vmk_kvm_system_get_xsave_size(vmk_kvm_vm_get_system(vcpu->vm->kvm));
}

/* Set the special registers that `sregs` was changed to, and the general ones of a fresh start. */
static int
start(struct vmkit_vcpu *vcpu, const struct vmkit_x86_sregs *sregs, uint64_t entry, uint64_t stack,
      vmkit_error **ret_error)
{
    struct vmk_user_regs regs = {.rip = entry, .rsp = stack, .rflags = 2};
    int result = vmk_kvm_x86_set_sregs(vcpu->kvm, sregs, ret_error);
    return result < 0 ? result : vmk_kvm_x86_set_regs(vcpu->kvm, &regs, ret_error);
}

int
vmk_vcpu_set_x86_real_mode(struct vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                           vmkit_error **ret_error)
{
    struct vmkit_x86_sregs sregs;
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_sregs(vcpu->kvm, &sregs, ret_error);
    if (result == 0) {
        vmk_x86_set_real_mode(&sregs);
        result = start(vcpu, &sregs, entry, stack, ret_error);
    }
    vmk_vcpu_unlock(vcpu);
    return result;
}

int
vmk_vcpu_set_x86_protected_mode(struct vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                                vmkit_error **ret_error)
{
    struct vmkit_x86_sregs sregs;
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_sregs(vcpu->kvm, &sregs, ret_error);
    if (result == 0) {
        vmk_x86_set_protected_mode(&sregs);
        result = start(vcpu, &sregs, entry, stack, ret_error);
    }
    vmk_vcpu_unlock(vcpu);
    return result;
}

int
vmk_vcpu_set_x86_long_mode(struct vmkit_vcpu *vcpu, uint64_t entry, uint64_t stack,
                           uint64_t page_tables, bool user, vmkit_error **ret_error)
{
    struct vmkit_x86_sregs sregs;
    int result = vmk_vcpu_lock_to_set(vcpu, ret_error);
    if (result < 0)
        return result;
    result = vmk_kvm_x86_get_sregs(vcpu->kvm, &sregs, ret_error);
    if (result == 0) {
        vmk_x86_set_long_mode(&sregs, page_tables, user);
        result = start(vcpu, &sregs, entry, stack, ret_error);
    }
    vmk_vcpu_unlock(vcpu);
    return result;
}

int
vmk_vm_write_x86_identity_map(struct vmkit_vm *vm, uint64_t gpa, uint64_t limit, bool user,
                              uint64_t *ret_size, vmkit_error **ret_error)
{
    uint64_t entries[512];
    if (limit == 0 || limit > IDENTITY_LIMIT)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "an identity map of %" PRIu64
                             " bytes is not in the range of 1 to %" PRIu64,
                             limit, IDENTITY_LIMIT);
    uint64_t size = vmk_x86_identity_map_size(limit);
    for (uint64_t page = 0; page < size / sizeof entries; page++) {
        vmk_x86_identity_map_page(gpa, limit, user, page, entries);
        int result =
            vmk_vm_write(vm, gpa + page * sizeof entries, entries, sizeof entries, ret_error);
        if (result < 0)
            return result;
    }
    if (ret_size != NULL)
        *ret_size = size;
    return 0;
}
