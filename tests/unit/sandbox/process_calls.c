/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of time, identity, limits, and the life of the process. */
#include "harness.h"

#include "fake_process.h"

#include "sandbox/guest_abi.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"

#include "abi.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define ARGUMENT (FAKE_BASE + 0x100)
#define RESULT (FAKE_BASE + 0x400)
#define READ_ONLY (FAKE_BASE + FAKE_SIZE - FAKE_READ_ONLY)
#define SECOND VMK_NS_PER_SECOND

static void
put_timespec(uint64_t va, int64_t seconds, int64_t nanoseconds)
{
    fake_put64(va, (uint64_t)seconds);
    fake_put64(va + 8, (uint64_t)nanoseconds);
}

static uint64_t
time_at(uint64_t va)
{
    return fake_get64(va) * SECOND + fake_get64(va + 8);
}

START_TEST(identity_is_what_the_embedder_chose)
{
    ck_assert_int_eq(fake_call(getpid, 0), FAKE_PID);
    ck_assert_int_eq(fake_call(gettid, 0), FAKE_PID);
    ck_assert_int_eq(fake_call(getppid, 0), 0);
    ck_assert_int_eq(fake_call(getpgid, 0), FAKE_PID);
    ck_assert_int_eq(fake_call(getsid, FAKE_PID), FAKE_PID);
    ck_assert_int_eq(fake_call(getsid, 1), -ESRCH);
    ck_assert_int_eq(fake_call(setpgid, 0, 0), -EPERM);
    ck_assert_int_eq(fake_call(setsid, 0), -EPERM);
    ck_assert_int_eq(fake_call(set_tid_address, ARGUMENT), FAKE_PID);
    ck_assert_int_eq(fake_call(getuid, 0), 1000);
    ck_assert_int_eq(fake_call(geteuid, 0), 1000);
    ck_assert_int_eq(fake_call(getgid, 0), 1001);
    ck_assert_int_eq(fake_call(getegid, 0), 1001);
    ck_assert_int_eq(fake_call(getresgid, RESULT, RESULT + 4, RESULT + 8), 0);
    ck_assert_uint_eq(fake_get64(RESULT), UINT64_C(0x3e9000003e9));
    ck_assert_int_eq(fake_call(getresuid, RESULT, RESULT, 8), -EFAULT);
    ck_assert_int_eq(fake_call(getgroups, 0, 0), 0);
    ck_assert_int_eq(fake_call(getgroups, UINT32_MAX, 0), -EINVAL);
}
END_TEST

START_TEST(identity_changes_to_itself_alone)
{
    ck_assert_int_eq(fake_call(setuid, 1000), 0);
    ck_assert_int_eq(fake_call(setuid, 0), -EPERM);
    ck_assert_int_eq(fake_call(setuid, UINT32_MAX), -EINVAL);
    ck_assert_int_eq(fake_call(setgid, 1001), 0);
    ck_assert_int_eq(fake_call(setreuid, UINT32_MAX, 1000), 0);
    ck_assert_int_eq(fake_call(setregid, UINT32_MAX, 1000), -EPERM);
    ck_assert_int_eq(fake_call(setresuid, 1000, 1000, 0), -EPERM);
    ck_assert_int_eq(fake_call(setresgid, 1001, UINT32_MAX, 1001), 0);
    ck_assert_int_eq(fake_call(setfsuid, 0), 1000);
    ck_assert_int_eq(fake_call(setgroups, 0, 0), -EPERM);
    ck_assert_uint_eq(fake.process.uid, 1000);
}
END_TEST

START_TEST(capabilities_are_none)
{
    const uint32_t header[2] = {0x20080522, 0};
    memcpy(fake_at(ARGUMENT), header, sizeof header);
    memset(fake_at(RESULT), 0xff, 32);
    ck_assert_int_eq(fake_call(capget, ARGUMENT, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT + 16), 0);
    ck_assert_uint_eq(fake_get64(RESULT + 24), UINT64_MAX);
    ck_assert_int_eq(fake_call(capset, ARGUMENT, RESULT), 0);
    fake_put64(RESULT, 1);
    ck_assert_int_eq(fake_call(capset, ARGUMENT, RESULT), -EPERM);
    fake_put64(ARGUMENT, 0);
    ck_assert_int_eq(fake_call(capget, ARGUMENT, RESULT), -EINVAL);
    ck_assert_uint_eq(fake_get32(ARGUMENT), 0x20080522);
    ck_assert_int_eq(fake_call(capget, 8, 0), -EFAULT);
}
END_TEST

START_TEST(uname_names_a_linux)
{
    ck_assert_int_eq(fake_call(uname, RESULT), 0);
    ck_assert_str_eq(fake_at(RESULT), "Linux");
    ck_assert_str_eq(fake_at(RESULT + 65), "sandbox");
    ck_assert_str_eq(fake_at(RESULT + 130), "6.1.0");
    ck_assert_str_eq(fake_at(RESULT + 260), VMK_ABI_MACHINE);
    ck_assert_int_eq(fake_call(uname, READ_ONLY), -EFAULT);
}
END_TEST

START_TEST(limits_are_those_of_the_sandbox)
{
    ck_assert_int_eq(fake_call(prlimit64, 0, RLIMIT_AS, 0, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), UINT64_C(256) << 20);
    ck_assert_int_eq(fake_call(prlimit64, FAKE_PID, RLIMIT_NOFILE, 0, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 64);
    ck_assert_uint_eq(fake_get64(RESULT + 8), 64);
    ck_assert_int_eq(fake_call(getrlimit, RLIMIT_STACK, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 8 << 20);
    ck_assert_int_eq(fake_call(getrlimit, RLIMIT_CPU, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), UINT64_MAX);
    fake.process.limits.cpu_time_ns = SECOND + 1;
    ck_assert_int_eq(fake_call(getrlimit, RLIMIT_CPU, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 2);
    ck_assert_int_eq(fake_call(getrlimit, 16, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(prlimit64, 1, RLIMIT_AS, 0, RESULT), -ESRCH);
    ck_assert_int_eq(fake_call(prlimit64, 0, UINT32_MAX, 0, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(prlimit64, 0, RLIMIT_AS, 8, 0), -EFAULT);
}
END_TEST

START_TEST(limits_are_lowered_and_never_raised)
{
    uint64_t current;
    put_timespec(ARGUMENT, 10, 20);
    ck_assert_int_eq(fake_call(prlimit64, 0, RLIMIT_NOFILE, ARGUMENT, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 64);
    vmk_task_get_rlimit(&fake.process, RLIMIT_NOFILE, &current, NULL);
    ck_assert_uint_eq(current, 10);
    put_timespec(ARGUMENT, 20, 20);
    ck_assert_int_eq(fake_call(setrlimit, RLIMIT_NOFILE, ARGUMENT), 0);
    put_timespec(ARGUMENT, 20, 21);
    ck_assert_int_eq(fake_call(setrlimit, RLIMIT_NOFILE, ARGUMENT), -EPERM);
    put_timespec(ARGUMENT, 11, 10);
    ck_assert_int_eq(fake_call(setrlimit, RLIMIT_NOFILE, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(getrlimit, RLIMIT_NOFILE, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT + 8), 20);
}
END_TEST

START_TEST(there_is_one_processor)
{
    ck_assert_int_eq(fake_call(sched_getaffinity, 0, 128, RESULT), 8);
    ck_assert_uint_eq(fake_get64(RESULT), 1);
    ck_assert_int_eq(fake_call(sched_getaffinity, 0, 4, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(sched_getaffinity, 0, 12, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(sched_getaffinity, 1, 8, RESULT), -ESRCH);
    fake_put64(ARGUMENT, 3);
    ck_assert_int_eq(fake_call(sched_setaffinity, 0, 8, ARGUMENT), 0);
    fake_put64(ARGUMENT, 2);
    ck_assert_int_eq(fake_call(sched_setaffinity, 0, UINT32_MAX, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(getcpu, RESULT, 0, 0), 0);
    ck_assert_uint_eq(fake_get32(RESULT), 0);
    ck_assert_int_eq(fake_call(sched_yield, 0), 0);
}
END_TEST

START_TEST(scheduling_is_ordinary)
{
    put_timespec(ARGUMENT, 0, 0);
    ck_assert_int_eq(fake_call(sched_getscheduler, 0), SCHED_OTHER);
    ck_assert_int_eq(fake_call(sched_setscheduler, 0, SCHED_BATCH, ARGUMENT), 0);
    ck_assert_int_eq(fake_call(sched_getscheduler, FAKE_PID), SCHED_BATCH);
    ck_assert_int_eq(fake_call(sched_setscheduler, 0, SCHED_FIFO, ARGUMENT), -EINVAL);
    fake_put64(ARGUMENT, 5);
    ck_assert_int_eq(fake_call(sched_setscheduler, 0, SCHED_FIFO, ARGUMENT), -EPERM);
    ck_assert_int_eq(fake_call(sched_setparam, 0, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(sched_getparam, 0, RESULT), 0);
    ck_assert_int_eq(fake_call(sched_get_priority_max, SCHED_RR), 99);
    ck_assert_int_eq(fake_call(sched_get_priority_min, SCHED_RR), 1);
    ck_assert_int_eq(fake_call(sched_get_priority_max, SCHED_OTHER), 0);
    ck_assert_int_eq(fake_call(sched_get_priority_max, 42), -EINVAL);

    ck_assert_int_eq(fake_call(getpriority, PRIO_PROCESS, 0), 20);
    ck_assert_int_eq(fake_call(setpriority, PRIO_PROCESS, 0, 5), 0);
    ck_assert_int_eq(fake_call(getpriority, PRIO_PROCESS, FAKE_PID), 15);
    ck_assert_int_eq(fake_call(setpriority, PRIO_PROCESS, 0, 4), -EACCES);
    ck_assert_int_eq(fake_call(setpriority, PRIO_USER, 1000, 100), 0);
    ck_assert_int_eq(fake_call(getpriority, PRIO_PROCESS, 0), 1);
    ck_assert_int_eq(fake_call(getpriority, PRIO_PROCESS, 1), -ESRCH);
    ck_assert_int_eq(fake_call(getpriority, 3, 0), -EINVAL);
}
END_TEST

START_TEST(usage_counts_the_cpu_time)
{
    fake.cpu_ns = 3 * SECOND + 250000999;
    ck_assert_int_eq(fake_call(getrusage, 0, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 3);
    ck_assert_uint_eq(fake_get64(RESULT + 8), 250000);
    ck_assert_uint_eq(fake_get64(RESULT + 32), 5120);
    ck_assert_int_eq(fake_call(getrusage, UINT32_MAX, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 0);
    ck_assert_int_eq(fake_call(getrusage, 7, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(times, RESULT), 100000);
    ck_assert_uint_eq(fake_get64(RESULT), 325);
    ck_assert_uint_eq(fake_get64(RESULT + 8), 0);
    ck_assert_int_eq(fake_call(sysinfo, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 1000);
    ck_assert_uint_eq(fake_get64(RESULT + 32), UINT64_C(256) << 20);
    ck_assert_uint_eq(fake_get64(RESULT + 40), UINT64_C(253) << 20);
    ck_assert_uint_eq(fake_get32(RESULT + 104), 1);
}
END_TEST

START_TEST(fork_is_refused_however_often_and_there_is_no_child)
{
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(fake_call(clone, 17, 0, 0, 0, 0), -ENOSYS);
    ck_assert_int_eq(fake_call(clone3, ARGUMENT, 88), -ENOSYS);
    ck_assert_int_eq(fake_call(wait4, UINT64_MAX, 0, 0, 0), -ECHILD);
    ck_assert_int_eq(fake_call(wait4, UINT64_MAX, 0, 1, 0), -ECHILD);
    ck_assert_int_eq(fake_call(wait4, UINT64_MAX, 0, 0x100, 0), -EINVAL);
    ck_assert_int_eq(fake_call(waitid, 0, 0, 0, 4, 0), -ECHILD);
    ck_assert_int_eq(fake_call(waitid, 0, 0, 0, 0, 0), -EINVAL);
    ck_assert(!vmk_process_ended(&fake.process));
}
END_TEST

START_TEST(exit_ends_the_process_with_a_byte)
{
    fake_call(exit_group, 0x1ff);
    ck_assert_int_eq(fake.process.ending.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(fake.process.ending.exit_status, 0xff);
    fake_call(exit, 3);
    ck_assert_int_eq(fake.process.ending.exit_status, 0xff);
}
END_TEST

START_TEST(prctl_keeps_the_name_and_flags)
{
    strcpy(fake_at(ARGUMENT), "a name of more than fifteen bytes");
    ck_assert_int_eq(fake_call(prctl, 15, ARGUMENT), 0);
    ck_assert_int_eq(fake_call(prctl, 16, RESULT), 0);
    ck_assert_str_eq(fake_at(RESULT), "a name of more ");
    strcpy(fake_at(ARGUMENT), "short");
    ck_assert_int_eq(fake_call(prctl, 15, ARGUMENT), 0);
    ck_assert_str_eq(fake.process.name, "short");
    ck_assert_int_eq(fake_call(prctl, 15, 8), -EFAULT);
    ck_assert_int_eq(fake_call(prctl, 3), 1);
    ck_assert_int_eq(fake_call(prctl, 4, 0), 0);
    ck_assert_int_eq(fake_call(prctl, 3), 0);
    ck_assert_int_eq(fake_call(prctl, 4, 2), -EINVAL);
    ck_assert_int_eq(fake_call(prctl, 39, 0, 0, 0, 0), 0);
    ck_assert_int_eq(fake_call(prctl, 38, 1, 0, 0, 0), 0);
    ck_assert_int_eq(fake_call(prctl, 39, 0, 0, 0, 0), 1);
    ck_assert_int_eq(fake_call(prctl, 38, 0, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(prctl, 1, SIGTERM), 0);
    ck_assert_int_eq(fake_call(prctl, 2, RESULT), 0);
    ck_assert_uint_eq(fake_get32(RESULT), SIGTERM);
    ck_assert_int_eq(fake_call(prctl, 1, 65), -EINVAL);
    ck_assert_int_eq(fake_call(prctl, 23, 40), 0);
    ck_assert_int_eq(fake_call(prctl, 23, 41), -EINVAL);
    ck_assert_int_eq(fake_call(prctl, 24, 0), -EPERM);
    ck_assert_int_eq(fake_call(prctl, 22, 2, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(prctl, 12345), -EINVAL);
}
END_TEST

START_TEST(small_calls_of_the_start_of_a_program)
{
    ck_assert_int_eq(fake_call(set_robust_list, ARGUMENT, 24), 0);
    ck_assert_int_eq(fake_call(set_robust_list, ARGUMENT, 23), -EINVAL);
    ck_assert_int_eq(fake_call(get_robust_list, 0, RESULT, RESULT + 8), 0);
    ck_assert_uint_eq(fake_get64(RESULT), ARGUMENT);
    ck_assert_uint_eq(fake_get64(RESULT + 8), 24);
    ck_assert_int_eq(fake_call(rseq, ARGUMENT, 32, 0, 0), -ENOSYS);
    ck_assert_int_eq(fake_call(seccomp, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(personality, UINT32_MAX), 0);
    ck_assert_int_eq(fake_call(personality, 0x40000), 0);
    ck_assert_int_eq(fake_call(personality, UINT32_MAX), 0x40000);
    ck_assert_int_eq(fake_call(membarrier, 0, 0), 0x7f);
    ck_assert_int_eq(fake_call(membarrier, 8, 0), 0);
    ck_assert_int_eq(fake_call(membarrier, 3, 0), -EINVAL);
    ck_assert_int_eq(fake_call(membarrier, 0x80, 0), -EINVAL);
}
END_TEST

static void
kill_sandbox(void)
{
    atomic_store(&fake.process.killed, true);
}

START_TEST(getrandom_fills_and_lets_itself_be_ended)
{
    static const uint8_t zeros[64];
    ck_assert_int_eq(fake_call(getrandom, RESULT, 64, 0), 64);
    ck_assert_int_ne(memcmp(fake_at(RESULT), zeros, 64), 0);
    ck_assert_int_eq(fake_call(getrandom, RESULT, 0, 0), 0);
    ck_assert_int_eq(fake_call(getrandom, RESULT, 10000, 1), 10000);
    ck_assert_int_eq(fake_call(getrandom, RESULT, 1, 8), -EINVAL);
    ck_assert_int_eq(fake_call(getrandom, RESULT, 1, 6), -EINVAL);
    ck_assert_int_eq(fake_call(getrandom, 8, 1, 0), -EFAULT);
    ck_assert_int_eq(fake_call(getrandom, READ_ONLY - 4096, UINT64_MAX, 0), 4096);
    fake.during_wait = kill_sandbox;
    ck_assert_int_eq(fake_call(getrandom, FAKE_BASE, UINT64_C(1) << 40, 0), 65536);
}
END_TEST

START_TEST(clocks_are_read)
{
    ck_assert_int_eq(fake_call(clock_gettime, CLOCK_MONOTONIC, RESULT), 0);
    ck_assert_uint_eq(time_at(RESULT), fake.now_ns);
    fake.cpu_ns = 12345678901;
    ck_assert_int_eq(fake_call(clock_gettime, CLOCK_PROCESS_CPUTIME_ID, RESULT), 0);
    ck_assert_uint_eq(time_at(RESULT), fake.cpu_ns);
    ck_assert_int_eq(fake_call(clock_gettime, CLOCK_THREAD_CPUTIME_ID, RESULT), 0);
    ck_assert_uint_eq(time_at(RESULT), fake.cpu_ns);
    /* clock_getcpuclockid() of the guest itself, of process 0, and of another. */
    ck_assert_int_eq(fake_call(clock_gettime, ~(uint64_t)FAKE_PID << 3 | 2, RESULT), 0);
    ck_assert_uint_eq(time_at(RESULT), fake.cpu_ns);
    ck_assert_int_eq(fake_call(clock_gettime, (uint64_t)-6, RESULT), 0);
    ck_assert_int_eq(fake_call(clock_gettime, ~(uint64_t)1 << 3 | 2, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(clock_gettime, ~(uint64_t)FAKE_PID << 3 | 3, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(clock_gettime, 10, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(clock_gettime, 99, RESULT), -EINVAL);
    ck_assert_int_eq(fake_call(clock_gettime, CLOCK_REALTIME, 8), -EFAULT);

    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    ck_assert_int_eq(fake_call(clock_gettime, CLOCK_REALTIME, RESULT), 0);
    ck_assert_uint_ge(time_at(RESULT), (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec);
    ck_assert_int_eq(fake_call(gettimeofday, RESULT, RESULT + 16), 0);
    ck_assert_uint_ge(fake_get64(RESULT), (uint64_t)now.tv_sec);
    ck_assert_uint_lt(fake_get64(RESULT + 8), 1000000);
    ck_assert_uint_eq(fake_get64(RESULT + 16), 0);
    ck_assert_int_eq(fake_call(clock_getres, CLOCK_REALTIME, RESULT), 0);
    ck_assert_uint_eq(time_at(RESULT), 1);
    ck_assert_int_eq(fake_call(clock_getres, CLOCK_MONOTONIC_COARSE, RESULT), 0);
    ck_assert_uint_eq(time_at(RESULT), 4000000);
    ck_assert_int_eq(fake_call(clock_getres, CLOCK_MONOTONIC, 0), 0);
}
END_TEST

START_TEST(clocks_are_not_set)
{
    put_timespec(ARGUMENT, 1, 1);
    ck_assert_int_eq(fake_call(clock_settime, CLOCK_REALTIME, ARGUMENT), -EPERM);
    ck_assert_int_eq(fake_call(clock_settime, CLOCK_REALTIME, 8), -EFAULT);
    ck_assert_int_eq(fake_call(clock_settime, 99, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(settimeofday, ARGUMENT, 0), -EPERM);
    fake_put64(ARGUMENT, 1);
    ck_assert_int_eq(fake_call(adjtimex, ARGUMENT), -EPERM);
    ck_assert_int_eq(fake_call(adjtimex, 8), -EFAULT);
    fake_put64(ARGUMENT, 0);
    ck_assert_int_ge(fake_call(adjtimex, ARGUMENT), 0);
    ck_assert_uint_gt(fake_get64(ARGUMENT + 72), 0); /* the time */
}
END_TEST

static void
send_usr1(void)
{
    fake.now_ns += SECOND;
    vmk_signals_raise(&fake.process, SIGUSR1);
}

START_TEST(sleeps_last_and_tell_what_is_left)
{
    uint64_t start = fake.now_ns;
    put_timespec(ARGUMENT, 3, 500000000);
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, RESULT), 0);
    ck_assert_uint_eq(fake.now_ns - start, 3500000000);

    fake.during_wait = send_usr1;
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, RESULT), -EINTR);
    ck_assert_uint_eq(time_at(RESULT), 2500000000);
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, 0), -EINTR);
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, READ_ONLY), -EFAULT);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_BOOTTIME, 0, ARGUMENT, RESULT), -EINTR);
    ck_assert_uint_eq(time_at(RESULT), 2500000000);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, ARGUMENT, 0),
                     -VMK_ERESTARTNOHAND);
    put_timespec(ARGUMENT, 0, 1000000000);
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, 0), -EINVAL);
    put_timespec(ARGUMENT, -1, 0);
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, 0), -EINVAL);
    ck_assert_int_eq(fake_call(nanosleep, 8, 0), -EFAULT);
}
END_TEST

START_TEST(sleeps_go_by_the_clock_that_is_named)
{
    uint64_t start = fake.now_ns;
    put_timespec(ARGUMENT, (int64_t)(start / SECOND) + 2, 0);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, ARGUMENT, 0), 0);
    ck_assert_uint_eq(fake.now_ns - start, 2 * SECOND);
    put_timespec(ARGUMENT, 1, 0);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, ARGUMENT, 0), 0);
    ck_assert_uint_eq(fake.now_ns - start, 2 * SECOND);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, ARGUMENT, 0), -EINVAL);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, ARGUMENT, 0), -EOPNOTSUPP);
    ck_assert_int_eq(fake_call(clock_nanosleep, 99, 0, ARGUMENT, 0), -EINVAL);
    ck_assert(!fake.waited_for_ever);
    ck_assert_int_eq(fake_call(clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, ARGUMENT, 0), -EINTR);
    ck_assert(fake.waited_for_ever);

    put_timespec(ARGUMENT, INT64_MAX, 999999999);
    ck_assert_int_eq(fake_call(nanosleep, ARGUMENT, 0), -EINTR);
    ck_assert_uint_eq(fake.last_deadline_ns, UINT64_MAX);
}
END_TEST

START_TEST(futex_waits_only_while_the_value_holds)
{
    fake_put64(ARGUMENT, 5);
    put_timespec(ARGUMENT + 16, 1, 0);
    uint64_t start = fake.now_ns;
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 0, 4, 0), -EAGAIN);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 128, 5, ARGUMENT + 16), -ETIMEDOUT);
    ck_assert_uint_eq(fake.now_ns - start, SECOND);
    put_timespec(ARGUMENT + 16, (int64_t)(fake.now_ns / SECOND) + 1, 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 9 | 128, 5, ARGUMENT + 16, 0, UINT32_MAX),
                     -ETIMEDOUT);
    ck_assert_uint_eq(fake.now_ns - start, 2 * SECOND);
    put_timespec(ARGUMENT + 16, 1, 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 9 | 256, 5, ARGUMENT + 16, 0, 1), -ETIMEDOUT);

    fake.during_wait = send_usr1;
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 0, 5, 0), -VMK_ERESTARTSYS);
    put_timespec(ARGUMENT + 16, 100, 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 0, 5, ARGUMENT + 16), -EINTR);
    ck_assert_int_eq(fake_call(futex, ARGUMENT + 1, 0, 5, 0), -EINVAL);
    ck_assert_int_eq(fake_call(futex, 8, 0, 5, 0), -EFAULT);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 9, 5, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 6, 0, 0), -ENOSYS);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 1 | 256, 1), -ENOSYS);
}
END_TEST

START_TEST(futex_wakes_nobody)
{
    fake_put64(ARGUMENT, 5);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 1, INT32_MAX), 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 10, 1, 0, 0, 1), 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 3, 1, 1, RESULT), 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 4, 1, 1, RESULT, 5), 0);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 4, 1, 1, RESULT, 6), -EAGAIN);
    /* WAKE_OP: add -1 to the second word; then set bit 4 of it. */
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 5, 1, 1, ARGUMENT, 0x10fff000), 0);
    ck_assert_uint_eq(fake_get32(ARGUMENT), 4);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 5, 1, 1, ARGUMENT, 0xa0004000), 0);
    ck_assert_uint_eq(fake_get32(ARGUMENT), 20);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 5, 1, 1, ARGUMENT, 0x70004000), -ENOSYS);
    ck_assert_int_eq(fake_call(futex, ARGUMENT, 5, 1, 1, READ_ONLY, 0), -EFAULT);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_process_calls");
    TCase *tcase = tcase_create("sandbox_process_calls");

    tcase_add_checked_fixture(tcase, fake_reset, NULL);
    tcase_add_test(tcase, identity_is_what_the_embedder_chose);
    tcase_add_test(tcase, identity_changes_to_itself_alone);
    tcase_add_test(tcase, capabilities_are_none);
    tcase_add_test(tcase, uname_names_a_linux);
    tcase_add_test(tcase, limits_are_those_of_the_sandbox);
    tcase_add_test(tcase, limits_are_lowered_and_never_raised);
    tcase_add_test(tcase, there_is_one_processor);
    tcase_add_test(tcase, scheduling_is_ordinary);
    tcase_add_test(tcase, usage_counts_the_cpu_time);
    tcase_add_test(tcase, fork_is_refused_however_often_and_there_is_no_child);
    tcase_add_test(tcase, exit_ends_the_process_with_a_byte);
    tcase_add_test(tcase, prctl_keeps_the_name_and_flags);
    tcase_add_test(tcase, small_calls_of_the_start_of_a_program);
    tcase_add_test(tcase, getrandom_fills_and_lets_itself_be_ended);
    tcase_add_test(tcase, clocks_are_read);
    tcase_add_test(tcase, clocks_are_not_set);
    tcase_add_test(tcase, sleeps_last_and_tell_what_is_left);
    tcase_add_test(tcase, sleeps_go_by_the_clock_that_is_named);
    tcase_add_test(tcase, futex_waits_only_while_the_value_holds);
    tcase_add_test(tcase, futex_wakes_nobody);
    suite_add_tcase(suite, tcase);
    return suite;
}
