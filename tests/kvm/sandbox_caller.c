/* SPDX-License-Identifier: Apache-2.0 */
/* Callers that are short of something, careless, or run one sandbox inside of another. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)

static vmkit_sandbox *
make_sandbox(vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

static vmkit_sandbox_config *
configure(const char *name)
{
    return guest_configure(&guest_probe, (const char *const[]){"probe", name, NULL});
}

static void *
kill_later(void *argument)
{
    usleep(50000);
    vmkit_sandbox_kill(argument);
    return NULL;
}

/* How many signals wait in the queues of this user's processes. */
static rlim_t
count_queued(void)
{
    char line[256];
    unsigned long queued = 0;
    FILE *status = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof line, status) != NULL && sscanf(line, "SigQ: %lu", &queued) != 1)
        ;
    fclose(status);
    return queued;
}

START_TEST(a_kill_needs_no_room_in_the_signal_queue)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config = configure("spin");
    pthread_t thread;

    /* A user of its own, where that is allowed: what others queue does not count there. */
    (void)unshare(CLONE_NEWUSER);
    /* The first count that lets the sandbox run leaves none for the signal itself. */
    int result = -EAGAIN;
    vmkit_sandbox *sandbox = NULL;
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_SIGPENDING, &before), 0);
    for (rlim_t more = 0; result == -EAGAIN && more < 64; more++) {
        struct rlimit limit = {count_queued() + more, before.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
        vmkit_sandbox_unref(sandbox);
        ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, kill_later, sandbox), 0);
        result = vmkit_sandbox_run(sandbox, &outcome, NULL);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

struct nested {
    bool by_wall_time;
    unsigned calls;
};

/* The limit of time that this test is about. That of wall time lets a busy machine start a guest.
 */
static void
limit_time(vmkit_sandbox_config *config, bool by_wall_time, uint64_t times)
{
    int result =
        by_wall_time
            ? vmkit_sandbox_config_set_wall_time_limit(config, times * 1000 * MILLISECOND, NULL)
            : vmkit_sandbox_config_set_cpu_time_limit(config, times * 100 * MILLISECOND, NULL);
    ck_assert_int_eq(result, 0);
}

/* An output callback that runs another sandbox for longer than this one may. */
static int64_t
run_another(void *user_data, const void *data, uint64_t size)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct nested *nested = user_data;
    vmkit_sandbox_config *config = configure("spin");
    nested->calls++;
    ck_assert_ptr_nonnull(data);
    limit_time(config, nested->by_wall_time, 2);
    vmkit_sandbox *sandbox = make_sandbox(config);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_LIMIT);
    vmkit_sandbox_unref(sandbox);
    return (int64_t)size;
}

START_TEST(limits_hold_after_a_callback_that_ran_another_guest)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct nested nested = {.by_wall_time = _i == 0};
    vmkit_sandbox_config *config = configure("write");
    limit_time(config, nested.by_wall_time, 1);
    vmkit_sandbox_config_set_output_limit(config, UINT64_MAX, NULL);
    ck_assert_int_eq(vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT,
                                                              run_another, &nested, NULL),
                     0);
    vmkit_sandbox *sandbox = make_sandbox(config);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit,
                      nested.by_wall_time ? VMKIT_LIMIT_WALL_TIME : VMKIT_LIMIT_CPU_TIME);
    ck_assert_uint_eq(nested.calls, 1);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

static int64_t
fail_input(void *user_data, void *buffer, uint64_t size)
{
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_gt(size, 0);
    return *(const int64_t *)user_data;
}

START_TEST(an_input_callback_never_raises_a_signal)
{
    static int64_t broken_pipe = -EPIPE;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config = configure("copy");
    ck_assert_int_eq(
        vmkit_sandbox_config_set_input_callback(config, fail_input, &broken_pipe, NULL), 0);
    vmkit_sandbox *sandbox = make_sandbox(config);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

static int
lowest_free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

START_TEST(every_step_without_a_descriptor_is_a_clean_error)
{
    vmkit_sandbox_config *config = configure("exit");
    vmkit_sandbox *sandbox = NULL;
    struct rlimit before;
    int free_fd = lowest_free_descriptor();
    int failures = 0;
    int result = -EMFILE;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);

    for (int more = 0; result < 0 && more < 32; more++) {
        vmkit_error *error = NULL;
        struct rlimit limit = {(rlim_t)(free_fd + more), before.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        result = vmkit_sandbox_new(config, &sandbox, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (result < 0) {
            failures++;
            ck_assert_int_eq(result, -EMFILE);
            ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "Too many open files"));
        }
        vmkit_error_unref(error);
        if (result < 0)
            ck_assert_int_eq(lowest_free_descriptor(), free_fd);
    }
    ck_assert_int_eq(result, 0);
    ck_assert_int_ge(failures, 3);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    ck_assert_int_le(lowest_free_descriptor(), free_fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_caller");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_kill_needs_no_room_in_the_signal_queue);
    tcase_add_loop_test(tcase, limits_hold_after_a_callback_that_ran_another_guest, 0, 2);
    tcase_add_test(tcase, an_input_callback_never_raises_a_signal);
    tcase_add_test(tcase, every_step_without_a_descriptor_is_a_clean_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
