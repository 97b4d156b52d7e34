/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/machine.h"
#include "kvm/x86_64.h"

/* Three pages below the firmware's end of the first 4 GiB, where no guest has memory: the place
 * that all monitors use (KVM API 4.35 asks for one outside of every slot). */
#define TSS_ADDRESS UINT64_C(0xfffbd000)

int
vmk_arch_check(vmkit_error **ret_error)
{
    return 0;
}

int
vmk_arch_vm_prepare(struct vmk_kvm_vm *vm, vmkit_error **ret_error)
{
    return vmk_kvm_x86_set_tss_address(vm, TSS_ADDRESS, ret_error);
}

int
vmk_arch_vm_split_irqchip(struct vmk_kvm_vm *vm, uint32_t pins, vmkit_error **ret_error)
{
    return vmk_kvm_x86_split_irqchip(vm, pins, ret_error);
}

/* Raw leaves of the host would be refused or would promise what KVM does not do, so the guest gets
 * what KVM_GET_SUPPORTED_CPUID said. */
/* Two 8259 and an 82093AA. */
uint32_t
vmk_arch_count_pins(uint32_t chip)
{
    static const uint32_t pins[] = {8, 8, 24};
    return chip < sizeof pins / sizeof *pins ? pins[chip] : 0;
}

int
vmk_arch_vcpu_prepare(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    return vmk_kvm_x86_set_supported_cpuid(vcpu, ret_error);
}

int
vmk_arch_vcpu_interrupt(struct vmk_kvm_vcpu *vcpu, uint8_t vector, vmkit_error **ret_error)
{
    return vmk_kvm_x86_interrupt(vcpu, vector, ret_error);
}

int
vmk_arch_vcpu_nmi(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    return vmk_kvm_x86_nmi(vcpu, ret_error);
}
