/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's timers: the three interval timers of setitimer(2) and the POSIX timers of
 * timer_create(2). They are plain numbers; the host's timer that interrupts the guest in time is
 * the run loop's.
 *
 * Two clocks are enough: an expiry is kept in nanoseconds of CLOCK_MONOTONIC or of the CPU time of
 * the run, whatever clock the guest named. As in Linux, a timer with an interval goes on only when
 * its signal was delivered, and the periods in between are its overrun; so a signal that waits
 * costs nothing, however short the interval is.
 */
#ifndef VMK_SANDBOX_TIMERS_H
#define VMK_SANDBOX_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct vmk_process;
struct vmk_signals;

/* POSIX timers of a process. */
#define VMK_TIMERS_LIMIT 64

/* ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF. The last two both count all CPU time. */
enum vmk_interval { VMK_INTERVAL_REAL, VMK_INTERVAL_VIRTUAL, VMK_INTERVAL_PROF };
#define VMK_INTERVAL_COUNT 3

#define VMK_TIMER_UNARMED UINT64_MAX

/* Between two signals of a timer the guest has at least this long for itself, by the timer's clock;
 * what went off meanwhile is overrun. Interrupting a guest costs tens of microseconds, so that one
 * with a shorter interval would do nothing but handle its signal. */
#define VMK_TIMERS_GAP_NS UINT64_C(500000)

struct vmk_timer {
    bool used;
    bool cpu;    /* counts CPU time */
    bool silent; /* SIGEV_NONE */
    bool queued; /* its signal waits */
    int32_t signal;
    int32_t clock;
    int32_t overrun; /* of the last signal delivered */
    uint64_t value;
    uint64_t expiry_ns; /* VMK_TIMER_UNARMED */
    uint64_t interval_ns;
    uint64_t earliest_ns; /* Not to interrupt the guest before, see VMK_TIMERS_GAP_NS. */
};

struct vmk_timers {
    struct vmk_timer interval[VMK_INTERVAL_COUNT];
    struct vmk_timer posix[VMK_TIMERS_LIMIT];
    /* The earliest expiry by each clock that must interrupt the guest. */
    uint64_t next_real_ns;
    uint64_t next_cpu_ns;
};

void
vmk_timers_init(struct vmk_timers *timers);

/* Arm an interval timer to go off after `value_ns`, 0 to disarm it. The nanoseconds that were left
 * of it before, 0 when it was not armed. */
uint64_t
vmk_timers_set_interval(struct vmk_process *process, enum vmk_interval which, uint64_t value_ns,
                        uint64_t interval_ns);

/* Nanoseconds until a timer goes off, 0 when it is not armed and at least 1 when it is. */
uint64_t
vmk_timers_get_left(struct vmk_process *process, const struct vmk_timer *timer);

/* Arm a timer for a time of its own clock, VMK_TIMER_UNARMED to disarm it. */
void
vmk_timers_arm(struct vmk_process *process, struct vmk_timer *timer, uint64_t expiry_ns,
               uint64_t interval_ns);

/* Now, by the clock that the timer's expiry is kept in. */
uint64_t
vmk_timers_now(const struct vmk_process *process, const struct vmk_timer *timer);

/* The signal of a timer leaves the queue for the guest: the timer goes on. Its overrun. */
int32_t
vmk_timers_delivered(struct vmk_process *process, int index);

/* The same for SIGALRM, SIGVTALRM and SIGPROF and the interval timers. */
void
vmk_timers_signal_taken(struct vmk_process *process, int signal);

/* Delete the POSIX timers, as execve(2) does. */
void
vmk_timers_delete_all(struct vmk_signals *signals);

/* What ignores a signal or ignores it no more changes which timers must interrupt the guest. */
void
vmk_timers_update(struct vmk_process *process);

#endif
