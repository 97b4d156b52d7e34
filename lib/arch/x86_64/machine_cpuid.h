/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID answers on a machine's vCPU (Intel SDM 2A, CPUID; AMD APM 3, appendix E; Linux,
 * Documentation/virt/kvm/x86/cpuid.rst): what the host's KVM supports, made to fit together. All
 * vCPUs are cores of one package, with a thread each, and a vCPU's APIC identifier is its number.
 */
#ifndef VMK_ARCH_X86_64_MACHINE_CPUID_H
#define VMK_ARCH_X86_64_MACHINE_CPUID_H

#include <vmkit/error.h>
#include <vmkit/x86_64.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of a leaf that the guest is not to see. */
struct vmk_x86_cpuid_mask {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t eax, ebx, ecx, edx;
};

struct vmk_x86_cpuid_options {
    const struct vmkit_x86_cpuid *supported; /* vmk_kvm_x86_get_supported_cpuid() */
    uint32_t supported_count;
    uint32_t vcpu;         /* which one, */
    uint32_t vcpu_count;   /* of how many: 1 to VMK_X86_VCPU_LIMIT */
    bool has_tsc_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER, and a local APIC in the kernel */
    const struct vmk_x86_cpuid_mask *masks; /* taken away last of all */
    size_t mask_count;
};

/* Put the leaves into `leaves`, of which there are `capacity`. 0; -EINVAL for a vCPU that is not
 * one of so many; -E2BIG when there are more leaves than that. */
int
vmk_x86_machine_cpuid(const struct vmk_x86_cpuid_options *options, struct vmkit_x86_cpuid *leaves,
                      uint32_t capacity, uint32_t *ret_count, vmkit_error **ret_error);

#endif
