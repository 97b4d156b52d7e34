/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of every kind, saved and loaded. */
#include "harness.h"
#include "state_guest.h"

#include "sandbox/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static vmkit_sandbox_config *config;
static struct state_guest a, b;

static void
set_up(void)
{
    ck_assert_int_eq(vmk_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_memory(config, "\177ELF", 4, NULL), 0);
    state_start(&a, config);
}

static void
tear_down(void)
{
    vmk_config_unref(config);
}

static void
make_pipe(struct state_guest *guest, uint64_t flags, int32_t ends[2])
{
    ck_assert_int_eq(state_call(guest, pipe2, STATE_RESULT, flags), 0);
    state_get(guest, STATE_RESULT, ends, 2 * sizeof ends[0]);
}

START_TEST(a_pipe_keeps_its_bytes_and_both_ends)
{
    int32_t ends[2];
    make_pipe(&a, O_NONBLOCK, ends);
    ck_assert_int_eq(state_call(&a, fcntl, 3, F_SETPIPE_SZ, 8192), 8192);
    /* So that what is in it wraps around. */
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(state_call(&a, write, 4, STATE_BASE, 3000), 3000);
        ck_assert_int_eq(state_call(&a, read, 3, STATE_RESULT, 3000), 3000);
    }
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(state_write(&a, 4, text), 3999);
    ck_assert_int_eq(state_call(&a, dup, 4), 5);
    state_move(&a, &b, config);
    ck_assert_int_eq(state_call(&b, fcntl, 3, F_GETPIPE_SZ), 8192);
    ck_assert_int_eq(state_write(&b, 5, "end"), 3);
    const char *got = state_read(&b, 3);
    ck_assert_uint_eq(strlen(got), 4002);
    ck_assert_mem_eq(got, text, 3999);
    ck_assert_str_eq(got + 3999, "end");
    ck_assert_int_eq(state_call(&b, read, 3, STATE_RESULT, 1), -EAGAIN);
    state_call(&b, close, 4);
    ck_assert_int_eq(state_call(&b, read, 3, STATE_RESULT, 1), -EAGAIN);
    state_call(&b, close, 5);
    ck_assert_int_eq(state_call(&b, read, 3, STATE_RESULT, 1), 0);
    state_end(&b);
}
END_TEST

START_TEST(one_end_of_a_pipe_alone_is_carried)
{
    int32_t ends[2];
    make_pipe(&a, 0, ends);
    make_pipe(&a, 0, ends);
    ck_assert_int_eq(state_write(&a, 4, "left"), 4);
    state_call(&a, close, 4);
    state_call(&a, close, 5);
    state_move(&a, &b, NULL);
    ck_assert_str_eq(state_read(&b, 3), "left");
    ck_assert_str_eq(state_read(&b, 3), "");
    ck_assert_int_eq(state_write(&b, 6, "x"), -EPIPE);
    state_end(&b);
}
END_TEST

START_TEST(the_writing_end_may_come_first)
{
    int32_t ends[2];
    make_pipe(&a, 0, ends);
    ck_assert_int_eq(state_call(&a, dup2, 3, 9), 9);
    ck_assert_int_eq(state_write(&a, 4, "hello"), 5);
    state_call(&a, close, 3);
    state_move(&a, &b, NULL);
    ck_assert_str_eq(state_read(&b, 9), "hello");
    ck_assert_int_eq(state_write(&b, 4, "again"), 5);
    ck_assert_str_eq(state_read(&b, 9), "again");
    state_end(&b);
}
END_TEST

START_TEST(a_counter_keeps_its_value)
{
    uint64_t value = 0;
    ck_assert_int_eq(state_call(&a, eventfd2, 5, EFD_SEMAPHORE | EFD_NONBLOCK), 3);
    ck_assert_int_eq(state_call(&a, eventfd2, 7, EFD_CLOEXEC), 4);
    state_move(&a, &b, NULL);
    ck_assert_int_eq(state_call(&b, read, 3, STATE_RESULT, 8), 8);
    state_get(&b, STATE_RESULT, &value, sizeof value);
    ck_assert_uint_eq(value, 1);
    ck_assert_int_eq(state_call(&b, read, 4, STATE_RESULT, 8), 8);
    state_get(&b, STATE_RESULT, &value, sizeof value);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(state_call(&b, fcntl, 3, F_GETFL), O_RDWR | O_NONBLOCK);
    ck_assert_int_eq(state_call(&b, fcntl, 4, F_GETFD), FD_CLOEXEC);
    state_end(&b);
}
END_TEST

START_TEST(an_epoll_instance_watches_on)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};
    struct epoll_event got[4];
    int32_t ends[2];
    ck_assert_int_eq(state_call(&a, epoll_create1, 0), 3);
    make_pipe(&a, 0, ends);
    ck_assert_int_eq(state_call(&a, eventfd2, 1, 0), 6);
    ck_assert_int_eq(
        state_call(&a, epoll_ctl, 3, EPOLL_CTL_ADD, 4, state_put(&a, &event, sizeof event)), 0);
    event.data.u64 = 88;
    event.events |= EPOLLONESHOT;
    ck_assert_int_eq(
        state_call(&a, epoll_ctl, 3, EPOLL_CTL_ADD, 6, state_put(&a, &event, sizeof event)), 0);
    ck_assert_int_eq(state_call(&a, epoll_pwait, 3, STATE_RESULT, 4, 0, 0), 1);
    state_move(&a, &b, NULL);

    ck_assert_int_eq(state_call(&b, epoll_pwait, 3, STATE_RESULT, 4, 0, 0), 0);
    ck_assert_int_eq(state_write(&b, 5, "x"), 1);
    ck_assert_int_eq(state_call(&b, epoll_pwait, 3, STATE_RESULT, 4, 0, 0), 1);
    state_get(&b, STATE_RESULT, got, sizeof got[0]);
    ck_assert_uint_eq(got[0].data.u64, 77);
    event.events = EPOLLIN;
    ck_assert_int_eq(
        state_call(&b, epoll_ctl, 3, EPOLL_CTL_MOD, 6, state_put(&b, &event, sizeof event)), 0);
    ck_assert_int_eq(state_call(&b, epoll_pwait, 3, STATE_RESULT, 4, 0, 0), 2);
    state_get(&b, STATE_RESULT, got, 2 * sizeof got[0]);
    ck_assert_uint_eq(got[0].data.u64, 88);
    state_call(&b, close, 6);
    ck_assert_int_eq(state_call(&b, epoll_pwait, 3, STATE_RESULT, 4, 0, 0), 1);
    state_end(&b);
}
END_TEST

START_TEST(devices_and_texts_stay_open)
{
    char status[4096];
    ck_assert_int_eq(state_open(&a, "/dev/zero", O_RDWR, 0), 3);
    ck_assert_int_eq(state_open(&a, "/dev/full", O_WRONLY, 0), 4);
    ck_assert_int_eq(state_open(&a, "/proc/self/status", O_RDONLY, 0), 5);
    strcpy(status, state_read(&a, 5));
    ck_assert_int_eq(state_call(&a, lseek, 5, 6, SEEK_SET), 6);
    ck_assert_int_eq(state_open(&a, "/proc/self/fd", O_RDONLY | O_DIRECTORY, 0), 6);
    ck_assert_int_eq(state_open(&a, "/proc/self/fd/3", O_PATH | O_NOFOLLOW, 0), 7);
    ck_assert_int_eq(state_open(&a, "/", O_RDONLY, 0), 8);
    state_move(&a, &b, NULL);
    ck_assert_str_eq(state_read(&b, 5), status + 6);
    ck_assert_int_eq(state_write(&b, 4, "x"), -ENOSPC);
    ck_assert_int_eq(state_write(&b, 3, "x"), 1);
    ck_assert_int_eq(state_call(&b, read, 3, STATE_RESULT, 4), 4);
    ck_assert_int_eq(state_call(&b, read, 4, STATE_RESULT, 4), -EBADF);
    ck_assert_int_gt(state_call(&b, getdents64, 6, STATE_RESULT, 4096), 0);
    ck_assert_int_eq(state_call(&b, readlinkat, 7, state_string(&b, ""), STATE_RESULT, 100), 9);
    char link[10] = {0};
    state_get(&b, STATE_RESULT, link, 9);
    ck_assert_str_eq(link, "/dev/zero");
    ck_assert_int_eq(state_call(&b, openat, 8, state_string(&b, "dev/null"), O_RDONLY), 9);
    state_end(&b);
}
END_TEST

START_TEST(a_folder_is_read_on_from_where_it_was)
{
    char first[2000], rest[2000];
    ck_assert_int_eq(state_open(&a, "/proc", O_RDONLY, 0), 3);
    ck_assert_int_eq(state_open(&a, "/", O_RDONLY, 0), 4);
    ck_assert_int_gt(state_call(&a, getdents64, 3, STATE_RESULT, 100), 0);
    ck_assert_int_gt(state_call(&a, getdents64, 4, STATE_RESULT, 64), 0);
    struct vmk_bytes bytes = state_save(&a);
    int64_t size = state_call(&a, getdents64, 3, STATE_RESULT, sizeof first);
    ck_assert_int_gt(size, 0);
    state_get(&a, STATE_RESULT, first, (size_t)size);
    state_prepare(&b, config);
    state_load(&b, config, bytes);
    ck_assert_int_eq(state_call(&b, getdents64, 3, STATE_RESULT, sizeof rest), size);
    state_get(&b, STATE_RESULT, rest, (size_t)size);
    ck_assert_mem_eq(first, rest, (size_t)size);
    size = state_call(&a, getdents64, 4, STATE_RESULT, 4096);
    ck_assert_int_eq(state_call(&b, getdents64, 4, STATE_RESULT, 4096), size);
    state_end(&a);
    state_end(&b);
}
END_TEST

START_TEST(the_program_and_its_strings_are_told_as_before)
{
    struct stat status;
    static const char *const arguments[] = {"program", "one", "", NULL};
    state_end(&a);
    vmk_config_set_arguments(config, arguments, NULL);
    state_start(&a, config);
    ck_assert_int_eq(state_open(&a, "/proc/self/exe", O_RDONLY, 0), 3);
    state_call(&a, chdir, state_string(&a, "/dev"));
    state_move(&a, &b, config);
    ck_assert_int_eq(state_call(&b, getcwd, STATE_RESULT, 10), 5);
    int64_t fd = state_open(&b, "/proc/self/cmdline", O_RDONLY, 0);
    ck_assert_int_eq(state_call(&b, read, (uint64_t)fd, STATE_RESULT, 100), 13);
    char text[14] = {0};
    state_get(&b, STATE_RESULT, text, 13);
    ck_assert_mem_eq(text, "program\0one\0\0", 13);
    ck_assert_str_eq(state_read(&b, 3), "\177ELF");
    /* Without a program in the configuration its name and its size are left of it. */
    struct state_guest c;
    state_move(&b, &c, NULL);
    ck_assert_ptr_null(state_read(&c, 3));
    ck_assert_int_eq(state_call(&c, fstat, 3, STATE_RESULT), 0);
    state_get(&c, STATE_RESULT, &status, sizeof status);
    ck_assert_int_eq(status.st_size, 4);
    ck_assert_int_eq(
        state_call(&c, readlink, state_string(&c, "/proc/self/exe"), STATE_RESULT, 100), 8);
    state_move(&c, &b, config);
    ck_assert_int_eq(state_call(&b, lseek, 3, 0, SEEK_SET), 0);
    ck_assert_str_eq(state_read(&b, 3), "\177ELF");
    state_end(&b);
}
END_TEST

START_TEST(many_descriptors_are_carried)
{
    state_end(&a);
    vmk_config_set_open_files_limit(config, 400, NULL);
    state_start(&a, config);
    for (uint64_t i = 0; i < 150; i++)
        ck_assert_int_ge(state_call(&a, eventfd2, i, 0), 3);
    for (uint64_t fd = 3; fd < 153; fd++)
        ck_assert_int_eq(state_call(&a, dup2, fd, fd + 200), (int64_t)fd + 200);
    state_move(&a, &b, config);
    for (uint64_t fd = 4; fd < 153; fd++) {
        uint64_t value;
        ck_assert_int_eq(state_call(&b, read, fd + 200, STATE_RESULT, 8), 8);
        state_get(&b, STATE_RESULT, &value, sizeof value);
        ck_assert_uint_eq(value, fd - 3);
    }
    ck_assert_uint_eq(b.process.files->open_count, 153);
    state_end(&b);
}
END_TEST

START_TEST(a_pipe_above_the_memory_limit_is_refused)
{
    int32_t ends[2];
    make_pipe(&a, 0, ends);
    ck_assert_int_eq(state_call(&a, munmap, STATE_BASE, STATE_SIZE), 0);
    ck_assert_int_eq(state_call(&a, fcntl, 3, F_SETPIPE_SZ, 1 << 20), 1 << 20);
    struct vmk_bytes bytes = state_save(&a);
    vmk_config_set_memory_limit(config, 1 << 20, NULL);
    state_load_fails(&bytes, config, E2BIG, "a pipe of the snapshot's process does not fit");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("state_files");
    TCase *tcase = tcase_create("state_files");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_pipe_keeps_its_bytes_and_both_ends);
    tcase_add_test(tcase, one_end_of_a_pipe_alone_is_carried);
    tcase_add_test(tcase, the_writing_end_may_come_first);
    tcase_add_test(tcase, a_counter_keeps_its_value);
    tcase_add_test(tcase, an_epoll_instance_watches_on);
    tcase_add_test(tcase, devices_and_texts_stay_open);
    tcase_add_test(tcase, a_folder_is_read_on_from_where_it_was);
    tcase_add_test(tcase, the_program_and_its_strings_are_told_as_before);
    tcase_add_test(tcase, many_descriptors_are_carried);
    tcase_add_test(tcase, a_pipe_above_the_memory_limit_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
