/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the guest's signals: what waits, what is blocked, what is done with it (signal(7),
 * sigqueue(3); the kernel's kernel/signal.c is the reference). Delivery is in signal_delivery.c.
 *
 * There is nobody outside who could continue a stopped guest. So SIGSTOP does nothing, as if it was
 * continued at once, and neither do SIGTSTP, SIGTTIN and SIGTTOU by default, which Linux, too,
 * drops in an orphaned process group.
 */
#include "sandbox/signals.h"
#include "sandbox/process.h"
#include "sandbox/signal_state.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <string.h>

/* include/uapi/asm-generic/siginfo.h and signal.h */
#define CODE_USER 0
#define CODE_KERNEL 0x80
#define STACK_DISABLE UINT32_C(2)

static uint64_t
stop_signals(void)
{
    return vmk_signal_bit(SIGSTOP) | vmk_signal_bit(SIGTSTP) | vmk_signal_bit(SIGTTIN) |
           vmk_signal_bit(SIGTTOU);
}

static uint64_t
ignored_by_default(void)
{
    return vmk_signal_bit(SIGCHLD) | vmk_signal_bit(SIGCONT) | vmk_signal_bit(SIGURG) |
           vmk_signal_bit(SIGWINCH) | stop_signals();
}

/* Signals that an instruction causes; they go before the others. */
static uint64_t
synchronous_signals(void)
{
    return vmk_signal_bit(SIGSEGV) | vmk_signal_bit(SIGBUS) | vmk_signal_bit(SIGILL) |
           vmk_signal_bit(SIGTRAP) | vmk_signal_bit(SIGFPE) | vmk_signal_bit(SIGSYS);
}

struct vmk_signals *
vmk_signals_new(void)
{
    struct vmk_signals *signals = g_try_new0(struct vmk_signals, 1);
    if (signals != NULL)
        vmk_signals_init(signals);
    return signals;
}

void
vmk_signals_init(struct vmk_signals *signals)
{
    memset(signals->actions, 0, sizeof signals->actions);
    memset(&signals->timers, 0, sizeof signals->timers);
    signals->blocked = signals->pending = signals->awaited = 0;
    signals->saved_mask = 0;
    signals->mask_is_saved = false;
    signals->queued = signals->queued_realtime = 0;
    signals->altstack_sp = signals->altstack_size = 0;
    signals->trap = signals->error = signals->fault_address = 0;
    signals->delivered = 0;
    signals->ignored = ignored_by_default();
    signals->altstack_flags = STACK_DISABLE;
    vmk_timers_init(&signals->timers);
}

void
vmk_signals_free(struct vmk_signals *signals)
{
    g_free(signals);
}

void
vmk_signals_note_ignored(struct vmk_signals *signals, int signal)
{
    uint64_t handler = signals->actions[signal].handler;
    uint64_t bit = vmk_signal_bit(signal);
    bool ignored = handler == VMK_HANDLER_IGNORE ||
                   (handler == VMK_HANDLER_DEFAULT && (bit & ignored_by_default()) != 0);
    signals->ignored = ignored ? signals->ignored | bit : signals->ignored & ~bit;
}

void
vmk_signals_exec(struct vmk_signals *signals)
{
    for (int signal = 1; signal <= VMK_SIGNAL_LAST; signal++) {
        bool ignored = signals->actions[signal].handler == VMK_HANDLER_IGNORE;
        signals->actions[signal] = (struct vmk_guest_sigaction){
            .handler = ignored ? VMK_HANDLER_IGNORE : VMK_HANDLER_DEFAULT};
        vmk_signals_note_ignored(signals, signal);
    }
    signals->altstack_sp = 0;
    signals->altstack_size = 0;
    signals->altstack_flags = STACK_DISABLE;
    vmk_timers_delete_all(signals);
}

uint64_t
vmk_signals_get_delivered(const struct vmk_signals *signals)
{
    return signals->delivered;
}

uint64_t
vmk_signals_get_blocked(const struct vmk_signals *signals)
{
    return signals->blocked;
}

static void
remove_entry(struct vmk_signals *signals, uint32_t index)
{
    const struct vmk_signal_entry *entry = &signals->queue[index];
    if (entry->timer < 0 && entry->info.signo >= VMK_SIGNAL_REALTIME)
        signals->queued_realtime--;
    signals->queued--;
    memmove(&signals->queue[index], &signals->queue[index + 1],
            (signals->queued - index) * sizeof signals->queue[0]);
}

static bool
has_entry(const struct vmk_signals *signals, int signal)
{
    for (uint32_t i = 0; i < signals->queued; i++)
        if (signals->queue[i].info.signo == signal)
            return true;
    return false;
}

static void
add_entry(struct vmk_signals *signals, const struct vmk_siginfo *info, int timer)
{
    signals->pending |= vmk_signal_bit(info->signo);
    if (signals->queued == VMK_SIGNALS_QUEUE_ROOM)
        return;
    if (timer < 0 && info->signo >= VMK_SIGNAL_REALTIME)
        signals->queued_realtime++;
    signals->queue[signals->queued++] =
        (struct vmk_signal_entry){.info = *info, .timer = (int16_t)timer};
}

void
vmk_signals_flush(struct vmk_signals *signals, uint64_t set)
{
    if ((signals->pending & set) == 0)
        return;
    for (uint32_t i = 0; i < signals->queued;) {
        const struct vmk_signal_entry *entry = &signals->queue[i];
        if ((vmk_signal_bit(entry->info.signo) & set) == 0) {
            i++;
            continue;
        }
        if (entry->timer >= 0)
            signals->timers.posix[entry->timer].queued = false;
        remove_entry(signals, i);
    }
    signals->pending &= ~set;
    for (int i = 0; i < VMK_INTERVAL_COUNT; i++)
        if ((vmk_signal_bit(signals->timers.interval[i].signal) & set) != 0)
            signals->timers.interval[i].queued = false;
}

void
vmk_signals_drop_timer(struct vmk_signals *signals, int timer)
{
    for (uint32_t i = 0; i < signals->queued; i++) {
        if (signals->queue[i].timer != timer)
            continue;
        int signal = signals->queue[i].info.signo;
        remove_entry(signals, i);
        if (!has_entry(signals, signal))
            signals->pending &= ~vmk_signal_bit(signal);
        return;
    }
}

int
vmk_signals_send(struct vmk_signals *signals, const struct vmk_siginfo *info, int timer)
{
    int signal = info->signo;
    uint64_t bit = vmk_signal_bit(signal);
    if (signal == SIGCONT)
        vmk_signals_flush(signals, stop_signals());
    else if ((bit & stop_signals()) != 0)
        vmk_signals_flush(signals, vmk_signal_bit(SIGCONT));
    if (vmk_signals_drops(signals, signal))
        return 0;
    if (timer < 0 && signal < VMK_SIGNAL_REALTIME && (signals->pending & bit) != 0)
        return 0;
    if (timer < 0 && signal >= VMK_SIGNAL_REALTIME &&
        signals->queued_realtime == VMK_SIGNALS_QUEUE_LIMIT) {
        /* kill(2) must not fail for want of room; what it says about the sender is lost. */
        if (info->code != CODE_USER)
            return -EAGAIN;
        signals->pending |= bit;
        return 0;
    }
    add_entry(signals, info, timer);
    return 0;
}

static int
first_of(uint64_t set)
{
    if ((set & vmk_signal_bit(SIGKILL)) != 0)
        return SIGKILL;
    if ((set & synchronous_signals()) != 0)
        set &= synchronous_signals();
    return __builtin_ctzll(set) + 1;
}

bool
vmk_signals_take(struct vmk_process *process, uint64_t set, struct vmk_siginfo *ret_info)
{
    struct vmk_signals *signals = process->signals;
    int timer = -1;
    set &= signals->pending;
    if (set == 0)
        return false;
    int signal = first_of(set);
    *ret_info = (struct vmk_siginfo){.signo = signal, .code = CODE_USER};
    for (uint32_t i = 0; i < signals->queued; i++) {
        if (signals->queue[i].info.signo != signal)
            continue;
        *ret_info = signals->queue[i].info;
        timer = signals->queue[i].timer;
        remove_entry(signals, i);
        break;
    }
    if (!has_entry(signals, signal))
        signals->pending &= ~vmk_signal_bit(signal);
    if (timer >= 0)
        ret_info->timer.overrun = vmk_timers_delivered(process, timer);
    vmk_timers_signal_taken(process, signal);
    return true;
}

void
vmk_signals_set_blocked(struct vmk_process *process, uint64_t mask)
{
    struct vmk_signals *signals = process->signals;
    mask &= ~VMK_SIGNALS_UNBLOCKABLE;
    bool touches_ignored = ((mask ^ signals->blocked) & signals->ignored) != 0;
    if (touches_ignored)
        vmk_timers_update(process);
    signals->blocked = mask;
    /* What waited while it was blocked and is ignored now goes the way of every ignored signal. */
    vmk_signals_flush(signals, signals->ignored & ~mask & ~signals->awaited);
    if (touches_ignored)
        vmk_timers_update(process);
}

void
vmk_signals_set_action(struct vmk_process *process, int signal,
                       const struct vmk_guest_sigaction *action)
{
    struct vmk_signals *signals = process->signals;
    /* A timer that went off while its signal was ignored must not go off again now. */
    vmk_timers_update(process);
    signals->actions[signal] = *action;
    vmk_signals_note_ignored(signals, signal);
    vmk_signals_flush(signals, signals->ignored & vmk_signal_bit(signal));
    vmk_timers_update(process);
}

void
vmk_signals_raise(struct vmk_process *process, int signal)
{
    struct vmk_siginfo info = {.signo = signal, .code = CODE_USER};
    info.sender.pid = process->pid;
    info.sender.uid = process->uid;
    vmk_signals_send(process->signals, &info, -1);
}

void
vmk_signals_force(struct vmk_process *process, const struct vmk_siginfo *info)
{
    struct vmk_signals *signals = process->signals;
    uint64_t bit = vmk_signal_bit(info->signo);
    if (((signals->blocked | signals->ignored) & bit) != 0)
        signals->actions[info->signo].handler = VMK_HANDLER_DEFAULT;
    signals->blocked &= ~bit;
    vmk_signals_note_ignored(signals, info->signo);
    for (uint32_t i = 0; i < signals->queued; i++) {
        if (signals->queue[i].info.signo == info->signo && signals->queue[i].timer < 0) {
            remove_entry(signals, i);
            break;
        }
    }
    add_entry(signals, info, -1);
}

void
vmk_signals_fault(struct vmk_process *process, int signal, int code, uint64_t address,
                  uint64_t trap, uint64_t error)
{
    struct vmk_siginfo info = {.signo = signal, .code = code, .fault.address = address};
    process->touched = true;
    process->signals->trap = trap;
    process->signals->error = error;
    /* The frame goes on telling the last address that memory was missing at. */
    if ((signal == SIGSEGV || signal == SIGBUS) && code < CODE_KERNEL)
        process->signals->fault_address = address;
    vmk_signals_force(process, &info);
}

bool
vmk_signals_pending(const struct vmk_process *process)
{
    const struct vmk_signals *signals = process->signals;
    return (signals->pending & ((~signals->blocked & ~signals->ignored) | signals->awaited)) != 0;
}

int64_t
vmk_signals_wait(struct vmk_process *process)
{
    while (!vmk_signals_pending(process) && vmk_process_wait(process, NULL, 0, UINT64_MAX) == 0)
        continue;
    return -VMK_ERESTARTNOHAND;
}

int
vmk_signals_begin_mask(struct vmk_process *process, uint64_t va, uint64_t size)
{
    struct vmk_signals *signals = process->signals;
    uint64_t mask;
    if (va == 0)
        return 0;
    if (size != VMK_GUEST_SIGSET_SIZE)
        return -EINVAL;
    int r = vmk_uaccess_read(process->space, va, &mask, sizeof mask);
    if (r < 0)
        return r;
    signals->saved_mask = signals->blocked;
    signals->mask_is_saved = true;
    vmk_signals_set_blocked(process, mask);
    return 0;
}

void
vmk_signals_end_mask(struct vmk_process *process, bool interrupted)
{
    struct vmk_signals *signals = process->signals;
    if (!signals->mask_is_saved || interrupted)
        return;
    signals->mask_is_saved = false;
    vmk_signals_set_blocked(process, signals->saved_mask);
}
