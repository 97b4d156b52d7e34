/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that are descriptors of the host: each way to use one without blocking in it, and without
 * a change of what the embedder shares. The linker leads some calls of the library here (--wrap),
 * so that they are missing as on other kernels.
 */
#include "harness.h"

#include "fake_guest.h"
#include "sandbox/hostio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

static struct {
    bool no_nowait; /* Pipes know no RWF_NOWAIT, */
    bool no_open;   /* and nothing is opened anew. */
    int nowait_calls;
} host;

ssize_t
__wrap_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t
__real_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t
__wrap_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t
__real_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
int
__wrap_open64(const char *path, int flags, mode_t mode);
int
__real_open64(const char *path, int flags, mode_t mode);

static bool
lacks_nowait(int flags)
{
    host.nowait_calls += (flags & RWF_NOWAIT) != 0;
    if (!host.no_nowait || (flags & RWF_NOWAIT) == 0)
        return false;
    errno = EOPNOTSUPP;
    return true;
}

ssize_t
__wrap_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    return lacks_nowait(flags) ? -1 : __real_preadv64v2(fd, iov, count, offset, flags);
}

ssize_t
__wrap_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    return lacks_nowait(flags) ? -1 : __real_pwritev64v2(fd, iov, count, offset, flags);
}

int
__wrap_open64(const char *path, int flags, mode_t mode)
{
    if (!host.no_open)
        return __real_open64(path, flags, mode);
    errno = EACCES;
    return -1;
}

static void
set_up(void)
{
    memset(&host, 0, sizeof host);
    fake_set_up();
}

static void
give(uint32_t stream, int fd)
{
    ck_assert_int_eq(vmk_config_set_stream_fd(fake.config, stream, fd, NULL), 0);
}

static bool
blocks(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

/* The two ends of a terminal whose lines arrive as they are sent. */
static void
open_terminal(int *ret_master, int *ret_slave)
{
    struct termios modes;
    *ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(*ret_master, 0);
    ck_assert_int_eq(grantpt(*ret_master), 0);
    ck_assert_int_eq(unlockpt(*ret_master), 0);
    *ret_slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(*ret_slave, 0);
    ck_assert_int_eq(tcgetattr(*ret_slave, &modes), 0);
    modes.c_oflag &= ~(tcflag_t)OPOST;
    modes.c_lflag &= ~(tcflag_t)ECHO;
    ck_assert_int_eq(tcsetattr(*ret_slave, TCSANOW, &modes), 0);
}

/* What is sent to a terminal arrives a little later. */
static void
send_line(int master, int slave, const char *line)
{
    struct pollfd entry = {.fd = slave, .events = POLLIN};
    ck_assert_int_eq(write(master, line, strlen(line)), (ssize_t)strlen(line));
    ck_assert_int_eq(poll(&entry, 1, 20000), 1);
}

START_TEST(a_terminal_is_used_through_a_description_of_its_own)
{
    int master, slave;
    char buffer[512];
    open_terminal(&master, &slave);
    give(0, slave);
    give(1, slave);
    fake_start();
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 10), -VMK_ERESTARTSYS);
    send_line(master, slave, "one\n");
    ck_assert_str_eq(fake_read(0), "one\n");
    send_line(master, slave, "two\n");
    ck_assert_str_eq(fake_read(0), "two\n");
    ck_assert_int_eq(fake_write(1, "answer"), 6);
    ck_assert_int_eq(read(master, buffer, sizeof buffer), 6);
    ck_assert_mem_eq(buffer, "answer", 6);
    ck_assert(blocks(slave));
    /* What nobody takes blocks the guest alone. */
    memset(fake_at(FAKE_BASE), 'x', 1 << 20);
    int64_t result, total = 0;
    while ((result = fake_call(write, 1, FAKE_BASE, 1 << 20)) >= 0)
        total += result;
    ck_assert_int_eq(result, -VMK_ERESTARTSYS);
    ck_assert_int_gt(total, 1000);
    ck_assert_int_lt(total, 1 << 20);
    close(master);
    close(slave);
}
END_TEST

START_TEST(a_terminal_tells_its_modes_and_lets_none_be_set)
{
    int master, slave;
    const struct winsize size = {.ws_row = 33, .ws_col = 44};
    struct winsize told;
    int number = 0;
    open_terminal(&master, &slave);
    ck_assert_int_eq(ioctl(slave, TIOCSWINSZ, &size), 0);
    give(0, slave);
    fake_start();
    ck_assert_int_eq(fake_call(ioctl, 0, TIOCGWINSZ, FAKE_BASE), 0);
    memcpy(&told, fake_at(FAKE_BASE), sizeof told);
    ck_assert_uint_eq(told.ws_row, 33);
    ck_assert_uint_eq(told.ws_col, 44);
    ck_assert_int_eq(fake_call(ioctl, 0, TCGETS, FAKE_BASE), 0);
    uint32_t local;
    memcpy(&local, fake_at(FAKE_BASE + 12), sizeof local);
    ck_assert_uint_eq(local & (ICANON | ECHO), ICANON);
    ck_assert_int_eq(fake_call(ioctl, 0, TIOCGPGRP, FAKE_BASE), 0);
    memcpy(&number, fake_at(FAKE_BASE), sizeof number);
    ck_assert_int_eq(number, (int)fake.process.pid);
    send_line(master, slave, "abc\n");
    ck_assert_int_eq(fake_call(ioctl, 0, FIONREAD, FAKE_BASE), 0);
    memcpy(&number, fake_at(FAKE_BASE), sizeof number);
    ck_assert_int_eq(number, 4);
    ck_assert_int_eq(fake_call(ioctl, 0, TIOCOUTQ, FAKE_BASE), 0);

    ck_assert_int_eq(fake_call(ioctl, 0, TIOCSPGRP, FAKE_BASE), 0);
    ck_assert_int_eq(fake_call(ioctl, 0, TCSETS, FAKE_BASE), -EPERM);
    ck_assert_int_eq(fake_call(ioctl, 0, TCSETSW, FAKE_BASE), -EPERM);
    ck_assert_int_eq(fake_call(ioctl, 0, TCSETSF, FAKE_BASE), -EPERM);
    ck_assert_int_eq(fake_call(ioctl, 0, TIOCSWINSZ, FAKE_BASE), -EPERM);
    ck_assert_int_eq(fake_call(ioctl, 0, TIOCSTI, FAKE_BASE), -ENOTTY);
    ck_assert_int_eq(fake_call(ioctl, 0, TCGETS, FAKE_WILD), -EFAULT);
    close(master);
    close(slave);
}
END_TEST

START_TEST(what_is_no_terminal_says_so)
{
    int ends[2], number;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    give(0, ends[0]);
    fake_start();
    static const uint64_t requests[] = {TCGETS,  TIOCGWINSZ, TIOCGPGRP, TIOCSPGRP,
                                        TCSETSW, TIOCSWINSZ, TIOCOUTQ,  0x1234};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        ck_assert_int_eq(fake_call(ioctl, 0, requests[i], FAKE_BASE), -ENOTTY);
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(fake_call(ioctl, 0, FIONREAD, FAKE_BASE), 0);
    memcpy(&number, fake_at(FAKE_BASE), sizeof number);
    ck_assert_int_eq(number, 3);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_socket_is_read_and_written_without_blocking)
{
    int sockets[2];
    char buffer[16];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    give(0, sockets[0]);
    give(1, sockets[0]);
    fake_start();
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 10), -VMK_ERESTARTSYS);
    ck_assert_int_eq(fake_call(fcntl, 0, F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 10), -EAGAIN);
    ck_assert_int_eq(write(sockets[1], "data", 4), 4);
    ck_assert_str_eq(fake_read(0), "data");
    ck_assert_int_eq(fake_write(1, "abc"), 3);
    ck_assert_int_eq(read(sockets[1], buffer, sizeof buffer), 3);
    ck_assert(blocks(sockets[0]));
    close(sockets[1]);
    ck_assert_str_eq(fake_read(0), "");
    ck_assert_int_eq(fake_write(1, "abc"), -EPIPE);
    ck_assert(vmk_signals_pending(&fake.process));
    close(sockets[0]);
}
END_TEST

/* Neither a file nor a pipe nor a socket: poll(2) is asked before each use. */
START_TEST(what_knows_no_other_way_is_polled_first)
{
    uint64_t value = 0;
    int fd = eventfd(0, EFD_CLOEXEC);
    give(0, fd);
    give(1, fd);
    fake_start();
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 8), -VMK_ERESTARTSYS);
    value = 5;
    fake_put(FAKE_BASE, &value, sizeof value);
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE, 8), 8);
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE + 64, 8), 8);
    memcpy(&value, fake_at(FAKE_BASE + 64), sizeof value);
    ck_assert_uint_eq(value, 5);
    value = UINT64_MAX - 1;
    fake_put(FAKE_BASE, &value, sizeof value);
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE, 8), 8);
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE, 8), -VMK_ERESTARTSYS);
    ck_assert(blocks(fd));
    close(fd);
}
END_TEST

/* The loop's number says whether the pipe can at least be opened anew. */
START_TEST(a_pipe_without_nowait_is_used_another_way)
{
    int in[2], out[2];
    static char buffer[70000];
    host.no_nowait = true;
    host.no_open = _i == 1;
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    give(0, in[0]);
    give(1, out[1]);
    fake_start();
    ck_assert_int_eq(fake_call(read, 0, FAKE_BASE, 10), -VMK_ERESTARTSYS);
    ck_assert_int_eq(write(in[1], "data", 4), 4);
    ck_assert_str_eq(fake_read(0), "data");
    ck_assert_int_eq(fake_write(1, "abc"), 3);
    ck_assert_int_eq(read(out[0], buffer, sizeof buffer), 3);
    /* It was asked once for each stream. */
    ck_assert_int_eq(host.nowait_calls, 2);

    /* As much as the pipe holds, and not a byte waits in the host. */
    memset(fake_at(FAKE_BASE), 'x', sizeof buffer);
    int64_t wrote = fake_call(write, 1, FAKE_BASE, sizeof buffer);
    ck_assert_int_ge(wrote, 65536 - PIPE_BUF);
    ck_assert_int_le(wrote, 65536);
    ck_assert_int_eq(fake_call(write, 1, FAKE_BASE, PIPE_BUF), -VMK_ERESTARTSYS);
    ck_assert_int_eq(read(out[0], buffer, sizeof buffer), wrote);
    ck_assert(blocks(in[0]) && blocks(out[1]));

    close(in[1]);
    ck_assert_str_eq(fake_read(0), "");
    close(out[0]);
    ck_assert_int_eq(fake_write(1, "abc"), -EPIPE);
    close(in[0]);
    close(out[1]);
}
END_TEST

/* The host's signals are taken back; the guest gets those that the call made. */
START_TEST(an_error_signals_the_guest_only_where_the_host_sent_a_signal)
{
    static const struct {
        int error, signal;
    } cases[] = {{EPIPE, SIGPIPE}, {EFBIG, SIGXFSZ}};
    struct vmk_host_guard guard;
    sigset_t pending;
    fake_start();
    for (size_t i = 0; i < 2; i++) {
        vmk_host_guard_enter(&guard);
        ck_assert_int_eq(vmk_host_guard_leave(&guard, &fake.process, -cases[i].error),
                         -cases[i].error);
        ck_assert(!vmk_signals_pending(&fake.process));
        /* Of another error. */
        vmk_host_guard_enter(&guard);
        raise(cases[!i].signal);
        ck_assert_int_eq(vmk_host_guard_leave(&guard, &fake.process, -cases[i].error),
                         -cases[i].error);
        ck_assert(!vmk_signals_pending(&fake.process));
    }
    for (size_t i = 0; i < 2; i++) {
        vmk_host_guard_enter(&guard);
        raise(cases[i].signal);
        vmk_host_guard_leave(&guard, &fake.process, -cases[i].error);
        ck_assert(vmk_signals_pending(&fake.process));
        sigpending(&pending);
        ck_assert_int_eq(sigismember(&pending, cases[i].signal), 0);
        fake_tear_down();
        set_up();
        fake_start();
    }
}
END_TEST

START_TEST(a_file_is_synced)
{
    char path[] = "/tmp/vmkit-hostio-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    give(1, fd);
    fake_start();
    ck_assert_int_eq(fake_write(1, "abcdefgh"), 8);
    ck_assert_int_eq(fake_call(fsync, 1), 0);
    ck_assert_int_eq(fake_call(fdatasync, 1), 0);
    ck_assert_int_eq(fake_call(fallocate, 1, 0, 0, 10), -ENODEV);
    ck_assert_int_eq(fake_call(ioctl, 1, TIOCGWINSZ, FAKE_BASE), -ENOTTY);
    close(fd);
}
END_TEST

START_TEST(a_pipe_is_neither_cut_nor_synced)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    give(1, ends[1]);
    fake_start();
    ck_assert_int_eq(fake_call(ftruncate, 1, 4), -EINVAL);
    ck_assert_int_eq(fake_call(fsync, 1), -EINVAL);
    ck_assert_int_eq(fake_call(fdatasync, 1), -EINVAL);
    ck_assert_int_eq(fake_call(lseek, 1, 0, SEEK_SET), -ESPIPE);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(a_wait_for_a_stream_goes_to_the_host)
{
    int ends[2];
    struct pollfd entry = {.fd = 0, .events = POLLIN};
    const struct timespec brief = {.tv_nsec = 1000000};
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    give(0, ends[0]);
    fake_start();
    fake_put(FAKE_BASE, &entry, sizeof entry);
    fake_put(FAKE_BASE + 64, &brief, sizeof brief);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 1, FAKE_BASE + 64, 0, 0), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    fake_put(FAKE_BASE + 64, &brief, sizeof brief);
    ck_assert_int_eq(fake_call(ppoll, FAKE_BASE, 1, FAKE_BASE + 64, 0, 0), 1);
    memcpy(&entry, fake_at(FAKE_BASE), sizeof entry);
    ck_assert_int_eq(entry.revents, POLLIN);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_hostio");
    TCase *tcase = tcase_create("sandbox_hostio");

    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, fake_tear_down);
    tcase_add_test(tcase, a_terminal_is_used_through_a_description_of_its_own);
    tcase_add_test(tcase, a_terminal_tells_its_modes_and_lets_none_be_set);
    tcase_add_test(tcase, what_is_no_terminal_says_so);
    tcase_add_test(tcase, a_socket_is_read_and_written_without_blocking);
    tcase_add_test(tcase, what_knows_no_other_way_is_polled_first);
    tcase_add_loop_test(tcase, a_pipe_without_nowait_is_used_another_way, 0, 2);
    tcase_add_test(tcase, an_error_signals_the_guest_only_where_the_host_sent_a_signal);
    tcase_add_test(tcase, a_file_is_synced);
    tcase_add_test(tcase, a_pipe_is_neither_cut_nor_synced);
    tcase_add_test(tcase, a_wait_for_a_stream_goes_to_the_host);
    suite_add_tcase(suite, tcase);
    return suite;
}
