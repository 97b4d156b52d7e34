/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "fake_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void
assert_output(uint32_t stream, const char *expected)
{
    const void *data;
    uint64_t size;
    ck_assert_int_eq(vmk_files_get_output(fake.process.files, stream, &data, &size), 0);
    ck_assert_uint_eq(size, strlen(expected));
    ck_assert_mem_eq(data, expected, size);
}

START_TEST(output_is_kept_in_buffers)
{
    fake_start();
    assert_output(1, "");
    ck_assert_int_eq(fake_write(1, "hello "), 6);
    ck_assert_int_eq(fake_write(2, "error"), 5);
    ck_assert_int_eq(fake_write(1, "world\n"), 6);
    assert_output(1, "hello world\n");
    assert_output(2, "error");
    ck_assert_uint_eq(fake.process.output_bytes, 17);
    const void *data;
    uint64_t size;
    ck_assert_int_eq(vmk_files_get_output(fake.process.files, 0, &data, &size), -EINVAL);
    ck_assert_int_eq(vmk_files_get_output(fake.process.files, 3, &data, &size), -EINVAL);
}
END_TEST

START_TEST(large_writes_cross_pages_and_come_out_whole)
{
    fake_start();
    uint8_t *bytes = fake_at(FAKE_BASE);
    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (uint8_t)(i * 7 >> 3);
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE + 5, 299000), 299000);
    const void *data;
    uint64_t size;
    vmk_files_get_output(fake.process.files, 1, &data, &size);
    ck_assert_uint_eq(size, 299000);
    ck_assert_mem_eq(data, bytes + 5, 299000);
}
END_TEST

START_TEST(a_full_buffer_ends_the_run_after_its_last_byte)
{
    vmk_config_set_output_buffer(fake.config, 1, 8, NULL);
    fake_start();
    ck_assert_int_eq(fake_write(1, "12345678"), 8);
    ck_assert(!vmk_process_ended(&fake.process));
    ck_assert_int_eq(fake_write(1, "9"), 0);
    ck_assert_int_eq(fake.process.ending.kind, VMKIT_OUTCOME_LIMIT);
    ck_assert_int_eq(fake.process.ending.limit, VMKIT_LIMIT_OUTPUT);
    assert_output(1, "12345678");
}
END_TEST

START_TEST(the_output_limit_counts_both_streams)
{
    vmk_config_set_output_limit(fake.config, 10, NULL);
    fake_start();
    ck_assert_int_eq(fake_write(1, "123456"), 6);
    ck_assert_int_eq(fake_write(2, "abcdef"), 4);
    ck_assert_int_eq(fake.process.ending.limit, VMKIT_LIMIT_OUTPUT);
    assert_output(2, "abcd");
    ck_assert_uint_eq(fake.process.output_bytes, 10);
}
END_TEST

START_TEST(empty_input_ends_at_once)
{
    fake_start();
    ck_assert_str_eq(fake_read(0), "");
    ck_assert_int_eq(fake_call(write, 0, FAKE_BASE, 1), -EBADF);
    ck_assert_int_eq(fake_call(read, 1, FAKE_BASE, 1), -EBADF);
}
END_TEST

START_TEST(input_given_at_once_is_read_in_pieces)
{
    vmk_config_set_input(fake.config, "one two", 7, NULL);
    fake_start();
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 4), 4);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "one ", 4);
    ck_assert_str_eq(fake_read(0), "two");
    ck_assert_str_eq(fake_read(0), "");
    ck_assert_int_eq(fake_call(lseek, 0, 0, SEEK_SET), -ESPIPE);
}
END_TEST

START_TEST(wild_pointers_and_lengths_are_refused)
{
    vmk_config_set_input(fake.config, "abcdef", 6, NULL);
    fake_start();
    ck_assert_int_eq(fake_call(write, 1, FAKE_WILD, 5), -EFAULT);
    ck_assert_int_eq(fake_call(write, 1, 0, 5), -EFAULT);
    ck_assert_int_eq(fake_call(write, 1, UINT64_MAX - 2, 5), -EFAULT);
    ck_assert_int_eq(fake_call(write, 1, FAKE_WILD, 0), 0);
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE, UINT64_MAX), -EFAULT);
    ck_assert_int_eq(fake_call(read, 0, FAKE_READ_ONLY, 4), -EFAULT);
    ck_assert_int_eq(fake_call(write, 99, FAKE_BASE, 1), -EBADF);
    ck_assert_int_eq(fake_call(write, UINT64_MAX, FAKE_BASE, 1), -EBADF);
    ck_assert_int_eq(fake_call(pread64, 0, FAKE_BASE, 1, 0), -ESPIPE);
    ck_assert_int_eq(fake_call(pread64, 0, FAKE_BASE, 1, (uint64_t)-1), -EINVAL);
    /* What is there up to the bad page is written; then the rest fails. */
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE + FAKE_SIZE - 10, 100), 10);
    ck_assert_str_eq(fake_read(0), "abcdef");
}
END_TEST

START_TEST(vectors_are_gathered_and_checked)
{
    fake_start();
    uint64_t parts[6] = {fake_string("ab"), 2, FAKE_WILD, 0, fake_string("cde"), 3};
    uint64_t at = fake_put(FAKE_BASE, parts, sizeof parts);
    ck_assert_int_eq(fake_call(writev, 1, at, 3), 5);
    assert_output(1, "abcde");
    ck_assert_int_eq(fake_call(writev, 1, at, 1025), -EINVAL);
    ck_assert_int_eq(fake_call(writev, 1, at, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(fake_call(writev, 1, FAKE_WILD, 2), -EFAULT);
    ck_assert_int_eq(fake_call(writev, 1, at, 0), 0);
    parts[1] = INT64_MAX;
    fake_put(FAKE_BASE, parts, sizeof parts);
    ck_assert_int_eq(fake_call(writev, 1, at, 3), -EFAULT);
    parts[5] = UINT64_MAX;
    fake_put(FAKE_BASE, parts, sizeof parts);
    ck_assert_int_eq(fake_call(writev, 1, at, 3), -EINVAL);
    ck_assert_int_eq(fake_call(pwritev2, 1, at, 3, UINT64_MAX, 0, 64), -EOPNOTSUPP);
}
END_TEST

static char taken[64];
static int64_t callback_answer;

static int64_t
take(void *user_data, const void *data, uint64_t size)
{
    if (callback_answer != 0)
        return callback_answer;
    strncat(taken, data, (size_t)(size < 3 ? size : 3));
    *(int *)user_data += 1;
    return size < 3 ? (int64_t)size : 3;
}

static int64_t
give(void *user_data, void *buffer, uint64_t size)
{
    if (callback_answer != 0)
        return callback_answer;
    memcpy(buffer, "xy", 2);
    return 2;
}

START_TEST(callbacks_take_and_give)
{
    int calls = 0;
    taken[0] = '\0';
    callback_answer = 0;
    vmk_config_set_output_callback(fake.config, 1, take, &calls, NULL);
    vmk_config_set_input_callback(fake.config, give, NULL, NULL);
    fake_start();
    ck_assert_int_eq(fake_write(1, "abcdefgh"), 8);
    ck_assert_str_eq(taken, "abcdefgh");
    ck_assert_int_eq(calls, 3);
    ck_assert_str_eq(fake_read(0), "xy");
}
END_TEST

START_TEST(a_callback_that_misbehaves_is_an_io_error)
{
    static const int64_t answers[] = {100, -513, -5000, INT64_MIN, INT64_MAX};
    vmk_config_set_output_callback(fake.config, 1, take, NULL, NULL);
    vmk_config_set_input_callback(fake.config, give, NULL, NULL);
    fake_start();
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        callback_answer = answers[i];
        ck_assert_int_eq(fake_write(1, "abc"), -EIO);
        ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 10), -EIO);
    }
    callback_answer = -ENOSPC;
    ck_assert_int_eq(fake_write(1, "abc"), -ENOSPC);
    ck_assert(!vmk_signals_pending(&fake.process));
    callback_answer = -EPIPE;
    ck_assert_int_eq(fake_write(1, "abc"), -EPIPE);
    ck_assert(vmk_signals_pending(&fake.process));
}
END_TEST

START_TEST(a_pipe_without_a_reader_signals_the_guest_and_not_the_caller)
{
    int ends[2];
    sigset_t pending;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    signal(SIGPIPE, SIG_DFL);
    vmk_config_set_stream_fd(fake.config, 1, ends[1], NULL);
    fake_start();
    ck_assert_int_eq(fake_write(1, "abc"), 3);
    close(ends[0]);
    ck_assert_int_eq(fake_write(1, "abc"), -EPIPE);
    ck_assert(vmk_signals_pending(&fake.process));
    sigpending(&pending);
    ck_assert_int_eq(sigismember(&pending, SIGPIPE), 0);
    close(ends[1]);
}
END_TEST

START_TEST(a_signal_that_was_pending_before_stays_pending)
{
    int ends[2];
    sigset_t set;
    sigset_t pending;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    vmk_config_set_stream_fd(fake.config, 1, ends[1], NULL);
    fake_start();
    close(ends[0]);
    ck_assert_int_eq(fake_write(1, "abc"), -EPIPE);
    sigpending(&pending);
    ck_assert_int_eq(sigismember(&pending, SIGPIPE), 1);
    close(ends[1]);
}
END_TEST

START_TEST(a_full_pipe_blocks_the_guest_and_not_the_host)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    vmk_config_set_stream_fd(fake.config, 1, ends[1], NULL);
    fake_start();
    int64_t wrote = fake_call(write, 1, FAKE_BASE, 1 << 20);
    ck_assert_int_eq(wrote, 65536);
    ck_assert_int_eq(fake_write(1, "x"), -VMK_ERESTARTSYS);
    ck_assert_int_eq(fake_call(fcntl, 1, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(fake_write(1, "x"), -EAGAIN);
    /* The embedder's description keeps its flags. */
    ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(an_empty_pipe_and_a_socket_wait_for_input)
{
    int ends[2];
    int sockets[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    vmk_config_set_stream_fd(fake.config, 0, ends[0], NULL);
    vmk_config_set_stream_fd(fake.config, 1, sockets[0], NULL);
    fake_start();
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 10), -VMK_ERESTARTSYS);
    ck_assert_int_eq(write(ends[1], "data", 4), 4);
    ck_assert_str_eq(fake_read(0), "data");
    close(ends[1]);
    ck_assert_str_eq(fake_read(0), "");
    ck_assert_int_eq(fake_write(1, "abc"), 3);
    close(sockets[1]);
    ck_assert_int_eq(fake_write(1, "abc"), -EPIPE);
    close(ends[0]);
    close(sockets[0]);
}
END_TEST

START_TEST(a_file_as_a_stream_keeps_the_shared_position)
{
    char path[] = "/tmp/vmkit-stream-XXXXXX";
    int fd = mkstemp(path);
    char buffer[16] = "";
    unlink(path);
    vmk_config_set_stream_fd(fake.config, 1, fd, NULL);
    fake_start();
    ck_assert_int_eq(fake_write(1, "abc"), 3);
    ck_assert_int_eq(write(fd, "DEF", 3), 3);
    ck_assert_int_eq(fake_write(1, "ghi"), 3);
    ck_assert_int_eq(pread(fd, buffer, 15, 0), 9);
    ck_assert_str_eq(buffer, "abcDEFghi");
    ck_assert_int_eq(fake_call(lseek, 1, 0, SEEK_CUR), 9);
    close(fd);
}
END_TEST

/* A file of the host with content, open at its end. */
static int
open_log(void)
{
    char path[] = "/tmp/vmkit-stream-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(write(fd, "log\n", 4), 4);
    return fd;
}

static void
check_log(int fd, const char *text)
{
    char buffer[64] = "";
    ck_assert_int_eq(pread(fd, buffer, sizeof buffer - 1, 0), (ssize_t)strlen(text));
    ck_assert_str_eq(buffer, text);
}

START_TEST(an_output_file_is_written_in_sequence_alone)
{
    int fd = open_log();
    if (_i == 1)
        ck_assert_int_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
    vmk_config_set_stream_fd(fake.config, 1, fd, NULL);
    vmk_config_set_stream_fd(fake.config, 2, fd, NULL);
    vmk_config_set_output_limit(fake.config, 10, NULL);
    fake_start();
    uint64_t part[] = {fake_string("Z"), 1}, at = fake_put(FAKE_BASE, part, sizeof part);
    for (uint64_t stream = 1; stream <= 2; stream++) {
        ck_assert_int_eq(fake_call(ftruncate, stream, 0), -EINVAL);
        ck_assert_int_eq(fake_call(ftruncate, stream, 1 << 20), -EINVAL);
        ck_assert_int_eq(fake_call(fallocate, stream, 0, 0, 100), -ENODEV);
        ck_assert_int_eq(fake_call(pwrite64, stream, part[0], 1, 0), -ESPIPE);
        ck_assert_int_eq(fake_call(pwrite64, stream, part[0], 1, 1 << 30), -ESPIPE);
        ck_assert_int_eq(fake_call(pwritev, stream, at, 1, 2, 0), -ESPIPE);
        ck_assert_int_eq(fake_call(pwritev2, stream, at, 1, 2, 0, 0), -ESPIPE);
        ck_assert_int_eq(fake_call(lseek, stream, 0, SEEK_SET), -ESPIPE);
        ck_assert_int_eq(fake_call(lseek, stream, 1 << 30, SEEK_CUR), -ESPIPE);
        ck_assert_int_eq(fake_call(lseek, stream, (uint64_t)-1, SEEK_END), -ESPIPE);
        ck_assert_int_eq(fake_call(lseek, stream, INT64_MAX, SEEK_CUR), -ESPIPE);
        ck_assert_int_eq(fake_call(lseek, stream, 0, SEEK_DATA), -ESPIPE);
        /* Where it stands may be asked. */
        ck_assert_int_eq(fake_call(lseek, stream, 0, SEEK_CUR), 4);
        ck_assert_int_eq(fake_call(lseek, stream, 0, SEEK_END), 4);
        ck_assert_int_eq(fake_call(lseek, stream, 4, SEEK_SET), 4);
    }
    check_log(fd, "log\n");
    ck_assert_int_eq(fake_write(1, "12345678"), 8);
    ck_assert_int_eq(fake_write(2, "abcdefgh"), 2);
    ck_assert_int_eq(fake.process.ending.limit, VMKIT_LIMIT_OUTPUT);
    check_log(fd, "log\n12345678ab");
    close(fd);
}
END_TEST

/* A copy goes where a write would, and counts as one. */
START_TEST(a_copy_to_an_output_file_counts)
{
    int fd = open_log();
    vmk_config_set_stream_fd(fake.config, 1, fd, NULL);
    vmk_config_set_output_limit(fake.config, 10, NULL);
    fake_start();
    uint64_t file = (uint64_t)fake_call(memfd_create, fake_string("file"), 0);
    ck_assert_int_eq(fake_write((int)file, "0123456789abcdef"), 16);
    ck_assert_int_eq(fake_call(lseek, file, 0, SEEK_SET), 0);
    ck_assert_int_eq(fake_call(sendfile, 1, file, 0, 4), 4);
    ck_assert_int_eq(fake_write(1, "+"), 1);
    ck_assert_int_eq(fake_call(sendfile, 1, file, 0, 100), 5);
    ck_assert_int_eq(fake.process.ending.limit, VMKIT_LIMIT_OUTPUT);
    check_log(fd, "log\n0123+45678");
    close(fd);
}
END_TEST

START_TEST(an_input_that_is_the_output_too_does_not_move_it)
{
    int fd = open_log();
    vmk_config_set_stream_fd(fake.config, 0, fd, NULL);
    vmk_config_set_stream_fd(fake.config, _i == 0 ? 1 : 2, fd, NULL);
    fake_start();
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 2), 2);
    ck_assert_int_eq(fake_call(lseek, 0, 0, SEEK_SET), -ESPIPE);
    ck_assert_int_eq(fake_call(sendfile, 1, 0, 0, 10), -ESPIPE);
    ck_assert_int_eq(fake_call(pread64, 0, FAKE_BASE, 10, 0), 4);
    close(fd);
}
END_TEST

/* Whatever the descriptor would allow. */
START_TEST(a_stream_goes_in_its_own_direction)
{
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
    char path[32];
    int log = open_log();
    snprintf(path, sizeof path, "/proc/self/fd/%d", log);
    int fd = open(path, modes[_i] | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    for (uint32_t stream = 0; stream <= 2; stream++)
        vmk_config_set_stream_fd(fake.config, stream, fd, NULL);
    fake_start();
    ck_assert_int_eq(fake_write(0, "abc"), -EBADF);
    ck_assert_int_eq(fake_call(fcntl, 0, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 1), modes[_i] == O_WRONLY ? -EBADF : 1);
    for (int stream = 1; stream <= 2; stream++) {
        uint64_t number = (uint64_t)stream;
        ck_assert_int_eq(fake_call(read, number, FAKE_BASE, 1), -EBADF);
        ck_assert_int_eq(fake_call(pread64, number, FAKE_BASE, 1, 0), -EBADF);
        ck_assert_int_eq(fake_call(fcntl, number, F_GETFL) & O_ACCMODE, O_WRONLY);
        ck_assert_int_eq(fake_write(stream, "+"), modes[_i] == O_RDONLY ? -EBADF : 1);
    }
    static const char *const expected[] = {"log\n", "++g\n", "l++\n"};
    check_log(log, expected[_i]);
    close(fd);
    close(log);
}
END_TEST

START_TEST(an_input_file_has_a_position)
{
    int fd = open_log();
    vmk_config_set_stream_fd(fake.config, 0, fd, NULL);
    fake_start();
    ck_assert_int_eq(fake_call(lseek, 0, 1, SEEK_SET), 1);
    ck_assert_str_eq(fake_read(0), "og\n");
    ck_assert_int_eq(fake_call(lseek, 0, (uint64_t)-2, SEEK_END), 2);
    ck_assert_int_eq(fake_call(ftruncate, 0, 0), -EINVAL);
    check_log(fd, "log\n");
    close(fd);
}
END_TEST

START_TEST(the_hosts_file_size_limit_signals_the_guest_alone)
{
    char path[] = "/tmp/vmkit-stream-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    struct rlimit limit = {4, RLIM_INFINITY};
    vmk_config_set_stream_fd(fake.config, 1, fd, NULL);
    fake_start();
    /* The harness writes a file too: nothing is asserted under the limit. */
    uint64_t text = fake_string("abcde");
    setrlimit(RLIMIT_FSIZE, &limit);
    int64_t below = fake_call(write, 1, text, 4);
    int64_t above = fake_call(write, 1, text + 4, 1);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_int_eq(below, 4);
    ck_assert_int_eq(above, -EFBIG);
    ck_assert(vmk_signals_pending(&fake.process));
    close(fd);
}
END_TEST

START_TEST(descriptors_are_given_from_the_lowest_up_to_the_limit)
{
    vmk_config_set_open_files_limit(fake.config, 6, NULL);
    fake_start();
    ck_assert_int_eq(fake_call(dup, 1), 3);
    ck_assert_int_eq(fake_call(dup, 1), 4);
    ck_assert_int_eq(fake_call(close, 3), 0);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD_CLOEXEC, 5), 5);
    ck_assert_int_eq(fake_call(fcntl, 5, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fake_call(dup, 2), 3);
    ck_assert_int_eq(fake_call(dup, 2), -EMFILE);
    ck_assert_int_eq(fake_call(fcntl, 1, F_DUPFD, 6), -EINVAL);
    ck_assert_int_eq(fake_call(dup3, 1, 6, 0), -EBADF);
    ck_assert_int_eq(fake_call(dup3, 1, 1, 0), -EINVAL);
    ck_assert_int_eq(fake_call(dup3, 1, 4, O_CLOEXEC), 4);
    ck_assert_int_eq(fake_call(close, 5), 0);
    ck_assert_int_eq(fake_call(close, 5), -EBADF);
    ck_assert_int_eq(fake_call(close, UINT64_MAX), -EBADF);
    ck_assert_int_eq(fake_call(close_range, 3, UINT32_MAX, 0), 0);
    ck_assert_int_eq(fake_call(dup, 4), -EBADF);
    ck_assert_int_eq(fake_call(close_range, 4, 3, 0), -EINVAL);
    ck_assert_int_eq(fake_write(1, "still"), 5);
}
END_TEST

START_TEST(a_pipe_of_the_guest_is_a_ring)
{
    fake_start();
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE + 100, O_CLOEXEC), 0);
    int32_t fds[2];
    memcpy(fds, fake_at(FAKE_BASE + 100), sizeof fds);
    ck_assert_int_eq(fds[0], 3);
    ck_assert_int_eq(fds[1], 4);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(fake_call(write, 4, FAKE_BASE + 4096, 3000), 3000);
        ck_assert_int_eq(fake_write(4, "tail"), 4);
        ck_assert_int_eq(fake_call(read, 3, FAKE_BASE + 8192, 3000), 3000);
        ck_assert_str_eq(fake_read(3), "tail");
    }
    ck_assert_int_eq(fake_call(fcntl, 3, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(fake_call(read, 3, FAKE_BASE, 1), -EAGAIN);
    ck_assert_int_eq(fake_call(write, 4, FAKE_BASE, 70000), 65536);
    ck_assert_int_eq(fake_call(fcntl, 4, F_SETPIPE_SZ, 4096), -EBUSY);
    ck_assert_int_eq(fake_call(fcntl, 4, F_SETPIPE_SZ, 100000), 131072);
    ck_assert_int_eq(fake_call(write, 4, fake_string("end"), 3), 3);
    ck_assert_int_eq(fake_call(fcntl, 4, F_GETPIPE_SZ), 131072);
    ck_assert_int_eq(fake_call(close, 4), 0);
    ck_assert_int_eq(fake_call(read, 3, FAKE_BASE, 65536), 65536);
    ck_assert_str_eq(fake_read(3), "end");
    ck_assert_str_eq(fake_read(3), "");
    ck_assert_int_eq(fake_call(pipe2, FAKE_WILD, 0), -EFAULT);
    ck_assert_int_eq(fake_call(dup, 1), 4);
}
END_TEST

START_TEST(a_pipe_without_a_reader_is_broken)
{
    fake_start();
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE + 100, 0), 0);
    ck_assert_int_eq(fake_call(close, 3), 0);
    ck_assert_int_eq(fake_write(4, "x"), -EPIPE);
    ck_assert(vmk_signals_pending(&fake.process));
}
END_TEST

START_TEST(pipes_count_against_the_memory_limit)
{
    vmk_config_set_memory_limit(fake.config, 1 << 20, NULL);
    fake_start();
    uint64_t before = fake.account.used;
    for (int i = 0; i < 15; i++)
        ck_assert_int_eq(fake_call(pipe2, FAKE_BASE, 0), 0);
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE, 0), -ENFILE);
    ck_assert_int_eq(fake_call(close_range, 3, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(fake.account.used, before);
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE, 0), 0);
}
END_TEST

static int64_t
control(int64_t epoll, int operation, int64_t fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)fd + 100};
    fake_put(FAKE_BASE, &event, sizeof event);
    return fake_call(epoll_ctl, (uint64_t)epoll, (uint64_t)operation, (uint64_t)fd, FAKE_BASE);
}

START_TEST(epoll_reports_what_is_ready_until_it_is_gone)
{
    struct epoll_event events[2];
    fake_start();
    int64_t epoll = fake_call(epoll_create1, 0);
    int64_t counter = fake_call(eventfd2, 0, EFD_NONBLOCK);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_ADD, counter, EPOLLIN), 0);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_ADD, counter, EPOLLIN), -EEXIST);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN), -EINVAL);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_MOD, 1, EPOLLOUT), -ENOENT);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_ADD, 0, EPOLLIN), -EPERM);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 0);
    uint64_t value = 5;
    fake_put(FAKE_BASE + 64, &value, sizeof value);
    ck_assert_int_eq(fake_call(write, (uint64_t)counter, FAKE_BASE + 64, 8), 8);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, (uint64_t)-1), 1);
    memcpy(events, fake_at(FAKE_BASE), sizeof events);
    ck_assert_uint_eq(events[0].events, EPOLLIN);
    ck_assert_uint_eq(events[0].data.u64, (uint64_t)counter + 100);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_ADD, 1, EPOLLOUT | EPOLLONESHOT), 0);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 2);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 1);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_WILD, 2, 0), -EFAULT);
    ck_assert_int_eq(fake_call(read, (uint64_t)counter, FAKE_BASE + 64, 8), 8);
    memcpy(&value, fake_at(FAKE_BASE + 64), sizeof value);
    ck_assert_uint_eq(value, 5);
    ck_assert_int_eq(fake_call(read, (uint64_t)counter, FAKE_BASE + 64, 8), -EAGAIN);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 0);
    /* A file that is closed is watched no more. */
    ck_assert_int_eq(fake_call(write, (uint64_t)counter, FAKE_BASE + 64, 8), 8);
    ck_assert_int_eq(fake_call(close, (uint64_t)counter), 0);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 0);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_DEL, 1, 0), 0);
}
END_TEST

START_TEST(an_edge_of_a_host_stream_comes_again_when_it_was_used)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(vmk_config_set_stream_fd(fake.config, VMKIT_STREAM_STDIN, ends[0], NULL), 0);
    fake_start();
    int64_t epoll = fake_call(epoll_create1, 0);
    ck_assert_int_eq(control(epoll, EPOLL_CTL_ADD, 0, EPOLLIN | EPOLLET), 0);
    ck_assert_int_eq(write(ends[1], "abcd", 4), 4);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, (uint64_t)-1), 1);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 20), 0);
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 2), 2);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 1);
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 2), 2);
    ck_assert_int_eq(write(ends[1], "e", 1), 1);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 0), 1);
    close(ends[1]);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, (uint64_t)-1), 1);
    ck_assert_int_eq(fake_call(epoll_pwait, (uint64_t)epoll, FAKE_BASE, 2, 20), 0);
    close(ends[0]);
}
END_TEST

START_TEST(memfds_have_no_seals)
{
    fake_start();
    ck_assert_int_eq(fake_call(memfd_create, fake_string("name"), MFD_ALLOW_SEALING), -EINVAL);
    int64_t fd = fake_call(memfd_create, fake_string("name"), MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fake_call(fcntl, (uint64_t)fd, F_GET_SEALS), -EINVAL);
}
END_TEST

START_TEST(poll_and_select_find_what_is_ready)
{
    struct pollfd fds[4] = {{0, POLLIN, 0}, {1, POLLIN | POLLOUT, 0}, {50, POLLIN, 0}, {-1, 0, 7}};
    struct timespec zero = {0, 0};
    uint64_t set = 3;
    vmk_config_set_input(fake.config, "x", 1, NULL);
    fake_start();
    fake_put(FAKE_BASE, fds, sizeof fds);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 4, 0, 0, 0), 3);
    memcpy(fds, fake_at(FAKE_BASE), sizeof fds);
    ck_assert_int_eq(fds[0].revents, POLLIN);
    ck_assert_int_eq(fds[1].revents, POLLOUT);
    ck_assert_int_eq(fds[2].revents, POLLNVAL);
    ck_assert_int_eq(fds[3].revents, 0);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 65, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(fake_call(ppoll, FAKE_WILD, 1, 0, 0, 0), -EFAULT);
    fake_put(FAKE_BASE + 200, &zero, sizeof zero);
    fake_put(FAKE_BASE + 300, &set, sizeof set);
    ck_assert_int_eq(fake_call(pselect6, 2, FAKE_BASE + 300, 0, 0, FAKE_BASE + 200, 0), 1);
    memcpy(&set, fake_at(FAKE_BASE + 300), sizeof set);
    ck_assert_uint_eq(set, 1);
    set = 1 << 20;
    fake_put(FAKE_BASE + 300, &set, sizeof set);
    ck_assert_int_eq(fake_call(pselect6, 30, FAKE_BASE + 300, 0, 0, FAKE_BASE + 200, 0), -EBADF);
    ck_assert_int_eq(fake_call(pselect6, (uint64_t)-1, 0, 0, 0, 0, 0), -EINVAL);
    /* A pipe that only the guest could fill: the wait ends by a signal alone. */
    ck_assert_int_eq(fake_call(pipe2, FAKE_BASE, 0), 0);
    fds[0] = (struct pollfd){3, POLLIN, 0};
    fake_put(FAKE_BASE, fds, sizeof fds[0]);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 1, FAKE_BASE + 200, 0, 0), 0);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 1, 0, 0, 0), -VMK_ERESTARTNOHAND);
    ck_assert_int_eq(fake_call(close, 4), 0);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 1, 0, 0, 0), 1);
    memcpy(fds, fake_at(FAKE_BASE), sizeof fds[0]);
    ck_assert_int_eq(fds[0].revents, POLLHUP);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_streams");
    TCase *tcase = tcase_create("sandbox_streams");

    tcase_add_checked_fixture(tcase, fake_set_up, fake_tear_down);
    tcase_add_test(tcase, output_is_kept_in_buffers);
    tcase_add_test(tcase, large_writes_cross_pages_and_come_out_whole);
    tcase_add_test(tcase, a_full_buffer_ends_the_run_after_its_last_byte);
    tcase_add_test(tcase, the_output_limit_counts_both_streams);
    tcase_add_test(tcase, empty_input_ends_at_once);
    tcase_add_test(tcase, input_given_at_once_is_read_in_pieces);
    tcase_add_test(tcase, wild_pointers_and_lengths_are_refused);
    tcase_add_test(tcase, vectors_are_gathered_and_checked);
    tcase_add_test(tcase, callbacks_take_and_give);
    tcase_add_test(tcase, a_callback_that_misbehaves_is_an_io_error);
    tcase_add_test(tcase, a_pipe_without_a_reader_signals_the_guest_and_not_the_caller);
    tcase_add_test(tcase, a_signal_that_was_pending_before_stays_pending);
    tcase_add_test(tcase, a_full_pipe_blocks_the_guest_and_not_the_host);
    tcase_add_test(tcase, an_empty_pipe_and_a_socket_wait_for_input);
    tcase_add_test(tcase, a_file_as_a_stream_keeps_the_shared_position);
    tcase_add_loop_test(tcase, an_output_file_is_written_in_sequence_alone, 0, 2);
    tcase_add_test(tcase, a_copy_to_an_output_file_counts);
    tcase_add_loop_test(tcase, an_input_that_is_the_output_too_does_not_move_it, 0, 2);
    tcase_add_loop_test(tcase, a_stream_goes_in_its_own_direction, 0, 3);
    tcase_add_test(tcase, an_input_file_has_a_position);
    tcase_add_test(tcase, the_hosts_file_size_limit_signals_the_guest_alone);
    tcase_add_test(tcase, descriptors_are_given_from_the_lowest_up_to_the_limit);
    tcase_add_test(tcase, a_pipe_of_the_guest_is_a_ring);
    tcase_add_test(tcase, a_pipe_without_a_reader_is_broken);
    tcase_add_test(tcase, pipes_count_against_the_memory_limit);
    tcase_add_test(tcase, epoll_reports_what_is_ready_until_it_is_gone);
    tcase_add_test(tcase, an_edge_of_a_host_stream_comes_again_when_it_was_used);
    tcase_add_test(tcase, memfds_have_no_seals);
    tcase_add_test(tcase, poll_and_select_find_what_is_ready);
    suite_add_tcase(suite, tcase);
    return suite;
}
