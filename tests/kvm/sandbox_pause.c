/* SPDX-License-Identifier: Apache-2.0 */
/* vmkit_sandbox_pause(): a program that is stopped anywhere goes on, and so do its forks. */
#include "harness.h"
#include "pause_guest.h"

#include <vmkit/call.h>
#include <vmkit/snapshot.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

START_TEST(a_pause_before_a_run_counts_for_the_next_one)
{
    pause_make("compute");
    vmkit_sandbox_pause(pause_sandbox);
    vmkit_sandbox_pause(pause_sandbox);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    uint64_t entry = pause_outcome.instruction_pointer;
    vmkit_sandbox_pause(pause_sandbox);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    ck_assert_uint_eq(pause_outcome.instruction_pointer, entry);
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    vmkit_sandbox_pause(pause_sandbox);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    ck_assert_uint_ne(pause_read(pause_sandbox, "result"), 0);
    vmkit_sandbox_pause(NULL);
}
END_TEST

START_TEST(a_kill_goes_before_a_pause)
{
    pause_make("sleep");
    if (_i == 0) {
        vmkit_sandbox_pause(pause_sandbox);
    } else {
        pause_after(pause_sandbox, 20 * MILLISECOND);
        pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
        pause_wait();
    }
    vmkit_sandbox_kill(pause_sandbox);
    pause_run(pause_sandbox, VMKIT_OUTCOME_KILLED);
}
END_TEST

START_TEST(a_sleep_goes_on_for_the_rest_of_its_time)
{
    pause_make("sleep");
    uint64_t before = guest_now_ns(), runs = 0;
    do {
        pause_after(pause_sandbox, 50 * MILLISECOND);
        pause_run_any(pause_sandbox);
        pause_wait();
        runs++;
    } while (pause_outcome.kind == VMKIT_OUTCOME_PAUSED);
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(pause_outcome.exit_status, 0);
    ck_assert_uint_gt(runs, 2);
    ck_assert_uint_ge(guest_now_ns() - before, 1000 * MILLISECOND);
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    ck_assert_int_eq(vmkit_sandbox_get_stats(pause_sandbox, &stats, NULL), 0);
    /* Time does not pass for it while it stands still, but for what each run takes to begin. */
    ck_assert_uint_ge(stats.wall_time_ns, 900 * MILLISECOND);
    uint64_t count;
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(pause_sandbox, 230, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_fork_sleeps_on)
{
    pause_make("sleep");
    pause_after(pause_sandbox, 100 * MILLISECOND);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    pause_wait();
    vmkit_snapshot *snapshot = pause_take(pause_sandbox);
    vmkit_sandbox *fork;
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, pause_config, &fork, NULL), 0);
    for (int i = 0; i < 2; i++) {
        uint64_t before = guest_now_ns();
        pause_run(fork, VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(pause_outcome.exit_status, 0);
        ck_assert_uint_ge(guest_now_ns() - before, 200 * MILLISECOND);
        ck_assert_int_eq(vmkit_sandbox_reset(fork, NULL), 0);
    }
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_signal_that_comes_due_meanwhile_ends_the_wait)
{
    pause_make("alarm");
    pause_after(pause_sandbox, 20 * MILLISECOND);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    pause_wait();
    vmkit_sandbox *fork = NULL;
    vmkit_snapshot *snapshot = pause_take(pause_sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, pause_config, &fork, NULL), 0);
    usleep(1100000);
    pause_run(pause_sandbox, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(pause_outcome.exit_status, 0);
    pause_run(fork, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(pause_outcome.exit_status, 0);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_read_goes_on_and_gets_what_comes)
{
    int ends[2];
    pause_make("read");
    vmkit_sandbox_unref(pause_sandbox);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(
        vmkit_sandbox_config_set_stream_fd(pause_config, VMKIT_STREAM_STDIN, ends[0], NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_new(pause_config, &pause_sandbox, NULL), 0);
    for (int i = 0; i < 3; i++) {
        pause_after(pause_sandbox, 20 * MILLISECOND);
        pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
        pause_wait();
    }
    ck_assert_int_eq(write(ends[1], "words", 5), 5);
    pause_run(pause_sandbox, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(pause_outcome.exit_status, 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void
refuse_snapshot(const char *word)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmkit_sandbox_snapshot(pause_sandbox, &snapshot, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), word));
    vmkit_error_unref(error);
    error = NULL;
    ck_assert_int_eq(vmkit_sandbox_run(pause_sandbox, &pause_outcome, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), word));
    vmkit_error_unref(error);
}

START_TEST(a_call_goes_on_as_the_same_call)
{
    uint64_t expected = 0, out = 0;
    double half = 0.25;
    const struct vmkit_argument argument = {.kind = VMKIT_ARGUMENT_OUT,
                                            .data = &out,
                                            .size = sizeof out},
                                seconds = {.kind = VMKIT_ARGUMENT_DOUBLE, .real = half};
    struct vmkit_call call = {
        .size = sizeof call, .symbol = "call_compute", .arguments = &argument, .argument_count = 1};
    struct vmkit_call other = call;
    other.symbol = "call_sleep";
    const struct vmkit_call sleeping = {.size = sizeof sleeping,
                                        .symbol = "call_sleep",
                                        .arguments = &seconds,
                                        .argument_count = 1,
                                        .result_kind = VMKIT_RESULT_DOUBLE};
    pause_make("compute");
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = pause_take(pause_sandbox);
    vmkit_sandbox_unref(pause_sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, pause_config, &pause_sandbox, NULL), 0);
    uint64_t before = guest_now_ns();
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &call, &pause_outcome, NULL), 0);
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_RETURNED);
    uint64_t duration = guest_now_ns() - before;
    expected = pause_outcome.result;
    for (uint64_t i = 0; i < 30; i++) {
        ck_assert_int_eq(vmkit_sandbox_reset(pause_sandbox, NULL), 0);
        unsigned pauses = 0;
        out = 0;
        for (;;) {
            pause_after(pause_sandbox, duration * i / 90);
            ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &call, &pause_outcome, NULL), 0);
            pause_wait();
            if (pause_outcome.kind != VMKIT_OUTCOME_PAUSED || ++pauses == 5)
                break;
            refuse_snapshot("call");
            ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &other, &pause_outcome, NULL),
                             -EINVAL);
            other.symbol = call.symbol;
            other.argument_count = 0;
            ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &other, &pause_outcome, NULL),
                             -EINVAL);
            other.argument_count = 1;
            other.symbol = "call_sleep";
        }
        if (pause_outcome.kind == VMKIT_OUTCOME_PAUSED)
            ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &call, &pause_outcome, NULL), 0);
        ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_RETURNED);
        ck_assert_uint_eq(pause_outcome.result, expected);
        ck_assert_uint_eq(out, expected ^ 1);
    }
    /* What came last may have been a pause for the next one. */
    ck_assert_int_eq(vmkit_sandbox_reset(pause_sandbox, NULL), 0);
    pause_after(pause_sandbox, 20 * MILLISECOND);
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &sleeping, &pause_outcome, NULL), 0);
    pause_wait();
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &sleeping, &pause_outcome, NULL), 0);
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_RETURNED);
    ck_assert(pause_outcome.real == 2 * half);
    /* A reset in the midst of one. */
    vmkit_sandbox_pause(pause_sandbox);
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &sleeping, &pause_outcome, NULL), 0);
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_reset(pause_sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &call, &pause_outcome, NULL), 0);
    ck_assert_uint_eq(pause_outcome.result, expected);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* Other data than that of the request that is paused. */
static void
refuse_request(const char *data, uint64_t size)
{
    uint64_t reply = 0, reply_size = 77;
    const struct vmkit_request request = {.size = sizeof request,
                                          .data = data,
                                          .data_size = size,
                                          .reply = &reply,
                                          .reply_capacity = sizeof reply};
    vmkit_error *error = NULL;
    ck_assert_int_eq(
        vmkit_sandbox_request(pause_sandbox, &request, &reply_size, &pause_outcome, &error),
        -EINVAL);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "paused in a request of 2 bytes"));
    ck_assert_uint_eq(reply_size, 77);
    vmkit_error_unref(error);
}

START_TEST(a_request_goes_on_as_the_same_request)
{
    uint64_t reply = 0, expected = 0, reply_size;
    const struct vmkit_request request = {.size = sizeof request,
                                          .data = "go",
                                          .data_size = 2,
                                          .reply = &reply,
                                          .reply_capacity = sizeof reply};
    pause_make("serve");
    vmkit_sandbox_pause(pause_sandbox);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(
        vmkit_sandbox_request(pause_sandbox, &request, &reply_size, &pause_outcome, NULL),
        -ENOTSUP);
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = pause_take(pause_sandbox);
    vmkit_sandbox_unref(pause_sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, pause_config, &pause_sandbox, NULL), 0);
    ck_assert_int_eq(
        vmkit_sandbox_request(pause_sandbox, &request, &reply_size, &pause_outcome, NULL), 0);
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_REPLIED);
    expected = reply;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(vmkit_sandbox_reset(pause_sandbox, NULL), 0);
        vmkit_sandbox_pause(pause_sandbox);
        for (int j = 0; j < 5; j++) {
            if (j > 0)
                pause_after(pause_sandbox, 100000);
            ck_assert_int_eq(
                vmkit_sandbox_request(pause_sandbox, &request, &reply_size, &pause_outcome, NULL),
                0);
            if (j > 0)
                pause_wait();
            if (pause_outcome.kind != VMKIT_OUTCOME_PAUSED)
                break;
            ck_assert_uint_eq(reply_size, 0);
            refuse_snapshot("request");
            refuse_request("no", 2);
            refuse_request("go", 1);
            refuse_request(NULL, 0);
        }
        if (pause_outcome.kind == VMKIT_OUTCOME_PAUSED)
            ck_assert_int_eq(
                vmkit_sandbox_request(pause_sandbox, &request, &reply_size, &pause_outcome, NULL),
                0);
        ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_REPLIED);
        ck_assert_uint_eq(reply_size, sizeof reply);
        ck_assert_uint_eq(reply, expected);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(what_is_paused_elsewhere_is_not_called)
{
    const struct vmkit_call call = {.size = sizeof call, .symbol = "call_sleep"};
    vmkit_error *error = NULL;
    pause_make("compute");
    vmkit_sandbox_pause(pause_sandbox);
    pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &call, &pause_outcome, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "paused"));
    vmkit_error_unref(error);
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    ck_assert_int_eq(vmkit_sandbox_call(pause_sandbox, &call, &pause_outcome, NULL), 0);
    ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_RETURNED);
}
END_TEST

START_TEST(a_reset_takes_a_pause_back)
{
    pause_make("compute");
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = pause_take(pause_sandbox);
    vmkit_sandbox_unref(pause_sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, pause_config, &pause_sandbox, NULL), 0);
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            vmkit_sandbox_pause(pause_sandbox);
            pause_run(pause_sandbox, VMKIT_OUTCOME_PAUSED);
        }
        vmkit_sandbox_pause(pause_sandbox);
        vmkit_sandbox_kill(pause_sandbox);
        ck_assert_int_eq(vmkit_sandbox_reset(pause_sandbox, NULL), 0);
        pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
        ck_assert_uint_ne(pause_read(pause_sandbox, "result"), 0);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_pause");
    TCase *tests = tcase_create("pause");
    tcase_add_checked_fixture(tests, NULL, pause_tear_down);
    tcase_set_timeout(tests, 280);
    tcase_add_test(tests, a_pause_before_a_run_counts_for_the_next_one);
    tcase_add_loop_test(tests, a_kill_goes_before_a_pause, 0, 2);
    tcase_add_test(tests, a_sleep_goes_on_for_the_rest_of_its_time);
    tcase_add_test(tests, a_fork_sleeps_on);
    tcase_add_test(tests, a_signal_that_comes_due_meanwhile_ends_the_wait);
    tcase_add_test(tests, a_read_goes_on_and_gets_what_comes);
    tcase_add_test(tests, a_call_goes_on_as_the_same_call);
    tcase_add_test(tests, a_request_goes_on_as_the_same_request);
    tcase_add_test(tests, what_is_paused_elsewhere_is_not_called);
    tcase_add_test(tests, a_reset_takes_a_pause_back);
    suite_add_tcase(suite, tests);
    return suite;
}
