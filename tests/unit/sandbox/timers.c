/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "fake_process.h"

#include "sandbox/signal_state.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define ARGUMENT (FAKE_BASE + 0x100)
#define RESULT (FAKE_BASE + 0x400)
#define ID (FAKE_BASE + 0x800)
#define SECOND VMK_NS_PER_SECOND
#define MS UINT64_C(1000000)
#define PROF 2
#define NOTIFY_NONE 1

static void
setup(void)
{
    fake_reset();
    fake_put64(ARGUMENT, ~UINT64_C(0));
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8), 0);
}

static int64_t
create(int32_t clock, int32_t notify, int32_t signal, int32_t thread)
{
    const struct vmk_guest_sigevent event = {
        .value = 0x42, .signo = signal, .notify = notify, .thread_id = thread};
    memcpy(fake_at(ARGUMENT), &event, sizeof event);
    return fake_call(timer_create, (uint64_t)clock, ARGUMENT, ID);
}

static int64_t
settime(uint64_t id, uint64_t flags, uint64_t value_ns, uint64_t interval_ns)
{
    const struct vmk_guest_itimerspec setting = {
        .value = {(int64_t)(value_ns / SECOND), (int64_t)(value_ns % SECOND)},
        .interval = {(int64_t)(interval_ns / SECOND), (int64_t)(interval_ns % SECOND)}};
    memcpy(fake_at(ARGUMENT), &setting, sizeof setting);
    return fake_call(timer_settime, id, flags, ARGUMENT, RESULT);
}

static uint64_t
time_at(uint64_t va)
{
    return fake_get64(va) * SECOND + fake_get64(va + 8);
}

static uint64_t
left(uint64_t id)
{
    ck_assert_int_eq(fake_call(timer_gettime, id, RESULT), 0);
    return time_at(RESULT + 16);
}

static int64_t
setitimer_us(uint64_t which, uint64_t value_us, uint64_t interval_us)
{
    const struct vmk_guest_itimerval setting = {
        .value = {(int64_t)(value_us / 1000000), (int64_t)(value_us % 1000000)},
        .interval = {(int64_t)(interval_us / 1000000), (int64_t)(interval_us % 1000000)}};
    memcpy(fake_at(ARGUMENT), &setting, sizeof setting);
    return fake_call(setitimer, which, ARGUMENT, RESULT);
}

static bool
expired(int signal)
{
    vmk_signals_expire(&fake.process);
    return (fake.process.signals->pending & vmk_signal_bit(signal)) != 0;
}

static bool
take(int signal)
{
    struct vmk_siginfo info;
    return vmk_signals_take(&fake.process, vmk_signal_bit(signal), &info);
}

static void
ignore(int signal, uint64_t handler)
{
    const struct vmk_guest_sigaction action = {.handler = handler};
    vmk_signals_set_action(&fake.process, signal, &action);
}

static uint64_t
next_real(void)
{
    return vmk_signals_next_real_ns(fake.process.signals);
}

START_TEST(setitimer_goes_off_once_and_then_every_interval)
{
    uint64_t start = fake.now_ns;
    ck_assert_int_eq(setitimer_us(0, 1500000, 1000000), 0);
    ck_assert_uint_eq(next_real(), start + 1500000000);
    ck_assert_uint_eq(fake.timers_armed, 1);
    fake.now_ns += 1499999999;
    ck_assert(!expired(SIGALRM));
    fake.now_ns += 1;
    ck_assert(expired(SIGALRM));
    /* Nothing more until the signal is taken, however late. */
    ck_assert_uint_eq(next_real(), UINT64_MAX);
    fake.now_ns += 2700000000;
    ck_assert(take(SIGALRM));
    ck_assert_uint_eq(next_real(), start + UINT64_C(4500000000));
    ck_assert_int_eq(fake_call(getitimer, 0, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 1);
    ck_assert_uint_eq(fake_get64(RESULT + 16), 0);
    ck_assert_uint_eq(fake_get64(RESULT + 24), 300000);

    ck_assert_int_eq(setitimer_us(0, 0, 0), 0);
    ck_assert_uint_eq(fake_get64(RESULT + 24), 300000);
    ck_assert_uint_eq(next_real(), UINT64_MAX);
}
END_TEST

START_TEST(setitimer_refuses_as_linux_refuses)
{
    ck_assert_int_eq(setitimer_us(3, 1, 1), -EINVAL);
    ck_assert_int_eq(setitimer_us(UINT64_C(0x100000003), 1, 1), -EINVAL);
    fake_put64(ARGUMENT + 24, 1000000);
    ck_assert_int_eq(fake_call(setitimer, 0, ARGUMENT, 0), -EINVAL);
    fake_put64(ARGUMENT + 24, 0);
    fake_put64(ARGUMENT + 16, UINT64_MAX);
    ck_assert_int_eq(fake_call(setitimer, 0, ARGUMENT, 0), -EINVAL);
    ck_assert_int_eq(fake_call(setitimer, 0, 8, 0), -EFAULT);
    ck_assert_int_eq(fake_call(getitimer, 3, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(getitimer, 0, 8), -EFAULT);
}
END_TEST

START_TEST(a_time_beyond_all_reckoning_never_comes)
{
    fake_put64(ARGUMENT, 0);
    fake_put64(ARGUMENT + 8, 0);
    fake_put64(ARGUMENT + 16, INT64_MAX);
    fake_put64(ARGUMENT + 24, 999999);
    ck_assert_int_eq(fake_call(setitimer, 0, ARGUMENT, 0), 0);
    ck_assert_uint_eq(next_real(), UINT64_MAX);
    ck_assert(!expired(SIGALRM));
}
END_TEST

START_TEST(virtual_and_prof_timers_count_cpu_time)
{
    ck_assert_int_eq(setitimer_us(1, 1000, 0), 0);
    ck_assert_int_eq(setitimer_us(PROF, 2000, 1000), 0);
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), 1000000);
    ck_assert_uint_eq(next_real(), UINT64_MAX);
    fake.now_ns += SECOND;
    ck_assert(!expired(SIGVTALRM));
    fake.cpu_ns = 1000000;
    ck_assert(expired(SIGVTALRM));
    ck_assert(!expired(SIGPROF));
    fake.cpu_ns = 2100000;
    ck_assert(expired(SIGPROF));
    ck_assert(take(SIGPROF));
    ck_assert(take(SIGVTALRM));
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), 3000000);
}
END_TEST

START_TEST(a_posix_timer_counts_its_overruns)
{
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_uint_eq(fake_get32(ID), 0);
    ck_assert_int_eq(settime(0, 0, 100 * MS, 10 * MS), 0);
    ck_assert_uint_eq(time_at(RESULT + 16), 0);
    ck_assert_uint_eq(left(0), 100 * MS);
    fake.now_ns += 105 * MS;
    ck_assert(expired(SIGUSR1));
    fake.now_ns += 30 * MS;
    ck_assert_uint_eq(left(0), 5 * MS);
    ck_assert(take(SIGUSR1));
    ck_assert_int_eq(fake_call(timer_getoverrun, 0), 3);
    ck_assert_uint_eq(left(0), 5 * MS);
    ck_assert_uint_eq(next_real(), fake.now_ns + 5 * MS);
    fake.now_ns += 5 * MS;
    ck_assert(expired(SIGUSR1));
    ck_assert(take(SIGUSR1));
    ck_assert_int_eq(fake_call(timer_getoverrun, 0), 0);
}
END_TEST

START_TEST(the_guest_has_time_for_itself_between_two_signals)
{
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_int_eq(settime(0, 0, 1000, 1000), 0);
    ck_assert_uint_eq(next_real(), fake.now_ns + 1000);
    fake.now_ns += 1000;
    ck_assert(expired(SIGUSR1));
    ck_assert(take(SIGUSR1));
    ck_assert_uint_eq(next_real(), fake.now_ns + VMK_TIMERS_GAP_NS);
    fake.now_ns += VMK_TIMERS_GAP_NS - 1;
    ck_assert(!expired(SIGUSR1));
    fake.now_ns += 1;
    ck_assert(expired(SIGUSR1));
    ck_assert(take(SIGUSR1));
    ck_assert_int_eq(fake_call(timer_getoverrun, 0), VMK_TIMERS_GAP_NS / 1000 - 1);
}
END_TEST

START_TEST(overruns_stop_at_the_largest_int)
{
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_int_eq(settime(0, 0, 1, 1), 0);
    fake.now_ns += 1;
    ck_assert(expired(SIGUSR1));
    fake.now_ns += UINT64_C(5) << 32;
    ck_assert(take(SIGUSR1));
    ck_assert_int_eq(fake_call(timer_getoverrun, 0), INT32_MAX);
}
END_TEST

START_TEST(absolute_times_go_by_the_timers_own_clock)
{
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_int_eq(settime(0, TIMER_ABSTIME, fake.now_ns + 77, 0), 0);
    ck_assert_uint_eq(left(0), 77);
    ck_assert_int_eq(settime(0, TIMER_ABSTIME, 1, 0), 0);
    ck_assert_uint_eq(time_at(RESULT + 16), 77);
    ck_assert(expired(SIGUSR1));

    struct timespec now;
    ck_assert_int_eq(create(CLOCK_REALTIME, 0, SIGUSR2, 0), 0);
    clock_gettime(CLOCK_REALTIME, &now);
    ck_assert_int_eq(settime(1, TIMER_ABSTIME, (uint64_t)(now.tv_sec + 100) * SECOND, 0), 0);
    ck_assert_uint_gt(left(1), 90 * SECOND);
    ck_assert_uint_le(left(1), 100 * SECOND);

    fake.cpu_ns = 500;
    ck_assert_int_eq(create(CLOCK_PROCESS_CPUTIME_ID, 0, SIGHUP, 0), 0);
    ck_assert_int_eq(settime(2, TIMER_ABSTIME, 600, 0), 0);
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), 600);
    ck_assert_int_eq(create(CLOCK_BOOTTIME, 0, SIGHUP, 0), 0);
    ck_assert_int_eq(settime(3, 0, 5, 0), 0);
    ck_assert_uint_eq(left(3), 5);
}
END_TEST

START_TEST(a_silent_timer_never_interrupts)
{
    ck_assert_int_eq(create(CLOCK_MONOTONIC, NOTIFY_NONE, 0, 0), 0);
    ck_assert_int_eq(settime(0, 0, 100, 0), 0);
    ck_assert_uint_eq(next_real(), UINT64_MAX);
    ck_assert_uint_eq(left(0), 100);
    fake.now_ns += 100;
    ck_assert_uint_eq(left(0), 0);
    ck_assert_int_eq(settime(0, 0, 100, 30), 0);
    fake.now_ns += 150;
    ck_assert_uint_eq(left(0), 10);
    ck_assert_uint_eq(fake.process.signals->pending, 0);
}
END_TEST

START_TEST(an_ignored_signal_makes_its_timer_quiet_and_does_not_go_off_late)
{
    fake_put64(ARGUMENT, 0);
    fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8);
    ignore(SIGALRM, 1);
    ck_assert_int_eq(setitimer_us(0, 1, 1), 0);
    ck_assert_uint_eq(next_real(), UINT64_MAX);
    fake.now_ns += 1500;
    ignore(SIGALRM, 0x401000);
    ck_assert(!expired(SIGALRM));
    ck_assert_uint_eq(next_real(), fake.now_ns + 500);

    /* Blocking it makes the timer speak, too. */
    ignore(SIGALRM, 1);
    ck_assert_uint_eq(next_real(), UINT64_MAX);
    fake_put64(ARGUMENT, vmk_signal_bit(SIGALRM));
    fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8);
    ck_assert_uint_eq(next_real(), fake.now_ns + 500);
    fake.now_ns += 500;
    ck_assert(expired(SIGALRM));
}
END_TEST

START_TEST(timers_are_limited_and_numbers_checked)
{
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++)
        ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_uint_eq(fake_get32(ID), VMK_TIMERS_LIMIT - 1);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), -EAGAIN);
    ck_assert_int_eq(fake_call(timer_delete, 5), 0);
    ck_assert_int_eq(fake_call(timer_delete, 5), -EINVAL);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_uint_eq(fake_get32(ID), 5);
    ck_assert_int_eq(settime(VMK_TIMERS_LIMIT, 0, 1, 0), -EINVAL);
    ck_assert_int_eq(settime(UINT64_MAX, 0, 1, 0), -EINVAL);
    ck_assert_int_eq(fake_call(timer_gettime, UINT32_MAX, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(timer_getoverrun, UINT32_MAX), -EINVAL);
    ck_assert_int_eq(fake_call(timer_settime, 0, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(timer_settime, 0, 0, 8, 0), -EFAULT);
    fake_put64(ARGUMENT + 24, SECOND);
    ck_assert_int_eq(fake_call(timer_settime, 0, 0, ARGUMENT, 0), -EINVAL);
}
END_TEST

/* With every timer's signal waiting on top of a full queue, all have their place. */
START_TEST(every_timer_has_room_for_its_signal)
{
    struct vmk_siginfo info = {.signo = 40, .code = SI_QUEUE};
    for (int i = 0; i < VMK_SIGNALS_QUEUE_LIMIT; i++)
        ck_assert_int_eq(vmk_signals_send(fake.process.signals, &info, -1), 0);
    for (uint64_t i = 0; i < VMK_TIMERS_LIMIT; i++) {
        ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
        ck_assert_int_eq(settime(i, 0, 1, 1), 0);
    }
    fake.now_ns += 1;
    ck_assert(expired(SIGUSR1));
    ck_assert_uint_eq(fake.process.signals->queued, VMK_SIGNALS_QUEUE_LIMIT + VMK_TIMERS_LIMIT);
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++)
        ck_assert(take(SIGUSR1));
    ck_assert(!take(SIGUSR1));
}
END_TEST

START_TEST(deleting_or_setting_a_timer_takes_its_signal_back)
{
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, SIGUSR1, 0), 0);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 4, SIGUSR1, FAKE_PID), 0);
    ck_assert_int_eq(settime(0, 0, 1, 0), 0);
    ck_assert_int_eq(settime(1, 0, 1, 0), 0);
    fake.now_ns += 1;
    ck_assert(expired(SIGUSR1));
    ck_assert_int_eq(fake_call(timer_delete, 0), 0);
    ck_assert(expired(SIGUSR1));
    ck_assert_int_eq(settime(1, 0, 10, 0), 0);
    ck_assert(!expired(SIGUSR1));
    ck_assert_uint_eq(fake.process.signals->queued, 0);
    fake.now_ns += 10;
    ck_assert(expired(SIGUSR1));
    vmk_signals_exec(fake.process.signals);
    ck_assert_uint_eq(fake.process.signals->pending, 0);
    ck_assert_int_eq(fake_call(timer_delete, 1), -EINVAL);
}
END_TEST

START_TEST(timer_create_refuses_as_linux_refuses)
{
    ck_assert_int_eq(create(99, 0, SIGUSR1, 0), -EINVAL);
    ck_assert_int_eq(create(CLOCK_MONOTONIC_RAW, 0, SIGUSR1, 0), -EOPNOTSUPP);
    ck_assert_int_eq(create(CLOCK_REALTIME_ALARM, 0, SIGUSR1, 0), -EPERM);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 0, 65, 0), -EINVAL);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 3, SIGUSR1, 0), -EINVAL);
    ck_assert_int_eq(create(CLOCK_MONOTONIC, 4, SIGUSR1, 1), -EINVAL);
    ck_assert_int_eq(fake_call(timer_create, CLOCK_MONOTONIC, 8, ID), -EFAULT);
    ck_assert_int_eq(fake_call(timer_create, CLOCK_MONOTONIC, 0, 8), -EFAULT);
    ck_assert_int_eq(fake_call(timer_create, CLOCK_MONOTONIC, 0, ID), 0);
    ck_assert_uint_eq(fake_get32(ID), 0);
}
END_TEST

static int64_t
limit_cpu(uint64_t soft, uint64_t hard)
{
    fake_put64(ARGUMENT, soft);
    fake_put64(ARGUMENT + 8, hard);
    return fake_call(prlimit64, 0, RLIMIT_CPU, ARGUMENT, 0);
}

static uint64_t
soft_cpu_limit(void)
{
    ck_assert_int_eq(fake_call(getrlimit, RLIMIT_CPU, RESULT), 0);
    return fake_get64(RESULT);
}

START_TEST(a_soft_limit_of_cpu_time_sends_sigxcpu_each_second)
{
    struct vmk_siginfo info;
    ck_assert_int_eq(limit_cpu(3, 100), 0);
    ck_assert_uint_gt(fake.timers_armed, 0);
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), 3 * SECOND);
    fake.cpu_ns = 3 * SECOND - 1;
    ck_assert(!expired(SIGXCPU));
    for (uint64_t second = 3; second < 6; second++) {
        fake.cpu_ns = second * SECOND;
        ck_assert(expired(SIGXCPU));
        ck_assert(vmk_signals_take(&fake.process, ~UINT64_C(0), &info));
        ck_assert_int_eq(info.signo, SIGXCPU);
        ck_assert_int_eq(info.code, 0x80);
        ck_assert_uint_eq(info.sender.pid, 0);
        ck_assert_uint_eq(soft_cpu_limit(), second + 1);
        ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), (second + 1) * SECOND);
        ck_assert(!expired(SIGXCPU));
    }
}
END_TEST

START_TEST(a_hard_limit_of_cpu_time_kills)
{
    ck_assert_int_eq(limit_cpu(2, 4), 0);
    fake.cpu_ns = 2 * SECOND;
    ck_assert(expired(SIGXCPU));
    ck_assert(!expired(SIGKILL));
    fake.cpu_ns = 3 * SECOND;
    ck_assert(expired(SIGXCPU));
    fake.cpu_ns = 4 * SECOND;
    ck_assert(expired(SIGKILL));
    vmk_signals_deliver(&fake.process, false, NULL);
    ck_assert_uint_eq(fake.process.ending.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(fake.process.ending.signal, SIGKILL);
    /* The soft limit never comes to say more than the hard one. */
    ck_assert_uint_eq(soft_cpu_limit(), 4);
}
END_TEST

START_TEST(an_ignored_sigxcpu_does_not_keep_the_hard_limit_away)
{
    const struct vmk_guest_sigaction ignore = {.handler = VMK_HANDLER_IGNORE};
    fake_put64(ARGUMENT, 0);
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8), 0);
    vmk_signals_set_action(&fake.process, SIGXCPU, &ignore);
    ck_assert_int_eq(limit_cpu(1, 2), 0);
    fake.cpu_ns = SECOND;
    ck_assert(!expired(SIGXCPU));
    ck_assert_uint_eq(soft_cpu_limit(), 2);
    fake.cpu_ns = 2 * SECOND;
    ck_assert(expired(SIGKILL));
}
END_TEST

START_TEST(a_limit_of_cpu_time_that_has_passed_leaves_time_between_its_signals)
{
    fake.cpu_ns = 10 * SECOND;
    ck_assert_int_eq(limit_cpu(0, UINT64_MAX), 0);
    for (uint64_t soft = 1; soft <= 11; soft++) {
        ck_assert(expired(SIGXCPU));
        ck_assert_uint_eq(soft_cpu_limit(), soft);
        vmk_signals_flush(fake.process.signals, vmk_signal_bit(SIGXCPU));
        ck_assert(!expired(SIGXCPU));
        fake.cpu_ns += VMK_TIMERS_GAP_NS;
    }
    ck_assert(!expired(SIGXCPU));
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), 11 * SECOND);
}
END_TEST

START_TEST(a_limit_of_cpu_time_is_raised_and_taken_back)
{
    ck_assert_int_eq(limit_cpu(1, UINT64_MAX), 0);
    ck_assert_int_eq(limit_cpu(5, UINT64_MAX), 0);
    fake.cpu_ns = 2 * SECOND;
    ck_assert(!expired(SIGXCPU));
    ck_assert_int_eq(limit_cpu(UINT64_MAX, UINT64_MAX), 0);
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), UINT64_MAX);
    ck_assert_int_eq(limit_cpu(UINT64_MAX - 1, UINT64_MAX), 0);
    fake.cpu_ns = UINT64_C(1) << 62;
    ck_assert(!expired(SIGXCPU));
    ck_assert_int_eq(limit_cpu(1, 1), 0);
    ck_assert(expired(SIGKILL));
    ck_assert_int_eq(limit_cpu(1, 2), -EPERM);
}
END_TEST

/* It ends the run as a limit of the embedder's, with its own outcome. */
START_TEST(a_limit_of_the_sandbox_sends_no_signal)
{
    fake.process.limits.cpu_time_ns = 2 * SECOND;
    vmk_timers_update(&fake.process);
    ck_assert_uint_eq(vmk_signals_next_cpu_ns(fake.process.signals), UINT64_MAX);
    fake.cpu_ns = 3 * SECOND;
    ck_assert(!expired(SIGXCPU));
    ck_assert(!expired(SIGKILL));
    ck_assert_uint_eq(soft_cpu_limit(), 2);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_timers");
    TCase *tcase = tcase_create("sandbox_timers");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, setitimer_goes_off_once_and_then_every_interval);
    tcase_add_test(tcase, setitimer_refuses_as_linux_refuses);
    tcase_add_test(tcase, a_time_beyond_all_reckoning_never_comes);
    tcase_add_test(tcase, virtual_and_prof_timers_count_cpu_time);
    tcase_add_test(tcase, a_posix_timer_counts_its_overruns);
    tcase_add_test(tcase, the_guest_has_time_for_itself_between_two_signals);
    tcase_add_test(tcase, overruns_stop_at_the_largest_int);
    tcase_add_test(tcase, absolute_times_go_by_the_timers_own_clock);
    tcase_add_test(tcase, a_silent_timer_never_interrupts);
    tcase_add_test(tcase, an_ignored_signal_makes_its_timer_quiet_and_does_not_go_off_late);
    tcase_add_test(tcase, timers_are_limited_and_numbers_checked);
    tcase_add_test(tcase, every_timer_has_room_for_its_signal);
    tcase_add_test(tcase, deleting_or_setting_a_timer_takes_its_signal_back);
    tcase_add_test(tcase, timer_create_refuses_as_linux_refuses);
    tcase_add_test(tcase, a_soft_limit_of_cpu_time_sends_sigxcpu_each_second);
    tcase_add_test(tcase, a_hard_limit_of_cpu_time_kills);
    tcase_add_test(tcase, an_ignored_sigxcpu_does_not_keep_the_hard_limit_away);
    tcase_add_test(tcase, a_limit_of_cpu_time_that_has_passed_leaves_time_between_its_signals);
    tcase_add_test(tcase, a_limit_of_cpu_time_is_raised_and_taken_back);
    tcase_add_test(tcase, a_limit_of_the_sandbox_sends_no_signal);
    suite_add_tcase(suite, tcase);
    return suite;
}
