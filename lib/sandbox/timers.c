/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expiry and re-arming of the guest's timers (timer_settime(2), timer_getoverrun(2),
 * setitimer(2)), and of RLIMIT_CPU, which interrupts the guest as a timer of CPU time does.
 *
 * A timer is quiet when its signal would be dropped: it has SIGEV_NONE, or the signal is ignored. A
 * quiet timer never interrupts the guest; where it stands is worked out when somebody asks.
 */
#include "sandbox/timers.h"
#include "sandbox/clock.h"
#include "sandbox/process.h"
#include "sandbox/signal_state.h"

#include <signal.h>

/* include/uapi/asm-generic/siginfo.h */
#define CODE_KERNEL 0x80
#define CODE_TIMER (-2)

static const int interval_signals[VMK_INTERVAL_COUNT] = {
    [VMK_INTERVAL_REAL] = SIGALRM,
    [VMK_INTERVAL_VIRTUAL] = SIGVTALRM,
    [VMK_INTERVAL_PROF] = SIGPROF,
};

void
vmk_timers_init(struct vmk_timers *timers)
{
    for (int i = 0; i < VMK_INTERVAL_COUNT; i++)
        timers->interval[i] = (struct vmk_timer){
            .used = true,
            .cpu = i != VMK_INTERVAL_REAL,
            .signal = interval_signals[i],
            .expiry_ns = VMK_TIMER_UNARMED,
        };
    timers->next_real_ns = VMK_TIMER_UNARMED;
    timers->next_cpu_ns = VMK_TIMER_UNARMED;
}

uint64_t
vmk_timers_now(const struct vmk_process *process, const struct vmk_timer *timer)
{
    return timer->cpu ? vmk_process_cpu_ns(process) : vmk_process_now_ns();
}

static bool
is_armed(const struct vmk_timer *timer)
{
    return timer->used && timer->expiry_ns != VMK_TIMER_UNARMED;
}

static bool
is_quiet(const struct vmk_signals *signals, const struct vmk_timer *timer)
{
    return timer->silent || vmk_signals_drops(signals, timer->signal);
}

/* Move a due timer on to its first expiry after `now`, or disarm it. The expiries passed over. */
static uint64_t
go_on(struct vmk_timer *timer, uint64_t now)
{
    uint64_t behind = now - timer->expiry_ns;
    if (timer->interval_ns == 0) {
        timer->expiry_ns = VMK_TIMER_UNARMED;
        return 1;
    }
    uint64_t rest = timer->interval_ns - behind % timer->interval_ns;
    timer->expiry_ns = vmk_clock_add(now, rest);
    return behind / timer->interval_ns + 1;
}

/* When an armed timer interrupts the guest. */
static uint64_t
get_due(const struct vmk_timer *timer)
{
    return timer->expiry_ns > timer->earliest_ns ? timer->expiry_ns : timer->earliest_ns;
}

/* Bring a timer up to date and note its expiry if it must interrupt the guest. */
static void
visit(struct vmk_process *process, struct vmk_timer *timer)
{
    struct vmk_timers *timers = &process->signals->timers;
    if (!is_armed(timer) || timer->queued)
        return;
    if (is_quiet(process->signals, timer)) {
        uint64_t now = vmk_timers_now(process, timer);
        if (timer->expiry_ns <= now)
            go_on(timer, now);
        return;
    }
    uint64_t *next = timer->cpu ? &timers->next_cpu_ns : &timers->next_real_ns;
    if (get_due(timer) < *next)
        *next = get_due(timer);
}

void
vmk_timers_update(struct vmk_process *process)
{
    struct vmk_timers *timers = &process->signals->timers;
    uint64_t real = timers->next_real_ns;
    uint64_t cpu = timers->next_cpu_ns;
    timers->next_real_ns = VMK_TIMER_UNARMED;
    timers->next_cpu_ns = VMK_TIMER_UNARMED;
    for (int i = 0; i < VMK_INTERVAL_COUNT; i++)
        visit(process, &timers->interval[i]);
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++)
        visit(process, &timers->posix[i]);
    uint64_t limit = vmk_task_next_cpu_limit_ns(process);
    if (limit < timers->next_cpu_ns)
        timers->next_cpu_ns = limit;
    if (timers->next_real_ns != real || timers->next_cpu_ns != cpu)
        vmk_process_arm_timers(process);
}

/* Send the signal of a timer that is due. It stays where it is until the signal is delivered. */
static void
fire(struct vmk_process *process, struct vmk_timer *timer, int index)
{
    struct vmk_siginfo info = {.signo = timer->signal, .code = CODE_KERNEL};
    if (index >= 0) {
        info.code = CODE_TIMER;
        info.timer.id = index;
        info.timer.value = timer->value;
    }
    timer->queued = true;
    vmk_signals_send(process->signals, &info, index);
}

static bool
is_due(const struct vmk_process *process, const struct vmk_timer *timer, uint64_t real_now,
       uint64_t cpu_now)
{
    return is_armed(timer) && !timer->queued && !is_quiet(process->signals, timer) &&
           get_due(timer) <= (timer->cpu ? cpu_now : real_now);
}

void
vmk_signals_expire(struct vmk_process *process)
{
    struct vmk_timers *timers = &process->signals->timers;
    bool any_real = timers->next_real_ns != VMK_TIMER_UNARMED;
    bool any_cpu = timers->next_cpu_ns != VMK_TIMER_UNARMED;
    if (!any_real && !any_cpu)
        return;
    uint64_t real_now = any_real ? vmk_process_now_ns() : 0;
    uint64_t cpu_now = any_cpu ? vmk_process_cpu_ns(process) : 0;
    if (real_now < timers->next_real_ns && cpu_now < timers->next_cpu_ns)
        return;
    for (int i = 0; i < VMK_INTERVAL_COUNT; i++)
        if (is_due(process, &timers->interval[i], real_now, cpu_now))
            fire(process, &timers->interval[i], -1);
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++)
        if (is_due(process, &timers->posix[i], real_now, cpu_now))
            fire(process, &timers->posix[i], i);
    int signal = any_cpu ? vmk_task_exceed_cpu_limit(process, cpu_now) : 0;
    if (signal != 0)
        vmk_signals_send(process->signals,
                         &(struct vmk_siginfo){.signo = signal, .code = CODE_KERNEL}, -1);
    vmk_timers_update(process);
}

uint64_t
vmk_signals_next_real_ns(const struct vmk_signals *signals)
{
    return signals->timers.next_real_ns;
}

uint64_t
vmk_signals_next_cpu_ns(const struct vmk_signals *signals)
{
    return signals->timers.next_cpu_ns;
}

static uint64_t
resume(struct vmk_process *process, struct vmk_timer *timer)
{
    uint64_t now = vmk_timers_now(process, timer);
    timer->queued = false;
    timer->earliest_ns = vmk_clock_add(now, VMK_TIMERS_GAP_NS);
    return is_armed(timer) && timer->expiry_ns <= now ? go_on(timer, now) : 1;
}

int32_t
vmk_timers_delivered(struct vmk_process *process, int index)
{
    struct vmk_timer *timer = &process->signals->timers.posix[index];
    uint64_t overrun = resume(process, timer) - 1;
    timer->overrun = overrun > INT32_MAX ? INT32_MAX : (int32_t)overrun;
    vmk_timers_update(process);
    return timer->overrun;
}

void
vmk_timers_signal_taken(struct vmk_process *process, int signal)
{
    for (int i = 0; i < VMK_INTERVAL_COUNT; i++) {
        struct vmk_timer *timer = &process->signals->timers.interval[i];
        if (timer->signal == signal && timer->queued) {
            resume(process, timer);
            vmk_timers_update(process);
        }
    }
}

uint64_t
vmk_timers_get_left(struct vmk_process *process, const struct vmk_timer *timer)
{
    if (!is_armed(timer))
        return 0;
    uint64_t now = vmk_timers_now(process, timer);
    if (timer->expiry_ns > now)
        return timer->expiry_ns - now;
    if (timer->interval_ns != 0)
        return timer->interval_ns - (now - timer->expiry_ns) % timer->interval_ns;
    return timer->queued || is_quiet(process->signals, timer) ? 0 : 1;
}

void
vmk_timers_arm(struct vmk_process *process, struct vmk_timer *timer, uint64_t expiry_ns,
               uint64_t interval_ns)
{
    timer->queued = false;
    timer->expiry_ns = expiry_ns;
    timer->interval_ns = interval_ns;
    vmk_timers_update(process);
}

uint64_t
vmk_timers_set_interval(struct vmk_process *process, enum vmk_interval which, uint64_t value_ns,
                        uint64_t interval_ns)
{
    struct vmk_timer *timer = &process->signals->timers.interval[which];
    uint64_t left = vmk_timers_get_left(process, timer);
    uint64_t expiry =
        value_ns == 0 ? VMK_TIMER_UNARMED : vmk_clock_add(vmk_timers_now(process, timer), value_ns);
    vmk_timers_arm(process, timer, expiry, interval_ns);
    return left;
}

void
vmk_timers_delete_all(struct vmk_signals *signals)
{
    struct vmk_timers *timers = &signals->timers;
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++) {
        vmk_signals_drop_timer(signals, i);
        timers->posix[i] = (struct vmk_timer){0};
    }
}
