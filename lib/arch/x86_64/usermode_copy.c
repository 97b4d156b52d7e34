/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a user-mode vCPU that stands still, and vCPUs that begin with it or go back to it.
 *
 * User mode can change the general registers, the segment registers and the bases of FS and GS, and
 * the extended state; nothing else. The first two go in with the next KVM_RUN, through the pages
 * that are shared with it, and need no call of their own. The special registers also put the vCPU
 * back into user mode, wherever it stood. What a vCPU may have on its way when it is stopped
 * between two points of its own (an exception, a debug trap, a reset) is cleared by further calls.
 */
#include "usermode_private.h"

#include "kvm/x86_64.h"
#include "util/error.h"
#include "vcpu_state_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t
vmk_usermode_get_xsave_room(const struct vmk_usermode *usermode)
{
    size_t size =
        vmk_kvm_system_get_xsave_size(vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(usermode->vcpu)));
    return size > usermode->xstate_size ? size : usermode->xstate_size;
}

static int
read_vcpu(struct vmk_usermode *usermode, struct vmk_usermode_state *state, vmkit_error **ret_error)
{
    struct vmk_kvm_vcpu *vcpu = usermode->vcpu;
    struct vmkit_x86_msr bases[] = {{.index = MSR_FS_BASE}, {.index = MSR_GS_BASE}};
    int r = vmk_kvm_vcpu_flush_sregs(vcpu, ret_error);
    if (r == 0)
        r = vmk_kvm_x86_get_sregs(vcpu, &state->sregs, ret_error);
    if (r == 0)
        r = vmk_kvm_x86_get_msrs(vcpu, bases, 2, ret_error);
    if (r == 0)
        r = vmk_kvm_x86_get_xsave(vcpu, state->xsave, ret_error);
    if (r < 0)
        return r;
    vmk_usermode_fill_sregs(usermode, usermode->paging->root, &state->sregs);
    state->sregs.fs.base = bases[0].value;
    state->sregs.gs.base = bases[1].value;
    state->sregs.cr2 = 0;
    memset(state->sregs.interrupt_bitmap, 0, sizeof state->sregs.interrupt_bitmap);
    return 0;
}

/* Of the places that user mode can read and the host writes, the one that changes with every entry.
 */
static void
clear_frame(struct vmk_usermode *usermode)
{
    memset(usermode->memory + usermode->stub_gpa + STUB_FRAME, 0, sizeof(struct exception_frame));
}

int
vmk_usermode_save(struct vmk_usermode *usermode, struct vmk_usermode_state **ret_state,
                  vmkit_error **ret_error)
{
    struct vmk_usermode_state *state =
        calloc(1, sizeof *state + vmk_usermode_get_xsave_room(usermode));
    if (state == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    int r = read_vcpu(usermode, state, ret_error);
    if (r < 0) {
        free(state);
        return r;
    }
    state->regs = *usermode->regs;
    state->regs.rflags = (state->regs.rflags & RFLAGS_USER) | RFLAGS_FIXED;
    state->stub_gpa = usermode->stub_gpa;
    state->tables_gpa = usermode->tables_gpa;
    state->stack_gpa = usermode->stack_gpa;
    state->level_asked = usermode->level_asked;
    state->syscall_at_kernel = usermode->syscall_at_kernel;
    state->started = usermode->started;
    state->hwcap = usermode->hwcap;
    state->hwcap2 = usermode->hwcap2;
    state->xcr0 = usermode->xcr0;
    state->xstate_size = usermode->xstate_size;
    state->system = vmk_kvm_system_ref(vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(usermode->vcpu)));
    clear_frame(usermode);
    *ret_state = state;
    return 0;
}

void
vmk_usermode_state_free(struct vmk_usermode_state *state)
{
    if (state == NULL)
        return;
    vmk_kvm_system_unref(state->system);
    if (state->foreign != NULL)
        free(state->foreign->owned);
    free(state->foreign);
    free(state);
}

/* What user mode can have changed. */
static int
set_user_state(struct vmk_usermode *usermode, const struct vmk_usermode_state *state,
               vmkit_error **ret_error)
{
    int r = vmk_kvm_x86_set_xsave(usermode->vcpu, state->xsave, ret_error);
    if (r == 0)
        r = vmk_kvm_vcpu_set_sregs_at_entry(usermode->vcpu, &state->sregs, ret_error);
    if (r < 0)
        return r;
    *usermode->regs = state->regs;
    vmk_kvm_vcpu_mark_regs_dirty(usermode->vcpu);
    usermode->position = AT_USER;
    usermode->started = state->started;
    usermode->settled = true;
    return 0;
}

int
vmk_usermode_new_copy(struct vmk_kvm_vcpu *vcpu, struct vmk_paging *paging,
                      const struct vmk_usermode_state *state, struct vmk_usermode **ret_usermode,
                      vmkit_error **ret_error)
{
    struct vmk_usermode *usermode = calloc(1, sizeof *usermode);
    struct vmk_usermode_state *adapted = NULL;
    if (usermode == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    usermode->vcpu = vcpu;
    if (state->foreign != NULL) {
        int r = vmk_usermode_adapt(usermode, state, paging->root, &adapted, ret_error);
        if (r < 0) {
            free(usermode);
            return r;
        }
        state = adapted;
    }
    *usermode = (struct vmk_usermode){
        .vcpu = vcpu,
        .adapted = adapted,
        .regs = vmk_kvm_vcpu_get_sync_regs(vcpu),
        .paging = paging,
        .memory = paging->memory,
        .stub_gpa = state->stub_gpa,
        .tables_gpa = state->tables_gpa,
        .stack_gpa = state->stack_gpa,
        .level_asked = state->level_asked,
        .syscall_at_kernel = state->syscall_at_kernel,
        .hwcap = state->hwcap,
        .hwcap2 = state->hwcap2,
        .xcr0 = state->xcr0,
        .xstate_size = state->xstate_size,
    };
    int r = vmk_usermode_set_up_system(usermode, ret_error);
    if (r == 0)
        r = vmk_kvm_vcpu_use_sync_regs(vcpu, true, false, ret_error);
    if (r == 0)
        r = set_user_state(usermode, state, ret_error);
    if (r < 0) {
        vmk_usermode_free(usermode);
        return r;
    }
    *ret_usermode = usermode;
    return 0;
}

bool
vmk_usermode_is_settled(const struct vmk_usermode *usermode)
{
    return usermode->settled;
}

void
vmk_usermode_cut_short(struct vmk_usermode *usermode)
{
    usermode->regs->rcx = 0;
    vmk_kvm_vcpu_mark_regs_dirty(usermode->vcpu);
}

/* What a vCPU may have on its way, and what its reset, after a fault in the midst of a fault, takes
 * away. */
static int
clear_transients(struct vmk_usermode *usermode, vmkit_error **ret_error)
{
    struct vmk_kvm_vcpu *vcpu = usermode->vcpu;
    const struct vmk_kvm_system *system = vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(vcpu));
    const struct vmkit_x86_debug_regs debug = {
        .size = sizeof debug, .dr6 = DR6_VALUE, .dr7 = DR7_VALUE};
    struct vmkit_x86_events events = {.size = sizeof events};
    int r = 0;
    if (vmk_kvm_system_has(system, VMKIT_CAPABILITY_MP_STATE))
        r = vmk_kvm_x86_set_mp_state(vcpu, MP_STATE_RUNNABLE, ret_error);
    if (r == 0 && vmk_kvm_system_has(system, VMKIT_CAPABILITY_VCPU_EVENTS))
        r = vmk_kvm_x86_set_events(vcpu, &events, ret_error);
    if (r == 0 && vmk_kvm_system_has(system, VMKIT_CAPABILITY_DEBUG_REGISTERS))
        r = vmk_kvm_x86_set_debug_regs(vcpu, &debug, ret_error);
    return r < 0 ? r : vmk_usermode_set_up_system(usermode, ret_error);
}

int
vmk_usermode_restore(struct vmk_usermode *usermode, const struct vmk_usermode_state *state,
                     vmkit_error **ret_error)
{
    if (usermode->adapted != NULL)
        state = usermode->adapted;
    int r = usermode->settled ? 0 : clear_transients(usermode, ret_error);
    if (r == 0)
        r = set_user_state(usermode, state, ret_error);
    if (r == 0)
        clear_frame(usermode);
    return r;
}
