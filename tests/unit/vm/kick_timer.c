/* SPDX-License-Identifier: Apache-2.0 */
/* A kick timer signals the thread that made it, and is made once for a thread. */
#include "harness.h"
#include "vm/kick_timer.h"
#include "vm/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static struct vmk_kick_timer timer;

static void
block(void)
{
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, vmk_vcpu_get_kick_signal());
    pthread_sigmask(SIG_BLOCK, &kick, NULL);
}

static void
set_up(void)
{
    memset(&timer, 0, sizeof timer);
    block();
}

/* Whether the kick's signal comes to this thread within so many nanoseconds. */
static bool
comes_within(uint64_t ns)
{
    const struct timespec timeout = {.tv_sec = (time_t)(ns / SECOND),
                                     .tv_nsec = (long)(ns % SECOND)};
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, vmk_vcpu_get_kick_signal());
    return sigtimedwait(&kick, NULL, &timeout) > 0;
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

START_TEST(a_time_that_is_past_is_due_at_once)
{
    ck_assert_int_eq(vmk_kick_timer_set(&timer, 0), -EINVAL);
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 1);
    ck_assert(!timer.is_set);
    ck_assert_int_eq(vmk_kick_timer_set(&timer, 0), 0);
    ck_assert(timer.is_set);
    ck_assert(comes_within(10 * SECOND));
    ck_assert_int_eq(vmk_kick_timer_set(&timer, now_ns() + SECOND / 100), 0);
    ck_assert(comes_within(10 * SECOND));
    vmk_kick_timer_delete(&timer);
}
END_TEST

START_TEST(a_timer_that_is_stopped_or_deleted_sends_nothing)
{
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 1);
    ck_assert_int_eq(vmk_kick_timer_set(&timer, now_ns() + 5 * SECOND), 0);
    vmk_kick_timer_stop(&timer);
    ck_assert(!timer.is_set);
    struct itimerspec left;
    ck_assert_int_eq(timer_gettime(timer.timer, &left), 0);
    ck_assert_int_eq(left.it_value.tv_sec, 0);
    vmk_kick_timer_stop(&timer);
    timer_t gone = timer.timer;
    vmk_kick_timer_delete(&timer);
    ck_assert_int_eq(timer_gettime(gone, &left), -1);
    vmk_kick_timer_delete(&timer);
}
END_TEST

static void *
make_and_wait(void *user_data)
{
    block();
    struct vmk_kick_timer before = timer;
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 1);
    ck_assert_uint_ne(timer.thread, before.thread);
    ck_assert_int_eq(vmk_kick_timer_set(&timer, 0), 0);
    return comes_within(10 * SECOND) ? user_data : NULL;
}

START_TEST(it_is_made_anew_for_another_thread_alone)
{
    pthread_t thread;
    void *came;
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 1);
    timer_t made = timer.timer;
    uint64_t own = timer.thread;
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 0);
    ck_assert(timer.timer == made);

    ck_assert_int_eq(pthread_create(&thread, NULL, make_and_wait, &timer), 0);
    pthread_join(thread, &came);
    ck_assert_ptr_eq(came, &timer);
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 1);
    ck_assert_uint_eq(timer.thread, own);
    ck_assert_int_eq(vmk_kick_timer_set(&timer, 0), 0);
    ck_assert(comes_within(10 * SECOND));
    vmk_kick_timer_delete(&timer);
}
END_TEST

START_TEST(a_child_of_fork_leaves_it_alone)
{
    int status;
    ck_assert_int_eq(vmk_kick_timer_make(&timer, CLOCK_MONOTONIC), 1);
    ck_assert_int_eq(vmk_kick_timer_set(&timer, now_ns() + SECOND), 0);
    pid_t child = fork();
    if (child == 0) {
        /* One of the child's own, which may have the same number. */
        struct vmk_kick_timer own = {0};
        bool good = vmk_kick_timer_make(&own, CLOCK_MONOTONIC) == 1 &&
                    vmk_kick_timer_set(&own, now_ns() + SECOND / 10) == 0;
        vmk_kick_timer_stop(&timer);
        vmk_kick_timer_delete(&timer);
        _exit(good && comes_within(10 * SECOND) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert(comes_within(10 * SECOND));
    vmk_kick_timer_delete(&timer);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_kick_timer");
    TCase *tests = tcase_create("kick_timer");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_time_that_is_past_is_due_at_once);
    tcase_add_test(tests, a_timer_that_is_stopped_or_deleted_sends_nothing);
    tcase_add_test(tests, it_is_made_anew_for_another_thread_alone);
    tcase_add_test(tests, a_child_of_fork_leaves_it_alone);
    suite_add_tcase(suite, tests);
    return suite;
}
