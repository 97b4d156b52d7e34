/* SPDX-License-Identifier: Apache-2.0 */
/* What the public x86-64 calls do beyond one KVM call; see include/vmkit/x86_64.h. */
#ifndef VMK_VM_X86_64_H
#define VMK_VM_X86_64_H

#include "vm/vcpu.h"

#include <vmkit/x86_64.h>

int
vmk_vcpu_get_x86_regs(struct vmkit_vcpu *vcpu, struct vmkit_x86_regs *regs,
                      vmkit_error **ret_error);

int
vmk_vcpu_set_x86_regs(struct vmkit_vcpu *vcpu, const struct vmkit_x86_regs *regs,
                      vmkit_error **ret_error);

int
vmk_vcpu_get_x86_cpuid(struct vmkit_vcpu *vcpu, struct vmkit_x86_cpuid *leaves, uint32_t capacity,
                       uint32_t *ret_count, vmkit_error **ret_error);

int
vmk_vcpu_set_x86_cpuid(struct vmkit_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves,
                       uint32_t count, vmkit_error **ret_error);

uint64_t
vmk_vcpu_get_x86_xsave_size(const struct vmkit_vcpu *vcpu);

int
vmk_vcpu_set_x86_real_mode(struct vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                           vmkit_error **ret_error);

int
vmk_vcpu_set_x86_protected_mode(struct vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                                vmkit_error **ret_error);

int
vmk_vcpu_set_x86_long_mode(struct vmkit_vcpu *vcpu, uint64_t entry, uint64_t stack,
                           uint64_t page_tables, bool user, vmkit_error **ret_error);

int
vmk_vm_write_x86_identity_map(struct vmkit_vm *vm, uint64_t gpa, uint64_t limit, bool user,
                              uint64_t *ret_size, vmkit_error **ret_error);

#endif
