/* SPDX-License-Identifier: Apache-2.0 */
/* Registers in the pages that a vCPU shares with the kernel (KVM API 5, "kvm_valid_regs"). */
#include "kvm/private.h"
#include "kvm/x86_64.h"

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
