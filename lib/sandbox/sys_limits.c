/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest has used, what there is, and how it is scheduled (getrusage(2), sysinfo(2),
 * sched(7)). It has one processor. */
#include "sandbox/account.h"
#include "sandbox/clock.h"
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

#define CPU_SET_BYTES 8
#define NICE_LEAST (-20)
#define NICE_MOST 19
#define SLICE_NS 4000000

/* All of the CPU time counts as the user's: the library cannot tell the shares apart. */
int64_t
vmk_sys_getrusage(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_rusage usage = {0};
    int32_t who = (int32_t)args[0];
    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
        return -EINVAL;
    if (who != RUSAGE_CHILDREN) {
        uint64_t cpu_ns = vmk_process_cpu_ns(process);
        usage.user.seconds = (int64_t)(cpu_ns / VMK_NS_PER_SECOND);
        usage.user.microseconds = (int64_t)(cpu_ns % VMK_NS_PER_SECOND / 1000);
        usage.max_rss_kib = (int64_t)(process->memory->peak / 1024);
    }
    return vmk_uaccess_write(process->space, args[1], &usage, sizeof usage);
}

int64_t
vmk_sys_sysinfo(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t now = 0;
    vmk_clock_read(process, CLOCK_MONOTONIC, &now);
    const struct vmk_guest_sysinfo info = {
        .uptime_seconds = (int64_t)(now / VMK_NS_PER_SECOND),
        .total_ram = process->memory->limit,
        .free_ram = process->memory->limit - process->memory->used,
        .processes = 1,
        .memory_unit = 1,
    };
    return vmk_uaccess_write(process->space, args[0], &info, sizeof info);
}

int64_t
vmk_sys_getcpu(struct vmk_process *process, const uint64_t args[6])
{
    for (int i = 0; i < 2; i++)
        if (args[i] != 0 && vmk_uaccess_zero(process->space, args[i], sizeof(uint32_t)) < 0)
            return -EFAULT;
    return 0;
}

static int64_t
check_pid(const struct vmk_process *process, uint64_t pid)
{
    if ((int32_t)pid < 0)
        return -EINVAL;
    return (uint32_t)pid == 0 || (uint32_t)pid == process->pid ? 0 : -ESRCH;
}

int64_t
vmk_sys_sched_yield(struct vmk_process *process, const uint64_t args[6])
{
    return 0;
}

int64_t
vmk_sys_sched_getaffinity(struct vmk_process *process, const uint64_t args[6])
{
    static const uint64_t first_cpu = 1;
    uint32_t length = (uint32_t)args[1];
    if (length < CPU_SET_BYTES || length % CPU_SET_BYTES != 0)
        return -EINVAL;
    if ((uint32_t)args[0] != 0 && (uint32_t)args[0] != process->pid)
        return -ESRCH;
    int r = vmk_uaccess_write(process->space, args[2], &first_cpu, sizeof first_cpu);
    return r < 0 ? r : CPU_SET_BYTES;
}

int64_t
vmk_sys_sched_setaffinity(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t cpus = 0;
    uint32_t length = (uint32_t)args[1];
    if (vmk_uaccess_read(process->space, args[2], &cpus,
                         length < CPU_SET_BYTES ? length : CPU_SET_BYTES) < 0)
        return -EFAULT;
    if ((uint32_t)args[0] != 0 && (uint32_t)args[0] != process->pid)
        return -ESRCH;
    return (cpus & 1) != 0 ? 0 : -EINVAL;
}

int64_t
vmk_sys_sched_getscheduler(struct vmk_process *process, const uint64_t args[6])
{
    int64_t r = check_pid(process, args[0]);
    return r < 0 ? r : process->task.scheduler;
}

int64_t
vmk_sys_sched_getparam(struct vmk_process *process, const uint64_t args[6])
{
    int64_t r = args[1] == 0 ? -EINVAL : check_pid(process, args[0]);
    return r < 0 ? r : vmk_uaccess_zero(process->space, args[1], sizeof(int32_t));
}

static int64_t
set_scheduler(struct vmk_process *process, uint64_t pid, int32_t policy, uint64_t param_va)
{
    int32_t priority;
    if (param_va == 0 || (int32_t)pid < 0)
        return -EINVAL;
    if (vmk_uaccess_read(process->space, param_va, &priority, sizeof priority) < 0)
        return -EFAULT;
    int64_t r = check_pid(process, pid);
    if (r < 0)
        return r;
    switch (policy & ~SCHED_RESET_ON_FORK) {
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
        if (priority != 0)
            return -EINVAL;
        process->task.scheduler = policy & ~SCHED_RESET_ON_FORK;
        return 0;
    case SCHED_FIFO:
    case SCHED_RR:
        return priority < 1 || priority > 99 ? -EINVAL : -EPERM;
    default:
        return -EINVAL;
    }
}

int64_t
vmk_sys_sched_setscheduler(struct vmk_process *process, const uint64_t args[6])
{
    if ((int32_t)args[1] < 0)
        return -EINVAL;
    return set_scheduler(process, args[0], (int32_t)args[1], args[2]);
}

int64_t
vmk_sys_sched_setparam(struct vmk_process *process, const uint64_t args[6])
{
    return set_scheduler(process, args[0], process->task.scheduler, args[1]);
}

static int64_t
priority_of(uint64_t policy, int64_t real_time)
{
    switch ((int32_t)policy) {
    case SCHED_FIFO:
    case SCHED_RR:
        return real_time;
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t
vmk_sys_sched_get_priority_max(struct vmk_process *process, const uint64_t args[6])
{
    return priority_of(args[0], 99);
}

int64_t
vmk_sys_sched_get_priority_min(struct vmk_process *process, const uint64_t args[6])
{
    return priority_of(args[0], 1);
}

int64_t
vmk_sys_sched_rr_get_interval(struct vmk_process *process, const uint64_t args[6])
{
    static const struct vmk_guest_timespec slice = {.nanoseconds = SLICE_NS};
    int64_t r = check_pid(process, args[0]);
    return r < 0 ? r : vmk_uaccess_write(process->space, args[1], &slice, sizeof slice);
}

/* Whether getpriority's `which` and `who` name the guest. */
static int64_t
check_who(const struct vmk_process *process, uint64_t which, uint64_t who)
{
    switch ((int32_t)which) {
    case PRIO_PROCESS:
    case PRIO_PGRP:
        return (uint32_t)who == 0 || (uint32_t)who == process->pid ? 0 : -ESRCH;
    case PRIO_USER:
        return (uint32_t)who == 0 || (uint32_t)who == process->uid ? 0 : -ESRCH;
    default:
        return -EINVAL;
    }
}

/* The kernel returns 20 minus the nice value, so that it is never negative. */
int64_t
vmk_sys_getpriority(struct vmk_process *process, const uint64_t args[6])
{
    int64_t r = check_who(process, args[0], args[1]);
    return r < 0 ? r : 20 - process->task.nice;
}

int64_t
vmk_sys_setpriority(struct vmk_process *process, const uint64_t args[6])
{
    int32_t nice = (int32_t)args[2];
    int64_t r = check_who(process, args[0], args[1]);
    if (r < 0)
        return r;
    nice = nice < NICE_LEAST ? NICE_LEAST : nice > NICE_MOST ? NICE_MOST : nice;
    if (nice < process->task.nice)
        return -EACCES;
    process->task.nice = nice;
    return 0;
}
