/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state behind signals.h, for the files of the family alone: actions, masks, what waits, the
 * alternate stack, and the timers.
 *
 * Signal n is bit n - 1 of a set, as in the kernel's sigset_t. Linux has one queue for the process
 * and one for each thread; with one thread they are one queue here.
 */
#ifndef VMK_SANDBOX_SIGNAL_STATE_H
#define VMK_SANDBOX_SIGNAL_STATE_H

#include "sandbox/guest_abi.h"
#include "sandbox/signals.h"
#include "sandbox/timers.h"

#include "arch/sigframe.h"

#include <stdbool.h>
#include <stdint.h>

#define VMK_SIGNAL_LAST 64
#define VMK_SIGNAL_REALTIME 32 /* the first that queues */

/* Every standard signal waits at most once, and every timer has one signal of its own. */
#define VMK_SIGNALS_QUEUE_ROOM (VMK_SIGNALS_QUEUE_LIMIT + VMK_SIGNAL_REALTIME + VMK_TIMERS_LIMIT)

#define VMK_HANDLER_DEFAULT UINT64_C(0)
#define VMK_HANDLER_IGNORE UINT64_C(1)

struct vmk_signal_entry {
    struct vmk_siginfo info;
    int16_t timer; /* index of the POSIX timer it is of, or -1 */
};

struct vmk_signals {
    struct vmk_guest_sigaction actions[VMK_SIGNAL_LAST + 1]; /* by signal number; 0 is unused */
    uint64_t blocked;
    uint64_t ignored; /* of the actions: whose signals are dropped */
    uint64_t pending;
    uint64_t awaited; /* what rt_sigtimedwait waits for, blocked or not */
    uint64_t saved_mask;
    bool mask_is_saved; /* the next delivery returns to saved_mask */

    /* In the order of arrival. A signal may be in `pending` without an entry: when a queue that was
     * full lost its information. */
    struct vmk_signal_entry queue[VMK_SIGNALS_QUEUE_ROOM];
    uint32_t queued;
    uint32_t queued_realtime;

    uint64_t altstack_sp;
    uint64_t altstack_size;
    uint32_t altstack_flags;

    uint64_t trap, error, fault_address; /* of the last fault */
    uint64_t delivered;

    struct vmk_timers timers;
};

static inline uint64_t
vmk_signal_bit(int signal)
{
    return UINT64_C(1) << (signal - 1);
}

/* The set of signals that nothing blocks, ignores or catches: SIGKILL and SIGSTOP. */
#define VMK_SIGNALS_UNBLOCKABLE (vmk_signal_bit(9) | vmk_signal_bit(19))

/* Whether a signal sent now would be dropped: ignored, and neither blocked nor waited for. */
static inline bool
vmk_signals_drops(const struct vmk_signals *signals, int signal)
{
    return (signals->ignored & ~signals->blocked & ~signals->awaited & vmk_signal_bit(signal)) != 0;
}

/* Put a signal in the queue, or drop it if it is ignored or waits already. `timer` is as in the
 * entry. 0 or -EAGAIN when a signal that must not lose its information finds the queue full. */
int
vmk_signals_send(struct vmk_signals *signals, const struct vmk_siginfo *info, int timer);

/* Take the first signal of `set` out of the queue. False when none is there. */
bool
vmk_signals_take(struct vmk_process *process, uint64_t set, struct vmk_siginfo *ret_info);

/* Take all of a signal out of the queue. */
void
vmk_signals_flush(struct vmk_signals *signals, uint64_t set);

/* Take the signal of a timer out of the queue, if it waits there. */
void
vmk_signals_drop_timer(struct vmk_signals *signals, int timer);

/* Block exactly `mask`, but for what cannot be blocked. */
void
vmk_signals_set_blocked(struct vmk_process *process, uint64_t mask);

/* As those of a process that just began. */
void
vmk_signals_init(struct vmk_signals *signals);

/* Work out whether the signal's action ignores it. */
void
vmk_signals_note_ignored(struct vmk_signals *signals, int signal);

/* Install an action and drop what is now ignored. */
void
vmk_signals_set_action(struct vmk_process *process, int signal,
                       const struct vmk_guest_sigaction *action);

/* Send a signal that cannot be put off: blocked or ignored, its action becomes the default one. */
void
vmk_signals_force(struct vmk_process *process, const struct vmk_siginfo *info);

/* SIGSEGV in place of a frame that could not be written or read. `signal` is the one whose frame it
 * was, 0 for rt_sigreturn. */
void
vmk_signals_force_segv(struct vmk_process *process, int signal);

/* Set the alternate stack from the guest's structure. 0, -EINVAL, -ENOMEM or -EPERM. */
int
vmk_signals_set_altstack(struct vmk_process *process, const struct vmk_guest_stack *stack);

/* What sigaltstack(2) says about the stack in force. */
struct vmk_guest_stack
vmk_signals_get_altstack(const struct vmk_process *process);

#endif
