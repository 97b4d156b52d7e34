/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals, timers and their delivery, as far as a process of one thread needs them: what the run
 * loop and the calls that wait use. The system calls of the family are in sys_signal.c and
 * sys_timer.c, the state itself in signal_state.h.
 */
#ifndef VMK_SANDBOX_SIGNALS_H
#define VMK_SANDBOX_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

struct vmk_process;
struct vmk_signals;

/* Signals with their information that may wait at once: RLIMIT_SIGPENDING. */
#define VMK_SIGNALS_QUEUE_LIMIT 128

/* NULL without memory. */
struct vmk_signals *
vmk_signals_new(void);

/* Accepts NULL. */
void
vmk_signals_free(struct vmk_signals *signals);

/* What execve(2) resets: handlers to the default, the alternate stack off, POSIX timers gone.
 * Ignored signals, the mask, what is pending and the interval timers stay. */
void
vmk_signals_exec(struct vmk_signals *signals);

/* A signal that a system call of the guest earned, such as SIGPIPE: as Linux has it, from the
 * process to itself (SI_USER). */
void
vmk_signals_raise(struct vmk_process *process, int signal);

/* A signal that the current instruction caused. It cannot be put off: blocked or ignored, it ends
 * the process as Linux does. `trap` and `error` are the architecture's exception number and error
 * code, for the signal frame. */
void
vmk_signals_fault(struct vmk_process *process, int signal, int code, uint64_t address,
                  uint64_t trap, uint64_t error);

/* Whether a signal waits that would be delivered now: to a handler, or to end the process. */
bool
vmk_signals_pending(const struct vmk_process *process);

/* Deliver what waits, before the guest goes on: write a frame and turn the registers to the
 * handler, or take the default action (see vmk_process_end_signal()).
 *
 * `in_syscall` says that the guest stands behind a system call whose result is `*result`: the
 * registers are as at the call, number and arguments included, but for the instruction pointer,
 * which is that behind the call. A restart (VMK_ERESTARTSYS and its like) is decided here, also
 * when no signal waits: `*result` becomes -EINTR, or the registers are put back to before the call.
 * Whenever the registers changed, `regs_replaced` is set and they hold the result too; otherwise
 * `*result` is still to be stored. Without `in_syscall`, `result` may be NULL.
 *
 * To be called before every entry for which vmk_signals_pending() holds, and after every system
 * call whose result is a restart; more often does no harm. */
void
vmk_signals_deliver(struct vmk_process *process, bool in_syscall, int64_t *result);

/* Signals delivered to a handler up to now. */
uint64_t
vmk_signals_get_delivered(const struct vmk_signals *signals);

/* The guest's blocked signals, signal n as bit n - 1; for /proc/self/status. */
uint64_t
vmk_signals_get_blocked(const struct vmk_signals *signals);

/* Wait for a signal, whatever it takes. Always -VMK_ERESTARTNOHAND. */
int64_t
vmk_signals_wait(struct vmk_process *process);

/* The mask that ppoll(2), pselect6(2) and epoll_pwait(2) put in force while they wait. `va` may be
 * 0: no mask. 0, -EINVAL for another size than the kernel's, -EFAULT. */
int
vmk_signals_begin_mask(struct vmk_process *process, uint64_t va, uint64_t size);

/* Ends what begin_mask began. With `interrupted`, for a call that returns -EINTR or a restart, the
 * mask stays until the delivery, which returns to the one before; the call must then return
 * -VMK_ERESTARTNOHAND. Without a begin it does nothing. */
void
vmk_signals_end_mask(struct vmk_process *process, bool interrupted);

/* The earliest expiry of the guest's real-time timers, in nanoseconds of CLOCK_MONOTONIC, and of
 * its CPU-time timers, in nanoseconds of the run's CPU time; UINT64_MAX for none. */
uint64_t
vmk_signals_next_real_ns(const struct vmk_signals *signals);

uint64_t
vmk_signals_next_cpu_ns(const struct vmk_signals *signals);

/* Raise the signals of all timers that are due. */
void
vmk_signals_expire(struct vmk_process *process);

#endif
