/* SPDX-License-Identifier: Apache-2.0 */
/* A program that declares itself ready: what vmkit_sandbox_run() says of it, and how it goes on. */
#include "harness.h"
#include "sandbox_guest.h"

#include <errno.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

static vmkit_sandbox_config *config;
static vmkit_sandbox *sandbox;
static struct vmkit_sandbox_outcome outcome;

static void
make(const char *how)
{
    config = guest_configure(&guest_call, (const char *const[]){"call", how, NULL});
    ck_assert_int_eq(vmkit_sandbox_config_set_wall_time_limit(config, 60000 * MILLISECOND, NULL),
                     0);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    memset(&outcome, 0, sizeof outcome);
    outcome.size = sizeof outcome;
}

static void
tear_down(void)
{
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}

static void
run(enum vmkit_outcome_kind kind)
{
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_run(sandbox, &outcome, &error);
    ck_assert_msg(r == 0, "%s", vmkit_error_get_message(error));
    ck_assert_uint_eq(outcome.kind, kind);
}

static void
check_output(const char *text)
{
    const void *data;
    uint64_t size;
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_int_eq(memcmp(data, text, size), 0);
}

START_TEST(ready_gives_the_thread_back_and_a_further_run_goes_on)
{
    make("once");
    run(VMKIT_OUTCOME_READY);
    ck_assert_int_eq(outcome.exit_status, 0);
    ck_assert_int_eq(outcome.signal, 0);
    ck_assert_uint_eq(outcome.limit, 0);
    ck_assert_uint_gt(outcome.instruction_pointer, 0x10000);
    ck_assert_uint_lt(outcome.instruction_pointer, UINT64_C(0x7ffffffff000));
    check_output("initialised\n");
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    check_output("initialised\non\n");
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), -ENOTSUP);
}
END_TEST

START_TEST(a_program_may_be_ready_more_than_once)
{
    make("twice");
    run(VMKIT_OUTCOME_READY);
    uint64_t first = outcome.instruction_pointer;
    run(VMKIT_OUTCOME_READY);
    ck_assert_uint_eq(outcome.instruction_pointer, first);
    check_output("initialised\n");
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
}
END_TEST

START_TEST(a_program_that_ends_was_never_ready)
{
    make("exit");
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 7);
}
END_TEST

START_TEST(outside_of_a_sandbox_it_is_not_there)
{
    static struct guest_result result;
    guest_run_native(&guest_call, (const char *const[]){"call", "once", NULL}, &result);
    ck_assert_int_eq(result.outcome.exit_status, ENOSYS);
    ck_assert_str_eq(result.output, "initialised\non\n");
}
END_TEST

START_TEST(the_limits_of_time_count_from_each_run)
{
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    make("spin");
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(vmkit_sandbox_config_set_cpu_time_limit(config, 400 * MILLISECOND, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    run(VMKIT_OUTCOME_READY);
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), 0);
    uint64_t before = stats.cpu_time_ns;
    run(VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit, VMKIT_LIMIT_CPU_TIME);
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), 0);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_ge(stats.cpu_time_ns, before + 400 * MILLISECOND);
}
END_TEST

START_TEST(a_kill_between_runs_ends_the_next_one)
{
    make("once");
    run(VMKIT_OUTCOME_READY);
    vmkit_sandbox_kill(sandbox);
    run(VMKIT_OUTCOME_KILLED);
    check_output("initialised\n");
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), -ENOTSUP);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_ready");
    TCase *tests = tcase_create("ready");
    tcase_add_checked_fixture(tests, NULL, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, ready_gives_the_thread_back_and_a_further_run_goes_on);
    tcase_add_test(tests, a_program_may_be_ready_more_than_once);
    tcase_add_test(tests, a_program_that_ends_was_never_ready);
    tcase_add_test(tests, outside_of_a_sandbox_it_is_not_there);
    tcase_add_test(tests, the_limits_of_time_count_from_each_run);
    tcase_add_test(tests, a_kill_between_runs_ends_the_next_one);
    suite_add_tcase(suite, tests);
    return suite;
}
