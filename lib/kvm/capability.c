/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's capabilities (KVM API 4.4) under numbers of our own, which stay when the kernel's differ
 * between architectures.
 */
#include "kvm/capability.h"

#include <errno.h>

struct capability {
    const char *name;
    int number;
    bool needed;
};

static const struct capability capabilities[] = {
    [VMKIT_CAPABILITY_USER_MEMORY] = {"user-memory", KVM_CAP_USER_MEMORY, true},
    [VMKIT_CAPABILITY_IMMEDIATE_EXIT] = {"immediate-exit", KVM_CAP_IMMEDIATE_EXIT, true},
    [VMKIT_CAPABILITY_READONLY_MEMORY] = {"readonly-memory", KVM_CAP_READONLY_MEM, false},
    [VMKIT_CAPABILITY_SYNC_REGS] = {"sync-regs", KVM_CAP_SYNC_REGS, false},
    [VMKIT_CAPABILITY_IOEVENTFD] = {"ioeventfd", KVM_CAP_IOEVENTFD, false},
    [VMKIT_CAPABILITY_IRQFD] = {"irqfd", KVM_CAP_IRQFD, false},
    [VMKIT_CAPABILITY_IRQFD_RESAMPLE] = {"irqfd-resample", KVM_CAP_IRQFD_RESAMPLE, false},
    [VMKIT_CAPABILITY_IRQCHIP] = {"irqchip", KVM_CAP_IRQCHIP, false},
    [VMKIT_CAPABILITY_SPLIT_IRQCHIP] = {"split-irqchip", KVM_CAP_SPLIT_IRQCHIP, false},
    [VMKIT_CAPABILITY_SIGNAL_MSI] = {"signal-msi", KVM_CAP_SIGNAL_MSI, false},
    [VMKIT_CAPABILITY_IRQ_ROUTING] = {"irq-routing", KVM_CAP_IRQ_ROUTING, false},
    [VMKIT_CAPABILITY_USER_NMI] = {"user-nmi", KVM_CAP_USER_NMI, false},
    [VMKIT_CAPABILITY_XSAVE2] = {"xsave2", KVM_CAP_XSAVE2, false},
    [VMKIT_CAPABILITY_XCRS] = {"xcrs", KVM_CAP_XCRS, false},
    [VMKIT_CAPABILITY_DEBUG_REGISTERS] = {"debug-registers", KVM_CAP_DEBUGREGS, false},
    [VMKIT_CAPABILITY_VCPU_EVENTS] = {"vcpu-events", KVM_CAP_VCPU_EVENTS, false},
    [VMKIT_CAPABILITY_MP_STATE] = {"mp-state", KVM_CAP_MP_STATE, false},
    [VMKIT_CAPABILITY_TSC_CONTROL] = {"tsc-control", KVM_CAP_TSC_CONTROL, false},
    [VMKIT_CAPABILITY_ADJUST_CLOCK] = {"adjust-clock", KVM_CAP_ADJUST_CLOCK, false},
    [VMKIT_CAPABILITY_DIRTY_RING] = {"dirty-ring", KVM_CAP_DIRTY_LOG_RING, false},
    [VMKIT_CAPABILITY_MEMORY_FAULT_INFO] = {"memory-fault-info", KVM_CAP_MEMORY_FAULT_INFO, false},
    [VMKIT_CAPABILITY_GUEST_DEBUG] = {"guest-debug", KVM_CAP_SET_GUEST_DEBUG, false},
};

#define CAPABILITY_COUNT (sizeof capabilities / sizeof capabilities[0])

const char *
vmk_kvm_capability_get_name(uint32_t capability)
{
    return capability < CAPABILITY_COUNT ? capabilities[capability].name : NULL;
}

static int
check(const struct vmk_kvm_system *system, int number)
{
    return vmk_kvm_system_ioctl(system, KVM_CHECK_EXTENSION, (uintptr_t)number);
}

int
vmk_kvm_capability_probe(const struct vmk_kvm_system *system, struct vmk_kvm_facts *facts,
                         vmkit_error **ret_error)
{
    for (uint32_t i = 1; i < CAPABILITY_COUNT; i++) {
        int result = check(system, capabilities[i].number);
        if (result < 0)
            return vmk_kvm_fail(ret_error, result, "KVM_CHECK_EXTENSION");
        if (result > 0)
            facts->capabilities |= UINT64_C(1) << i;
        else if (capabilities[i].needed)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                                 "this host's KVM lacks the capability \"%s\"",
                                 capabilities[i].name);
        if (i == VMKIT_CAPABILITY_SYNC_REGS)
            facts->sync_regs = (uint64_t)result;
        if (i == VMKIT_CAPABILITY_XSAVE2)
            facts->xsave_size = (size_t)result;
    }

    int vcpus = check(system, KVM_CAP_MAX_VCPUS);
    int slots = check(system, KVM_CAP_NR_MEMSLOTS);
    if (vcpus < 0 || slots < 0)
        return vmk_kvm_fail(ret_error, vcpus < 0 ? vcpus : slots, "KVM_CHECK_EXTENSION");
    /* A kernel that does not say offers this many (KVM API 4.7, 4.35). */
    facts->max_vcpus = vcpus > 0 ? (uint32_t)vcpus : 4;
    facts->max_slots = slots > 0 ? (uint32_t)slots : 32;
    return 0;
}
