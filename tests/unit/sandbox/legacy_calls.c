/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that only x86-64 has. */
#include "harness.h"

#include "fake_process.h"

#include "sandbox/guest_abi.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <time.h>

#define RESULT (FAKE_BASE + 0x400)

START_TEST(alarm_tells_the_seconds_that_were_left)
{
    ck_assert_int_eq(fake_call(alarm, 10), 0);
    ck_assert_uint_eq(vmk_signals_next_real_ns(fake.process.signals),
                      fake.now_ns + 10 * VMK_NS_PER_SECOND);
    fake.now_ns += 2600000000;
    ck_assert_int_eq(fake_call(alarm, 1), 7);
    fake.now_ns += 900000000;
    ck_assert_int_eq(fake_call(alarm, 0), 1);
    ck_assert_int_eq(fake_call(alarm, 0), 0);
    ck_assert_uint_eq(vmk_signals_next_real_ns(fake.process.signals), UINT64_MAX);
    ck_assert_int_eq(fake_call(alarm, UINT32_MAX), 0);
    ck_assert_int_eq(fake_call(alarm, 0), UINT32_MAX);
}
END_TEST

START_TEST(pause_lasts_until_the_alarm)
{
    fake_call(alarm, 5);
    uint64_t start = fake.now_ns;
    ck_assert_int_eq(fake_call(pause, 0), -VMK_ERESTARTNOHAND);
    ck_assert_uint_eq(fake.now_ns - start, 5 * VMK_NS_PER_SECOND);
    ck_assert(vmk_signals_pending(&fake.process));
    ck_assert(!fake.waited_for_ever);
}
END_TEST

START_TEST(time_is_returned_and_stored)
{
    int64_t before = time(NULL);
    int64_t now = fake_call(time, RESULT);
    ck_assert_int_ge(now, before);
    ck_assert_int_eq((int64_t)fake_get64(RESULT), now);
    ck_assert_int_ge(fake_call(time, 0), now);
    ck_assert_int_eq(fake_call(time, 8), -EFAULT);
}
END_TEST

START_TEST(fork_is_refused_and_the_group_is_its_own)
{
    ck_assert_int_eq(fake_call(fork, 0), -ENOSYS);
    ck_assert_int_eq(fake_call(vfork, 0), -ENOSYS);
    ck_assert_int_eq(fake_call(getpgrp, 0), FAKE_PID);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_legacy_calls");
    TCase *tcase = tcase_create("sandbox_legacy_calls");

    tcase_add_checked_fixture(tcase, fake_reset, NULL);
    tcase_add_test(tcase, alarm_tells_the_seconds_that_were_left);
    tcase_add_test(tcase, pause_lasts_until_the_alarm);
    tcase_add_test(tcase, time_is_returned_and_stored);
    tcase_add_test(tcase, fork_is_refused_and_the_group_is_its_own);
    suite_add_tcase(suite, tcase);
    return suite;
}
