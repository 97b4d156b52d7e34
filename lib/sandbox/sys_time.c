/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks and sleeping (clock_gettime(2), clock_nanosleep(2), adjtimex(2)).
 *
 * The guest reads the host's clocks, with an offset where they begin at the host's start (clock.h),
 * and can set none. Its CPU clocks count the CPU time of the run;
 * for its one thread they are the same. Every sleep is a wait of the process, so that signals, the
 * limits and vmkit_sandbox_kill() end it.
 *
 * Linux restarts a sleep through restart_syscall(2) when it was interrupted without a handler. Here
 * a wait is interrupted by nothing but a signal that runs a handler or ends the process, so that a
 * relative sleep is simply EINTR with the remaining time. One that is paused is made again, and the
 * wait knows how long (vmk_process_wait()).
 */
#include "sandbox/clock.h"
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <string.h>
#include <sys/timex.h>

#define TICKS_PER_SECOND 100
#define NS_PER_TICK (VMK_NS_PER_SECOND / TICKS_PER_SECOND)
#define ABSOLUTE 1u

static int64_t
write_ns(struct vmk_process *process, uint64_t va, uint64_t ns)
{
    struct vmk_guest_timespec time = vmk_clock_to_timespec(ns);
    return vmk_uaccess_write(process->space, va, &time, sizeof time);
}

int64_t
vmk_sys_clock_gettime(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t now;
    int r = vmk_clock_read(process, (int32_t)args[0], &now);
    return r < 0 ? r : write_ns(process, args[1], now);
}

int64_t
vmk_sys_clock_getres(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t now, resolution;
    int r = vmk_clock_read(process, (int32_t)args[0], &now);
    if (r < 0 || args[1] == 0)
        return r;
    resolution = vmk_clock_get_resolution((int32_t)args[0]);
    return write_ns(process, args[1], resolution);
}

int64_t
vmk_sys_clock_settime(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t now, wanted;
    if ((int32_t)args[0] != CLOCK_REALTIME)
        return vmk_clock_read(process, (int32_t)args[0], &now) < 0 ? -EINVAL : -EPERM;
    int r = vmk_clock_read_timespec(process, args[1], &wanted);
    return r < 0 ? r : -EPERM;
}

int64_t
vmk_sys_gettimeofday(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t now;
    int r = vmk_clock_read(process, CLOCK_REALTIME, &now);
    if (r < 0)
        return r;
    struct vmk_guest_timeval time = vmk_clock_to_timeval(now);
    if (args[0] != 0 && vmk_uaccess_write(process->space, args[0], &time, sizeof time) < 0)
        return -EFAULT;
    if (args[1] != 0 && vmk_uaccess_zero(process->space, args[1], 2 * sizeof(int32_t)) < 0)
        return -EFAULT;
    return 0;
}

int64_t
vmk_sys_settimeofday(struct vmk_process *process, const uint64_t args[6])
{
    return -EPERM;
}

/* struct timex is one of those that the libc of 64-bit machines shares with the kernel. */
_Static_assert(sizeof(struct timex) == 208, "struct __kernel_timex");

static int64_t
adjust_clock(struct vmk_process *process, uint64_t va)
{
    struct timex state;
    int r = vmk_uaccess_read(process->space, va, &state, sizeof state);
    if (r < 0)
        return r;
    if (state.modes != 0)
        return -EPERM;
    memset(&state, 0, sizeof state);
    int status = adjtimex(&state);
    if (status < 0)
        return -EPERM;
    r = vmk_uaccess_write(process->space, va, &state, sizeof state);
    return r < 0 ? r : status;
}

int64_t
vmk_sys_adjtimex(struct vmk_process *process, const uint64_t args[6])
{
    return adjust_clock(process, args[0]);
}

int64_t
vmk_sys_clock_adjtime(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t now;
    if (vmk_clock_read(process, (int32_t)args[0], &now) < 0)
        return -EINVAL;
    return (int32_t)args[0] == CLOCK_REALTIME ? adjust_clock(process, args[1]) : -EOPNOTSUPP;
}

int64_t
vmk_sys_times(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_tms times = {.user = (int64_t)(vmk_process_cpu_ns(process) / NS_PER_TICK)};
    if (args[0] != 0 && vmk_uaccess_write(process->space, args[0], &times, sizeof times) < 0)
        return -EFAULT;
    uint64_t now = 0;
    vmk_clock_read(process, CLOCK_MONOTONIC, &now);
    return (int64_t)(now / NS_PER_TICK);
}

/* Sleep until a time of CLOCK_MONOTONIC; `remaining_va` may be 0. */
static int64_t
sleep_until(struct vmk_process *process, uint64_t deadline_ns, uint64_t remaining_va)
{
    int r = vmk_process_wait(process, NULL, 0, deadline_ns);
    if (r != -EINTR || remaining_va == 0 || process->wait_paused)
        return r;
    uint64_t now = vmk_process_now_ns();
    int64_t written = write_ns(process, remaining_va, deadline_ns > now ? deadline_ns - now : 0);
    return written < 0 ? written : r;
}

int64_t
vmk_sys_nanosleep(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t duration;
    int r = vmk_clock_read_timespec(process, args[0], &duration);
    if (r < 0)
        return r;
    return sleep_until(process, vmk_clock_add(vmk_process_now_ns(), duration), args[1]);
}

/* A sleep by a CPU clock ends only by a signal, since a process of one thread uses none asleep. */
int64_t
vmk_sys_clock_nanosleep(struct vmk_process *process, const uint64_t args[6])
{
    int32_t clock = (int32_t)args[0];
    bool absolute = ((uint32_t)args[1] & ABSOLUTE) != 0;
    uint64_t time, now;
    int r = vmk_clock_check_timer(process, clock);
    if (r < 0)
        return r;
    if (clock == CLOCK_THREAD_CPUTIME_ID)
        return -EINVAL;
    r = vmk_clock_read_timespec(process, args[2], &time);
    if (r < 0)
        return r;
    r = vmk_clock_read(process, clock, &now);
    if (r < 0)
        return r;
    if (absolute)
        time = time > now ? time - now : 0;
    uint64_t deadline = vmk_clock_add(vmk_process_now_ns(), time);
    if (vmk_clock_is_cpu(clock) && time > 0)
        deadline = UINT64_MAX;
    int64_t slept = sleep_until(process, deadline, absolute ? 0 : args[3]);
    return slept == -EINTR && absolute ? -VMK_ERESTARTNOHAND : slept;
}
