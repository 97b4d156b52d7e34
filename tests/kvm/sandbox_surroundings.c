/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes in processes that were started oddly, or have less than usual. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOBODY 65534

static vmkit_sandbox *
make_sandbox(const char *const *arguments)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_sandbox_config *config = guest_configure(&guest_probe, arguments);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

static void
assert_exits(vmkit_sandbox *sandbox, int status)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    int result = vmkit_sandbox_run(sandbox, &outcome, &error);
    ck_assert_msg(result == 0, "%d: %s", result, vmkit_error_get_message(error));
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, status);
    vmkit_sandbox_unref(sandbox);
}

/* The limit of tasks means nothing to root. */
static void
become_nobody(void)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setgid(NOBODY), 0);
    ck_assert_int_eq(setuid(NOBODY), 0);
    /* What looks for leaks at the end traces this process. */
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
}

static void
set_limit(__rlimit_resource_t which, rlim_t value)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(which, &limit), 0);
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    ck_assert_int_eq(setrlimit(which, &limit), 0);
}

/* A run that the host is short of something for has not begun, and is made again. */
START_TEST(a_host_without_a_further_task_is_an_error_and_the_program_runs_later)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "exit", "5", NULL});
    become_nobody();
    set_limit(RLIMIT_NPROC, 1);
    int result = vmkit_sandbox_run(sandbox, &outcome, &error);
    set_limit(RLIMIT_NPROC, RLIM_INFINITY);
    if (result == 0) {
        /* A kernel that needs none. */
        ck_assert_int_eq(outcome.exit_status, 5);
        vmkit_sandbox_unref(sandbox);
        return;
    }
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_LIMIT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "RLIMIT_NPROC"));
    vmkit_error_unref(error);
    assert_exits(sandbox, 5);
}
END_TEST

START_TEST(a_host_without_room_for_signals_is_an_error_and_the_program_runs_later)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "exit", "6", NULL});
    set_limit(RLIMIT_SIGPENDING, 0);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), -EAGAIN);
    set_limit(RLIMIT_SIGPENDING, RLIM_INFINITY);
    assert_exits(sandbox, 6);
}
END_TEST

START_TEST(a_limit_of_file_sizes_below_the_program_starts_it_all_the_same)
{
    set_limit(RLIMIT_FSIZE, 4096);
    assert_exits(make_sandbox((const char *const[]){"probe", "exit", "7", NULL}), 7);
}
END_TEST

START_TEST(no_descriptor_of_a_sandbox_takes_the_place_of_a_closed_stream)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "exit", "8", NULL});
    int made = 0;
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (fd <= STDERR_FILENO)
            ck_assert_int_eq(flags, -1);
        made += flags == FD_CLOEXEC;
    }
    ck_assert_int_ge(made, 4);
    assert_exits(sandbox, 8);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_surroundings");
    TCase *tcase = tcase_create("sandbox_surroundings");
    tcase_set_timeout(tcase, 20);
    tcase_add_test(tcase, a_host_without_a_further_task_is_an_error_and_the_program_runs_later);
    tcase_add_test(tcase, a_host_without_room_for_signals_is_an_error_and_the_program_runs_later);
    tcase_add_test(tcase, a_limit_of_file_sizes_below_the_program_starts_it_all_the_same);
    tcase_add_test(tcase, no_descriptor_of_a_sandbox_takes_the_place_of_a_closed_stream);
    suite_add_tcase(suite, tcase);
    return suite;
}
