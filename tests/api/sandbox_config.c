/* SPDX-License-Identifier: Apache-2.0 */
/* What each setter of a configuration refuses, and with which errno. No KVM is needed. */
#include "harness.h"

#include <vmkit/sandbox.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)

static vmkit_sandbox_config *config;

static void
set_up(void)
{
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
}

static void
tear_down(void)
{
    vmkit_sandbox_config_unref(config);
}

/* The call, which takes `&error` last, gives the errno and a sentence. */
#define REFUSES(errnum, function, ...)                                \
    do {                                                              \
        vmkit_error *error = NULL;                                    \
        ck_assert_int_eq(function(__VA_ARGS__, &error), -(errnum));   \
        ck_assert_ptr_nonnull(error);                                 \
        ck_assert_int_eq(vmkit_error_get_errno(error), -(errnum));    \
        ck_assert_uint_gt(strlen(vmkit_error_get_message(error)), 5); \
        vmkit_error_unref(error);                                     \
        ck_assert_int_eq(function(__VA_ARGS__, NULL), -(errnum));     \
    } while (0)

static int64_t
take(void *user_data, const void *data, uint64_t size)
{
    return (int64_t)size;
}

static int64_t
give(void *user_data, void *data, uint64_t size)
{
    return 0;
}

START_TEST(programs)
{
    ck_assert_int_eq(vmkit_sandbox_config_new(NULL, NULL), -EINVAL);
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_path, config, NULL);
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_path, config, "");
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_path, NULL, "/bin/true");
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_fd, config, -1);
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_fd, config, 9999);
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_memory, config, NULL, 5);
    REFUSES(EINVAL, vmkit_sandbox_config_set_program_memory, config, "x", 0);
    REFUSES(E2BIG, vmkit_sandbox_config_set_program_memory, config, "x", GIB + 1);
    ck_assert_int_eq(vmkit_sandbox_config_set_program_memory(config, "x", 1, NULL), 0);
    vmkit_sandbox_config_unref(NULL);
    ck_assert_ptr_null(vmkit_sandbox_config_ref(NULL));
    ck_assert_ptr_eq(vmkit_sandbox_config_ref(config), config);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(strings)
{
    char *text = malloc((1 << 20) + 2);
    memset(text, 'a', (1 << 20) + 1);
    text[(1 << 20) + 1] = '\0';
    text[1] = '=';
    const char *const large[] = {text, NULL}, *const no_equals[] = {"A=1", "B", NULL},
                      *const no_name[] = {"=1", NULL};
    REFUSES(E2BIG, vmkit_sandbox_config_set_arguments, config, large);
    REFUSES(E2BIG, vmkit_sandbox_config_set_environment, config, large);
    REFUSES(EINVAL, vmkit_sandbox_config_set_environment, config, no_equals);
    REFUSES(EINVAL, vmkit_sandbox_config_set_environment, config, no_name);
    ck_assert_int_eq(vmkit_sandbox_config_set_arguments(config, NULL, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_environment(config, NULL, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_working_directory, config, NULL);
    REFUSES(EINVAL, vmkit_sandbox_config_set_working_directory, config, "tmp");
    text[0] = '/';
    text[4096] = '\0';
    REFUSES(ENAMETOOLONG, vmkit_sandbox_config_set_working_directory, config, text);
    text[4095] = '\0';
    ck_assert_int_eq(vmkit_sandbox_config_set_working_directory(config, text, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_user, config, UINT32_MAX, 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_user, config, 0, UINT32_MAX);
    ck_assert_int_eq(vmkit_sandbox_config_set_user(config, 0, 0, NULL), 0);
    free(text);
}
END_TEST

START_TEST(folders)
{
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder, config, NULL, "/a", 0);
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder, config, "/tmp", NULL, 0);
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder, config, "/tmp", "a", 0);
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder, config, "/tmp", "/a/../b", 0);
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder, config, "/tmp", "/a/./b", 0);
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder, config, "/tmp", "/a", 2);
    REFUSES(ENOENT, vmkit_sandbox_config_add_folder, config, "/tmp/vmkit-none", "/a", 0);
    REFUSES(ENOTDIR, vmkit_sandbox_config_add_folder, config, "/dev/null/below", "/a", 0);
    ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, "/tmp", "/a", 0, NULL), 0);
    REFUSES(EEXIST, vmkit_sandbox_config_add_folder, config, "/tmp", "/a", 0);
    REFUSES(EINVAL, vmkit_sandbox_config_add_folder_fd, config, -1, "/b", 0);
}
END_TEST

START_TEST(streams)
{
    REFUSES(EINVAL, vmkit_sandbox_config_set_stream_fd, config, 3, 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_stream_fd, config, VMKIT_STREAM_STDIN, -1);
    REFUSES(EINVAL, vmkit_sandbox_config_set_stream_fd, config, VMKIT_STREAM_STDIN, 9999);
    REFUSES(EINVAL, vmkit_sandbox_config_set_input, config, NULL, 1);
    REFUSES(E2BIG, vmkit_sandbox_config_set_input, config, "x", GIB + 1);
    ck_assert_int_eq(vmkit_sandbox_config_set_input(config, NULL, 0, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_input_callback, config, NULL, NULL);
    ck_assert_int_eq(vmkit_sandbox_config_set_input_callback(config, give, NULL, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_output_buffer, config, VMKIT_STREAM_STDIN, 10);
    REFUSES(EINVAL, vmkit_sandbox_config_set_output_buffer, config, 7, 10);
    REFUSES(EINVAL, vmkit_sandbox_config_set_output_buffer, config, VMKIT_STREAM_STDOUT, 0);
    REFUSES(E2BIG, vmkit_sandbox_config_set_output_buffer, config, VMKIT_STREAM_STDOUT, GIB + 1);
    REFUSES(EINVAL, vmkit_sandbox_config_set_output_callback, config, VMKIT_STREAM_STDIN, take,
            NULL);
    REFUSES(EINVAL, vmkit_sandbox_config_set_output_callback, config, VMKIT_STREAM_STDOUT, NULL,
            NULL);
    ck_assert_int_eq(vmkit_sandbox_config_set_output_buffer(config, VMKIT_STREAM_STDERR, 1, NULL),
                     0);
}
END_TEST

START_TEST(limits)
{
    REFUSES(EINVAL, vmkit_sandbox_config_set_memory_limit, config, 0);
    REFUSES(ERANGE, vmkit_sandbox_config_set_memory_limit, config, (1 << 20) - 1);
    REFUSES(ERANGE, vmkit_sandbox_config_set_memory_limit, config, 1024 * GIB + 1);
    ck_assert_int_eq(vmkit_sandbox_config_set_memory_limit(config, 1 << 20, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_memory_limit(config, 1024 * GIB, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_cpu_time_limit, config, 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_wall_time_limit, config, 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_wall_time_limit(config, UINT64_MAX, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_open_files_limit, config, 0);
    REFUSES(ERANGE, vmkit_sandbox_config_set_open_files_limit, config, 2);
    REFUSES(ERANGE, vmkit_sandbox_config_set_open_files_limit, config, 4097);
    ck_assert_int_eq(vmkit_sandbox_config_set_open_files_limit(config, 3, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_open_files_limit(config, 4096, NULL), 0);
    REFUSES(EINVAL, vmkit_sandbox_config_set_output_limit, config, 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_output_limit(config, UINT64_MAX, NULL), 0);
}
END_TEST

START_TEST(no_descriptor_is_left)
{
    struct rlimit old, none;
    getrlimit(RLIMIT_NOFILE, &old);
    int lowest = dup(0);
    close(lowest);
    none = old;
    none.rlim_cur = (rlim_t)lowest;
    setrlimit(RLIMIT_NOFILE, &none);
    int results[] = {
        vmkit_sandbox_config_set_program_fd(config, 0, NULL),
        vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDIN, 0, NULL),
        vmkit_sandbox_config_add_folder(config, "/tmp", "/b", 0, NULL),
        vmkit_sandbox_config_add_folder_fd(config, 0, "/b", 0, NULL),
    };
    setrlimit(RLIMIT_NOFILE, &old);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        ck_assert_int_eq(results[i], -EMFILE);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_config");
    TCase *tcase = tcase_create("sandbox_config");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, programs);
    tcase_add_test(tcase, strings);
    tcase_add_test(tcase, folders);
    tcase_add_test(tcase, streams);
    tcase_add_test(tcase, limits);
    tcase_add_test(tcase, no_descriptor_is_left);
    suite_add_tcase(suite, tcase);
    return suite;
}
