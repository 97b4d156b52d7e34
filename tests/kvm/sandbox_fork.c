/* SPDX-License-Identifier: Apache-2.0 */
/* Processes with sandboxes that fork: the child cannot run them, and does them no harm. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)

struct taken {
    pid_t child; /* -1 before the fork */
    bool child_goes_first;
    size_t size;
    char text[64];
};

static vmkit_sandbox *
make_sandbox(vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

static void
assert_child_ends_well(pid_t child)
{
    int status = -1;
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is 0x%x",
                  (unsigned)status);
}

static void
check_foreign(int result, vmkit_error **error)
{
    ck_assert_int_eq(result, -EIO);
    ck_assert_uint_eq(vmkit_error_get_kind(*error), VMKIT_ERROR_WRONG_STATE);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(*error), "belongs to process"));
    vmkit_error_unref(*error);
    *error = NULL;
}

static void
assert_foreign(vmkit_sandbox *sandbox)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct vmkit_call call = {.size = sizeof call, .address = 1};
    struct vmkit_request request = {.size = sizeof request};
    uint64_t reply_size;
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    check_foreign(vmkit_sandbox_run(sandbox, &outcome, &error), &error);
    check_foreign(vmkit_sandbox_call(sandbox, &call, &outcome, &error), &error);
    check_foreign(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, &error), &error);
    check_foreign(vmkit_sandbox_snapshot(sandbox, &snapshot, &error), &error);
    ck_assert_ptr_null(snapshot);
}

static _Noreturn void
be_the_child(vmkit_sandbox *sandbox)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    assert_foreign(sandbox);
    vmkit_sandbox_kill(sandbox);
    assert_foreign(sandbox);
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), 0);
    ck_assert_uint_eq(stats.syscalls, 0);
    vmkit_sandbox_unref(sandbox);

    sandbox =
        make_sandbox(guest_configure(&guest_probe, (const char *[]){"probe", "exit", "3", NULL}));
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_int_eq(outcome.exit_status, 3);
    vmkit_sandbox_unref(sandbox);
    _exit(0);
}

/* The CPU time in nanoseconds that the parent uses while its guest sleeps. */
static uint64_t
sleep_with_a_child(void)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "sleep", NULL});
    vmkit_sandbox_config_set_wall_time_limit(config, 500 * MILLISECOND, NULL);
    vmkit_sandbox *sandbox = make_sandbox(config);
    pid_t child = fork();
    if (child == 0)
        be_the_child(sandbox);
    assert_child_ends_well(child);

    uint64_t before = guest_cpu_ns();
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    uint64_t used = guest_cpu_ns() - before;
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit, VMKIT_LIMIT_WALL_TIME);
    vmkit_sandbox_unref(sandbox);
    return used;
}

/* A kill by the child would also wake every wait of the parent's guest for good. An emulated
 * processor counts what another one used: then again. */
START_TEST(a_child_cannot_run_or_kill_the_parents_sandbox)
{
    uint64_t used = sleep_with_a_child();
    for (int again = 0; again < 4 && used >= 250 * MILLISECOND; again++)
        used = sleep_with_a_child();
    ck_assert_uint_lt(used, 250 * MILLISECOND);
}
END_TEST

struct family {
    vmkit_snapshot *snapshot;
    vmkit_sandbox *fork;
    vmkit_pool *pool;
    vmkit_sandbox *taken;
};

static void
make_family(struct family *family)
{
    vmkit_sandbox *sandbox =
        make_sandbox(guest_configure(&guest_probe, (const char *[]){"probe", "exit", "3", NULL}));
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &family->snapshot, NULL), 0);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(family->snapshot, NULL, &family->fork, NULL), 0);
    ck_assert_int_eq(vmkit_pool_new(family->snapshot, NULL, 2, 2, &family->pool, NULL), 0);
    ck_assert_int_eq(vmkit_pool_take(family->pool, 0, &family->taken, NULL), 0);
}

/* Run it, and give all of them back. */
static void
end_family(struct family *family, vmkit_sandbox *sandbox)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_int_eq(outcome.exit_status, 3);
    ck_assert_int_eq(vmkit_pool_give_back(family->pool, family->taken, NULL), 0);
    vmkit_pool_unref(family->pool);
    vmkit_sandbox_unref(family->fork);
    vmkit_snapshot_unref(family->snapshot);
}

START_TEST(a_child_can_fork_from_a_snapshot_and_use_nothing_that_was_forked)
{
    struct family family;
    make_family(&family);
    pid_t child = fork();
    if (child == 0) {
        vmkit_sandbox *sandbox = NULL;
        vmkit_error *error = NULL;
        assert_foreign(family.fork);
        check_foreign(vmkit_sandbox_reset(family.fork, &error), &error);
        check_foreign(vmkit_pool_take(family.pool, 0, &sandbox, &error), &error);
        ck_assert_int_eq(vmkit_snapshot_fork(family.snapshot, NULL, &sandbox, NULL), 0);
        end_family(&family, sandbox);
        vmkit_sandbox_unref(sandbox);
        _exit(0);
    }
    assert_child_ends_well(child);
    end_family(&family, family.fork);
}
END_TEST

static int64_t
take_and_fork(void *user_data, const void *data, uint64_t size)
{
    struct taken *taken = user_data;
    ck_assert_uint_lt(taken->size + size, sizeof taken->text);
    memcpy(taken->text + taken->size, data, size);
    taken->size += size;
    if (taken->child < 0) {
        taken->child = fork();
        if (taken->child != 0 && taken->child_goes_first)
            assert_child_ends_well(taken->child);
    }
    return (int64_t)size;
}

START_TEST(a_child_that_comes_back_from_a_callback_leaves_the_run_with_an_error)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct taken taken = {.child = -1, .child_goes_first = _i == 1};
    vmkit_error *error = NULL;
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "copy", NULL});
    /* It has timers, which the child must not touch. */
    vmkit_sandbox_config_set_wall_time_limit(config, 30000 * MILLISECOND, NULL);
    vmkit_sandbox_config_set_cpu_time_limit(config, 30000 * MILLISECOND, NULL);
    ck_assert_int_eq(vmkit_sandbox_config_set_input(config, "hello", 5, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT,
                                                              take_and_fork, &taken, NULL),
                     0);
    vmkit_sandbox *sandbox = make_sandbox(config);
    int result = vmkit_sandbox_run(sandbox, &outcome, &error);
    if (taken.child == 0) {
        ck_assert_int_eq(result, -EIO);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "belongs to process"));
        vmkit_error_unref(error);
        vmkit_sandbox_unref(sandbox);
        _exit(0);
    }
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    ck_assert_str_eq(taken.text, "hello");
    if (!taken.child_goes_first)
        assert_child_ends_well(taken.child);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_fork");
    TCase *tcase = tcase_create("sandbox_fork");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_child_cannot_run_or_kill_the_parents_sandbox);
    tcase_add_test(tcase, a_child_can_fork_from_a_snapshot_and_use_nothing_that_was_forked);
    tcase_add_loop_test(tcase, a_child_that_comes_back_from_a_callback_leaves_the_run_with_an_error,
                        0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
