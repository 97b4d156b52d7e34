/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM offers on x86-64 alone: the registers of a vCPU, by copy and shared (KVM API 4.11 to
 * 4.46, 5 "kvm_valid_regs"), and the parts of a VM that only x86 has. The records are the public
 * ones; the kernel's structures do not leave x86_64.c. Their `size` is neither read nor written
 * here: a caller hands in a whole record.
 */
#ifndef VMK_KVM_X86_64_H
#define VMK_KVM_X86_64_H

#include "kvm/vcpu.h"
#include "kvm/x86_64_regs.h"

#include <vmkit/x86_64.h>

/* More leaves than this KVM does not take. */
#define VMK_KVM_X86_CPUID_LIMIT 256

/* The leaves that KVM_GET_SUPPORTED_CPUID returned; constant while the system is open. */
const struct vmkit_x86_cpuid *
vmk_kvm_x86_get_supported_cpuid(const struct vmk_kvm_system *system, uint32_t *ret_count);

/* Where KVM keeps the three pages that real mode costs on hosts without unrestricted guests; they
 * must not be used by the guest. Does nothing on other hosts. Before the first vCPU. */
int
vmk_kvm_x86_set_tss_address(struct vmk_kvm_vm *vm, uint64_t gpa, vmkit_error **ret_error);

/* The local interrupt controllers alone; the I/O controller, of `pins` lines, is the caller's.
 * Before the first vCPU. */
int
vmk_kvm_x86_split_irqchip(struct vmk_kvm_vm *vm, uint32_t pins, vmkit_error **ret_error);

/* Registers by copy; each costs a system call. */
int
vmk_kvm_x86_get_regs(struct vmk_kvm_vcpu *vcpu, struct vmk_user_regs *regs,
                     vmkit_error **ret_error);
int
vmk_kvm_x86_set_regs(struct vmk_kvm_vcpu *vcpu, const struct vmk_user_regs *regs,
                     vmkit_error **ret_error);
int
vmk_kvm_x86_get_sregs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_sregs *sregs,
                      vmkit_error **ret_error);
int
vmk_kvm_x86_set_sregs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                      vmkit_error **ret_error);
int
vmk_kvm_x86_get_fpu(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_fpu *fpu, vmkit_error **ret_error);
int
vmk_kvm_x86_set_fpu(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_fpu *fpu,
                    vmkit_error **ret_error);

/* `buffer` has room for vmk_kvm_system_get_xsave_size() bytes, in the standard (not compacted)
 * layout of XSAVE. */
int
vmk_kvm_x86_get_xsave(struct vmk_kvm_vcpu *vcpu, void *buffer, vmkit_error **ret_error);
int
vmk_kvm_x86_set_xsave(struct vmk_kvm_vcpu *vcpu, const void *buffer, vmkit_error **ret_error);

int
vmk_kvm_x86_get_xcr0(struct vmk_kvm_vcpu *vcpu, uint64_t *ret_value, vmkit_error **ret_error);
int
vmk_kvm_x86_set_xcr0(struct vmk_kvm_vcpu *vcpu, uint64_t value, vmkit_error **ret_error);

/* Read the values of, or set, `count` MSRs. -EINVAL, naming the first one that KVM refused. */
int
vmk_kvm_x86_get_msrs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                     vmkit_error **ret_error);
int
vmk_kvm_x86_set_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msrs, uint32_t count,
                     vmkit_error **ret_error);

/* What the guest's CPUID answers. Before the first run. */
int
vmk_kvm_x86_set_cpuid(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves,
                      uint32_t count, vmkit_error **ret_error);

/* What it answers now. `leaves` has room for VMK_KVM_X86_CPUID_LIMIT. */
int
vmk_kvm_x86_get_cpuid(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_cpuid *leaves,
                      uint32_t *ret_count, vmkit_error **ret_error);

/* The supported leaves, as they are but for the number of the vCPU: without a further copy. */
int
vmk_kvm_x86_set_supported_cpuid(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error);

int
vmk_kvm_x86_get_debug_regs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_debug_regs *regs,
                           vmkit_error **ret_error);
int
vmk_kvm_x86_set_debug_regs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_debug_regs *regs,
                           vmkit_error **ret_error);
int
vmk_kvm_x86_get_events(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_events *events,
                       vmkit_error **ret_error);
int
vmk_kvm_x86_set_events(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_events *events,
                       vmkit_error **ret_error);

/* KVM's number: 0 runnable, 1 uninitialised, 2 init received, 3 halted, 4 start-up received. */
int
vmk_kvm_x86_get_mp_state(struct vmk_kvm_vcpu *vcpu, uint32_t *ret_state, vmkit_error **ret_error);
int
vmk_kvm_x86_set_mp_state(struct vmk_kvm_vcpu *vcpu, uint32_t state, vmkit_error **ret_error);

/* Queue an external interrupt; only without an interrupt controller in the kernel, and while
 * vmk_kvm_vcpu_can_take_interrupt(). -EEXIST when one is queued. */
int
vmk_kvm_x86_interrupt(struct vmk_kvm_vcpu *vcpu, uint8_t vector, vmkit_error **ret_error);

int
vmk_kvm_x86_nmi(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error);

/* Registers shared with the kernel, without a system call.
 *
 * After vmk_kvm_vcpu_use_sync_regs() every run leaves the asked-for registers in the shared pages.
 * What is changed there counts only after it was marked dirty, in the next run. -ENOTSUP where the
 * host lacks it. Until the first run has returned, the shared registers hold nothing. */
int
vmk_kvm_vcpu_use_sync_regs(struct vmk_kvm_vcpu *vcpu, bool regs, bool sregs,
                           vmkit_error **ret_error);

/* The same pointer for the life of the vCPU. */
struct vmk_user_regs *
vmk_kvm_vcpu_get_sync_regs(struct vmk_kvm_vcpu *vcpu);

void
vmk_kvm_vcpu_mark_regs_dirty(struct vmk_kvm_vcpu *vcpu);

/* Have the next run begin with these special registers: through the shared pages, or, where the
 * host does not share them, at once. */
int
vmk_kvm_vcpu_set_sregs_at_entry(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                                vmkit_error **ret_error);

/* Set at once what waits for the next run, so that it can be read. */
int
vmk_kvm_vcpu_flush_sregs(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error);

#endif
