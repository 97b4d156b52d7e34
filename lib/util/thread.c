/* SPDX-License-Identifier: Apache-2.0 */
#include "util/thread.h"

#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A thread begins with 0. Random, so that threads need nothing in common to count by. */
static _Thread_local uint64_t own_id;

uint64_t
vmk_thread_get_id(void)
{
    if (own_id == 0 && getrandom(&own_id, sizeof own_id, GRND_NONBLOCK) != sizeof own_id)
        own_id = (uint64_t)syscall(SYS_gettid);
    /* As likely as any other number. */
    if (own_id == 0)
        own_id = 1;
    return own_id;
}

int
vmk_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}
