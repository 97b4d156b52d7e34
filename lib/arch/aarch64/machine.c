/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/machine.h"

#include <errno.h>

static int
fail(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                         "this release makes VMs on x86-64 hosts only, and this host is arm64");
}

int
vmk_arch_check(vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vm_prepare(struct vmk_kvm_vm *vm, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vm_split_irqchip(struct vmk_kvm_vm *vm, uint32_t pins, vmkit_error **ret_error)
{
    return fail(ret_error);
}

uint32_t
vmk_arch_count_pins(uint32_t chip)
{
    (void)chip;
    return 0;
}

int
vmk_arch_vcpu_prepare(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vcpu_interrupt(struct vmk_kvm_vcpu *vcpu, uint8_t vector, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_vcpu_nmi(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    return fail(ret_error);
}

int
vmk_arch_measure_supervisor(struct vmk_kvm_system *system, uint64_t *ret_picoseconds,
                            vmkit_error **ret_error)
{
    return fail(ret_error);
}
