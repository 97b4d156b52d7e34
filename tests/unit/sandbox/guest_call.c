/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says to the library: when it stands still, and when not. */
#include "fake_process.h"
#include "harness.h"

#include "sandbox/guest_call.h"
#include "sandbox/signal_state.h"

#include <vmkit/guest.h>

#include <errno.h>
#include <signal.h>

static int64_t result;

static bool
call(uint64_t number)
{
    static const uint64_t args[6];
    result = 77;
    return vmk_guest_call(&fake.process, number, args, &result);
}

START_TEST(ready_stands_still)
{
    ck_assert(call(VMKIT_GUEST_NR_READY));
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_READY);
}
END_TEST

START_TEST(a_signal_comes_before_ready)
{
    const struct vmk_guest_sigaction action = {.handler = 0x1000};
    vmk_signals_set_action(&fake.process, SIGUSR1, &action);
    vmk_signals_raise(&fake.process, SIGUSR1);
    ck_assert(call(VMKIT_GUEST_NR_READY));
    ck_assert_int_eq(result, -VMK_ERESTARTNOINTR);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_NONE);

    /* One that is blocked waits. */
    vmk_signals_set_blocked(&fake.process, vmk_signal_bit(SIGUSR1));
    ck_assert(call(VMKIT_GUEST_NR_READY));
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_READY);
}
END_TEST

START_TEST(other_numbers_are_not_served)
{
    ck_assert(!call(VMKIT_GUEST_NR_READY - 1));
    ck_assert(!call(VMKIT_GUEST_NR_READY | UINT64_C(1) << 32));
    ck_assert(!call(UINT64_MAX));
    ck_assert_int_eq(result, 77);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_NONE);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_guest_call");
    TCase *tests = tcase_create("guest_call");
    tcase_add_checked_fixture(tests, fake_reset, NULL);
    tcase_add_test(tests, ready_stands_still);
    tcase_add_test(tests, a_signal_comes_before_ready);
    tcase_add_test(tests, other_numbers_are_not_served);
    suite_add_tcase(suite, tests);
    return suite;
}
