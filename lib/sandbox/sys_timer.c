/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of timers: getitimer(2), timer_create(2) and their like. The clocks of real time
 * are kept by CLOCK_MONOTONIC from the moment a timer is armed, so that a jump of the host's date
 * moves none.
 */
#include "sandbox/clock.h"
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/signal_state.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define ABSOLUTE 1u

/* include/uapi/asm-generic/siginfo.h */
enum { NOTIFY_SIGNAL = 0, NOTIFY_NONE = 1, NOTIFY_THREAD = 2, NOTIFY_THREAD_ID = 4 };

static struct vmk_guest_itimerval
get_interval(struct vmk_process *process, uint64_t which)
{
    const struct vmk_timer *timer = &process->signals->timers.interval[which];
    uint64_t left = vmk_timers_get_left(process, timer);
    /* An armed timer never reads as zero. */
    if (left > 0 && left < 1000)
        left = 1000;
    return (struct vmk_guest_itimerval){
        .interval = vmk_clock_to_timeval(timer->interval_ns),
        .value = vmk_clock_to_timeval(left),
    };
}

int64_t
vmk_sys_getitimer(struct vmk_process *process, const uint64_t args[6])
{
    if ((uint32_t)args[0] >= VMK_INTERVAL_COUNT)
        return -EINVAL;
    struct vmk_guest_itimerval value = get_interval(process, (uint32_t)args[0]);
    return vmk_uaccess_write(process->space, args[1], &value, sizeof value);
}

/* Without a new value the timer is disarmed, as Linux does it for old programs. */
int64_t
vmk_sys_setitimer(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_itimerval wanted = {0};
    uint64_t value, interval;
    if (args[1] != 0 && vmk_uaccess_read(process->space, args[1], &wanted, sizeof wanted) < 0)
        return -EFAULT;
    if (vmk_clock_from_timeval(&wanted.value, &value) < 0 ||
        vmk_clock_from_timeval(&wanted.interval, &interval) < 0)
        return -EINVAL;
    if ((uint32_t)args[0] >= VMK_INTERVAL_COUNT)
        return -EINVAL;
    struct vmk_guest_itimerval old = get_interval(process, (uint32_t)args[0]);
    vmk_timers_set_interval(process, (enum vmk_interval)(uint32_t)args[0], value, interval);
    return args[2] == 0 ? 0 : vmk_uaccess_write(process->space, args[2], &old, sizeof old);
}

static struct vmk_timer *
find(struct vmk_process *process, uint64_t id)
{
    if ((uint32_t)id >= VMK_TIMERS_LIMIT)
        return NULL;
    struct vmk_timer *timer = &process->signals->timers.posix[(uint32_t)id];
    return timer->used ? timer : NULL;
}

static int
check_event(const struct vmk_process *process, const struct vmk_guest_sigevent *event)
{
    switch (event->notify) {
    case NOTIFY_THREAD_ID:
        if ((uint32_t)event->thread_id != process->pid)
            return -EINVAL;
        break;
    case NOTIFY_NONE:
        return 0;
    case NOTIFY_SIGNAL:
    case NOTIFY_THREAD:
        break;
    default:
        return -EINVAL;
    }
    return event->signo >= 1 && event->signo <= VMK_SIGNAL_LAST ? 0 : -EINVAL;
}

static int
find_free(const struct vmk_timers *timers)
{
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++)
        if (!timers->posix[i].used)
            return i;
    return -EAGAIN;
}

int64_t
vmk_sys_timer_create(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_timers *timers = &process->signals->timers;
    struct vmk_guest_sigevent event = {.signo = SIGALRM, .notify = NOTIFY_SIGNAL};
    int32_t clock = (int32_t)args[0];
    if (args[1] != 0 && vmk_uaccess_read(process->space, args[1], &event, sizeof event) < 0)
        return -EFAULT;
    int r = vmk_clock_check_timer(process, clock);
    if (r < 0)
        return r;
    int32_t id = find_free(timers);
    if (id < 0)
        return id;
    r = check_event(process, &event);
    if (r < 0)
        return r;
    r = vmk_uaccess_write(process->space, args[2], &id, sizeof id);
    if (r < 0)
        return r;
    timers->posix[id] = (struct vmk_timer){
        .used = true,
        .cpu = vmk_clock_is_cpu(clock),
        .silent = event.notify == NOTIFY_NONE,
        .signal = event.notify == NOTIFY_NONE ? SIGALRM : event.signo,
        .clock = clock,
        .value = args[1] == 0 ? (uint64_t)id : event.value,
        .expiry_ns = VMK_TIMER_UNARMED,
    };
    return 0;
}

static struct vmk_guest_itimerspec
get_setting(struct vmk_process *process, const struct vmk_timer *timer)
{
    return (struct vmk_guest_itimerspec){
        .interval = vmk_clock_to_timespec(timer->interval_ns),
        .value = vmk_clock_to_timespec(vmk_timers_get_left(process, timer)),
    };
}

int64_t
vmk_sys_timer_gettime(struct vmk_process *process, const uint64_t args[6])
{
    const struct vmk_timer *timer = find(process, args[0]);
    if (timer == NULL)
        return -EINVAL;
    struct vmk_guest_itimerspec setting = get_setting(process, timer);
    return vmk_uaccess_write(process->space, args[1], &setting, sizeof setting);
}

/* When a timer goes off that is set to `value` of its own clock, by the clock it is kept in. */
static uint64_t
get_expiry(const struct vmk_process *process, const struct vmk_timer *timer, uint64_t value,
           bool absolute)
{
    uint64_t now;
    if (value == 0 || vmk_clock_read(process, timer->clock, &now) < 0)
        return VMK_TIMER_UNARMED;
    if (absolute)
        value = value > now ? value - now : 0;
    return vmk_clock_add(vmk_timers_now(process, timer), value);
}

int64_t
vmk_sys_timer_settime(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_itimerspec wanted, old;
    uint64_t value, interval;
    if (args[2] == 0)
        return -EINVAL;
    if (vmk_uaccess_read(process->space, args[2], &wanted, sizeof wanted) < 0)
        return -EFAULT;
    struct vmk_timer *timer = find(process, args[0]);
    if (timer == NULL || vmk_clock_from_timespec(&wanted.value, &value) < 0 ||
        vmk_clock_from_timespec(&wanted.interval, &interval) < 0)
        return -EINVAL;
    old = get_setting(process, timer);
    bool absolute = ((uint32_t)args[1] & ABSOLUTE) != 0;
    vmk_signals_drop_timer(process->signals, (int)args[0]);
    timer->overrun = 0;
    vmk_timers_arm(process, timer, get_expiry(process, timer, value, absolute), interval);
    return args[3] == 0 ? 0 : vmk_uaccess_write(process->space, args[3], &old, sizeof old);
}

int64_t
vmk_sys_timer_getoverrun(struct vmk_process *process, const uint64_t args[6])
{
    const struct vmk_timer *timer = find(process, args[0]);
    return timer == NULL ? -EINVAL : timer->overrun;
}

int64_t
vmk_sys_timer_delete(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_timer *timer = find(process, args[0]);
    if (timer == NULL)
        return -EINVAL;
    vmk_signals_drop_timer(process->signals, (int)args[0]);
    *timer = (struct vmk_timer){0};
    vmk_timers_update(process);
    return 0;
}
