/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's clocks (clock_gettime(2); the kernel's include/linux/posix-timers.h for the numbers
 * of CPU clocks that are made of a process number).
 */
#include "sandbox/clock.h"
#include "sandbox/process.h"
#include "sandbox/uaccess.h"

#include "util/checked.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* A negative clock number is ~pid << 3, with the kind of clock in the three low bits. */
#define CPU_CLOCK_KIND 3
#define CPU_CLOCK_FD 3

#define COARSE_RESOLUTION_NS 4000000

static bool
names_self(const struct vmk_process *process, int32_t clock)
{
    uint32_t pid = ~(uint32_t)(clock >> 3);
    return (clock & CPU_CLOCK_KIND) != CPU_CLOCK_FD && (pid == 0 || pid == process->pid);
}

bool
vmk_clock_is_cpu(int32_t clock)
{
    return clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID || clock < 0;
}

static const clockid_t kept_clocks[VMK_CLOCK_KEPT] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                                      CLOCK_BOOTTIME};

/* The alarm clocks read as the clocks that they are made of, on hosts without an RTC as well. So
 * does the coarse monotonic one: it stands behind the clock that a snapshot keeps, and would go
 * back by as much. */
static clockid_t
get_base(int32_t clock)
{
    switch (clock) {
    case CLOCK_MONOTONIC_COARSE:
        return CLOCK_MONOTONIC;
    case CLOCK_REALTIME_ALARM:
        return CLOCK_REALTIME;
    case CLOCK_BOOTTIME_ALARM:
        return CLOCK_BOOTTIME;
    default:
        return clock;
    }
}

static uint64_t
get_offset(const struct vmk_process *process, clockid_t base)
{
    for (int i = 0; i < VMK_CLOCK_KEPT; i++) {
        if (kept_clocks[i] == base)
            return process->clock_offsets[i];
    }
    return 0;
}

int
vmk_clock_read(const struct vmk_process *process, int32_t clock, uint64_t *ret_ns)
{
    struct timespec now;
    if (clock < 0 && !names_self(process, clock))
        return -EINVAL;
    if (vmk_clock_is_cpu(clock)) {
        *ret_ns = vmk_process_cpu_ns(process);
        return 0;
    }
    clockid_t base = get_base(clock);
    uint64_t offset = get_offset(process, base);
    if (base == CLOCK_MONOTONIC) {
        *ret_ns = vmk_process_now_ns() + offset;
        return 0;
    }
    if (clock > CLOCK_TAI || clock_gettime(base, &now) < 0)
        return -EINVAL;
    *ret_ns = (uint64_t)now.tv_sec * VMK_NS_PER_SECOND + (uint64_t)now.tv_nsec + offset;
    return 0;
}

void
vmk_clock_take(const struct vmk_process *process, uint64_t ret_readings[VMK_CLOCK_KEPT])
{
    for (int i = 0; i < VMK_CLOCK_KEPT; i++) {
        ret_readings[i] = 0;
        vmk_clock_read(process, kept_clocks[i], &ret_readings[i]);
    }
}

void
vmk_clock_continue(struct vmk_process *process, const uint64_t readings[VMK_CLOCK_KEPT])
{
    uint64_t host[VMK_CLOCK_KEPT];
    memset(process->clock_offsets, 0, sizeof process->clock_offsets);
    if (readings == NULL)
        return;
    vmk_clock_take(process, host);
    for (int i = 0; i < VMK_CLOCK_KEPT; i++)
        process->clock_offsets[i] = readings[i] - host[i];
}

uint64_t
vmk_clock_get_resolution(int32_t clock)
{
    return clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ? COARSE_RESOLUTION_NS
                                                                             : 1;
}

int
vmk_clock_check_timer(const struct vmk_process *process, int32_t clock)
{
    uint64_t now;
    int r = vmk_clock_read(process, clock, &now);
    if (r < 0)
        return r;
    switch (clock) {
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_REALTIME_COARSE:
        return -EOPNOTSUPP;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
        return -EPERM;
    default:
        return 0;
    }
}

uint64_t
vmk_clock_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return vmk_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

static int
join(int64_t seconds, int64_t rest, uint64_t units_per_second, uint64_t *ret_ns)
{
    uint64_t ns;
    if (seconds < 0 || rest < 0 || (uint64_t)rest >= units_per_second)
        return -EINVAL;
    if (!vmk_mul_u64((uint64_t)seconds, VMK_NS_PER_SECOND, &ns))
        ns = UINT64_MAX;
    *ret_ns = vmk_clock_add(ns, (uint64_t)rest * (VMK_NS_PER_SECOND / units_per_second));
    return 0;
}

int
vmk_clock_from_timespec(const struct vmk_guest_timespec *time, uint64_t *ret_ns)
{
    return join(time->seconds, time->nanoseconds, VMK_NS_PER_SECOND, ret_ns);
}

int
vmk_clock_from_timeval(const struct vmk_guest_timeval *time, uint64_t *ret_ns)
{
    return join(time->seconds, time->microseconds, 1000000, ret_ns);
}

struct vmk_guest_timespec
vmk_clock_to_timespec(uint64_t ns)
{
    return (struct vmk_guest_timespec){
        .seconds = (int64_t)(ns / VMK_NS_PER_SECOND),
        .nanoseconds = (int64_t)(ns % VMK_NS_PER_SECOND),
    };
}

struct vmk_guest_timeval
vmk_clock_to_timeval(uint64_t ns)
{
    return (struct vmk_guest_timeval){
        .seconds = (int64_t)(ns / VMK_NS_PER_SECOND),
        .microseconds = (int64_t)(ns % VMK_NS_PER_SECOND / 1000),
    };
}

int
vmk_clock_read_timespec(const struct vmk_process *process, uint64_t va, uint64_t *ret_ns)
{
    struct vmk_guest_timespec time;
    int r = vmk_uaccess_read(process->space, va, &time, sizeof time);
    return r < 0 ? r : vmk_clock_from_timespec(&time, ret_ns);
}
