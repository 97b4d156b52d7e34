/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that were started oddly, or have less than usual. */
#include "assert.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static void
limit_file_sizes(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool
is_pending(int signal)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signal) == 1;
}

START_TEST(memory_above_the_limit_of_file_sizes_is_an_error_and_no_signal)
{
    vmkit_memory *memory = NULL;
    sigset_t none, after;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    limit_file_sizes(MIB);
    ASSERT_FAILS(vmkit_memory_new_memfd("large", 2 * MIB, 0, &memory, &error), E2BIG,
                 VMKIT_ERROR_LIMIT,
                 "memfd \"large\" of 2097152 bytes is above this process's limit of file sizes "
                 "(RLIMIT_FSIZE)");
    ck_assert_int_eq(is_pending(SIGXFSZ), false);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(sigismember(&after, SIGXFSZ), 0);
    ASSERT_OK(vmkit_memory_new_memfd("small", MIB, 0, &memory, &error));
    vmkit_memory_unref(memory);
}
END_TEST

START_TEST(a_signal_that_waited_before_waits_on)
{
    vmkit_memory *memory = NULL;
    sigset_t too_large, after;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &too_large, NULL);
    limit_file_sizes(MIB);
    ck_assert_int_eq(vmkit_memory_new_memfd("large", 2 * MIB, 0, &memory, NULL), -E2BIG);
    ck_assert_int_eq(is_pending(SIGXFSZ), false);
    raise(SIGXFSZ);
    ck_assert_int_eq(vmkit_memory_new_memfd("large", 2 * MIB, 0, &memory, NULL), -E2BIG);
    ck_assert_int_eq(is_pending(SIGXFSZ), true);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(sigismember(&after, SIGXFSZ), 1);
}
END_TEST

static void
assert_streams_are_closed(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

START_TEST(no_descriptor_takes_the_place_of_a_closed_stream)
{
    vmkit_memory *memory = NULL, *again = NULL;
    vmkit_sandbox_config *config = NULL;
    int folder = open("/", O_PATH | O_CLOEXEC);
    ck_assert_int_gt(folder, STDERR_FILENO);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);

    ASSERT_OK(vmkit_memory_new_memfd("streams", MIB, 0, &memory, &error));
    ck_assert_int_gt(vmkit_memory_get_fd(memory), STDERR_FILENO);
    ck_assert_int_eq(fcntl(vmkit_memory_get_fd(memory), F_GETFD), FD_CLOEXEC);
    ASSERT_OK(vmkit_memory_new_fd(vmkit_memory_get_fd(memory), 0, MIB, 0, &again, &error));
    assert_streams_are_closed();
    ASSERT_OK(vmkit_sandbox_config_new(&config, &error));
    ASSERT_OK(vmkit_sandbox_config_add_folder(config, "/", "/a", 0, &error));
    ASSERT_OK(vmkit_sandbox_config_add_folder_fd(config, folder, "/b", 0, &error));
    ASSERT_OK(vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDIN, folder, &error));
    ASSERT_OK(vmkit_sandbox_config_set_program_fd(config, folder, &error));
    assert_streams_are_closed();

    vmkit_sandbox_config_unref(config);
    vmkit_memory_unref(again);
    vmkit_memory_unref(memory);
    close(folder);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("surroundings");
    TCase *tcase = tcase_create("surroundings");
    tcase_add_test(tcase, memory_above_the_limit_of_file_sizes_is_an_error_and_no_signal);
    tcase_add_test(tcase, a_signal_that_waited_before_waits_on);
    tcase_add_test(tcase, no_descriptor_takes_the_place_of_a_closed_stream);
    suite_add_tcase(suite, tcase);
    return suite;
}
