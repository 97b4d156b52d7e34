/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Rust program of doc/guests.md, as the document has it and builds it: it is ready, its
 * function is called by name, and it serves requests; so do forks of it, in memory and from a file.
 * VMKIT_TEST_GUEST names it.
 */
#include "harness.h"

#include <vmkit/vmkit.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ASSERT_OK(expression)                                                         \
    do {                                                                              \
        vmkit_error *error = NULL;                                                    \
        int result = (expression);                                                    \
        ck_assert_msg(result == 0, "%d: %s", result, vmkit_error_get_message(error)); \
    } while (0)

static vmkit_sandbox *sandbox;
static struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};

static void
run(enum vmkit_outcome_kind kind)
{
    ASSERT_OK(vmkit_sandbox_run(sandbox, &outcome, &error));
    ck_assert_msg(outcome.kind == (uint32_t)kind, "outcome %u: status %d, signal %d", outcome.kind,
                  outcome.exit_status, outcome.signal);
}

/* A sandbox whose program is ready for calls. */
static void
set_up(void)
{
    const char *path = getenv("VMKIT_TEST_GUEST");
    vmkit_sandbox_config *config = NULL;
    ck_assert_ptr_nonnull(path);
    ASSERT_OK(vmkit_sandbox_config_new(&config, &error));
    ASSERT_OK(vmkit_sandbox_config_set_program_path(config, path, &error));
    ASSERT_OK(vmkit_sandbox_new(config, &sandbox, &error));
    vmkit_sandbox_config_unref(config);
    run(VMKIT_OUTCOME_READY);
}

static void
tear_down(void)
{
    vmkit_sandbox_unref(sandbox);
}

static void
check_call(void)
{
    static const uint32_t numbers[] = {1, 20, 300, 4000000000};
    const struct vmkit_argument arguments[] = {
        {.kind = VMKIT_ARGUMENT_IN, .data = (void *)(uintptr_t)numbers, .size = sizeof numbers},
        {.kind = VMKIT_ARGUMENT_INTEGER, .integer = 4},
        {.kind = VMKIT_ARGUMENT_DOUBLE, .real = 0.25}};
    const struct vmkit_call call = {.size = sizeof call,
                                    .symbol = "weigh",
                                    .arguments = arguments,
                                    .argument_count = 3,
                                    .result_kind = VMKIT_RESULT_DOUBLE};
    ASSERT_OK(vmkit_sandbox_call(sandbox, &call, &outcome, &error));
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
    ck_assert(outcome.real == 1000000080.25);
}

static void
check_request(void)
{
    char reply[16] = "";
    uint64_t reply_size = 0;
    const struct vmkit_request request = {.size = sizeof request,
                                          .data = "Hello",
                                          .data_size = 5,
                                          .reply = reply,
                                          .reply_capacity = sizeof reply};
    ASSERT_OK(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, &error));
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, 5);
    ck_assert_mem_eq(reply, "hELLO", 5);
}

/* From calls to requests, and to its end. */
static void
check_life(void)
{
    for (int i = 0; i < 100; i++)
        check_call();
    run(VMKIT_OUTCOME_READY);
    check_call();
    for (int i = 0; i < 100; i++)
        check_request();
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
}

START_TEST(it_is_called_and_serves_requests)
{
    check_life();
}
END_TEST

START_TEST(its_forks_do_and_go_back)
{
    vmkit_snapshot *snapshot = NULL, *opened = NULL;
    check_call();
    ASSERT_OK(vmkit_sandbox_snapshot(sandbox, &snapshot, &error));
    if (_i == 1) {
        int fd = memfd_create("snapshot", MFD_CLOEXEC);
        ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error));
        ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
        vmkit_snapshot_unref(snapshot);
        snapshot = opened;
        close(fd);
    }
    vmkit_sandbox_unref(sandbox);
    sandbox = NULL;
    ASSERT_OK(vmkit_snapshot_fork(snapshot, NULL, &sandbox, &error));
    vmkit_snapshot_unref(snapshot);
    for (int i = 0; i < 3; i++) {
        check_life();
        ASSERT_OK(vmkit_sandbox_reset(sandbox, &error));
    }
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("doc_rust");
    TCase *tcase = tcase_create("rust");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, it_is_called_and_serves_requests);
    tcase_add_loop_test(tcase, its_forks_do_and_go_back, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
