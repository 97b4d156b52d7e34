/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a signal that waits to the guest's handler and back: the frame, the alternate stack
 * (sigaltstack(2)), the restart of system calls (signal(7)), the default actions.
 */
#include "sandbox/process.h"
#include "sandbox/signal_state.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include "abi.h"
#include "arch/sigframe.h"
#include "arch/usermode.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <string.h>

/* include/uapi/asm-generic/signal-defs.h and siginfo.h, include/uapi/linux/signal.h */
#define ACTION_ONSTACK UINT64_C(0x08000000)
#define ACTION_RESTART UINT64_C(0x10000000)
#define ACTION_NODEFER UINT64_C(0x40000000)
#define ACTION_RESETHAND UINT64_C(0x80000000)
#define ACTION_RESTORER UINT64_C(0x04000000)
#define STACK_ON UINT32_C(1)
#define STACK_DISABLE UINT32_C(2)
#define STACK_AUTODISARM UINT32_C(0x80000000)
#define CODE_KERNEL 0x80

static bool
inside_altstack(const struct vmk_signals *signals, uint64_t sp)
{
    return sp > signals->altstack_sp && sp - signals->altstack_sp <= signals->altstack_size;
}

/* With SS_AUTODISARM the stack is off while a handler is on it, so that nothing ever is. */
static bool
is_on_altstack(const struct vmk_signals *signals, uint64_t sp)
{
    return (signals->altstack_flags & STACK_AUTODISARM) == 0 && inside_altstack(signals, sp);
}

struct vmk_guest_stack
vmk_signals_get_altstack(const struct vmk_process *process)
{
    const struct vmk_signals *signals = process->signals;
    uint32_t state = 0;
    if (signals->altstack_size == 0)
        state = STACK_DISABLE;
    else if (is_on_altstack(signals, vmk_sigframe_get_stack_pointer(process->regs)))
        state = STACK_ON;
    return (struct vmk_guest_stack){
        .sp = signals->altstack_sp,
        .flags = state | (signals->altstack_flags & STACK_AUTODISARM),
        .size = signals->altstack_size,
    };
}

int
vmk_signals_set_altstack(struct vmk_process *process, const struct vmk_guest_stack *stack)
{
    struct vmk_signals *signals = process->signals;
    uint32_t mode = stack->flags & ~STACK_AUTODISARM;
    if (is_on_altstack(signals, vmk_sigframe_get_stack_pointer(process->regs)))
        return -EPERM;
    if (mode != 0 && mode != STACK_ON && mode != STACK_DISABLE)
        return -EINVAL;
    if (mode != STACK_DISABLE && stack->size < VMK_ABI_MIN_SIGNAL_STACK)
        return -ENOMEM;
    signals->altstack_sp = mode == STACK_DISABLE ? 0 : stack->sp;
    signals->altstack_size = mode == STACK_DISABLE ? 0 : stack->size;
    signals->altstack_flags = stack->flags;
    return 0;
}

void
vmk_signals_force_segv(struct vmk_process *process, int signal)
{
    struct vmk_siginfo info = {.signo = SIGSEGV, .code = CODE_KERNEL};
    if (signal == SIGSEGV)
        process->signals->actions[SIGSEGV].handler = VMK_HANDLER_DEFAULT;
    vmk_signals_force(process, &info);
}

static bool
is_restart(int64_t result)
{
    return result == -VMK_ERESTARTSYS || result == -VMK_ERESTARTNOHAND ||
           result == -VMK_ERESTARTNOINTR;
}

/* The result of the interrupted call, before a handler runs on top of it. */
static void
settle_result(struct vmk_process *process, const struct vmk_guest_sigaction *action,
              int64_t *result)
{
    process->regs_replaced = true;
    if (*result == -VMK_ERESTARTNOINTR ||
        (*result == -VMK_ERESTARTSYS && (action->flags & ACTION_RESTART) != 0)) {
        vmk_sigframe_rewind(process->regs);
        return;
    }
    if (is_restart(*result))
        *result = -EINTR;
    vmk_sigframe_set_result(process->regs, *result);
}

static struct vmk_sigframe
describe_frame(const struct vmk_process *process, const struct vmk_siginfo *info,
               const struct vmk_guest_sigaction *action)
{
    const struct vmk_signals *signals = process->signals;
    uint64_t sp = vmk_sigframe_get_stack_pointer(process->regs);
    bool switches = (action->flags & ACTION_ONSTACK) != 0 && signals->altstack_size != 0 &&
                    !is_on_altstack(signals, sp);
    return (struct vmk_sigframe){
        .info = *info,
        .mask = signals->mask_is_saved ? signals->saved_mask : signals->blocked,
        .altstack_sp = signals->altstack_sp,
        .altstack_size = signals->altstack_size,
        .altstack_flags = signals->altstack_flags,
        .trap = signals->trap,
        .error = signals->error,
        .fault_address = signals->fault_address,
        .handler = action->handler,
        .restorer = (action->flags & ACTION_RESTORER) != 0 ? action->restorer : 0,
        .stack_top = switches ? signals->altstack_sp + signals->altstack_size : 0,
    };
}

/* Write the frame to the guest. The buffer holds the extended state, then the frame. */
static int
write_frame(struct vmk_process *process, const struct vmk_sigframe *frame, uint8_t *buffer,
            size_t xstate_size, uint64_t *ret_va)
{
    const struct vmk_signals *signals = process->signals;
    bool nested = is_on_altstack(signals, vmk_sigframe_get_stack_pointer(process->regs));
    size_t size;
    int r = vmk_usermode_get_xstate(process->usermode, buffer, xstate_size);
    if (r < 0)
        return r;
    r = vmk_sigframe_pack(frame, process->regs, buffer, xstate_size, buffer + xstate_size, ret_va,
                          &size);
    if (r < 0)
        return r;
    /* A frame that leaves the alternate stack is never written: Linux does not either. */
    if ((nested || frame->stack_top != 0) && !inside_altstack(signals, *ret_va))
        return -EFAULT;
    r = vmk_uaccess_write(process->space, *ret_va, buffer + xstate_size, size);
    if (r < 0)
        return r;
    vmk_sigframe_init_xstate(buffer, xstate_size);
    return vmk_usermode_set_xstate(process->usermode, buffer, xstate_size);
}

static int
push_frame(struct vmk_process *process, const struct vmk_siginfo *info,
           const struct vmk_guest_sigaction *action)
{
    struct vmk_sigframe frame = describe_frame(process, info, action);
    size_t xstate_size = vmk_usermode_get_xstate_size(process->usermode);
    g_autofree uint8_t *buffer =
        g_try_malloc0(xstate_size + vmk_sigframe_get_capacity(xstate_size));
    uint64_t va;
    if (buffer == NULL)
        return -ENOMEM;
    int r = write_frame(process, &frame, buffer, xstate_size, &va);
    if (r < 0)
        return r;
    vmk_sigframe_enter(&frame, va, process->regs);
    process->regs_replaced = true;
    return 0;
}

/* The handler is in force: what it blocks, and what its action undoes. */
static void
note_delivered(struct vmk_process *process, int signal, const struct vmk_guest_sigaction *action)
{
    struct vmk_signals *signals = process->signals;
    uint64_t blocked = signals->blocked | action->mask;
    if ((action->flags & ACTION_NODEFER) == 0)
        blocked |= vmk_signal_bit(signal);
    signals->mask_is_saved = false;
    vmk_signals_set_blocked(process, blocked);
    if ((signals->altstack_flags & STACK_AUTODISARM) != 0) {
        signals->altstack_sp = 0;
        signals->altstack_size = 0;
        signals->altstack_flags = STACK_DISABLE;
    }
    signals->delivered++;
}

/* The address of an instruction's fault, for the outcome: not of a signal that was sent. */
static uint64_t
fault_address_of(const struct vmk_siginfo *info)
{
    bool fault = info->signo == SIGSEGV || info->signo == SIGBUS || info->signo == SIGILL ||
                 info->signo == SIGFPE || info->signo == SIGTRAP;
    return fault && info->code > 0 && info->code < CODE_KERNEL ? info->fault.address : 0;
}

static void
handle(struct vmk_process *process, const struct vmk_siginfo *info)
{
    struct vmk_signals *signals = process->signals;
    struct vmk_guest_sigaction action = signals->actions[info->signo];
    if ((action.flags & ACTION_RESETHAND) != 0) {
        struct vmk_guest_sigaction reset = action;
        reset.handler = VMK_HANDLER_DEFAULT;
        vmk_signals_set_action(process, info->signo, &reset);
    }
    if (push_frame(process, info, &action) < 0)
        vmk_signals_force_segv(process, info->signo);
    else
        note_delivered(process, info->signo, &action);
}

void
vmk_signals_deliver(struct vmk_process *process, bool in_syscall, int64_t *result)
{
    struct vmk_signals *signals = process->signals;
    struct vmk_siginfo info;
    process->touched = true;
    /* rt_sigreturn and execve replaced the registers: there is no call to restart any more. */
    bool open = in_syscall && !process->regs_replaced;
    while (!vmk_process_ended(process) &&
           vmk_signals_take(process, ~signals->blocked & ~signals->ignored, &info)) {
        const struct vmk_guest_sigaction *action = &signals->actions[info.signo];
        if (action->handler == VMK_HANDLER_DEFAULT) {
            vmk_process_end_signal(process, info.signo, info.code, fault_address_of(&info));
            return;
        }
        if (open)
            settle_result(process, action, result);
        open = false;
        handle(process, &info);
    }
    if (open && is_restart(*result)) {
        vmk_sigframe_rewind(process->regs);
        process->regs_replaced = true;
    }
    vmk_signals_end_mask(process, false);
}

static int
read_guest(void *user_data, uint64_t va, void *destination, size_t size)
{
    struct vmk_process *process = user_data;
    return vmk_uaccess_read(process->space, va, destination, size);
}

static int
restore_xstate(struct vmk_process *process, const struct vmk_sigframe *frame)
{
    size_t size = vmk_usermode_get_xstate_size(process->usermode);
    g_autofree uint8_t *xstate = g_try_malloc0(size);
    if (xstate == NULL)
        return -ENOMEM;
    int r = vmk_sigframe_unpack_xstate(frame, read_guest, process, xstate, size);
    return r < 0 ? r : vmk_usermode_set_xstate(process->usermode, xstate, size);
}

/* In Linux's order: the mask and the registers hold already when the extended state turns out to be
 * a bad one, and decide about the SIGSEGV for it. */
static int
return_from_handler(struct vmk_process *process)
{
    struct vmk_sigframe frame;
    int r = vmk_sigframe_unpack(process->regs, read_guest, process, &frame);
    if (r < 0)
        return r;
    process->regs_replaced = true;
    vmk_signals_set_blocked(process, frame.mask);
    r = restore_xstate(process, &frame);
    if (r < 0)
        return r;
    struct vmk_guest_stack stack = {
        .sp = frame.altstack_sp, .flags = frame.altstack_flags, .size = frame.altstack_size};
    /* As in Linux, a frame that asks for another stack than can be had keeps the one in force. */
    (void)vmk_signals_set_altstack(process, &stack);
    return 0;
}

int64_t
vmk_sys_rt_sigreturn(struct vmk_process *process, const uint64_t args[6])
{
    if (return_from_handler(process) < 0)
        vmk_signals_force_segv(process, 0);
    return 0;
}
