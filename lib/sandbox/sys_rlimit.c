/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of resources (getrlimit(2), prlimit(2)).
 *
 * The limits that the guest sees are those of the sandbox. It may lower them, as Linux lets
 * everyone, and the sandbox's own stay in force whatever the guest says. Of those that it sets
 * itself, two are held. RLIMIT_CPU: SIGXCPU at the soft limit and each second after, SIGKILL at the
 * hard one. RLIMIT_NOFILE: see fdtable.h. The others are kept and told.
 */
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"
#include "sandbox/timers.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#define INFINITE UINT64_MAX
#define STACK_BYTES (UINT64_C(8) << 20)

static const uint64_t fixed_limits[VMK_RLIMIT_COUNT] = {
    [RLIMIT_CPU] = INFINITE,     [RLIMIT_FSIZE] = INFINITE,
    [RLIMIT_DATA] = INFINITE,    [RLIMIT_STACK] = STACK_BYTES,
    [RLIMIT_CORE] = 0,           [RLIMIT_RSS] = INFINITE,
    [RLIMIT_NPROC] = 1,          [RLIMIT_NOFILE] = 0,
    [RLIMIT_MEMLOCK] = INFINITE, [RLIMIT_AS] = INFINITE,
    [RLIMIT_LOCKS] = INFINITE,   [RLIMIT_SIGPENDING] = VMK_SIGNALS_QUEUE_LIMIT,
    [RLIMIT_MSGQUEUE] = 0,       [RLIMIT_NICE] = 0,
    [RLIMIT_RTPRIO] = 0,         [RLIMIT_RTTIME] = INFINITE,
};

static uint64_t
sandbox_limit(const struct vmk_process *process, uint32_t resource)
{
    const struct vmk_limits *limits = &process->limits;
    switch (resource) {
    case RLIMIT_CPU:
        return limits->cpu_time_ns == 0 ? INFINITE
                                        : (limits->cpu_time_ns - 1) / VMK_NS_PER_SECOND + 1;
    case RLIMIT_DATA:
    case RLIMIT_RSS:
    case RLIMIT_AS:
    case RLIMIT_MEMLOCK:
        return limits->memory_bytes;
    case RLIMIT_NOFILE:
        return limits->open_files;
    default:
        return fixed_limits[resource];
    }
}

void
vmk_task_get_rlimit(const struct vmk_process *process, uint32_t resource, uint64_t *ret_current,
                    uint64_t *ret_maximum)
{
    const struct vmk_rlimit_override *own = &process->task.rlimits[resource];
    if (ret_current != NULL)
        *ret_current = own->set ? own->current : sandbox_limit(process, resource);
    if (ret_maximum != NULL)
        *ret_maximum = own->set ? own->maximum : sandbox_limit(process, resource);
}

static uint64_t
seconds_to_ns(uint64_t seconds)
{
    uint64_t ns;
    return __builtin_mul_overflow(seconds, VMK_NS_PER_SECOND, &ns) ? UINT64_MAX : ns;
}

uint64_t
vmk_task_next_cpu_limit_ns(const struct vmk_process *process)
{
    const struct vmk_rlimit_override *own = &process->task.rlimits[RLIMIT_CPU];
    uint64_t due = own->set ? seconds_to_ns(own->current) : UINT64_MAX;
    return due < process->task.cpu_limit_earliest_ns ? process->task.cpu_limit_earliest_ns : due;
}

/* The soft limit moves on, for the guest to see, as Linux has it (check_process_timers() in
 * kernel/time/posix-cpu-timers.c). It never passes the hard one before that ends the guest. */
int
vmk_task_exceed_cpu_limit(struct vmk_process *process, uint64_t cpu_ns)
{
    struct vmk_rlimit_override *own = &process->task.rlimits[RLIMIT_CPU];
    if (cpu_ns < vmk_task_next_cpu_limit_ns(process))
        return 0;
    if (cpu_ns >= seconds_to_ns(own->maximum))
        return SIGKILL;
    own->current++;
    process->task.cpu_limit_earliest_ns = cpu_ns + VMK_TIMERS_GAP_NS;
    return SIGXCPU;
}

static int64_t
set_rlimit(struct vmk_process *process, uint32_t resource, const struct vmk_guest_rlimit *wanted)
{
    uint64_t maximum;
    vmk_task_get_rlimit(process, resource, NULL, &maximum);
    if (wanted->current > wanted->maximum)
        return -EINVAL;
    if (wanted->maximum > maximum)
        return -EPERM;
    process->task.rlimits[resource] = (struct vmk_rlimit_override){
        .set = true, .current = wanted->current, .maximum = wanted->maximum};
    if (resource == RLIMIT_CPU)
        vmk_timers_update(process);
    return 0;
}

int64_t
vmk_sys_prlimit64(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_rlimit old, wanted;
    uint32_t pid = (uint32_t)args[0];
    uint32_t resource = (uint32_t)args[1];
    if (resource >= VMK_RLIMIT_COUNT)
        return -EINVAL;
    if (args[2] != 0 && vmk_uaccess_read(process->space, args[2], &wanted, sizeof wanted) < 0)
        return -EFAULT;
    if (pid != 0 && pid != process->pid)
        return -ESRCH;
    vmk_task_get_rlimit(process, resource, &old.current, &old.maximum);
    if (args[2] != 0) {
        int64_t r = set_rlimit(process, resource, &wanted);
        if (r < 0)
            return r;
    }
    if (args[3] == 0)
        return 0;
    return vmk_uaccess_write(process->space, args[3], &old, sizeof old);
}

int64_t
vmk_sys_getrlimit(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_rlimit limit;
    uint32_t resource = (uint32_t)args[0];
    if (resource >= VMK_RLIMIT_COUNT)
        return -EINVAL;
    vmk_task_get_rlimit(process, resource, &limit.current, &limit.maximum);
    return vmk_uaccess_write(process->space, args[1], &limit, sizeof limit);
}

int64_t
vmk_sys_setrlimit(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_rlimit wanted;
    uint32_t resource = (uint32_t)args[0];
    if (vmk_uaccess_read(process->space, args[1], &wanted, sizeof wanted) < 0)
        return -EFAULT;
    if (resource >= VMK_RLIMIT_COUNT)
        return -EINVAL;
    return set_rlimit(process, resource, &wanted);
}
