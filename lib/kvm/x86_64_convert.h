/* SPDX-License-Identifier: Apache-2.0 */
/* Between the public records and the kernel's structures; private to this room. */
#ifndef VMK_KVM_X86_64_CONVERT_H
#define VMK_KVM_X86_64_CONVERT_H

#include "kvm/uapi.h"

#include <vmkit/x86_64.h>

void
vmk_kvm_sregs_from_uapi(struct vmkit_x86_sregs *to, const struct kvm_sregs *from);

void
vmk_kvm_sregs_to_uapi(struct kvm_sregs *to, const struct vmkit_x86_sregs *from);

/* The first 512 bytes of the extended state, and the word behind them that says which parts are in
 * use (Intel SDM 1, 13.4). */
void
vmk_kvm_fpu_from_xsave(struct vmkit_x86_fpu *to, const uint8_t *xsave);

void
vmk_kvm_fpu_to_xsave(uint8_t *xsave, const struct vmkit_x86_fpu *from);

void
vmk_kvm_events_from_uapi(struct vmkit_x86_events *to, const struct kvm_vcpu_events *from);

void
vmk_kvm_events_to_uapi(struct kvm_vcpu_events *to, const struct vmkit_x86_events *from);

void
vmk_kvm_cpuid_from_uapi(struct vmkit_x86_cpuid *to, const struct kvm_cpuid_entry2 *from);

void
vmk_kvm_cpuid_to_uapi(struct kvm_cpuid_entry2 *to, const struct vmkit_x86_cpuid *from);

#endif
