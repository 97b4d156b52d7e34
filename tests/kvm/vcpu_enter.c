/* SPDX-License-Identifier: Apache-2.0 */
/* vmk_vcpu_begin(), enter(), end() and kick(): what a run does to the thread that it borrows. */
#include "harness.h"
#include "kvm/x86_64.h"
#include "vm/vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* A guest in real mode with its code at 0x1000. */
struct guest {
    struct vmkit_vm *vm;
    struct vmkit_vcpu *vcpu;
};

static struct guest
guest_new(const void *code, size_t size)
{
    struct guest guest;
    struct vmkit_memory *memory;
    struct vmk_vm_options options = {.real_mode = true};
    ck_assert_int_eq(vmk_vm_new(&options, &guest.vm, NULL), 0);
    ck_assert_int_eq(vmk_memory_new_anonymous(0x10000, 0, &memory, NULL), 0);
    memcpy((uint8_t *)vmk_memory_get_pointer(memory) + 0x1000, code, size);
    ck_assert_int_eq(vmk_vm_add_memory(guest.vm, 0, memory, 0, 0x10000, false, NULL), 0);
    vmk_memory_unref(memory);
    ck_assert_int_eq(vmk_vcpu_new(guest.vm, 0, &guest.vcpu, NULL), 0);

    struct vmk_kvm_vcpu *kvm = vmk_vcpu_get_kvm(guest.vcpu);
    struct vmkit_x86_sregs sregs;
    ck_assert_int_eq(vmk_kvm_x86_get_sregs(kvm, &sregs, NULL), 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    ck_assert_int_eq(vmk_kvm_x86_set_sregs(kvm, &sregs, NULL), 0);
    struct vmk_user_regs regs = {.rip = 0x1000, .rflags = 2};
    ck_assert_int_eq(vmk_kvm_x86_set_regs(kvm, &regs, NULL), 0);
    return guest;
}

static void
guest_free(struct guest *guest)
{
    vmk_vcpu_unref(guest->vcpu);
    vmk_vm_unref(guest->vm);
}

static const uint8_t spin[] = {0xeb, 0xfe}; /* jmp . */
static const uint8_t halt_loop[] = {0xf4, 0xeb, 0xfd};

static bool
kick_is_blocked(void)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, vmk_vcpu_get_kick_signal()) == 1;
}

static bool
kick_is_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, vmk_vcpu_get_kick_signal()) == 1;
}

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

START_TEST(a_guest_that_halts_leaves_with_hlt)
{
    struct guest guest = guest_new(halt_loop, sizeof halt_loop);
    struct vmk_kvm_exit exit;
    ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, NULL), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(vmk_vcpu_enter(guest.vcpu), 0);
        vmk_kvm_vcpu_get_exit(vmk_vcpu_get_kvm(guest.vcpu), &exit);
        ck_assert_int_eq(exit.reason, VMK_KVM_EXIT_HLT);
    }
    ck_assert(kick_is_blocked());
    vmk_vcpu_end(guest.vcpu);
    ck_assert(!kick_is_blocked());
    guest_free(&guest);
}
END_TEST

START_TEST(a_kick_before_the_run_ends_it_once)
{
    struct guest guest = guest_new(halt_loop, sizeof halt_loop);
    vmk_vcpu_kick(guest.vcpu);
    vmk_vcpu_kick(guest.vcpu);
    ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_enter(guest.vcpu), -EINTR);
    ck_assert(vmk_vcpu_was_kicked(guest.vcpu));
    ck_assert_int_eq(vmk_vcpu_enter(guest.vcpu), 0);
    vmk_vcpu_end(guest.vcpu);
    guest_free(&guest);
}
END_TEST

static void *
kick_after_20_ms(void *data)
{
    struct timespec delay = {.tv_nsec = 20000000};
    nanosleep(&delay, NULL);
    vmk_vcpu_kick(data);
    return NULL;
}

/* Kicks, or without a vCPU interrupts, and notes what CPU time the runner had used by then. */
struct stopwatch {
    struct vmkit_vcpu *vcpu;
    pthread_t thread;
    clockid_t runner;
    uint64_t kicked_at;
};

static void *
kick_with_stopwatch(void *data)
{
    struct stopwatch *watch = data;
    struct timespec delay = {.tv_nsec = 2000000};
    nanosleep(&delay, NULL);
    watch->kicked_at = now_ns(watch->runner);
    if (watch->vcpu != NULL)
        vmk_vcpu_kick(watch->vcpu);
    else
        pthread_kill(watch->thread, SIGUSR1);
    return NULL;
}

static volatile sig_atomic_t interrupted;

static void
interrupt(int signal)
{
    interrupted = 1;
}

/* The CPU time from a kick to the end of the run. */
static uint64_t
time_kick(struct guest *guest, struct stopwatch *watch)
{
    pthread_t kicker;
    watch->vcpu = guest->vcpu;
    ck_assert_int_eq(pthread_create(&kicker, NULL, kick_with_stopwatch, watch), 0);
    ck_assert_int_eq(vmk_vcpu_begin(guest->vcpu, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_enter(guest->vcpu), -EINTR);
    uint64_t now = now_ns(CLOCK_THREAD_CPUTIME_ID);
    ck_assert(vmk_vcpu_was_kicked(guest->vcpu));
    vmk_vcpu_end(guest->vcpu);
    ck_assert(!kick_is_pending());
    ck_assert_int_eq(pthread_join(kicker, NULL), 0);
    return now - watch->kicked_at;
}

/* The same of a signal to a thread that spins without any guest: what the host itself takes, and
 * its clocks count, when others keep it busy. */
static uint64_t
time_signal(struct stopwatch *watch)
{
    pthread_t kicker;
    watch->vcpu = NULL;
    interrupted = 0;
    ck_assert_int_eq(pthread_create(&kicker, NULL, kick_with_stopwatch, watch), 0);
    while (!interrupted) {
#if defined(__SANITIZE_THREAD__)
        /* It keeps signals back until a call that it knows. */
        usleep(0);
#endif
    }
    uint64_t now = now_ns(CLOCK_THREAD_CPUTIME_ID);
    ck_assert_int_eq(pthread_join(kicker, NULL), 0);
    return now - watch->kicked_at;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

START_TEST(a_kick_ends_a_guest_that_spins_within_a_millisecond_of_cpu_time)
{
    struct guest guest = guest_new(spin, sizeof spin);
    struct stopwatch watch = {.thread = pthread_self()};
    struct sigaction action = {.sa_handler = interrupt}, former;
    uint64_t kicks[21], signals[21];
    ck_assert_int_eq(pthread_getcpuclockid(pthread_self(), &watch.runner), 0);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, &former), 0);
    for (int i = 0; i < 21; i++) {
        kicks[i] = time_kick(&guest, &watch);
        signals[i] = time_signal(&watch);
    }
    ck_assert_int_eq(sigaction(SIGUSR1, &former, NULL), 0);
    /* The medians: between the clock and the kick, the kicker itself may have been off its core. */
    qsort(kicks, 21, sizeof kicks[0], compare);
    qsort(signals, 21, sizeof signals[0], compare);
    ck_assert_uint_lt(kicks[10], signals[10] + 1000000);
    guest_free(&guest);
}
END_TEST

static atomic_int alarms;

static void
count_alarm(int signal)
{
    atomic_fetch_add(&alarms, 1);
}

START_TEST(a_handler_of_the_application_runs_and_the_guest_goes_on)
{
    struct guest guest = guest_new(spin, sizeof spin);
    struct sigaction action = {.sa_handler = count_alarm};
    struct itimerval every = {{0, 5000}, {0, 5000}};
    struct itimerval never = {{0, 0}, {0, 0}};
    pthread_t kicker;
    sigaction(SIGALRM, &action, NULL);

    /* The kicker must not be the one that takes the alarms. */
    sigset_t alarm_set;
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_set, NULL);
    ck_assert_int_eq(pthread_create(&kicker, NULL, kick_after_20_ms, guest.vcpu), 0);
    pthread_sigmask(SIG_UNBLOCK, &alarm_set, NULL);

    setitimer(ITIMER_REAL, &every, NULL);
    ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_enter(guest.vcpu), -EINTR);
    ck_assert(vmk_vcpu_was_kicked(guest.vcpu));
    vmk_vcpu_end(guest.vcpu);
    setitimer(ITIMER_REAL, &never, NULL);
    ck_assert_int_ge(atomic_load(&alarms), 2);
    ck_assert_int_eq(pthread_join(kicker, NULL), 0);
    guest_free(&guest);
}
END_TEST

START_TEST(a_timer_with_the_kick_signal_ends_the_run_and_is_no_kick)
{
    struct guest guest = guest_new(spin, sizeof spin);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = vmk_vcpu_get_kick_signal()};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    struct itimerspec once = {.it_value = {.tv_nsec = 10000000}};
    timer_t timer;
    ck_assert_int_eq(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer), 0);

    ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, NULL), 0);
    uint64_t before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    timer_settime(timer, 0, &once, NULL);
    ck_assert_int_eq(vmk_vcpu_enter(guest.vcpu), -EINTR);
    ck_assert(!vmk_vcpu_was_kicked(guest.vcpu));
    ck_assert_uint_ge(now_ns(CLOCK_THREAD_CPUTIME_ID) - before, 9000000);

    /* One that expires between the last entry and the end is taken off as well. */
    timer_settime(timer, 0, &once, NULL);
    while (!kick_is_pending())
        ;
    timer_delete(timer);
    vmk_vcpu_end(guest.vcpu);
    ck_assert(!kick_is_pending());
    guest_free(&guest);
}
END_TEST

struct hammer {
    struct vmkit_vcpu *vcpu;
    atomic_bool stop;
};

static void *
kick_without_end(void *data)
{
    struct hammer *hammer = data;
    while (!atomic_load(&hammer->stop))
        vmk_vcpu_kick(hammer->vcpu);
    return NULL;
}

START_TEST(ten_thousand_runs_under_kicks_leave_no_signal)
{
    struct guest guest = guest_new(halt_loop, sizeof halt_loop);
    struct hammer hammer = {.vcpu = guest.vcpu};
    pthread_t kicker;
    int halts = 0;
    int kicks = 0;
    ck_assert_int_eq(pthread_create(&kicker, NULL, kick_without_end, &hammer), 0);
    for (int i = 0; i < 10000; i++) {
        ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, NULL), 0);
        int result = vmk_vcpu_enter(guest.vcpu);
        ck_assert(result == 0 || result == -EINTR);
        halts += result == 0;
        kicks += result == -EINTR;
        vmk_vcpu_end(guest.vcpu);
        /* The signal's default action would have ended the process by now. */
        ck_assert(!kick_is_blocked());
    }
    atomic_store(&hammer.stop, true);
    ck_assert_int_eq(pthread_join(kicker, NULL), 0);
    ck_assert(!kick_is_pending());
    ck_assert_int_eq(halts + kicks, 10000);
    ck_assert_int_gt(kicks, 0);
    guest_free(&guest);
}
END_TEST

START_TEST(a_vcpu_runs_on_one_thread_at_a_time)
{
    struct guest guest = guest_new(halt_loop, sizeof halt_loop);
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_begin(guest.vcpu, &error), -EBUSY);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BUSY);
    vmkit_error_unref(error);
    ck_assert(kick_is_blocked());
    vmk_vcpu_end(guest.vcpu);
    ck_assert(!kick_is_blocked());
    guest_free(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vcpu_enter");
    TCase *tcase = tcase_create("vcpu_enter");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_guest_that_halts_leaves_with_hlt);
    tcase_add_test(tcase, a_kick_before_the_run_ends_it_once);
    tcase_add_test(tcase, a_kick_ends_a_guest_that_spins_within_a_millisecond_of_cpu_time);
    tcase_add_test(tcase, a_handler_of_the_application_runs_and_the_guest_goes_on);
    tcase_add_test(tcase, a_timer_with_the_kick_signal_ends_the_run_and_is_no_kick);
    tcase_add_test(tcase, ten_thousand_runs_under_kicks_leave_no_signal);
    tcase_add_test(tcase, a_vcpu_runs_on_one_thread_at_a_time);
    suite_add_tcase(suite, tcase);
    return suite;
}
