/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots and the sandboxes that are forked from them. */
#include "arch/usermode.h"
#include "harness.h"
#include "sandbox_guest.h"
#include "snapshot_guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

START_TEST(a_fork_goes_on_where_the_snapshot_was_taken)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    struct vmkit_snapshot_info info = {.size = sizeof info};
    vmkit_snapshot *snapshot;
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_get_info(snapshot, &info, NULL), 0);
    ck_assert_uint_ge(info.memory_bytes, GUEST_TABLE_PAGES * 4096);
    ck_assert_uint_ge(info.data_bytes, GUEST_TABLE_PAGES * 4096);
    ck_assert_uint_le(info.data_bytes, info.memory_bytes);
    ck_assert_uint_gt(info.process_bytes, 100);
    ck_assert_uint_eq(info.memory_limit_bytes, 64 * MIB);
    ck_assert_uint_eq(info.instruction_pointer, sandbox->process.regs->rip);

    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *other = snapshot_guest_fork(snapshot, NULL);
    snapshot_guest_compare(fork, other);
    vmkit_sandbox_unref(other);
    ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), 0);
    snapshot_guest_do(fork, "exit", 42, VMKIT_OUTCOME_EXITED);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);

    /* The one that it was taken of does not notice. */
    ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

START_TEST(forks_see_neither_each_other_nor_the_template)
{
    vmkit_sandbox *template = snapshot_guest_new(NULL);
    vmkit_snapshot *snapshot;
    ck_assert_int_eq(vmkit_sandbox_snapshot(template, &snapshot, NULL), 0);
    vmkit_sandbox *a = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *b = snapshot_guest_fork(snapshot, NULL);
    snapshot_guest_ask(template, "touch", 500);
    snapshot_guest_ask(a, "touch", 300);
    ck_assert_uint_eq(snapshot_guest_ask(b, "check", 0), 0);
    ck_assert_uint_eq(snapshot_guest_ask(a, "check", 0), 300);
    ck_assert_uint_eq(snapshot_guest_ask(template, "check", 0), 500);
    vmkit_sandbox *c = snapshot_guest_fork(snapshot, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(c, "check", 0), 0);
    snapshot_guest_do(a, "soil-end", 1, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_uint_eq(snapshot_guest_ask(c, "check", 0), 0);
    vmkit_sandbox_unref(template);
    vmkit_sandbox_unref(a);
    vmkit_snapshot_unref(snapshot);
    ck_assert_uint_eq(snapshot_guest_ask(b, "check", 0), 0);
    vmkit_sandbox_unref(b);
    vmkit_sandbox_unref(c);
}
END_TEST

START_TEST(one_that_was_never_run_forks_too)
{
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_sandbox *sandbox;
    vmkit_snapshot *snapshot;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), 0);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *other = snapshot_guest_fork(snapshot, NULL);
    snapshot_guest_compare(fork, other);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(vmkit_sandbox_run(fork, &outcome, NULL), 0);
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_READY);
        ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), 0);
        snapshot_guest_reset(fork);
        snapshot_guest_compare(fork, other);
    }
    vmkit_sandbox_unref(other);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

/* A fork that did something, was reset, and did something else, as the origin of further ones. */
START_TEST(a_fork_is_a_template_as_well)
{
    vmkit_snapshot *first = snapshot_guest_take(NULL), *second, *third;
    vmkit_sandbox *fork = snapshot_guest_fork(first, NULL);
    for (uint64_t i = 0; i < 3; i++) {
        snapshot_guest_ask(fork, "churn", i);
        snapshot_guest_ask(fork, "split", 0);
        snapshot_guest_reset(fork);
    }
    ck_assert_int_eq(vmkit_sandbox_snapshot(fork, &second, NULL), 0);
    snapshot_guest_ask(fork, "touch", 100);
    snapshot_guest_ask(fork, "churn", 9);
    ck_assert_int_eq(vmkit_sandbox_snapshot(fork, &third, NULL), 0);

    vmkit_sandbox *a = snapshot_guest_fork(second, NULL), *b = snapshot_guest_fork(third, NULL);
    vmkit_sandbox *pristine = snapshot_guest_fork(first, NULL);
    snapshot_guest_compare(a, pristine);
    ck_assert_uint_eq(snapshot_guest_ask(a, "check", 0), 0);
    vmkit_sandbox *like_b = snapshot_guest_fork(third, NULL);
    snapshot_guest_compare(b, like_b);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(snapshot_guest_ask(b, "check", 0), 100);
        snapshot_guest_ask(b, "touch", 200);
        ck_assert_uint_eq(snapshot_guest_ask(b, "check", 0), 200);
        snapshot_guest_reset(b);
        snapshot_guest_compare(b, like_b);
    }
    ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), 100);
    vmkit_sandbox_unref(like_b);
    vmkit_sandbox_unref(fork);
    vmkit_sandbox_unref(a);
    vmkit_sandbox_unref(b);
    vmkit_sandbox_unref(pristine);
    vmkit_snapshot_unref(first);
    vmkit_snapshot_unref(second);
    vmkit_snapshot_unref(third);
}
END_TEST

static void
ask_random(vmkit_sandbox *sandbox, char *text)
{
    snapshot_guest_ask(sandbox, "random", 0);
    snprintf(text, 40, "%s", snapshot_guest_output(sandbox));
    ck_assert_uint_eq(strlen(text), 33);
}

START_TEST(every_fork_and_every_reset_brings_new_random_bytes)
{
    vmkit_sandbox *template = snapshot_guest_new(NULL);
    vmkit_snapshot *snapshot;
    char text[4][40];
    ck_assert_int_eq(vmkit_sandbox_snapshot(template, &snapshot, NULL), 0);
    vmkit_sandbox *a = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *b = snapshot_guest_fork(snapshot, NULL);
    uint64_t generation = a->process.generation;
    ask_random(template, text[0]);
    ask_random(a, text[1]);
    ask_random(b, text[2]);
    ck_assert_uint_eq(template->process.generation, 0);
    ck_assert_uint_ne(generation, 0);
    ck_assert_uint_ne(b->process.generation, generation);
    snapshot_guest_reset(a);
    ck_assert_uint_ne(a->process.generation, generation);
    ck_assert_uint_ne(a->process.generation, b->process.generation);
    ask_random(a, text[3]);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(text[i], text[k]);
    }
    vmkit_sandbox_unref(template);
    vmkit_sandbox_unref(a);
    vmkit_sandbox_unref(b);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_configuration_gives_the_streams_and_the_limits_again)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_sandbox_config *config = NULL;
    vmkit_error *error = NULL;
    vmkit_sandbox *fork = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    vmkit_sandbox_config_set_input(config, "exhaust", 7, NULL);
    vmkit_sandbox_config_set_memory_limit(config, 16 * MIB, NULL);
    fork = snapshot_guest_fork(snapshot, config);
    /* It is copied. */
    vmkit_sandbox_config_set_input(config, "tell", 4, NULL);
    for (int i = 0; i < 2; i++) {
        struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
        struct vmkit_sandbox_stats stats = {.size = sizeof stats};
        ck_assert_int_eq(vmkit_sandbox_run(fork, &outcome, NULL), 0);
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_LIMIT);
        ck_assert_uint_eq(outcome.limit, VMKIT_LIMIT_MEMORY);
        ck_assert_int_eq(vmkit_sandbox_get_stats(fork, &stats, NULL), 0);
        ck_assert_uint_le(stats.memory_peak_bytes, 16 * MIB);
        ck_assert_uint_gt(stats.memory_peak_bytes, 15 * MIB);
        snapshot_guest_reset(fork);
    }
    vmkit_sandbox_unref(fork);

    vmkit_sandbox_config_set_memory_limit(config, 2 * MIB, NULL);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &fork, &error), -E2BIG);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_LIMIT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "2097152"));
    vmkit_error_unref(error);
    vmkit_sandbox_config_unref(config);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static void *
kill_later(void *sandbox)
{
    usleep(50000);
    vmkit_sandbox_kill(sandbox);
    return NULL;
}

static int64_t
try_all(void *user_data, void *buffer, uint64_t size)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    vmkit_sandbox *sandbox = *(vmkit_sandbox **)user_data;
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, &error), -EBUSY);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BUSY);
    vmkit_error_unref(error);
    ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), -EBUSY);
    memcpy(buffer, "tell", 4);
    return 4;
}

START_TEST(one_that_runs_is_busy)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_sandbox *fork = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config_set_input_callback(config, try_all, &fork, NULL);
    fork = snapshot_guest_fork(snapshot, config);
    ck_assert_int_eq(vmkit_sandbox_run(fork, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_READY);
    ck_assert_ptr_nonnull(strstr(snapshot_guest_output(fork), "[stack]"));
    vmkit_sandbox_unref(fork);
    vmkit_sandbox_config_unref(config);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(one_that_has_ended_is_refused)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmkit_sandbox_reset(sandbox, &error), -ENOTSUP);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_WRONG_STATE);
    vmkit_error_unref(error);
    error = NULL;
    snapshot_guest_do(sandbox, "exit", 0, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, &error), -ENOTSUP);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_WRONG_STATE);
    ck_assert_ptr_null(snapshot);
    vmkit_error_unref(error);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

START_TEST(null_is_refused)
{
    struct vmkit_snapshot_info info = {.size = 4};
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    ck_assert_int_eq(vmkit_sandbox_snapshot(NULL, &snapshot, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_fork(NULL, NULL, &sandbox, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_reset(NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_get_info(NULL, &info, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_get_info(snapshot, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_get_info(snapshot, &info, NULL), -EINVAL);
    ck_assert_ptr_null(vmkit_snapshot_ref(NULL));
    vmkit_snapshot_unref(NULL);
    ck_assert_ptr_eq(vmkit_snapshot_ref(snapshot), snapshot);
    vmkit_snapshot_unref(snapshot);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

START_TEST(a_fork_is_killed_and_limited_like_any_other)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_later, fork), 0);
    snapshot_guest_do(fork, "soil-end", 2, VMKIT_OUTCOME_KILLED);
    pthread_join(thread, NULL);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_fork");
    TCase *tcase = tcase_create("snapshot_fork");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_fork_goes_on_where_the_snapshot_was_taken);
    tcase_add_test(tcase, forks_see_neither_each_other_nor_the_template);
    tcase_add_test(tcase, one_that_was_never_run_forks_too);
    tcase_add_test(tcase, a_fork_is_a_template_as_well);
    tcase_add_test(tcase, every_fork_and_every_reset_brings_new_random_bytes);
    tcase_add_test(tcase, a_configuration_gives_the_streams_and_the_limits_again);
    tcase_add_test(tcase, one_that_runs_is_busy);
    tcase_add_test(tcase, one_that_has_ended_is_refused);
    tcase_add_test(tcase, null_is_refused);
    tcase_add_test(tcase, a_fork_is_killed_and_limited_like_any_other);
    suite_add_tcase(suite, tcase);
    return suite;
}
