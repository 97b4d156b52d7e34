/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "sandbox/config.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static vmkit_sandbox_config *config;
static vmkit_error *error;

static void
set_up(void)
{
    ck_assert_int_eq(vmk_config_new(&config, NULL), 0);
    error = NULL;
}

static void
tear_down(void)
{
    vmk_error_unref(error);
    vmk_config_unref(config);
}

START_TEST(defaults_are_those_of_the_header)
{
    ck_assert_str_eq(vmk_config_get_program_name(config), "program");
    ck_assert_ptr_null(config->arguments);
    ck_assert_ptr_null(config->environment);
    ck_assert_ptr_null(config->working_directory);
    ck_assert_uint_eq(config->folder_count, 0);
    ck_assert_int_eq(config->streams[0].kind, VMK_STREAM_EMPTY);
    ck_assert_int_eq(config->streams[1].kind, VMK_STREAM_BUFFER);
    ck_assert_uint_eq(config->streams[2].limit, 1 << 20);
    ck_assert_uint_eq(config->uid, 1000);
    ck_assert_uint_eq(config->memory_limit, 256 << 20);
    ck_assert_uint_eq(config->open_files_limit, 64);
    ck_assert_uint_eq(config->output_limit, 64 << 20);
    ck_assert_uint_eq(config->cpu_time_limit_ns, 0);
    ck_assert_uint_eq(config->wall_time_limit_ns, 0);
}
END_TEST

START_TEST(a_program_replaces_the_one_before)
{
    ck_assert_int_eq(vmk_config_set_program_path(config, "/bin/true", NULL), 0);
    ck_assert_str_eq(vmk_config_get_program_name(config), "/bin/true");
    ck_assert_int_eq(vmk_config_set_program_memory(config, "\177ELF", 4, NULL), 0);
    ck_assert_ptr_null(config->program.path);
    ck_assert_uint_eq(config->program.image->size, 4);
    ck_assert_int_eq(vmk_config_set_program_fd(config, 0, NULL), 0);
    ck_assert_ptr_null(config->program.image);
    ck_assert_int_eq(fcntl(config->program.fd->fd, F_GETFD), FD_CLOEXEC);
}
END_TEST

START_TEST(a_bad_program_leaves_the_good_one)
{
    ck_assert_int_eq(vmk_config_set_program_path(config, "/bin/true", NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_path(config, "", &error), -EINVAL);
    ck_assert_str_eq(vmk_error_get_message(error), "the program's path is empty");
    ck_assert_int_eq(vmk_config_set_program_path(config, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_program_fd(config, -1, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_program_memory(config, NULL, 4, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_program_memory(config, "x", 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_program_memory(config, "x", (1ULL << 30) + 1, NULL), -E2BIG);
    ck_assert_str_eq(vmk_config_get_program_name(config), "/bin/true");
}
END_TEST

START_TEST(strings_are_copied_and_bounded)
{
    char first[] = "one";
    const char *arguments[] = {first, "", "three", NULL};

    ck_assert_int_eq(vmk_config_set_arguments(config, arguments, NULL), 0);
    first[0] = 'X';
    ck_assert_uint_eq(config->arguments->count, 3);
    ck_assert_uint_eq(config->arguments->bytes, 11);
    ck_assert_str_eq(config->arguments->strings[0], "one");
    ck_assert_str_eq(config->arguments->strings[1], "");
    ck_assert_str_eq(config->arguments->strings[2], "three");
    ck_assert_ptr_null(config->arguments->strings[3]);

    char *large = malloc((1 << 20) + 1);
    memset(large, 'a', 1 << 20);
    large[1 << 20] = '\0';
    const char *too_large[] = {large, NULL};
    ck_assert_int_eq(vmk_config_set_arguments(config, too_large, NULL), -E2BIG);
    large[(1 << 20) - 1] = '\0';
    ck_assert_int_eq(vmk_config_set_arguments(config, too_large, NULL), 0);
    ck_assert_uint_eq(config->arguments->bytes, 1 << 20);
    free(large);
    ck_assert_int_eq(vmk_config_set_arguments(config, NULL, NULL), 0);
    ck_assert_ptr_null(config->arguments);
}
END_TEST

START_TEST(an_environment_string_needs_a_name_and_a_value)
{
    const char *good[] = {"A=1", "B=", "C==", NULL};
    const char *no_equals[] = {"A=1", "HOME", NULL};
    const char *no_name[] = {"=x", NULL};

    ck_assert_int_eq(vmk_config_set_environment(config, good, NULL), 0);
    ck_assert_int_eq(vmk_config_set_environment(config, no_equals, &error), -EINVAL);
    ck_assert_str_eq(vmk_error_get_message(error),
                     "environment string \"HOME\" is not of the form NAME=VALUE");
    ck_assert_int_eq(vmk_config_set_environment(config, no_name, NULL), -EINVAL);
    ck_assert_uint_eq(config->environment->count, 3);
    ck_assert_int_eq(vmk_config_set_environment(config, NULL, NULL), 0);
    ck_assert_ptr_null(config->environment);
}
END_TEST

START_TEST(a_working_directory_is_absolute_and_not_too_long)
{
    char path[4098];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[4096] = '\0';

    ck_assert_int_eq(vmk_config_set_working_directory(config, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_working_directory(config, "tmp", NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_working_directory(config, path, NULL), -ENAMETOOLONG);
    path[4095] = '\0';
    ck_assert_int_eq(vmk_config_set_working_directory(config, path, NULL), 0);
    ck_assert_str_eq(config->working_directory, path);
}
END_TEST

START_TEST(limits_have_bounds)
{
    ck_assert_int_eq(vmk_config_set_memory_limit(config, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_memory_limit(config, (1 << 20) - 1, NULL), -ERANGE);
    ck_assert_int_eq(vmk_config_set_memory_limit(config, (1ULL << 40) + 1, &error), -ERANGE);
    ck_assert_str_eq(vmk_error_get_message(error),
                     "a memory limit of 1099511627777 bytes is outside of 1048576 to "
                     "1099511627776");
    ck_assert_int_eq(vmk_config_set_memory_limit(config, (1 << 20) + 1, NULL), 0);
    ck_assert_uint_eq(config->memory_limit, (1 << 20) + 4096);
    ck_assert_int_eq(vmk_config_set_cpu_time_limit(config, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_wall_time_limit(config, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_open_files_limit(config, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_open_files_limit(config, 1, NULL), -ERANGE);
    ck_assert_int_eq(vmk_config_set_open_files_limit(config, 2, NULL), -ERANGE);
    ck_assert_int_eq(vmk_config_set_open_files_limit(config, 3, NULL), 0);
    ck_assert_int_eq(vmk_config_set_open_files_limit(config, 4097, NULL), -ERANGE);
    ck_assert_int_eq(vmk_config_set_open_files_limit(config, 4096, NULL), 0);
    ck_assert_int_eq(vmk_config_set_output_limit(config, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_output_limit(config, UINT64_MAX, NULL), 0);
    ck_assert_int_eq(vmk_config_set_user(config, UINT32_MAX, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_user(config, 0, UINT32_MAX, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_user(config, 0, 0, NULL), 0);
}
END_TEST

START_TEST(a_folder_gets_a_normal_guest_path_that_is_its_own)
{
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", "//usr///share//", 0, NULL), 0);
    ck_assert_str_eq(config->folders[0].guest_path, "/usr/share");
    ck_assert(!config->folders[0].writable);
    ck_assert(config->folders[0].is_directory);
    ck_assert_int_eq(vmk_config_add_folder(config, "/tmp", "/usr/share", 0, &error), -EEXIST);
    ck_assert_int_eq(vmk_config_add_folder(config, "/tmp", "/", VMKIT_FOLDER_WRITABLE, NULL), 0);
    ck_assert_str_eq(config->folders[1].guest_path, "/");
    ck_assert(config->folders[1].writable);
    ck_assert_int_eq(vmk_config_add_folder(config, "/etc/passwd", "/file", 0, NULL), 0);
    ck_assert(!config->folders[2].is_directory);
}
END_TEST

START_TEST(a_bad_folder_is_refused_with_a_reason)
{
    char name[300];
    memset(name, 'a', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';

    ck_assert_int_eq(vmk_config_add_folder(config, NULL, "/a", 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", "a", 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", "/a/../b", 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", "/a/.", 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", "/a", 2, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_add_folder(config, "/usr", name, 0, NULL), -ENAMETOOLONG);
    ck_assert_int_eq(vmk_config_add_folder(config, "/does-not-exist", "/a", 0, &error), -ENOENT);
    ck_assert_str_eq(vmk_error_get_message(error), "cannot open \"/does-not-exist\" to show it at "
                                                   "\"/a\": No such file or directory");
    ck_assert_int_eq(vmk_config_add_folder(config, "/dev/null", "/a", 0, NULL), -ENOTDIR);
    ck_assert_int_eq(vmk_config_add_folder(config, "/etc/passwd", "/", 0, NULL), -ENOTDIR);
    ck_assert_int_eq(vmk_config_add_folder(config, "/proc", "/a", 0, NULL), -EACCES);
    ck_assert_int_eq(vmk_config_add_folder_fd(config, -1, "/a", 0, NULL), -EINVAL);
    ck_assert_uint_eq(config->folder_count, 0);
}
END_TEST

static int64_t
read_nothing(void *user_data, void *buffer, uint64_t size)
{
    return 0;
}

static int64_t
take_all(void *user_data, const void *data, uint64_t size)
{
    return (int64_t)size;
}

/* In a child that has only an empty folder for a root. */
static int
add_folder_without_proc(void)
{
    char root[] = "/tmp/vmkit-config.XXXXXX";
    vmkit_error *reason = NULL;
    if (mkdtemp(root) == NULL || (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0))
        return 2;
    int folder = open("/usr", O_PATH | O_DIRECTORY);
    if (chroot(root) != 0 || chdir("/") != 0)
        return 3;
    if (vmk_config_add_folder_fd(config, folder, "/a", 0, &reason) != -ENOENT ||
        vmk_config_add_folder(config, "/", "/a", 0, NULL) != -ENOENT || config->folder_count != 0)
        return 4;
    return strstr(vmk_error_get_message(reason), "no /proc") != NULL ? 0 : 5;
}

START_TEST(a_folder_is_refused_where_there_is_no_proc)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(add_folder_without_proc());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(system("rmdir /tmp/vmkit-config.??????"), 0);
}
END_TEST

START_TEST(streams_are_replaced_and_checked)
{
    ck_assert_int_eq(vmk_config_set_stream_fd(config, 3, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_stream_fd(config, 0, -1, &error), -EINVAL);
    ck_assert_str_eq(vmk_error_get_message(error), "descriptor -1 for stream 0 is not open");
    ck_assert_int_eq(vmk_config_set_stream_fd(config, 0, 0, NULL), 0);
    ck_assert_int_eq(config->streams[0].kind, VMK_STREAM_FD);
    ck_assert_int_eq(vmk_config_set_input(config, NULL, 1, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_input(config, "x", (1ULL << 30) + 1, NULL), -E2BIG);
    ck_assert_int_eq(vmk_config_set_input(config, NULL, 0, NULL), 0);
    ck_assert_int_eq(vmk_config_set_input(config, "abc", 3, NULL), 0);
    ck_assert_mem_eq(config->streams[0].input->data, "abc", 3);
    ck_assert_int_eq(vmk_config_set_input_callback(config, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_input_callback(config, read_nothing, &config, NULL), 0);
    ck_assert_ptr_null(config->streams[0].input);
    ck_assert_ptr_eq(config->streams[0].user_data, &config);
    ck_assert_int_eq(vmk_config_set_output_buffer(config, 0, 1, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_output_buffer(config, 1, 0, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_output_buffer(config, 1, (1ULL << 30) + 1, NULL), -E2BIG);
    ck_assert_int_eq(vmk_config_set_output_buffer(config, 1, 7, NULL), 0);
    ck_assert_uint_eq(config->streams[1].limit, 7);
    ck_assert_int_eq(vmk_config_set_output_callback(config, 0, take_all, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_output_callback(config, 2, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmk_config_set_output_callback(config, 2, take_all, NULL, NULL), 0);
    ck_assert_int_eq(config->streams[2].kind, VMK_STREAM_CALLBACK);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_config");
    TCase *tcase = tcase_create("sandbox_config");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, defaults_are_those_of_the_header);
    tcase_add_test(tcase, a_program_replaces_the_one_before);
    tcase_add_test(tcase, a_bad_program_leaves_the_good_one);
    tcase_add_test(tcase, strings_are_copied_and_bounded);
    tcase_add_test(tcase, an_environment_string_needs_a_name_and_a_value);
    tcase_add_test(tcase, a_working_directory_is_absolute_and_not_too_long);
    tcase_add_test(tcase, limits_have_bounds);
    tcase_add_test(tcase, a_folder_gets_a_normal_guest_path_that_is_its_own);
    tcase_add_test(tcase, a_bad_folder_is_refused_with_a_reason);
    tcase_add_test(tcase, a_folder_is_refused_where_there_is_no_proc);
    tcase_add_test(tcase, streams_are_replaced_and_checked);
    suite_add_tcase(suite, tcase);
    return suite;
}
