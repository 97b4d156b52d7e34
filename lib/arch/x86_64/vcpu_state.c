/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's whole state, read from KVM and set again (KVM API 4.11 to 4.57, 4.114). The order
 * matters, in both directions.
 *
 * Reading: the multiprocessor state comes first, since asking for it has KVM take INIT and start-up
 * messages that wait; then the events, which may move the cause of an exception to CR2 and DR6.
 *
 * Setting: CPUID says what all others may hold. The base of the local controller (special
 * registers) comes before its registers, these before the TSC's deadline (MSRs), the TSC itself
 * before that. The general registers drop a pending exception, so the events come behind them; the
 * multiprocessor state is last, since a vCPU at its reset address is made runnable by the special
 * registers.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MSR_TSC 0x10
#define RUNNABLE 0

/* struct kvm_nested_state, whose head says whether there is more (KVM API 4.114). */
#define NESTED_FORMAT_SVM 1
#define NESTED_FLAGS_IDLE_SVM 0x100 /* the guest's global interrupt flag, set as at reset */

typedef int
step_fn(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error);

static struct vmk_kvm_system *
get_system(const struct vmk_kvm_vcpu *vcpu)
{
    return vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(vcpu));
}

static void
state_free(struct vmk_x86_vcpu_state *state)
{
    if (state == NULL)
        return;
    free(state->owned);
    free(state);
}

static int
state_new(struct vmk_x86_vcpu_state **ret_state, vmkit_error **ret_error)
{
    *ret_state = calloc(1, sizeof **ret_state);
    if (*ret_state != NULL)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the state of a vCPU");
}

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

static bool
nested_is_idle(const uint8_t *bytes, uint32_t size)
{
    uint16_t flags, format;
    uint64_t vmxon;
    memcpy(&flags, bytes, sizeof flags);
    memcpy(&format, bytes + 2, sizeof format);
    memcpy(&vmxon, bytes + 8, sizeof vmxon);
    if (size > VMK_KVM_X86_NESTED_HEAD)
        return false;
    return format == NESTED_FORMAT_SVM ? flags == NESTED_FLAGS_IDLE_SVM
                                       : flags == 0 && vmxon == UINT64_MAX;
}

/* What has no fixed size. */
static int
get_buffers(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    size_t xsave_size = vmk_kvm_system_get_xsave_size(get_system(vcpu));
    uint32_t nested_size = vmk_kvm_x86_get_nested_size(get_system(vcpu));
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
    if (result < 0 || nested_is_idle(nested, nested_size))
        return result;
    state->nested = nested;
    state->nested_size = nested_size;
    return 0;
}

static int
get_tsc(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    struct vmkit_x86_msr msr = {.index = MSR_TSC};
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
        vmk_x86_vcpu_state_note_host(get_system(vcpu), state);
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
    int result = state_new(&state, ret_error);
    for (size_t i = 0; result == 0 && i < sizeof steps / sizeof steps[0]; i++)
        result = steps[i](vcpu, state, ret_error);
    if (result == 0 && controllers != VMK_ARCH_CONTROLLERS_NONE) {
        state->has_lapic = true;
        result = vmk_kvm_x86_get_lapic(vcpu, state->lapic, ret_error);
    }
    if (result == 0)
        result = vmk_x86_vcpu_state_encode(state, bytes, ret_error);
    state_free(state);
    return result;
}

static int
decode_checked(const struct vmk_kvm_system *system, const void *bytes, size_t size,
               struct vmk_x86_vcpu_state **ret_state, vmkit_error **ret_error)
{
    int result = state_new(ret_state, ret_error);
    if (result == 0)
        result = vmk_x86_vcpu_state_decode(*ret_state, bytes, size, ret_error);
    if (result == 0)
        result = vmk_x86_vcpu_state_compare(system, *ret_state, false, ret_error);
    return result;
}

int
vmk_vcpu_state_check(const struct vmk_kvm_system *system, const void *bytes, size_t size,
                     vmkit_error **ret_error)
{
    struct vmk_x86_vcpu_state *state = NULL;
    int result = decode_checked(system, bytes, size, &state, ret_error);
    state_free(state);
    return result;
}

static int
set_cpuid(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    int result = vmk_kvm_x86_set_cpuid(vcpu, state->leaves, state->leaf_count, ret_error);
    return result < 0 ? result : vmk_x86_vcpu_state_compare_tsc(vcpu, state, ret_error);
}

static int
set_registers(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    int result = vmk_kvm_x86_set_sregs2(vcpu, &state->sregs, &state->pdptrs, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_set_regs(vcpu, &state->regs, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_set_xcrs(vcpu, state->xcrs, state->xcr_count, ret_error);
    return result;
}

/* The kernel reads as many bytes as it offers, whatever was saved. */
static int
set_xsave(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    size_t room = vmk_kvm_system_get_xsave_size(get_system(vcpu));
    uint8_t *buffer = calloc(1, room);
    if (buffer == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the extended state of a vCPU");
    memcpy(buffer, state->xsave, state->xsave_size < room ? state->xsave_size : room);
    int result = vmk_kvm_x86_set_xsave(vcpu, buffer, ret_error);
    free(buffer);
    return result;
}

static int
set_controller(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    int result = vmk_kvm_x86_set_debug_regs(vcpu, &state->debug, ret_error);
    if (result == 0 && state->has_lapic)
        result = vmk_kvm_x86_set_lapic(vcpu, state->lapic, ret_error);
    return result;
}

static int
set_events(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    int result = 0;
    if (state->nested_size > 0)
        result =
            vmk_kvm_x86_set_nested(vcpu, state->nested, (uint32_t)state->nested_size, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_set_events(vcpu, &state->events, ret_error);
    /* Without a local controller there is only the one, and setting it is refused by some hosts. */
    if (result == 0 && (state->has_lapic || state->mp_state != RUNNABLE))
        result = vmk_kvm_x86_set_mp_state(vcpu, state->mp_state, ret_error);
    return result;
}

/* Where the kernel tells the offset, the first vCPU goes on from the value that it had, whatever
 * the kernel makes of counters that are set shortly one after the other, and the further ones keep
 * their distance to it. */
static int
set_tsc(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
        struct vmk_vcpu_state_clock *clock, vmkit_error **ret_error)
{
    struct vmkit_x86_msr msr = {.index = MSR_TSC, .value = state->tsc};
    uint64_t offset;
    int result = vmk_kvm_x86_get_tsc_offset(vcpu, &offset, ret_error);
    if (result < 0)
        return result;
    if (result == 0 || !state->has_tsc_offset)
        return vmk_kvm_x86_set_msrs(vcpu, &msr, 1, ret_error);
    if (!clock->known) {
        result = vmk_kvm_x86_get_msrs(vcpu, &msr, 1, ret_error);
        if (result < 0)
            return result;
        clock->known = true;
        clock->saved = state->tsc_offset;
        clock->loaded = offset + (state->tsc - msr.value);
    }
    return vmk_kvm_x86_set_tsc_offset(vcpu, clock->loaded + (state->tsc_offset - clock->saved),
                                      ret_error);
}

static int
set_all(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state,
        struct vmk_vcpu_state_clock *clock, vmkit_error **ret_error)
{
    static step_fn *const before[] = {set_cpuid, set_registers, set_xsave, set_controller};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof before / sizeof before[0]; i++)
        result = before[i](vcpu, state, ret_error);
    if (result == 0)
        result = set_tsc(vcpu, state, clock, ret_error);
    if (result == 0)
        result = vmk_x86_vcpu_state_set_msrs(vcpu, state, ret_error);
    return result < 0 ? result : set_events(vcpu, state, ret_error);
}

int
vmk_vcpu_state_load(struct vmk_kvm_vcpu *vcpu, enum vmk_arch_controllers controllers,
                    const void *bytes, size_t size, struct vmk_vcpu_state_clock *clock,
                    vmkit_error **ret_error)
{
    struct vmk_x86_vcpu_state *state = NULL;
    int result = decode_checked(get_system(vcpu), bytes, size, &state, ret_error);
    if (result == 0 && state->has_lapic != (controllers != VMK_ARCH_CONTROLLERS_NONE))
        result = vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                               state->has_lapic
                                   ? "the saved state of a vCPU has a local interrupt controller, "
                                     "and the VM has none"
                                   : "the saved state of a vCPU has no local interrupt controller, "
                                     "and the VM has one");
    if (result == 0)
        result = set_all(vcpu, state, clock, ret_error);
    state_free(state);
    return result;
}
