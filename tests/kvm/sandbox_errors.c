/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox refuses: programs, arguments, and calls out of their time. */
#include "harness.h"
#include "sandbox_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct guest_result result;

static vmkit_sandbox_config *
configure(const char *task, const char *argument)
{
    return guest_configure(&guest_probe, (const char *const[]){"probe", task, argument, NULL});
}

static vmkit_sandbox *
make(vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    return sandbox;
}

/* vmkit_sandbox_new() fails so, and leaves its result alone. */
static void
refuse(vmkit_sandbox_config *config, int result_code, const char *word)
{
    vmkit_sandbox *sandbox = (vmkit_sandbox *)&result;
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_new(config, &sandbox, &error);
    ck_assert_int_eq(r, result_code);
    ck_assert_ptr_eq(sandbox, &result);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(vmkit_error_get_errno(error), result_code);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "\"%s\" lacks \"%s\"",
                  vmkit_error_get_message(error), word);
    vmkit_error_unref(error);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), result_code);
}

static void
refuse_path(const char *path, int result_code, const char *word)
{
    vmkit_sandbox_config *config;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_program_path(config, path, NULL), 0);
    refuse(config, result_code, word);
    vmkit_sandbox_config_unref(config);
}

static void
refuse_memory(const void *data, size_t size, const char *word)
{
    vmkit_sandbox_config *config;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_program_memory(config, data, size, NULL), 0);
    refuse(config, -ENOEXEC, word);
    vmkit_sandbox_config_unref(config);
}

START_TEST(null_arguments_are_refused)
{
    vmkit_sandbox *sandbox = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config = configure("exit", "0");
    ck_assert_int_eq(vmkit_sandbox_new(NULL, &sandbox, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_new(config, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_run(NULL, &outcome, NULL), -EINVAL);
    sandbox = make(config);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, NULL, NULL), -EINVAL);
    outcome.size = 2;
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), -EINVAL);
    outcome.size = sizeof outcome;
    /* None of these was a run. */
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_ptr_null(vmkit_sandbox_ref(NULL));
    vmkit_sandbox_unref(NULL);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(a_program_of_too_long_a_name_or_that_is_a_socket_is_refused)
{
    char folder[] = "/tmp/vmkit-run-XXXXXX", long_path[5000] = "/";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(long_path + 1, 'x', sizeof long_path - 2);
    refuse_path(long_path, -ENAMETOOLONG, "File name too long");

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    refuse_path(address.sun_path, -ENXIO, "socket");
    close(fd);
    unlink(address.sun_path);
    rmdir(folder);
}
END_TEST

START_TEST(a_program_that_cannot_be_opened_is_refused)
{
    char folder[] = "/tmp/vmkit-run-XXXXXX", path[128], loop[128];
    vmkit_sandbox_config *config;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/none", folder);
    refuse_path(path, -ENOENT, "none");
    refuse_path(folder, -EISDIR, "folder");
    snprintf(path, sizeof path, "%s/fifo", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refuse_path(path, -EACCES, "regular");
    unlink(path);
    snprintf(path, sizeof path, "%s/file", folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(loop, sizeof loop, "%s/file/below", folder);
    refuse_path(loop, -ENOTDIR, "below");
    unlink(path);
    snprintf(loop, sizeof loop, "%s/loop", folder);
    ck_assert_int_eq(symlink(loop, loop), 0);
    refuse_path(loop, -ELOOP, "loop");
    unlink(loop);
    rmdir(folder);

    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    refuse(config, -EINVAL, "program");
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(no_descriptor_left_is_an_error)
{
    vmkit_sandbox_config *config = configure("exit", "0");
    struct rlimit old, none;
    getrlimit(RLIMIT_NOFILE, &old);
    int lowest = dup(0);
    close(lowest);
    none = old;
    vmkit_sandbox *sandbox = NULL;
    int failures = 0;
    /* With one descriptor more each time, until there are enough. */
    for (unsigned extra = 0; sandbox == NULL; extra++) {
        none.rlim_cur = (rlim_t)lowest + extra;
        setrlimit(RLIMIT_NOFILE, &none);
        int r = vmkit_sandbox_new(config, &sandbox, NULL);
        setrlimit(RLIMIT_NOFILE, &old);
        ck_assert(r == 0 || r == -EMFILE);
        failures += r != 0;
        ck_assert_uint_lt(extra, 20);
        int now = dup(0);
        close(now);
        if (r != 0)
            ck_assert_int_eq(now, lowest);
    }
    ck_assert_int_gt(failures, 1);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(a_file_that_is_no_program_is_refused)
{
    static uint8_t bytes[4096];
    size_t size = (size_t)(guest_first_jump.end - guest_first_jump.data);
    ck_assert_uint_gt(size, 128);
    uint8_t *copy = malloc(size);
    refuse_memory("x", 1, "1 bytes");
    refuse_memory(bytes, sizeof bytes, "ELF");
    refuse_memory(guest_first_jump.data, 100, "ends");
    memcpy(copy, guest_first_jump.data, size);
    copy[4] = 1;
    refuse_memory(copy, size, "32-bit");
    copy[4] = 2;
    copy[18] = 183;
    refuse_memory(copy, size, "183");
    free(copy);
}
END_TEST

START_TEST(a_working_directory_that_is_not_there_is_refused)
{
    vmkit_sandbox_config *config = configure("exit", "0");
    ck_assert_int_eq(vmkit_sandbox_config_set_working_directory(config, "/nowhere", NULL), 0);
    refuse(config, -ENOENT, "/nowhere");
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(a_sandbox_runs_once)
{
    vmkit_sandbox_config *config = configure("exit", "7");
    vmkit_sandbox *sandbox = make(config);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_int_eq(outcome.exit_status, 7);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, &error), -ENOTSUP);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_WRONG_STATE);
    ck_assert_int_eq(outcome.exit_status, 7);
    vmkit_error_unref(error);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

static int64_t
use_while_running(void *user_data, const void *data, uint64_t size)
{
    vmkit_sandbox *sandbox = *(vmkit_sandbox **)user_data;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    uint64_t count;
    const void *text;
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), -EBUSY);
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), -EBUSY);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 0, &count, NULL), -EBUSY);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDERR, &text, &count, NULL),
                     -EBUSY);
    /* The run itself holds a reference. */
    vmkit_sandbox_ref(sandbox);
    vmkit_sandbox_unref(sandbox);
    return (int64_t)size;
}

START_TEST(a_sandbox_that_runs_is_busy)
{
    vmkit_sandbox_config *config = configure("strings", NULL);
    vmkit_sandbox *sandbox = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, use_while_running,
                                             &sandbox, NULL);
    sandbox = make(config);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(system_calls_are_counted_by_number)
{
    vmkit_sandbox_config *config = configure("calls-some", NULL);
    vmkit_sandbox *sandbox = make(config);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    uint64_t count = 0, sum = 0;
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 110, &count, NULL), 0);
    ck_assert_uint_eq(count, 7);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 499, &count, NULL), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 511, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 512, &count, NULL), -ERANGE);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 0, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(NULL, 0, &count, NULL), -EINVAL);
    for (uint32_t i = 0; i < 512; i++) {
        ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, i, &count, NULL), 0);
        sum += count;
    }
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), 0);
    ck_assert_uint_eq(sum, stats.syscalls);
    ck_assert_uint_eq(stats.unknown_syscalls, 5);
    ck_assert_uint_ge(stats.exits, stats.syscalls);
    ck_assert_uint_gt(stats.page_faults, 0);
    ck_assert_uint_gt(stats.memory_bytes, 4096);
    ck_assert_uint_le(stats.memory_bytes, stats.memory_peak_bytes);
    ck_assert_uint_gt(stats.cpu_time_ns, 0);
    ck_assert_uint_gt(stats.wall_time_ns, 0);
    ck_assert_uint_eq(stats.reserved, 0);
    ck_assert_str_eq(vmkit_syscall_get_name(0), "read");
    ck_assert_str_eq(vmkit_syscall_get_name(257), "openat");
    ck_assert_ptr_null(vmkit_syscall_get_name(511));
    ck_assert_ptr_null(vmkit_syscall_get_name(UINT32_MAX));
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(output_is_lent)
{
    vmkit_sandbox_config *config = configure("strings", NULL);
    vmkit_sandbox *sandbox = make(config);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    const void *data = NULL;
    uint64_t size = 99;
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, 0);
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, strlen("arg 0 [probe]\narg 1 [strings]\n"));
    ck_assert_int_eq(memcmp(data, "arg 0 [probe]\narg 1 [strings]\n", size), 0);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDIN, &data, &size, NULL),
                     -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, 3, &data, &size, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, NULL, &size, NULL),
                     -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, NULL, NULL),
                     -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_get_output(NULL, VMKIT_STREAM_STDOUT, &data, &size, NULL),
                     -EINVAL);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(a_limit_that_cannot_be_held_is_an_error)
{
    vmkit_sandbox_config *config = configure("spin", NULL);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct rlimit old, none;
    vmkit_error *error = NULL;
    vmkit_sandbox_config_set_cpu_time_limit(config, 10000000, NULL);
    vmkit_sandbox *sandbox = make(config);
    getrlimit(RLIMIT_SIGPENDING, &old);
    none = old;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_SIGPENDING, &none);
    int r = vmkit_sandbox_run(sandbox, &outcome, &error);
    setrlimit(RLIMIT_SIGPENDING, &old);
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "RLIMIT_SIGPENDING"));
    vmkit_error_unref(error);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_errors");
    TCase *tcase = tcase_create("sandbox_errors");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, null_arguments_are_refused);
    tcase_add_test(tcase, a_program_of_too_long_a_name_or_that_is_a_socket_is_refused);
    tcase_add_test(tcase, a_program_that_cannot_be_opened_is_refused);
    tcase_add_test(tcase, no_descriptor_left_is_an_error);
    tcase_add_test(tcase, a_file_that_is_no_program_is_refused);
    tcase_add_test(tcase, a_working_directory_that_is_not_there_is_refused);
    tcase_add_test(tcase, a_sandbox_runs_once);
    tcase_add_test(tcase, a_sandbox_that_runs_is_busy);
    tcase_add_test(tcase, system_calls_are_counted_by_number);
    tcase_add_test(tcase, output_is_lent);
    tcase_add_test(tcase, a_limit_that_cannot_be_held_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
