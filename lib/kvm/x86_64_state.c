/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/x86_64_state.h"
#include "kvm/x86_64_convert.h"
#include "kvm/x86_64_facts.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct kvm_lapic_state) == VMK_KVM_X86_LAPIC_SIZE, "struct kvm_lapic_state");
_Static_assert(sizeof((struct kvm_irqchip *)0)->chip == VMK_KVM_X86_IRQCHIP_SIZE, "kvm_irqchip");
_Static_assert(sizeof(struct kvm_pit_state2) == VMK_KVM_X86_PIT_SIZE, "struct kvm_pit_state2");
_Static_assert(sizeof(struct kvm_nested_state) == VMK_KVM_X86_NESTED_HEAD, "kvm_nested_state");
_Static_assert(KVM_MAX_XCRS == VMK_KVM_X86_XCR_LIMIT, "KVM_MAX_XCRS");
_Static_assert(KVM_NR_IRQCHIPS == VMK_KVM_X86_IRQCHIP_COUNT, "KVM_NR_IRQCHIPS");

/* struct kvm_sregs2 is struct kvm_sregs up to the bitmap of interrupts. */
_Static_assert(offsetof(struct kvm_sregs2, flags) == offsetof(struct kvm_sregs, interrupt_bitmap),
               "struct kvm_sregs2");

static const struct vmk_kvm_x86_facts *
get_facts(const struct vmk_kvm_vcpu *vcpu)
{
    return vcpu->vm->system->facts->arch;
}

static int
check(const struct vmk_kvm_system *system, int capability)
{
    return vmk_kvm_system_ioctl(system, KVM_CHECK_EXTENSION, (uintptr_t)capability);
}

static int
list_msrs(const struct vmk_kvm_system *system, struct vmk_kvm_x86_facts *x86,
          vmkit_error **ret_error)
{
    struct {
        uint32_t count;
        uint32_t indices[VMK_KVM_X86_MSR_LIST_LIMIT];
    } list = {.count = VMK_KVM_X86_MSR_LIST_LIMIT};
    _Static_assert(offsetof(struct kvm_msr_list, indices) == sizeof list.count, "kvm_msr_list");
    int result = vmk_kvm_system_ioctl(system, KVM_GET_MSR_INDEX_LIST, (uintptr_t)&list);
    if (result < 0)
        return vmk_kvm_fail(ret_error, result, "KVM_GET_MSR_INDEX_LIST");
    x86->msr_count =
        list.count < VMK_KVM_X86_MSR_LIST_LIMIT ? list.count : VMK_KVM_X86_MSR_LIST_LIMIT;
    memcpy(x86->msrs, list.indices, x86->msr_count * sizeof x86->msrs[0]);
    return 0;
}

int
vmk_kvm_x86_state_facts(const struct vmk_kvm_system *system, struct vmk_kvm_x86_facts *x86,
                        vmkit_error **ret_error)
{
    int sregs2 = check(system, KVM_CAP_SREGS2);
    int khz = check(system, KVM_CAP_GET_TSC_KHZ);
    int attributes = check(system, KVM_CAP_VCPU_ATTRIBUTES);
    int nested = check(system, KVM_CAP_NESTED_STATE);
    int least = sregs2 < khz ? sregs2 : khz;
    least = attributes < least ? attributes : least;
    least = nested < least ? nested : least;
    if (least < 0)
        return vmk_kvm_fail(ret_error, least, "KVM_CHECK_EXTENSION");
    x86->has_sregs2 = sregs2 > 0;
    x86->has_tsc_khz = khz > 0;
    x86->has_vcpu_attributes = attributes > 0;
    x86->nested_size = nested < VMK_KVM_X86_NESTED_HEAD ? 0 : (uint32_t)nested;
    return list_msrs(system, x86, ret_error);
}

const uint32_t *
vmk_kvm_x86_get_msr_list(const struct vmk_kvm_system *system, uint32_t *ret_count)
{
    const struct vmk_kvm_x86_facts *x86 = system->facts->arch;
    *ret_count = x86->msr_count;
    return x86->msrs;
}

int
vmk_kvm_x86_get_sregs2(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_sregs *sregs,
                       struct vmk_kvm_x86_pdptrs *pdptrs, vmkit_error **ret_error)
{
    struct kvm_sregs2 uapi = {0};
    struct kvm_sregs first = {0};
    *pdptrs = (struct vmk_kvm_x86_pdptrs){0};
    if (!get_facts(vcpu)->has_sregs2)
        return vmk_kvm_x86_get_sregs(vcpu, sregs, ret_error);
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_SREGS2, &uapi, "KVM_GET_SREGS2", ret_error);
    if (result < 0)
        return result;
    memcpy(&first, &uapi, offsetof(struct kvm_sregs2, flags));
    vmk_kvm_sregs_from_uapi(sregs, &first);
    pdptrs->valid = (uapi.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0;
    memcpy(pdptrs->values, uapi.pdptrs, sizeof pdptrs->values);
    return 0;
}

int
vmk_kvm_x86_set_sregs2(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                       const struct vmk_kvm_x86_pdptrs *pdptrs, vmkit_error **ret_error)
{
    struct kvm_sregs2 uapi = {0};
    struct kvm_sregs first = {0};
    if (!get_facts(vcpu)->has_sregs2)
        return vmk_kvm_x86_set_sregs(vcpu, sregs, ret_error);
    vmk_kvm_sregs_to_uapi(&first, sregs);
    memcpy(&uapi, &first, offsetof(struct kvm_sregs2, flags));
    uapi.flags = pdptrs->valid ? KVM_SREGS2_FLAGS_PDPTRS_VALID : 0;
    memcpy(uapi.pdptrs, pdptrs->values, sizeof uapi.pdptrs);
    int result = vmk_kvm_vcpu_call(vcpu, KVM_SET_SREGS2, &uapi, "KVM_SET_SREGS2", ret_error);
    if (result == 0)
        vcpu->run->cr8 = sregs->cr8; /* as vmk_kvm_x86_set_sregs() */
    return result;
}

int
vmk_kvm_x86_get_xcrs(struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_x86_xcr *xcrs, uint32_t *ret_count,
                     vmkit_error **ret_error)
{
    struct kvm_xcrs uapi = {0};
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_XCRS, &uapi, "KVM_GET_XCRS", ret_error);
    if (result < 0)
        return result;
    *ret_count = uapi.nr_xcrs < KVM_MAX_XCRS ? uapi.nr_xcrs : KVM_MAX_XCRS;
    for (uint32_t i = 0; i < *ret_count; i++)
        xcrs[i] = (struct vmk_kvm_x86_xcr){uapi.xcrs[i].xcr, uapi.xcrs[i].value};
    return 0;
}

int
vmk_kvm_x86_set_xcrs(struct vmk_kvm_vcpu *vcpu, const struct vmk_kvm_x86_xcr *xcrs, uint32_t count,
                     vmkit_error **ret_error)
{
    struct kvm_xcrs uapi = {.nr_xcrs = count < KVM_MAX_XCRS ? count : KVM_MAX_XCRS};
    for (uint32_t i = 0; i < uapi.nr_xcrs; i++) {
        uapi.xcrs[i].xcr = xcrs[i].index;
        uapi.xcrs[i].value = xcrs[i].value;
    }
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_XCRS, &uapi, "KVM_SET_XCRS", ret_error);
}

int
vmk_kvm_x86_get_lapic(struct vmk_kvm_vcpu *vcpu, void *registers, vmkit_error **ret_error)
{
    return vmk_kvm_vcpu_call(vcpu, KVM_GET_LAPIC, registers, "KVM_GET_LAPIC", ret_error);
}

int
vmk_kvm_x86_set_lapic(struct vmk_kvm_vcpu *vcpu, const void *registers, vmkit_error **ret_error)
{
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_LAPIC, registers, "KVM_SET_LAPIC", ret_error);
}

/* EIO is the kernel's word for a host whose TSC does not count steadily. */
int
vmk_kvm_x86_get_tsc_khz(struct vmk_kvm_vcpu *vcpu, uint32_t *ret_khz, vmkit_error **ret_error)
{
    int result = 0;
    if (get_facts(vcpu)->has_tsc_khz)
        result = vmk_kvm_vcpu_ioctl(vcpu, KVM_GET_TSC_KHZ, 0);
    if (result < 0 && result != -EIO)
        return vmk_kvm_fail(ret_error, result, "KVM_GET_TSC_KHZ");
    *ret_khz = result < 0 ? 0 : (uint32_t)result;
    return 0;
}

int
vmk_kvm_x86_set_tsc_khz(struct vmk_kvm_vcpu *vcpu, uint32_t khz, vmkit_error **ret_error)
{
    int result = vmk_kvm_vcpu_ioctl(vcpu, KVM_SET_TSC_KHZ, khz);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_SET_TSC_KHZ") : 0;
}

static struct kvm_device_attr
tsc_offset(uint64_t *value)
{
    return (struct kvm_device_attr){
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)value};
}

int
vmk_kvm_x86_get_tsc_offset(struct vmk_kvm_vcpu *vcpu, uint64_t *ret_offset, vmkit_error **ret_error)
{
    uint64_t offset = 0;
    struct kvm_device_attr attribute = tsc_offset(&offset);
    if (!get_facts(vcpu)->has_vcpu_attributes)
        return 0;
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_DEVICE_ATTR, &attribute,
                                   "KVM_GET_DEVICE_ATTR(KVM_VCPU_TSC_OFFSET)", ret_error);
    if (result < 0)
        return result;
    *ret_offset = offset;
    return 1;
}

int
vmk_kvm_x86_set_tsc_offset(struct vmk_kvm_vcpu *vcpu, uint64_t offset, vmkit_error **ret_error)
{
    struct kvm_device_attr attribute = tsc_offset(&offset);
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_DEVICE_ATTR, &attribute,
                             "KVM_SET_DEVICE_ATTR(KVM_VCPU_TSC_OFFSET)", ret_error);
}

uint32_t
vmk_kvm_x86_get_nested_size(const struct vmk_kvm_system *system)
{
    return ((const struct vmk_kvm_x86_facts *)system->facts->arch)->nested_size;
}

int
vmk_kvm_x86_get_nested(struct vmk_kvm_vcpu *vcpu, void *buffer, uint32_t *ret_size,
                       vmkit_error **ret_error)
{
    struct kvm_nested_state *state = buffer;
    uint32_t room = get_facts(vcpu)->nested_size;
    memset(buffer, 0, room);
    state->size = room;
    int result =
        vmk_kvm_vcpu_call(vcpu, KVM_GET_NESTED_STATE, state, "KVM_GET_NESTED_STATE", ret_error);
    if (result < 0)
        return result;
    if (state->size < sizeof *state || state->size > room)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED,
                             "KVM_GET_NESTED_STATE: it gave %u bytes, with room for %u",
                             state->size, room);
    *ret_size = state->size;
    return 0;
}

int
vmk_kvm_x86_set_nested(struct vmk_kvm_vcpu *vcpu, const void *buffer, uint32_t size,
                       vmkit_error **ret_error)
{
    struct kvm_nested_state head;
    if (size < sizeof head || (memcpy(&head, buffer, sizeof head), head.size != size))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "a nested state of %u bytes does not have the size that it says",
                             size);
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_NESTED_STATE, buffer, "KVM_SET_NESTED_STATE", ret_error);
}

int
vmk_kvm_x86_get_clock(struct vmk_kvm_vm *vm, uint64_t *ret_nanoseconds, vmkit_error **ret_error)
{
    struct kvm_clock_data clock = {0};
    int result = vmk_kvm_vm_call(vm, KVM_GET_CLOCK, &clock, "KVM_GET_CLOCK", ret_error);
    if (result == 0)
        *ret_nanoseconds = clock.clock;
    return result;
}

int
vmk_kvm_x86_set_clock(struct vmk_kvm_vm *vm, uint64_t nanoseconds, vmkit_error **ret_error)
{
    struct kvm_clock_data clock = {.clock = nanoseconds};
    return vmk_kvm_vm_call(vm, KVM_SET_CLOCK, &clock, "KVM_SET_CLOCK", ret_error);
}

int
vmk_kvm_x86_get_irqchip(struct vmk_kvm_vm *vm, uint32_t chip, void *buffer, vmkit_error **ret_error)
{
    struct kvm_irqchip uapi = {.chip_id = chip};
    int result = vmk_kvm_vm_call(vm, KVM_GET_IRQCHIP, &uapi, "KVM_GET_IRQCHIP", ret_error);
    if (result == 0)
        memcpy(buffer, &uapi.chip, sizeof uapi.chip);
    return result;
}

int
vmk_kvm_x86_set_irqchip(struct vmk_kvm_vm *vm, uint32_t chip, const void *buffer,
                        vmkit_error **ret_error)
{
    struct kvm_irqchip uapi = {.chip_id = chip};
    memcpy(&uapi.chip, buffer, sizeof uapi.chip);
    return vmk_kvm_vm_call(vm, KVM_SET_IRQCHIP, &uapi, "KVM_SET_IRQCHIP", ret_error);
}

int
vmk_kvm_x86_create_pit(struct vmk_kvm_vm *vm, vmkit_error **ret_error)
{
    struct kvm_pit_config config = {0};
    return vmk_kvm_vm_call(vm, KVM_CREATE_PIT2, &config, "KVM_CREATE_PIT2", ret_error);
}

int
vmk_kvm_x86_get_pit(struct vmk_kvm_vm *vm, void *buffer, vmkit_error **ret_error)
{
    struct kvm_pit_state2 uapi = {0};
    int result = vmk_kvm_vm_ioctl(vm, KVM_GET_PIT2, (uintptr_t)&uapi);
    if (result == -ENXIO)
        return 0;
    if (result < 0)
        return vmk_kvm_fail(ret_error, result, "KVM_GET_PIT2");
    memcpy(buffer, &uapi, sizeof uapi);
    return 1;
}

int
vmk_kvm_x86_set_pit(struct vmk_kvm_vm *vm, const void *buffer, vmkit_error **ret_error)
{
    struct kvm_pit_state2 uapi;
    memcpy(&uapi, buffer, sizeof uapi);
    return vmk_kvm_vm_call(vm, KVM_SET_PIT2, &uapi, "KVM_SET_PIT2", ret_error);
}
