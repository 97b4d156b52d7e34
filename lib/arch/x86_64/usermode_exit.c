/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways out of and into a user-mode vCPU: what an exit means, and where the guest goes on. See
 * usermode.c for the stubs.
 */
#include "usermode_private.h"

#include "kvm/x86_64.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <string.h>

/* On the supervisor's stack, the error code only with some exceptions. */
struct pushed {
    uint64_t error;
    struct exception_frame frame;
};

static bool
pushes_error(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 ||
           vector == 29 || vector == 30;
}

/* Whether SYSCALL enters supervisor mode, asked of KVM at the first one. If so, the port is closed
 * to user mode: what it can say from then on is certain. */
static int
learn_level(struct vmk_usermode *usermode)
{
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    int r = vmk_kvm_x86_get_sregs(usermode->vcpu, &sregs, NULL);
    if (r < 0)
        return r;
    usermode->level_asked = true;
    if ((sregs.cs.selector & 3) != 0)
        return 0;
    usermode->syscall_at_kernel = true;

    /* On such a host, and there alone, INT3 finds its way through a gate of its own level. */
    uint8_t *tables = usermode->memory + usermode->tables_gpa;
    tables[TSS_OFFSET + TSS_BITMAP + PORT_SYSCALL / 8] = 0xff;
    tables[IDT_OFFSET + VECTOR_BREAKPOINT * GATE_SIZE + GATE_ACCESS] |= GATE_LEVEL_3;
    return 0;
}

/* Turn the registers from where SYSCALL left them to the user's own. */
static void
leave_syscall_stub(struct vmk_usermode *usermode)
{
    struct vmk_user_regs *regs = usermode->regs;
    usermode->position = usermode->syscall_at_kernel ? AT_SYSCALL_KERNEL : AT_STUB;
    usermode->stub_rip = regs->rip;
    usermode->stub_rflags = regs->rflags;
    regs->rip = regs->rcx;
    regs->rflags = (regs->r11 & RFLAGS_USER) | RFLAGS_FIXED;
}

static enum vmk_usermode_event
take_syscall(struct vmk_usermode *usermode)
{
    if (!usermode->level_asked && learn_level(usermode) < 0)
        return VMK_USERMODE_BROKEN;
    leave_syscall_stub(usermode);
    usermode->settled = true;
    if (usermode->regs->rip == STUB_VA + STUB_RETURN_END) {
        usermode->regs->rax = usermode->regs->rdi;
        return VMK_USERMODE_RETURN;
    }
    return VMK_USERMODE_SYSCALL;
}

static void
classify_page_fault(struct vmk_usermode_fault *fault, uint64_t address)
{
    fault->is_page_fault = true;
    fault->was_present = fault->error & 1;
    fault->access = fault->error & 16  ? VMK_PAGE_EXECUTE
                    : fault->error & 2 ? VMK_PAGE_WRITE
                                       : VMK_PAGE_READ;
    fault->signal = SIGSEGV;
    fault->code = fault->was_present ? SEGV_ACCERR : SEGV_MAPERR;
    fault->address = address;
}

/* INT n through a gate that user mode may not use is a general protection fault that names the
 * gate: INT3, and INT 3, are told by that. */
static bool
is_breakpoint(const struct vmk_usermode_fault *fault)
{
    return fault->trap == 13 && fault->error == (3 << 3 | 2);
}

/* The bytes of the breakpoint at `rip`: INT3 is one and INT 3 are two, behind any prefixes. The
 * program just ran it, so that its pages are there. */
static unsigned
breakpoint_size(const struct vmk_usermode *usermode, uint64_t rip)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3};
    for (unsigned i = 0; i < INSTRUCTION_MAX; i++) {
        struct vmk_leaf leaf = vmk_paging_find(usermode->paging, rip + i);
        if (!leaf.used)
            break;
        uint8_t byte = usermode->memory[leaf.gpa + ((rip + i) & (leaf.size - 1))];
        if (byte == 0xcc || byte == 0xcd)
            return i + (byte == 0xcc ? 1 : 2);
        bool is_rex = (byte & 0xf0) == 0x40;
        if (!is_rex && memchr(prefixes, byte, sizeof prefixes) == NULL)
            break;
    }
    return 1;
}

/* Which of the six floating-point exceptions it was, from the flags and the masks: Linux's order.
 */
static int
floating_point_code(unsigned raised)
{
    if (raised & 1)
        return FPE_FLTINV;
    if (raised & 4)
        return FPE_FLTDIV;
    if (raised & 8)
        return FPE_FLTOVF;
    if (raised & 0x12)
        return FPE_FLTUND;
    return raised & 0x20 ? FPE_FLTRES : 0;
}

/* KVM_GET_FPU leaves MXCSR out; the extended state has it (Intel SDM vol. 1, 13.4.1). 0 without. */
static unsigned
get_mxcsr(struct vmk_usermode *usermode)
{
    size_t size = vmk_usermode_get_xstate_size(usermode);
    g_autofree uint8_t *state = g_try_malloc(size);
    uint32_t mxcsr = 0;
    if (state != NULL && vmk_usermode_get_xstate(usermode, state, size) == 0)
        memcpy(&mxcsr, state + XSAVE_MXCSR, sizeof mxcsr);
    return mxcsr;
}

static void
classify_floating_point(struct vmk_usermode *usermode, struct vmk_usermode_fault *fault)
{
    struct vmkit_x86_fpu fpu = {.size = sizeof fpu};
    fault->signal = SIGFPE;
    fault->address = usermode->regs->rip;
    if (fault->trap == 19) {
        unsigned mxcsr = get_mxcsr(usermode);
        fault->code = floating_point_code(~(mxcsr >> 7) & mxcsr & 0x3f);
    } else if (vmk_kvm_x86_get_fpu(usermode->vcpu, &fpu, NULL) == 0) {
        fault->code = floating_point_code(fpu.fsw & ~(unsigned)fpu.fcw & 0x3f);
    }
}

/* What Linux makes of each exception (arch/x86/kernel/traps.c). */
static void
classify(struct vmk_usermode *usermode, struct vmk_usermode_fault *fault, uint64_t cr2)
{
    uint64_t rip = usermode->regs->rip;
    fault->signal = SIGSEGV;
    fault->code = SI_KERNEL;
    switch (fault->trap) {
    case 0:
        fault->signal = SIGFPE;
        fault->code = FPE_INTDIV;
        fault->address = rip;
        break;
    case 1:
        fault->signal = SIGTRAP;
        fault->code = TRAP_TRACE;
        fault->address = rip;
        break;
    case 3:
        fault->signal = SIGTRAP;
        break;
    case 6:
        fault->signal = SIGILL;
        fault->code = ILL_ILLOPN;
        fault->address = rip;
        break;
    case 12:
        fault->signal = SIGBUS;
        break;
    case 13:
        if (is_breakpoint(fault)) {
            fault->signal = SIGTRAP;
            fault->trap = 3;
            fault->error = 0;
            usermode->regs->rip += breakpoint_size(usermode, rip);
        }
        break;
    case 14:
        classify_page_fault(fault, cr2);
        break;
    case 16:
    case 19:
        classify_floating_point(usermode, fault);
        break;
    case 17:
        fault->signal = SIGBUS;
        fault->code = BUS_ADRALN;
        break;
    }
}

/* What an exception pushed. False when the stack pointer is not where it would be, or the frame not
 * user mode's. */
static bool
read_pushed(const struct vmk_usermode *usermode, unsigned vector, struct pushed *pushed)
{
    uint64_t at = usermode->regs->rsp - STACK_VA;
    size_t lead = pushes_error(vector) ? 0 : sizeof pushed->error;
    *pushed = (struct pushed){0};
    if (at > VMK_PAGE_SIZE - (sizeof *pushed - lead))
        return false;
    memcpy((uint8_t *)pushed + lead, usermode->memory + usermode->stack_gpa + at,
           sizeof *pushed - lead);
    return (pushed->frame.cs & 3) == 3;
}

static void
leave_exception_stub(struct vmk_usermode *usermode, const struct exception_frame *frame)
{
    struct vmk_user_regs *regs = usermode->regs;
    usermode->position = AT_STUB;
    regs->rip = frame->rip;
    regs->rsp = frame->rsp;
    regs->rflags = (frame->rflags & RFLAGS_USER) | RFLAGS_FIXED;
}

static enum vmk_usermode_event
take_exception(struct vmk_usermode *usermode, unsigned vector, struct vmk_usermode_fault *fault)
{
    struct pushed pushed;
    if (!read_pushed(usermode, vector, &pushed))
        return VMK_USERMODE_BROKEN;

    uint64_t cr2 = 0;
    if (vector == 14) {
        struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
        if (vmk_kvm_x86_get_sregs(usermode->vcpu, &sregs, NULL) < 0)
            return VMK_USERMODE_BROKEN;
        cr2 = sregs.cr2;
    }
    leave_exception_stub(usermode, &pushed.frame);
    usermode->settled = true;
    *fault = (struct vmk_usermode_fault){.trap = vector, .error = pushed.error};
    classify(usermode, fault, cr2);
    return VMK_USERMODE_FAULT;
}

enum vmk_usermode_event
vmk_usermode_take(struct vmk_usermode *usermode, struct vmk_usermode_fault *fault)
{
    struct vmk_kvm_exit exit;
    vmk_kvm_vcpu_get_exit(usermode->vcpu, &exit);
    uint64_t within = usermode->regs->rip - STUB_VA;
    if (exit.reason == VMK_KVM_EXIT_PIO && exit.pio.is_write && exit.pio.count == 1) {
        /* KVM moves RIP behind the OUT at once, or when the vCPU is entered again. */
        if (exit.pio.port == PORT_SYSCALL &&
            (within == STUB_SYSCALL || within == STUB_SYSCALL + OUT_SIZE))
            return take_syscall(usermode);
        if (exit.pio.port >= PORT_EXCEPTION && exit.pio.port < PORT_EXCEPTION + VECTORS &&
            within < STUB_SYSCALL)
            return take_exception(usermode, exit.pio.port - PORT_EXCEPTION, fault);
    }
    if (exit.reason == VMK_KVM_EXIT_PIO && exit.pio.port == PORT_SYSCALL) {
        /* The program used the port itself; nothing lies behind it but the stub. */
        usermode->position = AT_USER;
        *fault = (struct vmk_usermode_fault){
            .is_unfinished = true, .signal = SIGSEGV, .code = SI_KERNEL, .trap = 13};
        return VMK_USERMODE_FAULT;
    }
    if (exit.reason == VMK_KVM_EXIT_INTERNAL_ERROR && usermode->regs->rip < USER_LIMIT) {
        /* An instruction of the program that KVM has to emulate, and cannot. */
        usermode->position = AT_USER;
        *fault = (struct vmk_usermode_fault){
            .signal = SIGILL, .code = ILL_ILLOPN, .trap = 6, .address = usermode->regs->rip};
        return VMK_USERMODE_FAULT;
    }
    return VMK_USERMODE_BROKEN;
}

/* Whether the stub at `rip` is one that runs as the program's own code. */
static bool
is_user_stub(uint64_t rip)
{
    return rip - (STUB_VA + STUB_RETURN) < STUB_USER_END - STUB_RETURN;
}

/* Whether KVM has an exception for the guest that it has not delivered yet. It belongs to the
 * instruction where the guest stands, and would come to whatever else was put there. */
static bool
is_event_on_its_way(struct vmk_usermode *usermode)
{
    const struct vmk_kvm_system *system =
        vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(usermode->vcpu));
    struct vmkit_x86_events events = {.size = sizeof events};
    return vmk_kvm_system_has(system, VMKIT_CAPABILITY_VCPU_EVENTS) &&
           vmk_kvm_x86_get_events(usermode->vcpu, &events, NULL) == 0 &&
           (events.exception_injected != 0 || events.exception_pending != 0);
}

bool
vmk_usermode_interrupt(struct vmk_usermode *usermode)
{
    struct vmk_user_regs *regs = usermode->regs;
    uint64_t within = regs->rip - STUB_VA;
    if (within >= VMK_PAGE_SIZE || is_user_stub(regs->rip)) {
        if (is_event_on_its_way(usermode))
            return false;
        usermode->position = AT_USER;
        return true;
    }
    if (within == STUB_SYSCALL + OUT_SIZE && usermode->syscall_at_kernel) {
        /* On its way back, before the SYSRET. */
        leave_syscall_stub(usermode);
        return true;
    }
    if (within == STUB_IRET) {
        struct exception_frame frame;
        memcpy(&frame, usermode->memory + usermode->stub_gpa + STUB_FRAME, sizeof frame);
        usermode->position = AT_STUB;
        regs->rip = frame.rip;
        regs->rsp = frame.rsp;
        regs->rflags = frame.rflags;
        return true;
    }
    /* On its way in: the OUT comes next. */
    return false;
}

void
vmk_usermode_abandon(struct vmk_usermode *usermode)
{
    uint64_t within = usermode->regs->rip - STUB_VA;
    struct pushed pushed;
    if (within == STUB_SYSCALL || within == STUB_SYSCALL + OUT_SIZE)
        leave_syscall_stub(usermode);
    else if (within < STUB_SYSCALL && read_pushed(usermode, (unsigned)within / STUB_SIZE, &pushed))
        leave_exception_stub(usermode, &pushed.frame);
}

int
vmk_usermode_prepare(struct vmk_usermode *usermode, bool replaced)
{
    struct vmk_user_regs *regs = usermode->regs;
    if (regs->rip >= USER_LIMIT && !is_user_stub(regs->rip))
        return -EFAULT;

    if (replaced)
        regs->rflags = (regs->rflags & RFLAGS_USER) | RFLAGS_FIXED;
    if (usermode->position == AT_SYSCALL_KERNEL && !replaced) {
        regs->rip = usermode->stub_rip;
        regs->rflags = usermode->stub_rflags;
    } else if (usermode->position != AT_USER) {
        struct exception_frame frame = {.rip = regs->rip,
                                        .cs = SELECTOR_USER_CODE,
                                        .rflags = regs->rflags,
                                        .rsp = regs->rsp,
                                        .ss = SELECTOR_USER_DATA};
        memcpy(usermode->memory + usermode->stub_gpa + STUB_FRAME, &frame, sizeof frame);
        regs->rip = STUB_VA + STUB_IRET;
        regs->rsp = STUB_VA + STUB_FRAME;
        regs->rflags = 2;
    }
    vmk_kvm_vcpu_mark_regs_dirty(usermode->vcpu);
    usermode->settled = false;
    return 0;
}
