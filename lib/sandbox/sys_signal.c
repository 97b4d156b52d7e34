/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of signals (signal(7) names them all). The guest can send signals to itself
 * alone: every other process number is ESRCH. rt_sigreturn is in signal_delivery.c, with the frame.
 */
#include "sandbox/clock.h"
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/signal_state.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* include/uapi/asm-generic/siginfo.h */
#define CODE_TKILL (-6)
#define CODE_DETHREAD (-7)

/* The flags that Linux keeps of an action; it clears the others, so that a program can find out
 * which it knows (sigaction(2), SA_UNSUPPORTED). */
#define KNOWN_ACTION_FLAGS UINT64_C(0xdc000807)

static bool
is_signal(uint64_t signal)
{
    return (uint32_t)signal >= 1 && (uint32_t)signal <= VMK_SIGNAL_LAST;
}

int64_t
vmk_sys_rt_sigaction(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_sigaction wanted, old;
    if (args[3] != VMK_GUEST_SIGSET_SIZE)
        return -EINVAL;
    if (args[1] != 0 && vmk_uaccess_read(process->space, args[1], &wanted, sizeof wanted) < 0)
        return -EFAULT;
    if (!is_signal(args[0]))
        return -EINVAL;
    int signal = (int)args[0];
    if (args[1] != 0 && (signal == SIGKILL || signal == SIGSTOP))
        return -EINVAL;
    old = process->signals->actions[signal];
    if (args[1] != 0) {
        wanted.flags &= KNOWN_ACTION_FLAGS;
        wanted.mask &= ~VMK_SIGNALS_UNBLOCKABLE;
        vmk_signals_set_action(process, signal, &wanted);
    }
    if (args[2] == 0)
        return 0;
    return vmk_uaccess_write(process->space, args[2], &old, sizeof old);
}

static int64_t
change_mask(struct vmk_process *process, int32_t how, uint64_t set)
{
    uint64_t blocked = process->signals->blocked;
    switch (how) {
    case SIG_BLOCK:
        blocked |= set;
        break;
    case SIG_UNBLOCK:
        blocked &= ~set;
        break;
    case SIG_SETMASK:
        blocked = set;
        break;
    default:
        return -EINVAL;
    }
    vmk_signals_set_blocked(process, blocked);
    return 0;
}

int64_t
vmk_sys_rt_sigprocmask(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t set, old = process->signals->blocked;
    if (args[3] != VMK_GUEST_SIGSET_SIZE)
        return -EINVAL;
    if (args[1] != 0) {
        if (vmk_uaccess_read(process->space, args[1], &set, sizeof set) < 0)
            return -EFAULT;
        int64_t r = change_mask(process, (int32_t)args[0], set);
        if (r < 0)
            return r;
    }
    return args[2] == 0 ? 0 : vmk_uaccess_write(process->space, args[2], &old, sizeof old);
}

int64_t
vmk_sys_rt_sigpending(struct vmk_process *process, const uint64_t args[6])
{
    const struct vmk_signals *signals = process->signals;
    uint64_t set = signals->pending & signals->blocked;
    if (args[1] > VMK_GUEST_SIGSET_SIZE)
        return -EINVAL;
    return vmk_uaccess_write(process->space, args[0], &set, args[1]);
}

int64_t
vmk_sys_rt_sigsuspend(struct vmk_process *process, const uint64_t args[6])
{
    if (args[1] != VMK_GUEST_SIGSET_SIZE)
        return -EINVAL;
    if (args[0] == 0)
        return -EFAULT;
    int r = vmk_signals_begin_mask(process, args[0], args[1]);
    return r < 0 ? r : vmk_signals_wait(process);
}

static int64_t
give_info(struct vmk_process *process, uint64_t va, const struct vmk_siginfo *info)
{
    uint8_t bytes[VMK_SIGINFO_SIZE] = {0};
    if (va == 0)
        return info->signo;
    memcpy(bytes, info, sizeof *info);
    int r = vmk_uaccess_write(process->space, va, bytes, sizeof bytes);
    return r < 0 ? r : info->signo;
}

int64_t
vmk_sys_rt_sigtimedwait(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_siginfo info;
    uint64_t set, timeout = UINT64_MAX;
    if (args[3] != VMK_GUEST_SIGSET_SIZE)
        return -EINVAL;
    if (vmk_uaccess_read(process->space, args[0], &set, sizeof set) < 0)
        return -EFAULT;
    if (args[2] != 0) {
        int r = vmk_clock_read_timespec(process, args[2], &timeout);
        if (r < 0)
            return r;
    }
    set &= ~VMK_SIGNALS_UNBLOCKABLE;
    if (vmk_signals_take(process, set, &info))
        return give_info(process, args[1], &info);
    if (timeout == 0)
        return -EAGAIN;
    process->signals->awaited = set;
    int waited = vmk_process_wait(process, NULL, 0, vmk_clock_add(vmk_process_now_ns(), timeout));
    process->signals->awaited = 0;
    if (vmk_signals_take(process, set, &info))
        return give_info(process, args[1], &info);
    return waited < 0 ? -EINTR : -EAGAIN;
}

/* Send, or with signal 0 only say whether it could be sent. */
static int64_t
send_to_self(struct vmk_process *process, uint64_t signal, int code)
{
    struct vmk_siginfo info = {.signo = (int32_t)signal, .code = code};
    if ((uint32_t)signal == 0)
        return 0;
    info.sender.pid = process->pid;
    info.sender.uid = process->uid;
    return vmk_signals_send(process->signals, &info, -1);
}

/* 0 is the process group, so the guest alone; -1 is everybody but the caller, so nobody. */
int64_t
vmk_sys_kill(struct vmk_process *process, const uint64_t args[6])
{
    int64_t pid = (int32_t)args[0];
    if (pid != 0 && pid != process->pid && -pid != process->pid)
        return -ESRCH;
    if ((uint32_t)args[1] != 0 && !is_signal(args[1]))
        return -EINVAL;
    return send_to_self(process, args[1], SI_USER);
}

static int64_t
send_to_thread(struct vmk_process *process, uint64_t tid, uint64_t signal)
{
    if ((int32_t)tid <= 0)
        return -EINVAL;
    if ((uint32_t)tid != process->pid)
        return -ESRCH;
    if ((uint32_t)signal != 0 && !is_signal(signal))
        return -EINVAL;
    return send_to_self(process, signal, CODE_TKILL);
}

int64_t
vmk_sys_tkill(struct vmk_process *process, const uint64_t args[6])
{
    return send_to_thread(process, args[0], args[1]);
}

int64_t
vmk_sys_tgkill(struct vmk_process *process, const uint64_t args[6])
{
    if ((int32_t)args[0] <= 0)
        return -EINVAL;
    if ((int32_t)args[1] > 0 && (uint32_t)args[0] != process->pid)
        return -ESRCH;
    return send_to_thread(process, args[1], args[2]);
}

/* Whether Linux knows what stands behind the code (known_siginfo_layout() in kernel/signal.c). All
 * that it knows lies in the first 48 bytes. */
static bool
has_known_layout(uint32_t signal, int32_t code)
{
    /* The last code of each signal that has some of its own, as of Linux 6.1. */
    static const uint8_t last_codes[] = {
        [SIGILL] = 11, [SIGFPE] = 15, [SIGSEGV] = 9, [SIGBUS] = 5,
        [SIGTRAP] = 6, [SIGCHLD] = 6, [SIGPOLL] = 6, [SIGSYS] = 2,
    };
    if (code <= SI_USER)
        return code >= CODE_DETHREAD || code == SI_ASYNCNL;
    bool own = signal < sizeof last_codes && last_codes[signal] != 0;
    return code == SI_KERNEL || code <= last_codes[own ? signal : SIGPOLL];
}

/* The bytes behind the first 48 are never carried: they are not looked at where the layout is
 * known, and have to be zeros where it is not, so that what arrives is what was sent
 * (post_copy_siginfo_from_user()). */
static int64_t
read_info(struct vmk_process *process, uint64_t signal, uint64_t va, struct vmk_siginfo *info)
{
    uint8_t rest[VMK_SIGINFO_SIZE - sizeof *info];
    if (vmk_uaccess_read(process->space, va, info, sizeof *info) < 0)
        return -EFAULT;
    info->signo = (int32_t)signal;
    if (has_known_layout((uint32_t)signal, info->code))
        return 0;
    if (vmk_uaccess_read(process->space, va + sizeof *info, rest, sizeof rest) < 0)
        return -EFAULT;
    for (size_t i = 0; i < sizeof rest; i++)
        if (rest[i] != 0)
            return -E2BIG;
    return 0;
}

/* To itself a process may claim whatever sender it likes. */
static int64_t
check_target(const struct vmk_process *process, uint64_t pid, const struct vmk_siginfo *info)
{
    if ((uint32_t)pid == process->pid)
        return 0;
    return info->code >= 0 || info->code == CODE_TKILL ? -EPERM : -ESRCH;
}

static int64_t
queue_info(struct vmk_process *process, const struct vmk_siginfo *info)
{
    if (info->signo == 0)
        return 0;
    if (!is_signal((uint32_t)info->signo))
        return -EINVAL;
    return vmk_signals_send(process->signals, info, -1);
}

int64_t
vmk_sys_rt_sigqueueinfo(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_siginfo info;
    int64_t r = read_info(process, args[1], args[2], &info);
    if (r == 0)
        r = check_target(process, args[0], &info);
    return r < 0 ? r : queue_info(process, &info);
}

int64_t
vmk_sys_rt_tgsigqueueinfo(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_siginfo info;
    int64_t r = read_info(process, args[2], args[3], &info);
    if (r == 0 && ((int32_t)args[0] <= 0 || (int32_t)args[1] <= 0))
        r = -EINVAL;
    if (r == 0)
        r = check_target(process, args[1], &info);
    if (r == 0 && (uint32_t)args[0] != process->pid)
        r = -ESRCH;
    return r < 0 ? r : queue_info(process, &info);
}

int64_t
vmk_sys_sigaltstack(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_stack wanted, old = vmk_signals_get_altstack(process);
    if (args[0] != 0) {
        if (vmk_uaccess_read(process->space, args[0], &wanted, sizeof wanted) < 0)
            return -EFAULT;
        int r = vmk_signals_set_altstack(process, &wanted);
        if (r < 0)
            return r;
    }
    return args[1] == 0 ? 0 : vmk_uaccess_write(process->space, args[1], &old, sizeof old);
}

/* Nothing here returns the restart that this call would finish. */
int64_t
vmk_sys_restart_syscall(struct vmk_process *process, const uint64_t args[6])
{
    return -EINTR;
}
