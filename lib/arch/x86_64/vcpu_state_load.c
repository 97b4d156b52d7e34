/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's whole state, set in KVM (KVM API 4.12 to 4.57, 4.114): in one that is new, or again in
 * one that had it and has run since.
 *
 * The order matters. CPUID says what all others may hold. The base of the local controller (special
 * registers) comes before its registers, these before the TSC's deadline (MSRs), the TSC itself
 * before that. The general registers drop a pending exception, so the events come behind them; the
 * multiprocessor state is last, since a vCPU at its reset address is made runnable by the special
 * registers.
 *
 * What has run may be in a guest of its own, which it leaves first, and may have INIT and start-up
 * messages that wait, which asking for the multiprocessor state has KVM take. It may have
 * translations of page tables that are no longer what they were: a processor keeps them by the page
 * table's address, and KVM drops them when that changes, so it is changed forth and back.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUNNABLE 0
#define CR0_PG (UINT64_C(1) << 31)
#define CR4_PAE (UINT64_C(1) << 5)
#define CR3_PAGE UINT64_C(0x1000)
#define LEAF_ADDRESS_SIZE 0x80000008

/* struct kvm_nested_state, whose head says whether there is more (KVM API 4.114). */
#define NESTED_FORMAT_SVM 1
#define NESTED_FLAGS_IDLE_SVM 0x100 /* the guest's global interrupt flag, set as at reset */
#define NESTED_NOWHERE 0xff         /* each byte of the addresses of what is not there */

/* One that was read, and put as it is set. */
struct vmk_vcpu_state {
    struct vmk_x86_vcpu_state *parts;
    uint8_t *xsave; /* as long as the host has it */
    struct vmkit_x86_msr *msrs;
    uint32_t msr_count;
};

struct vmk_kvm_system *
vmk_x86_vcpu_get_system(const struct vmk_kvm_vcpu *vcpu)
{
    return vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(vcpu));
}

void
vmk_x86_vcpu_state_free(struct vmk_x86_vcpu_state *state)
{
    if (state == NULL)
        return;
    free(state->owned);
    free(state);
}

int
vmk_x86_vcpu_state_new(struct vmk_x86_vcpu_state **ret_state, vmkit_error **ret_error)
{
    *ret_state = calloc(1, sizeof **ret_state);
    if (*ret_state != NULL)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the state of a vCPU");
}

bool
vmk_x86_nested_is_idle(const uint8_t *bytes, uint32_t size)
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

typedef int
step_fn(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error);

static int
decode_checked(const struct vmk_kvm_system *system, const void *bytes, size_t size,
               struct vmk_x86_vcpu_state **ret_state, vmkit_error **ret_error)
{
    int result = vmk_x86_vcpu_state_new(ret_state, ret_error);
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
    vmk_x86_vcpu_state_free(state);
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
pad_xsave(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state, uint8_t **ret_buffer,
          vmkit_error **ret_error)
{
    size_t room = vmk_kvm_system_get_xsave_size(vmk_x86_vcpu_get_system(vcpu));
    *ret_buffer = calloc(1, room);
    if (*ret_buffer == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the extended state of a vCPU");
    memcpy(*ret_buffer, state->xsave, state->xsave_size < room ? state->xsave_size : room);
    return 0;
}

static int
set_xsave(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    uint8_t *buffer = NULL;
    int result = pad_xsave(vcpu, state, &buffer, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_set_xsave(vcpu, buffer, ret_error);
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
    struct vmkit_x86_msr msr = {.index = VMK_X86_MSR_TSC, .value = state->tsc};
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
    int result = decode_checked(vmk_x86_vcpu_get_system(vcpu), bytes, size, &state, ret_error);
    if (result == 0 && state->has_lapic != (controllers != VMK_ARCH_CONTROLLERS_NONE))
        result = vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                               state->has_lapic
                                   ? "the saved state of a vCPU has a local interrupt controller, "
                                     "and the VM has none"
                                   : "the saved state of a vCPU has no local interrupt controller, "
                                     "and the VM has one");
    if (result == 0)
        result = set_all(vcpu, state, clock, ret_error);
    vmk_x86_vcpu_state_free(state);
    return result;
}

void
vmk_vcpu_state_free(struct vmk_vcpu_state *state)
{
    if (state == NULL)
        return;
    vmk_x86_vcpu_state_free(state->parts);
    free(state->xsave);
    free(state->msrs);
    free(state);
}

int
vmk_vcpu_state_prepare(struct vmk_kvm_vcpu *vcpu, const void *bytes, size_t size,
                       struct vmk_vcpu_state **ret_state, vmkit_error **ret_error)
{
    struct vmk_vcpu_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the state of a vCPU");
    int result = vmk_x86_vcpu_state_new(&state->parts, ret_error);
    if (result == 0)
        result = vmk_x86_vcpu_state_decode(state->parts, bytes, size, ret_error);
    if (result == 0)
        result = pad_xsave(vcpu, state->parts, &state->xsave, ret_error);
    if (result == 0)
        result = vmk_x86_vcpu_state_sort_msrs(vcpu, state->parts, &state->msrs, &state->msr_count,
                                              ret_error);
    if (result < 0)
        vmk_vcpu_state_free(state);
    else
        *ret_state = state;
    return result;
}

static unsigned
get_address_bits(const struct vmk_x86_vcpu_state *state)
{
    unsigned bits = 52;
    for (uint32_t i = 0; i < state->leaf_count; i++) {
        if (state->leaves[i].leaf == LEAF_ADDRESS_SIZE && (state->leaves[i].eax & 0xff) < bits)
            bits = state->leaves[i].eax & 0xff;
    }
    return bits;
}

int
vmk_vcpu_state_add_tables(struct vmk_kvm_vcpu *vcpu, const struct vmk_vcpu_state *state,
                          struct vmk_arch_tables *tables, vmkit_error **ret_error)
{
    struct vmkit_x86_sregs now, then = state->parts->sregs;
    int result = vmk_kvm_x86_get_sregs(vcpu, &now, ret_error);
    if (result < 0)
        return result;
    unsigned bits = get_address_bits(state->parts);
    if (bits > tables->address_bits)
        tables->address_bits = bits;
    tables->narrow |= (now.cr0 & CR0_PG) != 0 && (now.cr4 & CR4_PAE) == 0;
    tables->narrow |= (then.cr0 & CR0_PG) != 0 && (then.cr4 & CR4_PAE) == 0;
    return 0;
}

/* Out of a guest's guest, with nothing of it left. */
static int
leave_nested(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    uint32_t size = vmk_kvm_x86_get_nested_size(vmk_x86_vcpu_get_system(vcpu));
    uint16_t format, flags = 0;
    if (size == 0)
        return 0;
    uint8_t *nested = calloc(1, size);
    if (nested == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the nested state of a vCPU");
    int result = vmk_kvm_x86_get_nested(vcpu, nested, &size, ret_error);
    if (result == 0 && !vmk_x86_nested_is_idle(nested, size)) {
        memcpy(&format, nested + 2, sizeof format);
        if (format == NESTED_FORMAT_SVM)
            flags = NESTED_FLAGS_IDLE_SVM;
        size = VMK_KVM_X86_NESTED_HEAD;
        memset(nested, 0, size);
        memcpy(nested, &flags, sizeof flags);
        memcpy(nested + 2, &format, sizeof format);
        memcpy(nested + 4, &size, sizeof size);
        if (format != NESTED_FORMAT_SVM)
            memset(nested + 8, NESTED_NOWHERE, 16);
        result = vmk_kvm_x86_set_nested(vcpu, nested, size, ret_error);
    }
    free(nested);
    return result;
}

static int
drop_translations(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                  vmkit_error **ret_error)
{
    struct vmkit_x86_sregs sregs = state->sregs;
    sregs.cr3 ^= CR3_PAGE;
    return (sregs.cr0 & CR0_PG) == 0
               ? 0
               : vmk_kvm_x86_set_sregs2(vcpu, &sregs, &state->pdptrs, ret_error);
}

/* What vmk_vcpu_state_load() leaves out, where a vCPU without a local controller is new. */
static int
reset_events(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, uint32_t mp_state,
             vmkit_error **ret_error)
{
    int result = set_events(vcpu, state, ret_error);
    if (result < 0 || state->has_lapic || mp_state == RUNNABLE || state->mp_state != RUNNABLE)
        return result;
    return vmk_kvm_x86_set_mp_state(vcpu, RUNNABLE, ret_error);
}

int
vmk_vcpu_state_reset(struct vmk_kvm_vcpu *vcpu, const struct vmk_vcpu_state *state,
                     struct vmk_vcpu_state_clock *clock, vmkit_error **ret_error)
{
    struct vmk_x86_vcpu_state *parts = state->parts;
    uint32_t mp_state;
    int result = vmk_kvm_x86_get_mp_state(vcpu, &mp_state, ret_error);
    if (result == 0)
        result = leave_nested(vcpu, ret_error);
    if (result == 0)
        result = drop_translations(vcpu, parts, ret_error);
    if (result == 0)
        result = set_registers(vcpu, parts, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_set_xsave(vcpu, state->xsave, ret_error);
    if (result == 0)
        result = set_controller(vcpu, parts, ret_error);
    if (result == 0)
        result = set_tsc(vcpu, parts, clock, ret_error);
    if (result == 0)
        result = vmk_x86_vcpu_state_put_msrs(vcpu, state->msrs, state->msr_count, ret_error);
    return result < 0 ? result : reset_events(vcpu, parts, mp_state, ret_error);
}
