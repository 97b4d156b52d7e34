/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture does to a VM and to a vCPU before anyone uses them. arch/<name>/machine.c
 * holds it.
 */
#ifndef VMK_ARCH_MACHINE_H
#define VMK_ARCH_MACHINE_H

#include "kvm/vcpu.h"

#include <stdbool.h>

/* -ENOTSUP, with a sentence, on an architecture whose VMs are not served yet. */
int
vmk_arch_check(vmkit_error **ret_error);

/* Prepare a VM whose guest starts in a mode that an old host has to help out with: real mode. */
int
vmk_arch_vm_prepare(struct vmk_kvm_vm *vm, vmkit_error **ret_error);

/* Local interrupt controllers in the kernel, with an outer one of `pins` lines at the caller's. */
int
vmk_arch_vm_split_irqchip(struct vmk_kvm_vm *vm, uint32_t pins, vmkit_error **ret_error);

/* Pins of an interrupt controller in the kernel, as struct vmkit_route numbers them; 0 for one that
 * is not there. */
uint32_t
vmk_arch_count_pins(uint32_t chip);

/* Give a new vCPU the features that the host's KVM supports. */
int
vmk_arch_vcpu_prepare(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error);

/* Have the guest take an interrupt, which it must be able to take now, or a non-maskable one. */
int
vmk_arch_vcpu_interrupt(struct vmk_kvm_vcpu *vcpu, uint8_t vector, vmkit_error **ret_error);

int
vmk_arch_vcpu_nmi(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error);

/* Vendor and model of the host's processor, as it calls itself. */
struct vmk_arch_cpu {
    char vendor[32];
    char model[64];
    bool has_virtualization; /* it offers VMX or SVM, or the like, to this system */
    bool is_virtual;         /* it is itself one of a virtual machine */
};

void
vmk_arch_get_cpu(struct vmk_arch_cpu *ret_cpu);

/* Time one instruction of supervisor mode in a guest of a few instructions, in picoseconds. */
int
vmk_arch_measure_supervisor(struct vmk_kvm_system *system, uint64_t *ret_picoseconds,
                            vmkit_error **ret_error);

#endif
