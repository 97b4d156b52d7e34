/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and RLIMIT_NOFILE as the guest lowers it: the errnos of Linux. */
#include "harness.h"

#include "fake_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)
#define LIMIT (FAKE_BASE + 4096)

static int64_t
limit_files(uint64_t soft, uint64_t hard)
{
    const uint64_t limits[] = {soft, hard};
    fake_put(LIMIT, limits, sizeof limits);
    return fake_call(setrlimit, RLIMIT_NOFILE, LIMIT);
}

static void
start_with(uint64_t soft)
{
    vmk_config_set_open_files_limit(fake.config, 32, NULL);
    fake_start();
    ck_assert_int_eq(limit_files(soft, 32), 0);
}

START_TEST(a_call_that_chooses_a_descriptor_says_emfile)
{
    start_with(4);
    ck_assert_int_eq(fake_call(dup, 1), 3);
    ck_assert_int_eq(fake_call(dup, 1), -EMFILE);
    ck_assert_int_eq(fake_open("/dev/null", O_RDONLY, 0), -EMFILE);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD, 0), -EMFILE);
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE, 0), -EMFILE);
    ck_assert_int_eq(fake_call(eventfd2, 0, 0), -EMFILE);
    ck_assert_int_eq(fake_call(epoll_create1, 0), -EMFILE);
    ck_assert_int_eq(fake_call(memfd_create, fake_string("m"), 0), -EMFILE);
    /* One is free, where a pipe needs two. */
    ck_assert_int_eq(fake_call(close, 3), 0);
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE, 0), -EMFILE);
    ck_assert_int_eq(fake_call(dup, 1), 3);
}
END_TEST

START_TEST(a_file_is_not_made_for_want_of_a_descriptor)
{
    start_with(3);
    ck_assert_int_eq(fake_open("/tmp/new", O_CREAT | O_WRONLY, 0600), -EMFILE);
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("/tmp/new"), F_OK), -ENOENT);
}
END_TEST

START_TEST(a_descriptor_that_is_named_beyond_the_limit_is_ebadf_or_einval)
{
    start_with(5);
    ck_assert_int_eq(fake_call(dup3, 1, 5, 0), -EBADF);
    ck_assert_int_eq(fake_call(dup3, 1, 4, 0), 4);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD, 5), -EINVAL);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD_CLOEXEC, 31), -EINVAL);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD, 3), 3);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD, 4), -EMFILE);
}
END_TEST

START_TEST(what_is_open_above_a_lowered_limit_stays)
{
    start_with(32);
    ck_assert_int_eq(fake_call(dup3, 1, 20, 0), 20);
    ck_assert_int_eq(limit_files(3, 32), 0);
    ck_assert_int_eq(fake_write(20, "x"), 1);
    ck_assert_int_eq(fake_call(dup, 20), -EMFILE);
    ck_assert_int_eq(fake_call(dup3, 20, 2, 0), 2);
    ck_assert_int_eq(fake_call(close, 20), 0);
    ck_assert_int_eq(fake_call(dup3, 1, 20, 0), -EBADF);
    /* The soft limit goes up again, as far as the hard one. */
    ck_assert_int_eq(limit_files(21, 32), 0);
    ck_assert_int_eq(fake_call(dup3, 1, 20, 0), 20);
    ck_assert_int_eq(limit_files(33, 33), -EPERM);
}
END_TEST

START_TEST(a_limit_of_none_leaves_none)
{
    start_with(0);
    ck_assert_int_eq(fake_call(dup, 0), -EMFILE);
    ck_assert_int_eq(fake_call(dup3, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(dup3, 1, 0, 0), -EBADF);
    ck_assert_int_eq(fake_call(fcntl, 0, F_DUPFD, 0), -EINVAL);
    ck_assert_int_eq(fake_write(1, "x"), 1);
}
END_TEST

START_TEST(a_poll_of_more_files_than_the_limit_is_refused)
{
    struct pollfd fds[6];
    memset(fds, 0, sizeof fds);
    start_with(5);
    fake_put(FAKE_BASE, fds, sizeof fds);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 6, 0, 0, 0), -EINVAL);
    for (int i = 0; i < 6; i++)
        fds[i].fd = -1;
    const struct timespec none = {0, 0};
    fake_put(FAKE_BASE, fds, sizeof fds);
    fake_put(FAKE_BASE + 256, &none, sizeof none);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 5, FAKE_BASE + 256, 0, 0), 0);
}
END_TEST

START_TEST(the_lowered_limit_is_told_in_proc)
{
    start_with(7);
    int64_t fd = fake_open("/proc/self/limits", O_RDONLY, 0);
    ck_assert_int_ge(fd, 0);
    const char *text = fake_read(fd);
    ck_assert_ptr_nonnull(
        strstr(text, "Max open files            7                    32                   files"));
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_fdtable");
    TCase *tcase = tcase_create("sandbox_fdtable");

    tcase_add_checked_fixture(tcase, fake_set_up, fake_tear_down);
    tcase_add_test(tcase, a_call_that_chooses_a_descriptor_says_emfile);
    tcase_add_test(tcase, a_file_is_not_made_for_want_of_a_descriptor);
    tcase_add_test(tcase, a_descriptor_that_is_named_beyond_the_limit_is_ebadf_or_einval);
    tcase_add_test(tcase, what_is_open_above_a_lowered_limit_stays);
    tcase_add_test(tcase, a_limit_of_none_leaves_none);
    tcase_add_test(tcase, a_poll_of_more_files_than_the_limit_is_refused);
    tcase_add_test(tcase, the_lowered_limit_is_told_in_proc);
    suite_add_tcase(suite, tcase);
    return suite;
}
