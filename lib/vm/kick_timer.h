/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timer of the host that sends the kick's signal (vcpu.h) to the thread that made it. Making one
 * costs more than setting it, so that it is kept from run to run on the same thread. It has its
 * place in the user's queue of signals (RLIMIT_SIGPENDING) from the start. All zeros is how it
 * begins.
 */
#ifndef VMK_VM_KICK_TIMER_H
#define VMK_VM_KICK_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct vmk_kick_timer {
    timer_t timer;
    uint64_t thread; /* That it signals, see util/thread.h; 0 before it is made. */
    pid_t origin;    /* A child of fork(2) has not inherited it (util/origin.h). */
    bool is_set;
};

/* Have it signal the calling thread, by `clock`; that of the thread's CPU time is the thread's. 0
 * when it does already, 1 when it was made for that, or a negative errno, and then there is none.
 */
int
vmk_kick_timer_make(struct vmk_kick_timer *timer, clockid_t clock);

/* Have it expire at a time of its clock, in nanoseconds. 0 or a negative errno. */
int
vmk_kick_timer_set(struct vmk_kick_timer *timer, uint64_t when_ns);

/* Keep it from expiring. What it has sent before is still there. */
void
vmk_kick_timer_stop(struct vmk_kick_timer *timer);

/* Any thread. */
void
vmk_kick_timer_delete(struct vmk_kick_timer *timer);

#endif
