/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that execute another one: what the embedder's calls and names mean then, and that they
 * mean the first program again after a reset. The other one has the same functions at other
 * addresses.
 */
#include "call_guest.h"
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], file[80];
static vmkit_sandbox *pristine; /* A fork that stays as it was made. */

/* The other program as /plug/in, in a folder of the host that the sandbox reads. */
static void
set_up_with(const char *how)
{
    snprintf(folder, sizeof folder, "/tmp/vmkit-replace-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/in", folder);
    FILE *out = fopen(file, "wb");
    ck_assert_ptr_nonnull(out);
    size_t size = (size_t)(guest_call_pie.end - guest_call_pie.data);
    ck_assert_uint_eq(fwrite(guest_call_pie.data, 1, size, out), size);
    ck_assert_int_eq(fchmod(fileno(out), 0755), 0);
    ck_assert_int_eq(fclose(out), 0);
    call_guest_configure(&guest_call, how);
    ck_assert_int_eq(vmkit_sandbox_config_add_folder(call_config, folder, "/plug", 0, NULL), 0);
    call_guest_start();
}

static void
set_up(void)
{
    set_up_with("once");
}

static void
tear_down(void)
{
    vmkit_sandbox_unref(pristine);
    pristine = NULL;
    call_guest_tear_down();
    unlink(file);
    rmdir(folder);
}

/* Fork it: `call_sandbox` becomes one fork, `pristine` another. */
static vmkit_snapshot *
fork_it(void)
{
    vmkit_snapshot *snapshot = NULL;
    ck_assert_int_eq(vmkit_sandbox_snapshot(call_sandbox, &snapshot, NULL), 0);
    vmkit_sandbox_unref(call_sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, call_config, &call_sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, call_config, &pristine, NULL), 0);
    return snapshot;
}

static uint64_t
find(vmkit_sandbox *sandbox, const char *name)
{
    uint64_t address = 0;
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_find_symbol(sandbox, name, &address, &error);
    ck_assert_msg(r == 0, "%s: %s", name, vmkit_error_get_message(error));
    return address;
}

/* Call a function that executes /plug/in with one argument. */
static void
become(const char *argument, enum vmkit_outcome_kind kind)
{
    char path[] = "/plug/in", name[] = "call", how[32];
    snprintf(how, sizeof how, "%s", argument);
    const struct vmkit_argument arguments[] = {BUFFER(IN, path, sizeof path),
                                               BUFFER(IN, name, sizeof name),
                                               BUFFER(IN_OUT, how, sizeof how)};
    const struct vmkit_call call = {
        .size = sizeof call, .symbol = "become", .arguments = arguments, .argument_count = 3};
    call_guest_end(&call, kind);
    ck_assert_str_eq(how, argument);
}

START_TEST(a_call_whose_program_was_replaced_is_over)
{
    uint64_t before = find(call_sandbox, "weigh");
    become("once", VMKIT_OUTCOME_READY);
    ck_assert_uint_ne(find(call_sandbox, "weigh"), before);
    ck_assert_int_eq((int32_t)CALL("negate", INTEGER(5)), -5);
    become("twice", VMKIT_OUTCOME_READY);
    ck_assert_int_eq((int32_t)CALL("negate", INTEGER(6)), -6);
    call_guest_run(VMKIT_OUTCOME_READY);
    call_guest_run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 0);
}
END_TEST

START_TEST(another_program_does_not_return_from_a_call)
{
    char path[] = "/plug/in";
    const struct vmkit_argument arguments[] = {BUFFER(IN, path, sizeof path)};
    const struct vmkit_call call = {.size = sizeof call,
                                    .symbol = "become_knowing",
                                    .arguments = arguments,
                                    .argument_count = 1};
    call_guest_end(&call, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(call_outcome.signal, SIGSEGV);
}
END_TEST

/* The program says that it is up, and may be paused behind that. */
static bool pausing;

static int64_t
hear(void *user_data, const void *data, uint64_t size)
{
    (void)user_data;
    (void)data;
    if (pausing)
        vmkit_sandbox_pause(call_sandbox);
    return (int64_t)size;
}

/* What is paused of it is no call any more. */
START_TEST(another_program_that_is_paused_is_run_on)
{
    const struct vmkit_call call = {.size = sizeof call, .symbol = "nothing"};
    vmkit_error *error = NULL;
    vmkit_sandbox_unref(call_sandbox);
    ck_assert_int_eq(vmkit_sandbox_config_set_output_callback(call_config, VMKIT_STREAM_STDOUT,
                                                              hear, NULL, NULL),
                     0);
    pausing = false;
    call_guest_start();
    pausing = true;
    become("twice", VMKIT_OUTCOME_PAUSED);
    pausing = false;
    ck_assert_int_eq(vmkit_sandbox_call(call_sandbox, &call, &call_outcome, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "paused"));
    vmkit_error_unref(error);
    call_guest_run(VMKIT_OUTCOME_READY);
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
}
END_TEST

/* What one tenant did. */
static void
do_nothing(void)
{
}

static void
look_up(void)
{
    find(call_sandbox, "negate");
}

static void
call_it(void)
{
    ck_assert_int_eq((int32_t)CALL("negate", INTEGER(5)), -5);
}

static void
become_ready(void)
{
    become("once", VMKIT_OUTCOME_READY);
    call_it();
    find(call_sandbox, "mix");
}

static void
become_twice(void)
{
    become_ready();
    become_ready();
}

static void
become_and_end(void)
{
    become("exit", VMKIT_OUTCOME_EXITED);
    find(call_sandbox, "negate");
}

static void
run_on(void)
{
    call_guest_run(VMKIT_OUTCOME_READY);
    call_it();
}

static void
run_on_to_the_end(void)
{
    run_on();
    call_guest_run(VMKIT_OUTCOME_EXITED);
    find(call_sandbox, "negate");
}

static void (*const tenants[])(void) = {
    do_nothing,   look_up,        call_it, become_ready,
    become_twice, become_and_end, run_on,  run_on_to_the_end,
};

/* In names and in what they do, a fork that was reset and one that was just made are the same. */
static void
compare(void)
{
    static const char *const names[] = {"nothing", "weigh", "negate", "mix",  "halve",
                                        "become",  "table", "go_to",  "greet"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(find(call_sandbox, names[i]) == find(pristine, names[i]), "%s", names[i]);
    for (int i = 0; i < 3; i++) {
        struct vmkit_argument number = INTEGER(i);
        const struct vmkit_call call = {
            .size = sizeof call, .symbol = "negate", .arguments = &number, .argument_count = 1};
        struct vmkit_sandbox_outcome expected = {.size = sizeof expected};
        call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
        ck_assert_int_eq(vmkit_sandbox_call(pristine, &call, &expected, NULL), 0);
        ck_assert_int_eq(memcmp(&call_outcome, &expected, sizeof expected), 0);
    }
}

START_TEST(names_mean_the_first_program_after_a_reset)
{
    size_t count = sizeof tenants / sizeof tenants[0];
    vmkit_error *error = NULL;
    set_up_with("execute");
    vmkit_snapshot *snapshot = fork_it();
    /* One after another, so that each comes behind the others in one of the rounds. */
    for (size_t i = 0; i < 3 * count; i++) {
        tenants[(i * (size_t)(2 * _i + 1) + i / count) % count]();
        int r = vmkit_sandbox_reset(call_sandbox, &error);
        ck_assert_msg(r == 0, "%s", vmkit_error_get_message(error));
        if (i % 2 == 0)
            compare();
        ck_assert_int_eq(vmkit_sandbox_reset(call_sandbox, NULL), 0);
    }
    compare();
    vmkit_snapshot_unref(snapshot);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_replace");
    TCase *calls = tcase_create("calls");
    TCase *resets = tcase_create("resets");

    tcase_set_timeout(calls, 120);
    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_add_test(calls, a_call_whose_program_was_replaced_is_over);
    tcase_add_test(calls, another_program_does_not_return_from_a_call);
    tcase_add_test(calls, another_program_that_is_paused_is_run_on);
    suite_add_tcase(suite, calls);
    tcase_set_timeout(resets, 250);
    tcase_add_loop_test(resets, names_mean_the_first_program_after_a_reset, 0, 3);
    suite_add_tcase(suite, resets);
    return suite;
}
