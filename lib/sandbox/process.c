/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/process.h"

#include "sandbox/signals.h"
#include "vm/vcpu.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NANOSECONDS UINT64_C(1000000000)

/* More than a guest's poll(2) is likely to hand in; longer lists are refused there. */
#define WAIT_STACK 16

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static struct timespec
timespec_from_ns(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NANOSECONDS),
                             .tv_nsec = (long)(ns % NANOSECONDS)};
}

uint64_t
vmk_process_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
vmk_process_cpu_ns(const struct vmk_process *process)
{
    if (!process->running)
        return process->cpu_before_ns;
    uint64_t now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    /* The clock begins anew in a child of fork(2), in which a callback came back. */
    if (now < process->thread_cpu_base_ns)
        return process->cpu_before_ns;
    return process->cpu_before_ns + now - process->thread_cpu_base_ns;
}

static void
end(struct vmk_process *process, const struct vmk_ending *ending)
{
    if (!vmk_process_ended(process))
        process->ending = *ending;
}

void
vmk_process_end_exit(struct vmk_process *process, int status)
{
    end(process, &(struct vmk_ending){.kind = VMKIT_OUTCOME_EXITED, .exit_status = status & 0xff});
}

void
vmk_process_end_signal(struct vmk_process *process, int signal, int code, uint64_t fault_address)
{
    end(process, &(struct vmk_ending){.kind = VMKIT_OUTCOME_SIGNALLED,
                                      .signal = signal,
                                      .signal_code = code,
                                      .fault_address = fault_address});
}

void
vmk_process_end_limit(struct vmk_process *process, enum vmkit_limit limit)
{
    end(process, &(struct vmk_ending){.kind = VMKIT_OUTCOME_LIMIT, .limit = limit});
}

static uint64_t
nearest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When a run that begins `now` has to be over. Zero is no limit. */
static uint64_t
deadline(uint64_t now, uint64_t limit, uint64_t own_limit)
{
    /* One less is the largest for what is none. */
    uint64_t length = nearest(limit - 1, own_limit - 1), end;
    if (length == UINT64_MAX || __builtin_add_overflow(now, length + 1, &end))
        return UINT64_MAX;
    return end;
}

/* Have the kick's signal sent to this thread at a time of `clock`; UINT64_MAX takes that back. */
static int
arm(struct vmk_kick_timer *timer, clockid_t clock, uint64_t when_ns)
{
    if (when_ns == UINT64_MAX) {
        vmk_kick_timer_stop(timer);
        return 0;
    }
    int r = vmk_kick_timer_make(timer, clock);
    return r < 0 ? r : vmk_kick_timer_set(timer, when_ns);
}

static int
arm_timers(struct vmk_process *process)
{
    int real = arm(&process->real_timer, CLOCK_MONOTONIC,
                   nearest(process->wall_deadline_ns, vmk_signals_next_real_ns(process->signals)));

    uint64_t cpu = nearest(process->cpu_deadline_ns, vmk_signals_next_cpu_ns(process->signals));
    if (cpu != UINT64_MAX) {
        cpu = cpu > process->cpu_before_ns ? cpu - process->cpu_before_ns : 0;
        if (__builtin_add_overflow(cpu, process->thread_cpu_base_ns, &cpu))
            cpu = UINT64_MAX;
    }
    int result = arm(&process->cpu_timer, CLOCK_THREAD_CPUTIME_ID, cpu);
    return real < 0 ? real : result;
}

void
vmk_process_arm_timers(struct vmk_process *process)
{
    if (process->running)
        arm_timers(process);
}

int
vmk_process_begin(struct vmk_process *process, const struct vmk_time_limits *limits)
{
    static const struct vmk_time_limits none;
    const struct vmk_time_limits *own = limits != NULL ? limits : &none;
    process->thread_cpu_base_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    process->running = true;
    process->wall_deadline_ns =
        deadline(vmk_process_now_ns(), process->limits.wall_time_ns, own->wall_ns);
    process->cpu_deadline_ns =
        deadline(process->cpu_before_ns, process->limits.cpu_time_ns, own->cpu_ns);
    /* A limit that no timer holds would be none for a program that spins. */
    return arm_timers(process);
}

void
vmk_process_finish(struct vmk_process *process)
{
    vmk_kick_timer_stop(&process->real_timer);
    vmk_kick_timer_stop(&process->cpu_timer);
    process->cpu_before_ns = vmk_process_cpu_ns(process);
    process->wall_deadline_ns = process->cpu_deadline_ns = UINT64_MAX;
    process->running = false;
}

void
vmk_process_clear(struct vmk_process *process)
{
    vmk_kick_timer_delete(&process->real_timer);
    vmk_kick_timer_delete(&process->cpu_timer);
}

bool
vmk_process_must_stop(struct vmk_process *process)
{
    if (vmk_process_killed(process))
        end(process, &(struct vmk_ending){.kind = VMKIT_OUTCOME_KILLED});
    if (process->wall_deadline_ns != UINT64_MAX &&
        vmk_process_now_ns() >= process->wall_deadline_ns)
        vmk_process_end_limit(process, VMKIT_LIMIT_WALL_TIME);
    if (process->cpu_deadline_ns != UINT64_MAX &&
        vmk_process_cpu_ns(process) >= process->cpu_deadline_ns)
        vmk_process_end_limit(process, VMKIT_LIMIT_CPU_TIME);
    return vmk_process_ended(process);
}

void
vmk_process_check(struct vmk_process *process)
{
    if (vmk_process_must_stop(process))
        return;
    if (vmk_signals_next_real_ns(process->signals) != UINT64_MAX ||
        vmk_signals_next_cpu_ns(process->signals) != UINT64_MAX) {
        vmk_signals_expire(process);
        vmk_process_arm_timers(process);
    }
}

/* poll(2) on the caller's descriptors and the one that vmkit_sandbox_kill() writes to. */
static int
poll_until(struct vmk_process *process, struct pollfd *fds, nfds_t count, uint64_t deadline_ns)
{
    struct pollfd local[WAIT_STACK];
    struct pollfd *all = local;
    if (count + 1 > WAIT_STACK) {
        all = calloc(count + 1, sizeof *all);
        if (all == NULL)
            return -ENOMEM;
    }
    if (count > 0)
        memcpy(all, fds, count * sizeof *fds);
    all[count] = (struct pollfd){.fd = process->wake_fd, .events = POLLIN};

    uint64_t now = vmk_process_now_ns();
    struct timespec timeout = timespec_from_ns(deadline_ns > now ? deadline_ns - now : 0);
    int r = ppoll(all, count + 1, deadline_ns == UINT64_MAX ? NULL : &timeout, NULL);
    int err = errno;

    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = r > 0 ? all[i].revents : 0;
        ready += fds[i].revents != 0;
    }
    if (all != local)
        free(all);
    return r < 0 && err != EINTR ? -err : ready;
}

/* The sandbox is to stand still. */
static int
pause_wait(struct vmk_process *process, uint64_t deadline_ns)
{
    uint64_t now = vmk_process_now_ns();
    process->wait_paused = true;
    process->wait_left_ns = deadline_ns > now ? deadline_ns - now : 0;
    if (deadline_ns == UINT64_MAX)
        process->wait_left_ns = UINT64_MAX;
    return -EINTR;
}

int
vmk_process_wait(struct vmk_process *process, struct pollfd *fds, nfds_t count,
                 uint64_t deadline_ns)
{
    if (process->wait_until_ns != 0)
        deadline_ns = nearest(deadline_ns, process->wait_until_ns);
    for (;;) {
        vmk_process_check(process);
        if (vmk_process_ended(process) || vmk_signals_pending(process))
            return -EINTR;
        if (vmk_process_pause_asked(process) && deadline_ns != 0)
            return pause_wait(process, deadline_ns);

        uint64_t until = nearest(deadline_ns, process->wall_deadline_ns);
        until = nearest(until, vmk_signals_next_real_ns(process->signals));
        int r = poll_until(process, fds, count, until);
        if (r != 0)
            return r;
        if (deadline_ns != UINT64_MAX && vmk_process_now_ns() >= deadline_ns)
            return 0;
    }
}
