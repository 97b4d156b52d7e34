/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/kick_timer.h"

#include "util/origin.h"
#include "util/thread.h"
#include "vm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NANOSECONDS UINT64_C(1000000000)

void
vmk_kick_timer_delete(struct vmk_kick_timer *timer)
{
    if (timer->thread != 0 && vmk_origin_is_here(timer->origin))
        timer_delete(timer->timer);
    *timer = (struct vmk_kick_timer){0};
}

int
vmk_kick_timer_make(struct vmk_kick_timer *timer, clockid_t clock)
{
    uint64_t here = vmk_thread_get_id();
    if (timer->thread == here)
        return 0;
    vmk_kick_timer_delete(timer);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = vmk_vcpu_get_kick_signal()};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(clock, &event, &timer->timer) < 0)
        return -errno;
    timer->thread = here;
    timer->origin = vmk_origin_get();
    return 1;
}

int
vmk_kick_timer_set(struct vmk_kick_timer *timer, uint64_t when_ns)
{
    /* Zero would stop it; a time that is past expires at once. */
    uint64_t when = when_ns == 0 ? 1 : when_ns;
    struct itimerspec setting = {.it_value = {.tv_sec = (time_t)(when / NANOSECONDS),
                                              .tv_nsec = (long)(when % NANOSECONDS)}};
    if (timer->thread == 0)
        return -EINVAL;
    if (timer_settime(timer->timer, TIMER_ABSTIME, &setting, NULL) < 0)
        return -errno;
    timer->is_set = true;
    return 0;
}

void
vmk_kick_timer_stop(struct vmk_kick_timer *timer)
{
    static const struct itimerspec never;
    if (timer->is_set && vmk_origin_is_here(timer->origin))
        timer_settime(timer->timer, 0, &never, NULL);
    timer->is_set = false;
}
