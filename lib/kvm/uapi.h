/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's header, and what it has gained since the oldest one that the library builds with
 * (Linux 6.1). Nothing outside of this room includes it.
 */
#ifndef VMK_KVM_UAPI_H
#define VMK_KVM_UAPI_H

#include <linux/kvm.h>

#include <stdint.h>

/* Defined for x86 alone, and answered with 0 elsewhere. */
#ifndef KVM_CAP_VCPU_EVENTS
#define KVM_CAP_VCPU_EVENTS 41
#endif
#ifndef KVM_CAP_DEBUGREGS
#define KVM_CAP_DEBUGREGS 50
#endif
#ifndef KVM_CAP_XCRS
#define KVM_CAP_XCRS 56
#endif

/* Linux 6.8: KVM_RUN says where the host's memory was missing (KVM API 7.34). */
#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif

/* The member `memory_fault` of struct kvm_run's union; overlaid, since older headers lack it. */
struct vmk_uapi_memory_fault {
    uint64_t flags;
    uint64_t gpa;
    uint64_t size;
};

#endif
