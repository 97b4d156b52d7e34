/* SPDX-License-Identifier: Apache-2.0 */
/* Registers in the pages that a vCPU shares with the kernel (KVM API 5, "kvm_valid_regs"). */
#include "kvm/private.h"
#include "kvm/x86_64.h"
#include "kvm/x86_64_convert.h"

#include <errno.h>

int
vmk_kvm_vcpu_use_sync_regs(struct vmk_kvm_vcpu *vcpu, bool regs, bool sregs,
                           vmkit_error **ret_error)
{
    uint64_t wanted = (regs ? KVM_SYNC_X86_REGS : 0) | (sregs ? KVM_SYNC_X86_SREGS : 0);
    uint64_t offered = vcpu->vm->system->facts->sync_regs;
    if ((wanted & ~offered) != 0)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                             "this host's KVM shares the registers 0x%llx, 0x%llx are needed",
                             (unsigned long long)offered, (unsigned long long)wanted);
    vcpu->run->kvm_valid_regs = wanted;
    return 0;
}

struct vmk_user_regs *
vmk_kvm_vcpu_get_sync_regs(struct vmk_kvm_vcpu *vcpu)
{
    return (struct vmk_user_regs *)&vcpu->run->s.regs.regs;
}

void
vmk_kvm_vcpu_mark_regs_dirty(struct vmk_kvm_vcpu *vcpu)
{
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

int
vmk_kvm_vcpu_set_sregs_at_entry(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                                vmkit_error **ret_error)
{
    if ((vcpu->vm->system->facts->sync_regs & KVM_SYNC_X86_SREGS) == 0)
        return vmk_kvm_x86_set_sregs(vcpu, sregs, ret_error);
    struct kvm_sregs uapi = {0};
    vmk_kvm_sregs_to_uapi(&uapi, sregs);
    vcpu->run->s.regs.sregs = uapi;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
    return 0;
}

int
vmk_kvm_vcpu_flush_sregs(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    if ((vcpu->run->kvm_dirty_regs & KVM_SYNC_X86_SREGS) == 0)
        return 0;
    struct kvm_sregs uapi = vcpu->run->s.regs.sregs;
    int result = vmk_kvm_vcpu_ioctl(vcpu, KVM_SET_SREGS, (uintptr_t)&uapi);
    if (result < 0)
        return vmk_kvm_fail(ret_error, result, "KVM_SET_SREGS");
    vcpu->run->kvm_dirty_regs &= ~(uint64_t)KVM_SYNC_X86_SREGS;
    return 0;
}
