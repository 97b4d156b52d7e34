/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a vCPU and of a VM that matter only when its whole state is moved (KVM API 4.3,
 * 4.18, 4.29, 4.55, 4.57, 4.71, 4.114, 8 "vcpu.rst"). What the kernel lays out for itself (the
 * interrupt controllers, the timer, the state of nested virtualisation) is handed on as bytes.
 */
#ifndef VMK_KVM_X86_64_STATE_H
#define VMK_KVM_X86_64_STATE_H

#include "kvm/x86_64.h"

#define VMK_KVM_X86_LAPIC_SIZE 1024
#define VMK_KVM_X86_IRQCHIP_SIZE 512
#define VMK_KVM_X86_IRQCHIP_COUNT 3 /* two 8259 and the I/O APIC */
#define VMK_KVM_X86_PIT_SIZE 112
#define VMK_KVM_X86_XCR_LIMIT 16
#define VMK_KVM_X86_NESTED_HEAD 128

/* The MSRs that KVM_GET_MSR_INDEX_LIST names: what a VM's state is made of, where the host's
 * processor has them. Constant while the system is open. */
const uint32_t *
vmk_kvm_x86_get_msr_list(const struct vmk_kvm_system *system, uint32_t *ret_count);

/* Read, or set, as many of `count` MSRs as KVM takes: how many, up to the first one that it
 * refuses. */
int
vmk_kvm_x86_try_get_msrs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                         vmkit_error **ret_error);
int
vmk_kvm_x86_try_set_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msrs,
                         uint32_t count, vmkit_error **ret_error);

/* What the processor read from memory when PAE paging was switched on, and keeps. */
struct vmk_kvm_x86_pdptrs {
    bool valid;
    uint64_t values[4];
};

/* The special registers with them. Without KVM_GET_SREGS2 they are not valid, and setting leaves
 * them to the kernel, which reads memory. The bitmap of interrupts is neither read nor set where
 * the host has the newer call. */
int
vmk_kvm_x86_get_sregs2(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_sregs *sregs,
                       struct vmk_kvm_x86_pdptrs *pdptrs, vmkit_error **ret_error);
int
vmk_kvm_x86_set_sregs2(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                       const struct vmk_kvm_x86_pdptrs *pdptrs, vmkit_error **ret_error);

struct vmk_kvm_x86_xcr {
    uint32_t index;
    uint64_t value;
};

/* `xcrs` has room for VMK_KVM_X86_XCR_LIMIT. */
int
vmk_kvm_x86_get_xcrs(struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_x86_xcr *xcrs, uint32_t *ret_count,
                     vmkit_error **ret_error);
int
vmk_kvm_x86_set_xcrs(struct vmk_kvm_vcpu *vcpu, const struct vmk_kvm_x86_xcr *xcrs, uint32_t count,
                     vmkit_error **ret_error);

/* The registers of the local interrupt controller, VMK_KVM_X86_LAPIC_SIZE bytes as the processor
 * shows them in memory (Intel SDM 3A, 11.4.1). Only with one in the kernel. */
int
vmk_kvm_x86_get_lapic(struct vmk_kvm_vcpu *vcpu, void *registers, vmkit_error **ret_error);
int
vmk_kvm_x86_set_lapic(struct vmk_kvm_vcpu *vcpu, const void *registers, vmkit_error **ret_error);

/* How fast the guest's TSC counts; 0 where KVM cannot tell. Setting needs
 * VMKIT_CAPABILITY_TSC_CONTROL. */
int
vmk_kvm_x86_get_tsc_khz(struct vmk_kvm_vcpu *vcpu, uint32_t *ret_khz, vmkit_error **ret_error);
int
vmk_kvm_x86_set_tsc_khz(struct vmk_kvm_vcpu *vcpu, uint32_t khz, vmkit_error **ret_error);

/* What is added to the host's TSC to get the guest's. 1; 0 on a kernel before 5.16, which does not
 * say; or a negative errno. */
int
vmk_kvm_x86_get_tsc_offset(struct vmk_kvm_vcpu *vcpu, uint64_t *ret_offset,
                           vmkit_error **ret_error);
int
vmk_kvm_x86_set_tsc_offset(struct vmk_kvm_vcpu *vcpu, uint64_t offset, vmkit_error **ret_error);

/* How large the state of a guest's own guests becomes; 0 on a host without. */
uint32_t
vmk_kvm_x86_get_nested_size(const struct vmk_kvm_system *system);

/* `buffer` has room for that many bytes. */
int
vmk_kvm_x86_get_nested(struct vmk_kvm_vcpu *vcpu, void *buffer, uint32_t *ret_size,
                       vmkit_error **ret_error);
/* `size` is what the bytes say of themselves too. */
int
vmk_kvm_x86_set_nested(struct vmk_kvm_vcpu *vcpu, const void *buffer, uint32_t size,
                       vmkit_error **ret_error);

/* The clock that KVM shows to guests which ask for it, in nanoseconds. */
int
vmk_kvm_x86_get_clock(struct vmk_kvm_vm *vm, uint64_t *ret_nanoseconds, vmkit_error **ret_error);
int
vmk_kvm_x86_set_clock(struct vmk_kvm_vm *vm, uint64_t nanoseconds, vmkit_error **ret_error);

/* One of the three interrupt controllers besides the local ones; with all of it in the kernel. */
int
vmk_kvm_x86_get_irqchip(struct vmk_kvm_vm *vm, uint32_t chip, void *buffer,
                        vmkit_error **ret_error);
int
vmk_kvm_x86_set_irqchip(struct vmk_kvm_vm *vm, uint32_t chip, const void *buffer,
                        vmkit_error **ret_error);

/* The 8254 timer in the kernel: make one, with the whole interrupt controller there. */
int
vmk_kvm_x86_create_pit(struct vmk_kvm_vm *vm, vmkit_error **ret_error);

/* 1; 0 without one; or a negative errno. */
int
vmk_kvm_x86_get_pit(struct vmk_kvm_vm *vm, void *buffer, vmkit_error **ret_error);
int
vmk_kvm_x86_set_pit(struct vmk_kvm_vm *vm, const void *buffer, vmkit_error **ret_error);

#endif
