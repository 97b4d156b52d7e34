/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a user-mode vCPU as bytes, and a vCPU of another host that goes on from them.
 *
 * The bytes are the parts of a whole vCPU's saved state (doc/processor-state.md) that user mode has
 * to do with. All else is the library's own and made anew, on the host that restores: control
 * registers, descriptor tables, the supervisor's pages, the MSRs of SYSCALL. So a stranger's bytes
 * have no say in what the vCPU does outside of user mode. Whether SYSCALL enters CPL 0 is a matter
 * of the host, too, and found out again.
 *
 * The program was told of the processor by CPUID, and acts on it without asking again. So the host
 * has to offer all that the one before offered user mode, the layout of the extended state
 * included.
 */
#include "usermode_private.h"

#include "kvm/x86_64.h"
#include "util/error.h"
#include "vcpu_state_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SELECTOR_INDEX 0xfffc /* with the table, without the level */
#define SELECTOR_LEVEL 3
#define USER_BITS 47 /* of an address, the signs of which fill the rest */
#define XSAVE_HEADER_SIZE 64
#define MXCSR_BITS 0xffffu

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the state of a user-mode vCPU");
}

/* The state as it is described by parts: `xsave` is lent. */
static void
describe(const struct vmk_usermode_state *state, struct vmk_x86_vcpu_state *parts)
{
    const struct vmkit_x86_cpuid *leaves =
        vmk_kvm_x86_get_supported_cpuid(state->system, &parts->leaf_count);
    memcpy(parts->leaves, leaves, parts->leaf_count * sizeof *leaves);
    vmk_x86_vcpu_state_note_host(state->system, parts);
    parts->regs = state->regs;
    parts->sregs = state->sregs;
    parts->xcr_count = 1;
    parts->xcrs[0] = (struct vmk_kvm_x86_xcr){.index = 0, .value = state->xcr0};
    parts->xsave = state->xsave;
    parts->xsave_size = state->xstate_size;
}

int
vmk_usermode_state_encode(const struct vmk_usermode_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error)
{
    if (state->foreign != NULL)
        return vmk_x86_user_state_encode(state->foreign, bytes, ret_error);
    struct vmk_x86_vcpu_state *parts = calloc(1, sizeof *parts);
    if (parts == NULL)
        return no_memory(ret_error);
    describe(state, parts);
    int r = vmk_x86_user_state_encode(parts, bytes, ret_error);
    free(parts);
    return r;
}

static bool
is_canonical(uint64_t address)
{
    uint64_t signs = address >> USER_BITS;
    return signs == 0 || signs == UINT64_MAX >> USER_BITS;
}

static int
bad(const char *what, uint64_t value, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         "the saved state of a user-mode vCPU has %s of 0x%llx", what,
                         (unsigned long long)value);
}

/* What holds on every host. The xsave area is copied out of the bytes. */
static int
check(struct vmk_x86_vcpu_state *parts, vmkit_error **ret_error)
{
    uint64_t xcr0 = parts->xcr_count == 1 && parts->xcrs[0].index == 0 ? parts->xcrs[0].value : 0;
    if ((xcr0 & XCR0_LEGACY) != XCR0_LEGACY || (xcr0 & XCR0_TILES) != 0)
        return bad("an XCR0", xcr0, ret_error);
    if (!is_canonical(parts->sregs.fs.base))
        return bad("an FS base", parts->sregs.fs.base, ret_error);
    if (!is_canonical(parts->sregs.gs.base))
        return bad("a GS base", parts->sregs.gs.base, ret_error);
    parts->owned = malloc(parts->xsave_size);
    if (parts->owned == NULL)
        return no_memory(ret_error);
    memcpy(parts->owned, parts->xsave, parts->xsave_size);
    parts->xsave = parts->owned;
    return 0;
}

int
vmk_usermode_state_decode(const void *bytes, size_t size, struct vmk_usermode_state **ret_state,
                          vmkit_error **ret_error)
{
    struct vmk_usermode_state *state = calloc(1, sizeof *state);
    struct vmk_x86_vcpu_state *parts = calloc(1, sizeof *parts);
    if (state == NULL || parts == NULL) {
        free(state);
        free(parts);
        return no_memory(ret_error);
    }
    state->foreign = parts;
    int r = vmk_x86_user_state_decode(parts, bytes, size, ret_error);
    if (r == 0)
        r = check(parts, ret_error);
    if (r < 0) {
        vmk_usermode_state_free(state);
        return r;
    }
    state->regs = parts->regs;
    state->started = true;
    *ret_state = state;
    return 0;
}

int
vmk_usermode_state_lay_out(struct vmk_usermode_state *state, struct vmk_paging *paging)
{
    uint64_t gpa[SUPERVISOR_PAGES];
    int r = vmk_usermode_lay_out(paging, gpa);
    if (r < 0)
        return r;
    state->stub_gpa = gpa[0];
    state->tables_gpa = gpa[1];
    state->stack_gpa = gpa[2];
    return 0;
}

uint64_t
vmk_usermode_state_get_pc(const struct vmk_usermode_state *state)
{
    return state->regs.rip;
}

/* What the processor has once it loaded the selector from the library's own descriptor table; none
 * for a selector that user mode cannot load. */
static struct vmkit_x86_segment
segment_of(const struct vmkit_x86_sregs *sregs, uint16_t selector, uint64_t base)
{
    struct vmkit_x86_segment segment = {.unusable = 1};
    switch (selector & SELECTOR_INDEX) {
    case SELECTOR_USER_DATA &SELECTOR_INDEX:
        segment = sregs->ss;
        segment.selector = selector;
        break;
    case SELECTOR_USER_CODE &SELECTOR_INDEX:
        segment = sregs->cs;
        segment.selector = selector;
        break;
    case 0:
        segment.selector = selector & SELECTOR_LEVEL;
        break;
    default:
        break;
    }
    segment.base = base;
    return segment;
}

static int
adapt_sregs(const struct vmk_usermode *usermode, uint64_t root, struct vmk_usermode_state *state,
            const struct vmkit_x86_sregs *from, vmkit_error **ret_error)
{
    struct vmkit_x86_sregs *sregs = &state->sregs;
    sregs->size = sizeof *sregs;
    int r = vmk_kvm_x86_get_sregs(usermode->vcpu, sregs, ret_error);
    if (r < 0)
        return r;
    vmk_usermode_fill_sregs(usermode, root, sregs);
    sregs->ds = segment_of(sregs, from->ds.selector, 0);
    sregs->es = segment_of(sregs, from->es.selector, 0);
    sregs->fs = segment_of(sregs, from->fs.selector, from->fs.base);
    sregs->gs = segment_of(sregs, from->gs.selector, from->gs.base);
    return 0;
}

/* What XRSTOR would refuse goes, as with a signal frame that the guest wrote: unknown components, a
 * compacted layout, reserved bits of MXCSR. */
static void
adapt_xsave(struct vmk_usermode_state *state, const struct vmk_x86_vcpu_state *from)
{
    uint64_t header[XSAVE_HEADER_SIZE / sizeof(uint64_t)] = {0};
    uint32_t mxcsr;
    size_t size = from->xsave_size < state->xstate_size ? from->xsave_size : state->xstate_size;
    memcpy(state->xsave, from->xsave, size);
    memcpy(header, state->xsave + XSAVE_HEADER, sizeof header[0]);
    header[0] &= state->xcr0;
    memcpy(state->xsave + XSAVE_HEADER, header, sizeof header);
    memcpy(&mxcsr, state->xsave + XSAVE_MXCSR, sizeof mxcsr);
    mxcsr &= MXCSR_BITS;
    memcpy(state->xsave + XSAVE_MXCSR, &mxcsr, sizeof mxcsr);
}

int
vmk_usermode_adapt(const struct vmk_usermode *usermode, const struct vmk_usermode_state *state,
                   uint64_t root, struct vmk_usermode_state **ret_state, vmkit_error **ret_error)
{
    const struct vmk_x86_vcpu_state *from = state->foreign;
    struct vmk_kvm_system *system = vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(usermode->vcpu));
    int r = vmk_x86_vcpu_state_compare(system, from, true, ret_error);
    if (r < 0)
        return r;
    struct vmk_usermode sized = *usermode;
    sized.xcr0 = from->xcrs[0].value;
    sized.xstate_size = vmk_usermode_find_xstate_size(&sized);
    struct vmk_usermode_state *adapted =
        calloc(1, sizeof *adapted + vmk_usermode_get_xsave_room(&sized));
    if (adapted == NULL)
        return no_memory(ret_error);
    adapted->regs = from->regs;
    adapted->regs.rflags = (from->regs.rflags & RFLAGS_USER) | RFLAGS_FIXED;
    adapted->stub_gpa = state->stub_gpa;
    adapted->tables_gpa = state->tables_gpa;
    adapted->stack_gpa = state->stack_gpa;
    adapted->started = state->started;
    adapted->xcr0 = sized.xcr0;
    adapted->xstate_size = sized.xstate_size;
    vmk_usermode_find_hwcaps(usermode, &adapted->hwcap, &adapted->hwcap2);
    adapt_xsave(adapted, from);
    r = adapt_sregs(usermode, root, adapted, &from->sregs, ret_error);
    if (r < 0)
        vmk_usermode_state_free(adapted);
    else
        *ret_state = adapted;
    return r;
}
