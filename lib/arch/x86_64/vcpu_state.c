/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's whole state, read from KVM (KVM API 4.11 to 4.57, 4.114). The order matters: the
 * multiprocessor state comes first, since asking for it has KVM take INIT and start-up messages
 * that wait; then the events, which may move the cause of an exception to CR2 and DR6.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef int
step_fn(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error);

static int
get_mp_state(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    return vmk_kvm_x86_get_mp_state(vcpu, &state->mp_state, ret_error);
}

static int
get_events(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    return vmk_kvm_x86_get_events(vcpu, &state->events, ret_error);
}

static int
get_registers(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    int result = vmk_kvm_x86_get_regs(vcpu, &state->regs, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_get_sregs2(vcpu, &state->sregs, &state->pdptrs, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_get_debug_regs(vcpu, &state->debug, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_get_xcrs(vcpu, state->xcrs, &state->xcr_count, ret_error);
    return result;
}

/* What has no fixed size. */
static int
get_buffers(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    size_t xsave_size = vmk_kvm_system_get_xsave_size(vmk_x86_vcpu_get_system(vcpu));
    uint32_t nested_size = vmk_kvm_x86_get_nested_size(vmk_x86_vcpu_get_system(vcpu));
    state->owned = calloc(1, xsave_size + nested_size);
    if (state->owned == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the extended state of a vCPU");
    state->xsave = state->owned;
    state->xsave_size = xsave_size;
    int result = vmk_kvm_x86_get_xsave(vcpu, state->owned, ret_error);
    if (result < 0 || nested_size == 0)
        return result;

    uint8_t *nested = state->owned + xsave_size;
    result = vmk_kvm_x86_get_nested(vcpu, nested, &nested_size, ret_error);
    if (result < 0 || vmk_x86_nested_is_idle(nested, nested_size))
        return result;
    state->nested = nested;
    state->nested_size = nested_size;
    return 0;
}

static int
get_tsc(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    struct vmkit_x86_msr msr = {.index = VMK_X86_MSR_TSC};
    int result = vmk_kvm_x86_get_tsc_khz(vcpu, &state->tsc_khz, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_get_msrs(vcpu, &msr, 1, ret_error);
    if (result < 0)
        return result;
    state->tsc = msr.value;
    result = vmk_kvm_x86_get_tsc_offset(vcpu, &state->tsc_offset, ret_error);
    state->has_tsc_offset = result == 1;
    return result < 0 ? result : 0;
}

static int
get_cpuid(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    int result = vmk_kvm_x86_get_cpuid(vcpu, state->leaves, &state->leaf_count, ret_error);
    if (result == 0)
        vmk_x86_vcpu_state_note_host(vmk_x86_vcpu_get_system(vcpu), state);
    return result;
}

int
vmk_vcpu_state_save(struct vmk_kvm_vcpu *vcpu, enum vmk_arch_controllers controllers,
                    struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    static step_fn *const steps[] = {
        get_mp_state,
        get_events,
        get_registers,
        get_buffers,
        get_cpuid,
        get_tsc,
        vmk_x86_vcpu_state_get_msrs,
    };
    struct vmk_x86_vcpu_state *state = NULL;
    int result = vmk_x86_vcpu_state_new(&state, ret_error);
    for (size_t i = 0; result == 0 && i < sizeof steps / sizeof steps[0]; i++)
        result = steps[i](vcpu, state, ret_error);
    if (result == 0 && controllers != VMK_ARCH_CONTROLLERS_NONE) {
        state->has_lapic = true;
        result = vmk_kvm_x86_get_lapic(vcpu, state->lapic, ret_error);
    }
    if (result == 0)
        result = vmk_x86_vcpu_state_encode(state, bytes, ret_error);
    vmk_x86_vcpu_state_free(state);
    return result;
}
