/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "fake_process.h"

#include "sandbox/signal_state.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define ARGUMENT (FAKE_BASE + 0x100)
#define RESULT (FAKE_BASE + 0x400)
#define READ_ONLY (FAKE_BASE + FAKE_SIZE - FAKE_READ_ONLY)
#define HANDLER UINT64_C(0x401000)
#define FIRST_QUEUED 32

static int64_t
act(int signal, uint64_t handler, uint64_t flags, uint64_t mask)
{
    const struct vmk_guest_sigaction action = {.handler = handler, .flags = flags, .mask = mask};
    memcpy(fake_at(ARGUMENT), &action, sizeof action);
    return fake_call(rt_sigaction, (uint64_t)signal, ARGUMENT, RESULT, 8);
}

static void
block(uint64_t set)
{
    fake_put64(ARGUMENT, set);
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_BLOCK, ARGUMENT, 0, 8), 0);
}

static uint64_t
pending(void)
{
    ck_assert_int_eq(fake_call(rt_sigpending, RESULT, 8), 0);
    return fake_get64(RESULT);
}

static int64_t
queue(int signal, int32_t code, uint64_t value)
{
    struct vmk_siginfo info = {.signo = 1, .code = code, .sender.pid = 99, .sender.value = value};
    memset(fake_at(ARGUMENT), 0, VMK_SIGINFO_SIZE);
    memcpy(fake_at(ARGUMENT), &info, sizeof info);
    return fake_call(rt_sigqueueinfo, FAKE_PID, (uint64_t)signal, ARGUMENT);
}

/* Take a signal without waiting; its information is at RESULT. */
static int64_t
take(uint64_t set)
{
    fake_put64(ARGUMENT, set);
    fake_put64(ARGUMENT + 8, 0);
    fake_put64(ARGUMENT + 16, 0);
    return fake_call(rt_sigtimedwait, ARGUMENT, RESULT, ARGUMENT + 8, 8);
}

START_TEST(sigaction_keeps_what_linux_keeps)
{
    ck_assert_int_eq(act(SIGUSR1, HANDLER, 0xffffffffu, ~UINT64_C(0)), 0);
    ck_assert_uint_eq(fake_get64(RESULT), 0);
    ck_assert_int_eq(act(SIGUSR1, 1, 0, 0), 0);
    ck_assert_uint_eq(fake_get64(RESULT), HANDLER);
    ck_assert_uint_eq(fake_get64(RESULT + 8), 0xdc000807);
    ck_assert_uint_eq(fake_get64(RESULT + 24),
                      ~(vmk_signal_bit(SIGKILL) | vmk_signal_bit(SIGSTOP)));
}
END_TEST

START_TEST(sigaction_refuses_as_linux_refuses)
{
    ck_assert_int_eq(act(0, HANDLER, 0, 0), -EINVAL);
    ck_assert_int_eq(act(65, HANDLER, 0, 0), -EINVAL);
    ck_assert_int_eq(act(SIGKILL, HANDLER, 0, 0), -EINVAL);
    ck_assert_int_eq(act(SIGSTOP, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(act(64, HANDLER, 0, 0), 0);
    ck_assert_int_eq(fake_call(rt_sigaction, SIGKILL, 0, RESULT, 8), 0);
    ck_assert_int_eq(fake_call(rt_sigaction, SIGUSR1, ARGUMENT, 0, 16), -EINVAL);
    ck_assert_int_eq(fake_call(rt_sigaction, SIGUSR1, 8, 0, 8), -EFAULT);
    ck_assert_int_eq(fake_call(rt_sigaction, SIGUSR1, 0, READ_ONLY, 8), -EFAULT);
}
END_TEST

START_TEST(masks_are_set_changed_and_read)
{
    fake_put64(ARGUMENT, ~UINT64_C(0));
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_BLOCK, ARGUMENT, 0, 8), 0);
    ck_assert_uint_eq(vmk_signals_get_blocked(fake.process.signals), ~VMK_SIGNALS_UNBLOCKABLE);
    fake_put64(ARGUMENT, vmk_signal_bit(SIGTERM));
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_UNBLOCK, ARGUMENT, RESULT, 8), 0);
    ck_assert_uint_eq(fake_get64(RESULT), ~VMK_SIGNALS_UNBLOCKABLE);
    ck_assert_int_eq(fake_call(rt_sigprocmask, 77, 0, RESULT, 8), 0);
    ck_assert_uint_eq(fake_get64(RESULT), ~VMK_SIGNALS_UNBLOCKABLE & ~vmk_signal_bit(SIGTERM));
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8), 0);
    ck_assert_uint_eq(vmk_signals_get_blocked(fake.process.signals), vmk_signal_bit(SIGTERM));
    ck_assert_int_eq(fake_call(rt_sigprocmask, 77, ARGUMENT, 0, 8), -EINVAL);
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_BLOCK, ARGUMENT, 0, 4), -EINVAL);
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_BLOCK, 8, 0, 8), -EFAULT);
    ck_assert_int_eq(fake_call(rt_sigpending, RESULT, 16), -EINVAL);
}
END_TEST

START_TEST(kill_reaches_the_guest_alone)
{
    block(vmk_signal_bit(SIGTERM));
    ck_assert_int_eq(fake_call(kill, FAKE_PID, 0), 0);
    ck_assert_int_eq(fake_call(kill, 0, 0), 0);
    ck_assert_int_eq(fake_call(kill, (uint64_t)-FAKE_PID, 0), 0);
    ck_assert_uint_eq(pending(), 0);
    ck_assert_int_eq(fake_call(kill, 1, SIGTERM), -ESRCH);
    ck_assert_int_eq(fake_call(kill, UINT64_MAX, SIGTERM), -ESRCH);
    ck_assert_int_eq(fake_call(kill, UINT32_MAX, SIGTERM), -ESRCH);
    ck_assert_int_eq(fake_call(kill, (uint64_t)INT32_MIN, SIGTERM), -ESRCH);
    ck_assert_int_eq(fake_call(kill, FAKE_PID, 65), -EINVAL);
    ck_assert_int_eq(fake_call(kill, FAKE_PID, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(fake_call(tkill, 0, SIGTERM), -EINVAL);
    ck_assert_int_eq(fake_call(tkill, 1, SIGTERM), -ESRCH);
    ck_assert_int_eq(fake_call(tgkill, FAKE_PID, 0, SIGTERM), -EINVAL);
    ck_assert_int_eq(fake_call(tgkill, 1, FAKE_PID, SIGTERM), -ESRCH);
    ck_assert_int_eq(fake_call(tgkill, FAKE_PID, FAKE_PID, 0), 0);
    ck_assert_uint_eq(pending(), 0);
    ck_assert_int_eq(fake_call(tgkill, FAKE_PID, FAKE_PID, SIGTERM), 0);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGTERM));
    ck_assert_int_eq(take(vmk_signal_bit(SIGTERM)), SIGTERM);
    ck_assert_int_eq((int32_t)fake_get32(RESULT + 8), -6);
    ck_assert_uint_eq(fake_get32(RESULT + 16), FAKE_PID);
}
END_TEST

START_TEST(the_default_action_ends_the_process)
{
    ck_assert_int_eq(fake_call(kill, FAKE_PID, SIGTERM), 0);
    ck_assert(vmk_signals_pending(&fake.process));
    vmk_signals_deliver(&fake.process, false, NULL);
    ck_assert_int_eq(fake.process.ending.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(fake.process.ending.signal, SIGTERM);
    ck_assert_int_eq(fake.process.ending.signal_code, 0);
    ck_assert_uint_eq(fake.process.ending.fault_address, 0);
}
END_TEST

START_TEST(sigkill_goes_through_every_mask_and_before_all_others)
{
    block(~UINT64_C(0));
    ck_assert_int_eq(act(SIGHUP, HANDLER, 0, 0), 0);
    fake_call(kill, FAKE_PID, SIGHUP);
    fake_call(kill, FAKE_PID, SIGKILL);
    vmk_signals_deliver(&fake.process, false, NULL);
    ck_assert_int_eq(fake.process.ending.signal, SIGKILL);
}
END_TEST

START_TEST(ignored_signals_are_dropped_unless_blocked)
{
    static const int by_default[] = {SIGCHLD, SIGCONT, SIGURG,  SIGWINCH,
                                     SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof by_default / sizeof by_default[0]; i++)
        ck_assert_int_eq(fake_call(kill, FAKE_PID, (uint64_t)by_default[i]), 0);
    ck_assert(!vmk_signals_pending(&fake.process));
    ck_assert_uint_eq(fake.process.signals->pending, 0);

    block(vmk_signal_bit(SIGCHLD) | vmk_signal_bit(SIGTERM));
    fake_call(kill, FAKE_PID, SIGCHLD);
    fake_call(kill, FAKE_PID, SIGTERM);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGCHLD) | vmk_signal_bit(SIGTERM));
    /* Ignoring drops what waits, and so does unblocking what is ignored. */
    ck_assert_int_eq(act(SIGTERM, 1, 0, 0), 0);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGCHLD));
    fake_put64(ARGUMENT, 0);
    fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8);
    ck_assert_uint_eq(fake.process.signals->pending, 0);
    ck_assert_uint_eq(fake.process.signals->queued, 0);
}
END_TEST

START_TEST(continue_and_stop_cancel_each_other)
{
    block(vmk_signal_bit(SIGCONT) | vmk_signal_bit(SIGTSTP));
    fake_call(kill, FAKE_PID, SIGTSTP);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGTSTP));
    fake_call(kill, FAKE_PID, SIGCONT);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGCONT));
    fake_call(kill, FAKE_PID, SIGTSTP);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGTSTP));
}
END_TEST

START_TEST(standard_signals_wait_once_and_realtime_ones_queue_in_order)
{
    block(~UINT64_C(0));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(queue(SIGUSR1, SI_QUEUE, (uint64_t)i), 0);
        ck_assert_int_eq(queue(40, SI_QUEUE, (uint64_t)i), 0);
    }
    ck_assert_int_eq(queue(FIRST_QUEUED, SI_QUEUE, 7), 0);

    ck_assert_int_eq(take(~UINT64_C(0)), SIGUSR1);
    ck_assert_uint_eq(fake_get64(RESULT + 24), 0);
    ck_assert_int_eq(take(~UINT64_C(0)), FIRST_QUEUED);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(take(~UINT64_C(0)), 40);
        ck_assert_uint_eq(fake_get32(RESULT), 40);
        ck_assert_int_eq((int32_t)fake_get32(RESULT + 8), SI_QUEUE);
        ck_assert_uint_eq(fake_get32(RESULT + 16), 99);
        ck_assert_uint_eq(fake_get64(RESULT + 24), (uint64_t)i);
        ck_assert_uint_eq(fake_get64(RESULT + 120), 0);
    }
    ck_assert_int_eq(take(~UINT64_C(0)), -EAGAIN);
}
END_TEST

START_TEST(the_queue_has_a_limit_that_kill_does_not_know)
{
    block(~UINT64_C(0));
    for (int i = 0; i < VMK_SIGNALS_QUEUE_LIMIT; i++)
        ck_assert_int_eq(queue(50, SI_QUEUE, 1), 0);
    ck_assert_int_eq(queue(50, SI_QUEUE, 1), -EAGAIN);
    ck_assert_int_eq(queue(51, SI_QUEUE, 1), -EAGAIN);
    ck_assert_int_eq(fake_call(tgkill, FAKE_PID, FAKE_PID, 52), -EAGAIN);
    ck_assert_int_eq(fake_call(kill, FAKE_PID, 53), 0);
    /* Standard signals have a place of their own. */
    for (int signal = 1; signal < FIRST_QUEUED; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            ck_assert_int_eq(queue(signal, SI_QUEUE, 5), 0);
    ck_assert_uint_eq(fake.process.signals->queued_realtime, VMK_SIGNALS_QUEUE_LIMIT);

    ck_assert_int_eq(take(vmk_signal_bit(53)), 53);
    ck_assert_uint_eq(fake_get32(RESULT + 16), 0);
    ck_assert_int_eq(take(vmk_signal_bit(SIGUSR2)), SIGUSR2);
    ck_assert_uint_eq(fake_get64(RESULT + 24), 5);
    ck_assert_int_eq(take(vmk_signal_bit(50)), 50);
    ck_assert_int_eq(queue(51, SI_QUEUE, 1), 0);
}
END_TEST

START_TEST(queueinfo_speaks_for_nobody_else)
{
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, 1, SIGUSR1, ARGUMENT), -EPERM);
    struct vmk_siginfo info = {.code = SI_QUEUE};
    memcpy(fake_at(ARGUMENT), &info, sizeof info);
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, 1, SIGUSR1, ARGUMENT), -ESRCH);
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, FAKE_PID, 65, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, FAKE_PID, 0, ARGUMENT), 0);
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, FAKE_PID, SIGUSR1, 8), -EFAULT);
    ck_assert_int_eq(fake_call(rt_tgsigqueueinfo, FAKE_PID, 0, SIGUSR1, ARGUMENT), -EINVAL);
    ck_assert_int_eq(fake_call(rt_tgsigqueueinfo, 1, 1, SIGUSR1, ARGUMENT), -ESRCH);
    ck_assert_uint_eq(fake.process.signals->pending, 0);
}
END_TEST

/* Queue SIGUSR1 with a code and a byte behind the first 48; how it ended. */
static int64_t
queue_long(int code, uint8_t byte)
{
    struct vmk_siginfo info = {.signo = 1, .code = code, .padding = 0x55};
    memset(info.bytes, 0x55, sizeof info.bytes);
    memset(fake_at(ARGUMENT), 0, VMK_SIGINFO_SIZE);
    memcpy(fake_at(ARGUMENT), &info, sizeof info);
    memset(fake_at(ARGUMENT + VMK_SIGINFO_SIZE - 1), byte, 1);
    return fake_call(rt_sigqueueinfo, FAKE_PID, SIGUSR1, ARGUMENT);
}

START_TEST(queueinfo_carries_48_bytes_and_refuses_more_where_it_might_mean_something)
{
    static const uint8_t zeros[VMK_SIGINFO_SIZE - sizeof(struct vmk_siginfo)];
    static const int known[] = {0, 1, 6, 0x80, -1, -7, -60},
                     unknown[] = {7, 0x81, -8, -61, INT32_MIN};
    uint64_t set = vmk_signal_bit(SIGUSR1);
    block(set);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ck_assert_int_eq(queue_long(known[i], 1), 0);
        memset(fake_at(RESULT), 0xee, VMK_SIGINFO_SIZE);
        ck_assert_int_eq(take(set), SIGUSR1);
        ck_assert_int_eq((int32_t)fake_get32(RESULT + 8), known[i]);
        ck_assert_uint_eq(fake_get32(RESULT + 12), 0x55);
        ck_assert_uint_eq(fake_get64(RESULT + 40), UINT64_C(0x5555555555555555));
        ck_assert_mem_eq(fake_at(RESULT + sizeof(struct vmk_siginfo)), zeros, sizeof zeros);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        ck_assert_int_eq(queue_long(unknown[i], 1), -E2BIG);
        ck_assert_int_eq(take(set), -EAGAIN);
        ck_assert_int_eq(queue_long(unknown[i], 0), 0);
        ck_assert_int_eq(take(set), SIGUSR1);
    }
    /* Where nothing more is looked at, nothing more has to be there. */
    uint64_t last = FAKE_BASE + FAKE_SIZE - sizeof(struct vmk_siginfo);
    memcpy(fake_at(last), &(struct vmk_siginfo){.code = SI_QUEUE}, sizeof(struct vmk_siginfo));
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, FAKE_PID, SIGUSR1, last), 0);
    memcpy(fake_at(last), &(struct vmk_siginfo){.code = 7}, sizeof(struct vmk_siginfo));
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, FAKE_PID, SIGUSR1, last), -EFAULT);
}
END_TEST

START_TEST(codes_are_known_by_their_signal)
{
    static const struct {
        int signal;
        int last;
    } codes[] = {{SIGILL, 11}, {SIGFPE, 15}, {SIGSEGV, 9}, {SIGBUS, 5}, {SIGTRAP, 6},
                 {SIGCHLD, 6}, {SIGPOLL, 6}, {SIGSYS, 2},  {SIGHUP, 6}, {VMK_SIGNAL_LAST, 6}};
    block(~UINT64_C(0));
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        for (int code = codes[i].last; code <= codes[i].last + 1; code++) {
            memset(fake_at(ARGUMENT), 0xff, VMK_SIGINFO_SIZE);
            memcpy(fake_at(ARGUMENT + 8), &code, sizeof code);
            ck_assert_int_eq(fake_call(rt_tgsigqueueinfo, FAKE_PID, FAKE_PID,
                                       (uint64_t)codes[i].signal, ARGUMENT),
                             code == codes[i].last ? 0 : -E2BIG);
        }
    }
    ck_assert_int_eq(fake_call(rt_sigqueueinfo, FAKE_PID, 65, ARGUMENT), -E2BIG);
}
END_TEST

static void
send_usr1(void)
{
    fake_call(kill, FAKE_PID, SIGUSR1);
}

START_TEST(sigtimedwait_waits_for_its_set_and_is_interrupted_by_others)
{
    block(vmk_signal_bit(SIGUSR1));
    fake_put64(ARGUMENT, vmk_signal_bit(SIGUSR1));
    fake_put64(ARGUMENT + 8, 2);
    fake_put64(ARGUMENT + 16, 0);
    uint64_t start = fake.now_ns;
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, RESULT, ARGUMENT + 8, 8), -EAGAIN);
    ck_assert_uint_eq(fake.now_ns - start, 2 * VMK_NS_PER_SECOND);

    fake.during_wait = send_usr1;
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, RESULT, 0, 8), SIGUSR1);
    ck_assert_uint_eq(fake.process.signals->pending, 0);
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, 0, 0, 8), SIGUSR1);

    fake_put64(ARGUMENT, vmk_signal_bit(SIGUSR2));
    fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8);
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, RESULT, 0, 8), -EINTR);
    ck_assert_uint_eq(fake.process.signals->pending, vmk_signal_bit(SIGUSR1));

    fake_put64(ARGUMENT + 16, VMK_NS_PER_SECOND);
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, RESULT, ARGUMENT + 8, 8), -EINVAL);
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, RESULT, 0, 4), -EINVAL);
}
END_TEST

static void
send_child(void)
{
    fake_call(kill, FAKE_PID, SIGCHLD);
}

START_TEST(sigtimedwait_gets_what_would_be_ignored)
{
    fake_put64(ARGUMENT, vmk_signal_bit(SIGCHLD));
    fake.during_wait = send_child;
    ck_assert_int_eq(fake_call(rt_sigtimedwait, ARGUMENT, 0, 0, 8), SIGCHLD);
    ck_assert(!fake.waited_for_ever);
}
END_TEST

START_TEST(raise_comes_from_the_guest_itself)
{
    block(vmk_signal_bit(SIGPIPE));
    vmk_signals_raise(&fake.process, SIGPIPE);
    ck_assert_int_eq(take(vmk_signal_bit(SIGPIPE)), SIGPIPE);
    ck_assert_int_eq((int32_t)fake_get32(RESULT + 8), SI_USER);
    ck_assert_uint_eq(fake_get32(RESULT + 16), FAKE_PID);
}
END_TEST

START_TEST(exec_keeps_the_mask_and_what_is_ignored)
{
    act(SIGUSR1, HANDLER, 0, 0);
    act(SIGUSR2, 1, 0, 0);
    block(vmk_signal_bit(SIGTERM));
    fake_call(kill, FAKE_PID, SIGTERM);
    vmk_signals_exec(fake.process.signals);
    ck_assert_uint_eq(fake.process.signals->actions[SIGUSR1].handler, 0);
    ck_assert_uint_eq(fake.process.signals->actions[SIGUSR2].handler, 1);
    ck_assert_uint_eq(pending(), vmk_signal_bit(SIGTERM));
    fake_call(kill, FAKE_PID, SIGUSR2);
    ck_assert(!vmk_signals_pending(&fake.process));
}
END_TEST

START_TEST(sigaltstack_checks_size_and_flags)
{
    struct vmk_guest_stack stack = {.sp = FAKE_BASE, .size = 512};
    memcpy(fake_at(ARGUMENT), &stack, sizeof stack);
    ck_assert_int_eq(fake_call(sigaltstack, ARGUMENT, 0), -ENOMEM);
    stack = (struct vmk_guest_stack){.sp = FAKE_BASE, .size = 65536, .flags = 4};
    memcpy(fake_at(ARGUMENT), &stack, sizeof stack);
    ck_assert_int_eq(fake_call(sigaltstack, ARGUMENT, 0), -EINVAL);
    ck_assert_int_eq(fake_call(sigaltstack, 8, 0), -EFAULT);
    stack.flags = 0;
    memcpy(fake_at(ARGUMENT), &stack, sizeof stack);
    ck_assert_int_eq(fake_call(sigaltstack, ARGUMENT, RESULT), 0);
    ck_assert_uint_eq(fake_get32(RESULT + 8), SS_DISABLE);
    ck_assert_int_eq(fake_call(sigaltstack, 0, RESULT), 0);
    ck_assert_uint_eq(fake_get64(RESULT), FAKE_BASE);
    ck_assert_uint_eq(fake_get32(RESULT + 8), 0);
    ck_assert_uint_eq(fake_get64(RESULT + 16), 65536);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_signals");
    TCase *tcase = tcase_create("sandbox_signals");

    tcase_add_checked_fixture(tcase, fake_reset, NULL);
    tcase_add_test(tcase, sigaction_keeps_what_linux_keeps);
    tcase_add_test(tcase, sigaction_refuses_as_linux_refuses);
    tcase_add_test(tcase, masks_are_set_changed_and_read);
    tcase_add_test(tcase, kill_reaches_the_guest_alone);
    tcase_add_test(tcase, the_default_action_ends_the_process);
    tcase_add_test(tcase, sigkill_goes_through_every_mask_and_before_all_others);
    tcase_add_test(tcase, ignored_signals_are_dropped_unless_blocked);
    tcase_add_test(tcase, continue_and_stop_cancel_each_other);
    tcase_add_test(tcase, standard_signals_wait_once_and_realtime_ones_queue_in_order);
    tcase_add_test(tcase, the_queue_has_a_limit_that_kill_does_not_know);
    tcase_add_test(tcase, queueinfo_speaks_for_nobody_else);
    tcase_add_test(tcase,
                   queueinfo_carries_48_bytes_and_refuses_more_where_it_might_mean_something);
    tcase_add_test(tcase, codes_are_known_by_their_signal);
    tcase_add_test(tcase, sigtimedwait_waits_for_its_set_and_is_interrupted_by_others);
    tcase_add_test(tcase, sigtimedwait_gets_what_would_be_ignored);
    tcase_add_test(tcase, raise_comes_from_the_guest_itself);
    tcase_add_test(tcase, exec_keeps_the_mask_and_what_is_ignored);
    tcase_add_test(tcase, sigaltstack_checks_size_and_flags);
    suite_add_tcase(suite, tcase);
    return suite;
}
