/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/hostio.h"

#include "sandbox/file.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const int guarded_signals[] = {SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU};
#define GUARDED_COUNT (sizeof guarded_signals / sizeof guarded_signals[0])
#define MEMORY_DEVICES 1 /* the major number of /dev/null, zero, full, random, urandom */

void
vmk_host_guard_enter(struct vmk_host_guard *guard)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        sigaddset(&set, guarded_signals[i]);
    pthread_sigmask(SIG_BLOCK, &set, &guard->before);

    /* One that was not blocked before was not pending before. */
    guard->was_blocked = false;
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        guard->was_blocked |= sigismember(&guard->before, guarded_signals[i]) == 1;
    sigemptyset(&guard->pending_before);
    if (guard->was_blocked)
        sigpending(&guard->pending_before);
}

/* Take back the signals that the call made for this thread, which `made` then has. So it has one
 * that was pending before: whether the call made it again cannot be seen. */
static void
consume(const struct vmk_host_guard *guard, sigset_t *made)
{
    sigset_t pending;
    *made = guard->pending_before;
    sigpending(&pending);
    for (size_t i = 0; i < GUARDED_COUNT; i++) {
        int signal = guarded_signals[i];
        if (sigismember(&pending, signal) != 1 || sigismember(&guard->pending_before, signal) == 1)
            continue;
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, signal);
        if (sigtimedwait(&one, NULL, &(struct timespec){0}) == signal)
            sigaddset(made, signal);
    }
}

int64_t
vmk_host_guard_leave(struct vmk_host_guard *guard, struct vmk_process *process, int64_t result)
{
    sigset_t made;
    sigemptyset(&made);
    if (result == -EPIPE || result == -EFBIG || result == -EIO)
        consume(guard, &made);
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    if (result == -EPIPE && sigismember(&made, SIGPIPE) == 1)
        vmk_signals_raise(process, SIGPIPE);
    else if (result == -EFBIG && sigismember(&made, SIGXFSZ) == 1)
        vmk_signals_raise(process, SIGXFSZ);
    return result;
}

/* Open what the descriptor names anew, for a description that O_NONBLOCK can be set in. */
static bool
open_own(struct vmk_hostio *io, int fd)
{
    char path[40];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    io->own_fd =
        vmk_descriptor_keep(open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (io->own_fd < 0)
        return false;
    io->fd = io->own_fd;
    io->way = VMK_HOSTIO_OWN;
    return true;
}

int
vmk_hostio_init(struct vmk_hostio *io, int fd)
{
    struct stat status;
    *io = (struct vmk_hostio){.fd = fd, .own_fd = -1, .way = VMK_HOSTIO_POLLED};
    if (fstat(fd, &status) < 0)
        return -errno;

    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
    case S_IFDIR:
        io->way = VMK_HOSTIO_DIRECT;
        break;
    case S_IFSOCK:
        io->way = VMK_HOSTIO_SOCKET;
        break;
    case S_IFIFO:
        io->way = VMK_HOSTIO_NOWAIT;
        break;
    case S_IFCHR:
        io->is_terminal = isatty(fd) == 1;
        if (major(status.st_rdev) == MEMORY_DEVICES)
            io->way = VMK_HOSTIO_DIRECT;
        else if (io->is_terminal)
            open_own(io, fd);
        break;
    default:
        break;
    }
    return 0;
}

void
vmk_hostio_clear(struct vmk_hostio *io)
{
    if (io->own_fd >= 0)
        close(io->own_fd);
    io->own_fd = -1;
}

/* A kernel whose pipes know no RWF_NOWAIT. */
static void
leave_nowait(struct vmk_hostio *io)
{
    if (!open_own(io, io->fd))
        io->way = VMK_HOSTIO_POLLED;
}

static bool
ready_now(int fd, short events)
{
    struct pollfd entry = {fd, events, 0};
    return poll(&entry, 1, 0) == 1;
}

static ssize_t
read_once(struct vmk_hostio *io, const struct iovec *iov, int count)
{
    switch (io->way) {
    case VMK_HOSTIO_SOCKET: {
        struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
        return recvmsg(io->fd, &message, MSG_DONTWAIT);
    }
    case VMK_HOSTIO_NOWAIT:
        return preadv2(io->fd, iov, count, -1, RWF_NOWAIT);
    case VMK_HOSTIO_POLLED:
        if (!ready_now(io->fd, POLLIN)) {
            errno = EAGAIN;
            return -1;
        }
        return readv(io->fd, iov, count);
    default:
        return readv(io->fd, iov, count);
    }
}

static ssize_t
write_once(struct vmk_hostio *io, const struct iovec *iov, int count)
{
    switch (io->way) {
    case VMK_HOSTIO_SOCKET: {
        struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
        return sendmsg(io->fd, &message, MSG_DONTWAIT);
    }
    case VMK_HOSTIO_NOWAIT:
        return pwritev2(io->fd, iov, count, -1, RWF_NOWAIT);
    case VMK_HOSTIO_POLLED: {
        /* A pipe that is ready has room for this much, a terminal at least for a line. */
        struct iovec clipped[VMK_FILE_IOV_MAX];
        if (!ready_now(io->fd, POLLOUT)) {
            errno = EAGAIN;
            return -1;
        }
        count = vmk_iov_clip(iov, count, io->is_terminal ? 256 : PIPE_BUF, clipped);
        return writev(io->fd, clipped, count);
    }
    default:
        return writev(io->fd, iov, count);
    }
}

ssize_t
vmk_hostio_read(struct vmk_process *process, struct vmk_hostio *io, const struct iovec *iov,
                int count)
{
    struct vmk_host_guard guard;
    /* Only a terminal answers a read with a signal. */
    if (io->is_terminal)
        vmk_host_guard_enter(&guard);
    ssize_t result = read_once(io, iov, count);
    if (result < 0 && errno == EOPNOTSUPP && io->way == VMK_HOSTIO_NOWAIT) {
        leave_nowait(io);
        result = read_once(io, iov, count);
    }
    if (result < 0)
        result = errno == EINTR ? -EAGAIN : -errno;
    return io->is_terminal ? vmk_host_guard_leave(&guard, process, result) : result;
}

ssize_t
vmk_hostio_write(struct vmk_process *process, struct vmk_hostio *io, const struct iovec *iov,
                 int count)
{
    struct vmk_host_guard guard;
    vmk_host_guard_enter(&guard);
    ssize_t result = write_once(io, iov, count);
    if (result < 0 && errno == EOPNOTSUPP && io->way == VMK_HOSTIO_NOWAIT) {
        leave_nowait(io);
        result = write_once(io, iov, count);
    }
    if (result < 0)
        result = errno == EINTR ? -EAGAIN : -errno;
    return vmk_host_guard_leave(&guard, process, result);
}
