/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says to the library: when it stands still, and when not. */
#include "fake_process.h"
#include "harness.h"

#include "sandbox/guest_call.h"
#include "sandbox/request.h"
#include "sandbox/signal_state.h"

#include <vmkit/guest.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

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

static int64_t
call_with(uint64_t number, uint64_t first, uint64_t second, uint64_t third, uint64_t fourth)
{
    const uint64_t args[6] = {first, second, third, fourth};
    memcpy(fake.syscall_args, args, sizeof args);
    fake.process.pause = VMK_PAUSE_NONE;
    fake.syscall_result = 77;
    result = 77;
    ck_assert(vmk_guest_call(&fake.process, number, args, &result));
    return result;
}

START_TEST(receive_stands_still_and_goes_on_with_a_request)
{
    const unsigned first = _i == 0 ? 0 : 2;
    char nothing[1];
    struct vmk_request request = {.data = "words", .size = 5},
                       before = {.data = "", .reply = nothing};
    fake.syscall_args[first] = FAKE_BASE;
    fake.syscall_args[first + 1] = 5;
    fake.process.pause = _i == 0 ? VMK_PAUSE_RECEIVE : VMK_PAUSE_REPLY_RECEIVE;
    vmk_guest_call_resume(&fake.process, &request);
    ck_assert_int_eq(request.stage, VMK_REQUEST_TAKEN);
    ck_assert_int_eq(fake.syscall_result, 5);
    ck_assert_int_eq(memcmp(fake_at(FAKE_BASE), "words", 5), 0);

    fake.process.request = &before;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_RECEIVE, FAKE_BASE, 5, 0, 0), 0);
    before.stage = VMK_REQUEST_TAKEN;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_RECEIVE, FAKE_BASE, 5, 0, 0), -ESHUTDOWN);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_RECEIVE);
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY_RECEIVE, FAKE_BASE, 0, FAKE_BASE, 9),
                     -ESHUTDOWN);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_REPLY_RECEIVE);
    ck_assert_int_eq(before.stage, VMK_REQUEST_ANSWERED);
}
END_TEST

START_TEST(a_program_that_stands_elsewhere_gets_the_request_later)
{
    struct vmk_request request = {.data = "words", .size = 5};
    fake.process.pause = _i == 0 ? VMK_PAUSE_READY : VMK_PAUSE_REPLIED;
    vmk_guest_call_resume(&fake.process, &request);
    ck_assert_int_eq(request.stage, VMK_REQUEST_WAITS);
    fake.process.request = &request;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_RECEIVE, FAKE_BASE, 5, 0, 0), 5);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_NONE);
    ck_assert_int_eq(request.stage, VMK_REQUEST_TAKEN);
}
END_TEST

START_TEST(a_request_goes_where_there_is_room_alone)
{
    struct vmk_request request = {.data = "words", .size = 5};
    fake.process.request = &request;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_RECEIVE, FAKE_BASE, 4, 0, 0), -ESHUTDOWN);
    ck_assert_int_eq(request.stage, VMK_REQUEST_TOO_LARGE);
    ck_assert_uint_eq(request.buffer_size, 4);
    request.stage = VMK_REQUEST_WAITS;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_RECEIVE, FAKE_BASE + FAKE_SIZE - 4, UINT64_MAX, 0, 0),
                     -ESHUTDOWN);
    ck_assert_int_eq(request.stage, VMK_REQUEST_UNREACHABLE);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_RECEIVE);
}
END_TEST

START_TEST(a_reply_is_taken_once_and_whole)
{
    char buffer[4] = "....";
    struct vmk_request request = {.reply = buffer, .reply_capacity = 3};
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, FAKE_BASE, 1, 0, 0), -EPROTO);
    fake.process.request = &request;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, FAKE_BASE, 1, 0, 0), -EPROTO);
    request.stage = VMK_REQUEST_TAKEN;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, FAKE_BASE, 4, 0, 0), -EMSGSIZE);
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, FAKE_BASE, UINT64_MAX, 0, 0), -EMSGSIZE);
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, 8, 3, 0, 0), -EFAULT);
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY_RECEIVE, 8, 3, FAKE_BASE, 8), -EFAULT);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_NONE);
    memcpy(fake_at(FAKE_BASE), "abcd", 4);
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, FAKE_BASE, 3, 0, 0), 0);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_REPLIED);
    ck_assert_uint_eq(request.reply_size, 3);
    ck_assert_int_eq(memcmp(buffer, "abc.", 4), 0);
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_REPLY, FAKE_BASE, 3, 0, 0), -EPROTO);
}
END_TEST

START_TEST(signals_and_calls_come_before_all_of_them)
{
    static const uint64_t numbers[] = {VMKIT_GUEST_NR_READY, VMKIT_GUEST_NR_RECEIVE,
                                       VMKIT_GUEST_NR_REPLY, VMKIT_GUEST_NR_REPLY_RECEIVE};
    struct vmk_request request = {.stage = VMK_REQUEST_TAKEN};
    const struct vmk_guest_sigaction action = {.handler = 0x1000};
    fake.process.request = &request;
    fake.process.call_return_sp = 0x1000;
    ck_assert_int_eq(call_with(numbers[_i], FAKE_BASE, 0, FAKE_BASE, 0), -EBUSY);
    fake.process.call_return_sp = 0;
    vmk_signals_set_action(&fake.process, SIGUSR1, &action);
    vmk_signals_raise(&fake.process, SIGUSR1);
    ck_assert_int_eq(call_with(numbers[_i], FAKE_BASE, 0, FAKE_BASE, 0), -VMK_ERESTARTNOINTR);
    ck_assert_int_eq(request.stage, VMK_REQUEST_TAKEN);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_NONE);
}
END_TEST

START_TEST(ready_is_refused_while_a_request_is_under_way)
{
    struct vmk_request request = {0};
    fake.process.request = &request;
    ck_assert_int_eq(call_with(VMKIT_GUEST_NR_READY, 0, 0, 0, 0), -EBUSY);
    ck_assert_int_eq(fake.process.pause, VMK_PAUSE_NONE);
}
END_TEST

START_TEST(the_generation_has_an_address)
{
    ck_assert_uint_eq((uint64_t)call_with(VMKIT_GUEST_NR_GENERATION, 0, 0, 0, 0), FAKE_GENERATION);
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
    tcase_add_loop_test(tests, receive_stands_still_and_goes_on_with_a_request, 0, 2);
    tcase_add_loop_test(tests, a_program_that_stands_elsewhere_gets_the_request_later, 0, 2);
    tcase_add_test(tests, a_request_goes_where_there_is_room_alone);
    tcase_add_test(tests, a_reply_is_taken_once_and_whole);
    tcase_add_loop_test(tests, signals_and_calls_come_before_all_of_them, 0, 4);
    tcase_add_test(tests, ready_is_refused_while_a_request_is_under_way);
    tcase_add_test(tests, the_generation_has_an_address);
    suite_add_tcase(suite, tests);
    return suite;
}
