/* SPDX-License-Identifier: Apache-2.0 */
/* What an open system keeps of x86-64 (struct vmk_kvm_facts, `arch`); private to this room. */
#ifndef VMK_KVM_X86_64_FACTS_H
#define VMK_KVM_X86_64_FACTS_H

#include "kvm/private.h"
#include "kvm/x86_64.h"

/* Linux 6.12 lists about 200 at the most. */
#define VMK_KVM_X86_MSR_LIST_LIMIT 1024

struct vmk_kvm_x86_facts {
    /* The leaves in both forms, so that a VM is made without a conversion. */
    uint32_t count;
    struct vmkit_x86_cpuid leaves[VMK_KVM_X86_CPUID_LIMIT];
    struct kvm_cpuid2 *uapi;
    /* What KVM_GET_MSR_INDEX_LIST returned. */
    uint32_t msr_count;
    uint32_t msrs[VMK_KVM_X86_MSR_LIST_LIMIT];
    /* Capabilities that the state of a vCPU depends on, and nothing else. */
    bool has_sregs2;
    bool has_tsc_khz;
    bool has_vcpu_attributes;
    uint32_t nested_size; /* 0 where a guest cannot have guests of its own */
};

/* Ask for the second half of them (x86_64_state.c). */
int
vmk_kvm_x86_state_facts(const struct vmk_kvm_system *system, struct vmk_kvm_x86_facts *x86,
                        vmkit_error **ret_error);

#endif
