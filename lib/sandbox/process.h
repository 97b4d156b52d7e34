/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest process: what Linux would keep in its task_struct. One structure that the system calls
 * are given, with one part for each protocol: the address space, the files, the signals and timers.
 * The run loop in run.c owns it; a part never reaches into another one's fields.
 */
#ifndef VMK_SANDBOX_PROCESS_H
#define VMK_SANDBOX_PROCESS_H

#include "sandbox/clock.h"
#include "sandbox/task.h"
#include "vm/kick_timer.h"

#include <vmkit/sandbox.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Results of a system call that never reach the guest; Linux has the same (include/linux/errno.h).
 */
#define VMK_ERESTARTSYS 512    /* Restart if the handler has SA_RESTART, else EINTR. */
#define VMK_ERESTARTNOINTR 513 /* Restart in any case. */
#define VMK_ERESTARTNOHAND 514 /* Restart if no handler ran, else EINTR. */

struct vmk_files;
struct vmk_memory_account;
struct vmk_request;
struct vmk_signals;
struct vmk_space;
struct vmk_symbols;
struct vmk_user_regs;
struct vmk_usermode;
struct vmkit_vcpu;

/* The limits of a sandbox in plain numbers. */
struct vmk_limits {
    uint64_t memory_bytes;
    uint64_t cpu_time_ns;  /* 0: none */
    uint64_t wall_time_ns; /* 0: none */
    uint32_t open_files;
    uint64_t output_bytes; /* UINT64_MAX: none */
};

/* Limits of one run, besides those of the sandbox. 0: none. */
struct vmk_time_limits {
    uint64_t cpu_ns;
    uint64_t wall_ns;
};

/* Where the guest stands still without having ended, so that the embedder gets the thread back. The
 * numbers are those of snapshot files. */
enum vmk_pause {
    VMK_PAUSE_NONE,
    VMK_PAUSE_READY,         /* Behind vmkit_guest_ready(). */
    VMK_PAUSE_RETURNED,      /* Behind a function that the embedder called. */
    VMK_PAUSE_RECEIVE,       /* In vmkit_guest_receive(), or */
    VMK_PAUSE_REPLY_RECEIVE, /* in vmkit_guest_reply_receive(), whose reply is done. */
    VMK_PAUSE_REPLIED,       /* Behind vmkit_guest_reply(). */
    VMK_PAUSE_STOPPED,       /* At whatever instruction. */
    VMK_PAUSE_IN_SYSCALL,    /* In a system call that waits, and is made again when it goes on. */
};

/* Why the guest may not go on. Set once, by whoever finds out first; see vmk_process_end(). */
struct vmk_ending {
    enum vmkit_outcome_kind kind; /* 0 while it goes on */
    int exit_status;
    int signal;
    int signal_code;
    enum vmkit_limit limit;
    uint64_t fault_address;
};

struct vmk_process {
    struct vmk_usermode *usermode;
    struct vmkit_vcpu *vcpu;
    /* The guest's registers while it is stopped. A system call that returns a value does not touch
     * them; one that replaces them (rt_sigreturn, execve, a signal's delivery) sets
     * `regs_replaced`, and the run loop then takes all of them as they are, the result register
     * included. */
    struct vmk_user_regs *regs;
    bool regs_replaced;

    struct vmk_space *space;
    struct vmk_files *files;
    struct vmk_signals *signals;
    struct vmk_limits limits;
    struct vmk_memory_account *memory; /* What the guest uses of its limit. */
    struct vmk_ending ending;
    enum vmk_pause pause;
    /* Of the call that is under way, see callframe.h. 0 without one, and when the function executed
     * another program, which has nothing to return to. */
    uint64_t call_return_sp;
    struct vmk_request *request; /* That is under way, see request.h; NULL without one. */
    struct vmk_symbols *symbols; /* Of the program, once they were asked for, */
    uint64_t symbol_bias;        /* and what is added to their addresses. */
    uint32_t pid;
    uint32_t uid;
    uint32_t gid;
    uint32_t umask;
    char name[16]; /* PR_SET_NAME, /proc/self/comm */
    struct vmk_task task;

    /* Set by vmkit_sandbox_kill() from any thread; `wake_fd` is an eventfd that becomes readable
     * with it, so that a wait of the library ends. */
    atomic_bool killed;
    int wake_fd;

    /* Set by vmkit_sandbox_pause() likewise. A wait that it ended sets `wait_paused` and what was
     * left of it (UINT64_MAX: no end); one that goes on ends at `wait_until_ns`, unless that is 0.
     */
    atomic_bool pause_asked;
    bool wait_paused;
    uint64_t wait_left_ns;
    uint64_t wait_until_ns;

    /* When the run has to be over, by CLOCK_MONOTONIC and by the CPU time of the process;
     * UINT64_MAX: never. */
    uint64_t wall_deadline_ns;
    uint64_t cpu_deadline_ns;

    uint64_t output_bytes;

    /* Added to the host's clocks for the guest, modulo 2^64, see clock.h. */
    uint64_t clock_offsets[VMK_CLOCK_KEPT];

    /* Where the 16 random bytes of the program's start are (AT_RANDOM), 0 for nowhere; and a number
     * that no other fork of the same snapshot has, nor this one before it was reset. */
    uint64_t random_va;
    uint64_t generation;

    /* More than its memory and its registers may have changed since it was forked or reset; and it
     * may run another program, by execve(2). */
    bool touched;
    bool program_replaced;

    /* Of the run: what is not zero only between vmk_process_begin() and vmk_process_end(). */
    uint64_t thread_cpu_base_ns; /* The thread's CPU time when it began. */
    uint64_t cpu_before_ns;      /* CPU time of runs before. */
    bool running;
    struct vmk_kick_timer real_timer; /* Kept for the next run; they are set in none alone. */
    struct vmk_kick_timer cpu_timer;

    /* Counted for vmkit_sandbox_get_stats(). */
    uint64_t exits;
    uint64_t syscalls;
    uint64_t unknown_syscalls;
    uint64_t wall_time_ns;
    uint64_t syscall_counts[512];
};

/* Note that the process ends; only the first reason counts. The system call returns to the run loop
 * with whatever value, which the guest never sees. */
void
vmk_process_end_exit(struct vmk_process *process, int status);

void
vmk_process_end_signal(struct vmk_process *process, int signal, int code, uint64_t fault_address);

void
vmk_process_end_limit(struct vmk_process *process, enum vmkit_limit limit);

/* Whether vmkit_sandbox_kill() was called. */
static inline bool
vmk_process_killed(const struct vmk_process *process)
{
    return atomic_load_explicit(&process->killed, memory_order_relaxed);
}

/* Whether vmkit_sandbox_pause() was called, and nothing has come of it yet. */
static inline bool
vmk_process_pause_asked(const struct vmk_process *process)
{
    return atomic_load_explicit(&process->pause_asked, memory_order_relaxed);
}

/* Whether it stands where vmkit_sandbox_pause() stopped it. */
static inline bool
vmk_process_is_stopped(const struct vmk_process *process)
{
    return process->pause == VMK_PAUSE_STOPPED || process->pause == VMK_PAUSE_IN_SYSCALL;
}

static inline bool
vmk_process_ended(const struct vmk_process *process)
{
    return process->ending.kind != 0;
}

/* Whether the process has ended, was killed or reached a limit of time. What may take longer than a
 * millisecond asks in between, and then leaves off wherever it is: the guest never goes on. */
bool
vmk_process_must_stop(struct vmk_process *process);

/* Wait as poll(2) does, and for all that can end the wait besides: vmkit_sandbox_kill(), the wall
 * time limit, and a guest signal or timer that becomes due. `deadline_ns` is a time of
 * CLOCK_MONOTONIC in nanoseconds, UINT64_MAX for none. The number of entries with `revents`; 0 when
 * the deadline passed; -EINTR when the caller should return to the run loop with
 * -VMK_ERESTARTSYS, -VMK_ERESTARTNOHAND or -EINTR as the call demands. Every call of the library
 * that could block goes through here first, and then uses the descriptor without blocking.
 *
 * vmkit_sandbox_pause() ends it with -EINTR, too: the caller returns at once, leaving nothing
 * changed, and is called again with the same arguments when the sandbox goes on. */
int
vmk_process_wait(struct vmk_process *process, struct pollfd *fds, nfds_t count,
                 uint64_t deadline_ns);

/* Now, by CLOCK_MONOTONIC, in nanoseconds. */
uint64_t
vmk_process_now_ns(void);

/* CPU time of the process up to now, in nanoseconds: that of the thread while it runs the sandbox.
 */
uint64_t
vmk_process_cpu_ns(const struct vmk_process *process);

/* The run on the calling thread begins and ends: its CPU time counts, and its timers are there.
 * `limits` are those of this run besides the sandbox's, or NULL. -EAGAIN when the host has no timer
 * left for a limit or the guest's own, or the errno with which it refuses one; the end is still due
 * then. */
int
vmk_process_begin(struct vmk_process *process, const struct vmk_time_limits *limits);

void
vmk_process_finish(struct vmk_process *process);

/* Free what the process keeps of the host between runs. */
void
vmk_process_clear(struct vmk_process *process);

/* Notice what is due: a kill, the limits of time, the guest's timers. */
void
vmk_process_check(struct vmk_process *process);

/* A guest timer changed: set the host's timers anew for the nearest deadline, so that a guest that
 * spins is interrupted in time. */
void
vmk_process_arm_timers(struct vmk_process *process);

#endif
