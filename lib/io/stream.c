/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream.h"

#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MEMORY_DEVICES 1 /* the major number of /dev/null, zero, full, random, urandom */

/* A description of one's own, that O_NONBLOCK can be set in; -1 where there can be none. */
static int
open_anew(int fd)
{
    char path[40];
    int flags = fcntl(fd, F_GETFL);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int
vmk_stream_init(struct vmk_stream *stream, int fd, vmkit_error **ret_error)
{
    struct stat status;
    *stream = (struct vmk_stream){.fd = -1};
    if (fd < 0 || fstat(fd, &status) < 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "descriptor %d is not open", fd);
    stream->is_socket = S_ISSOCK(status.st_mode);
    stream->is_ready = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) ||
                       S_ISDIR(status.st_mode) ||
                       (S_ISCHR(status.st_mode) && major(status.st_rdev) == MEMORY_DEVICES);
    if (!stream->is_socket && !stream->is_ready)
        stream->fd = vmk_descriptor_keep(open_anew(fd));
    if (stream->fd >= 0)
        return 0;
    stream->is_polled = !stream->is_socket && !stream->is_ready;
    stream->fd = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (stream->fd >= 0)
        return 0;
    return vmk_error_set_known(ret_error, errno == EINVAL ? EMFILE : errno,
                               VMK_ERRNO(EMFILE) | VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                               "descriptor %d could not be duplicated", fd);
}

void
vmk_stream_clear(struct vmk_stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

static bool
may_not(const struct vmk_stream *stream, short events)
{
    struct pollfd entry = {stream->fd, events, 0};
    return stream->is_polled && poll(&entry, 1, 0) == 0;
}

ssize_t
vmk_stream_read(const struct vmk_stream *stream, void *destination, size_t size)
{
    ssize_t result;
    if (may_not(stream, POLLIN))
        return -EAGAIN;
    do
        result = stream->is_socket ? recv(stream->fd, destination, size, MSG_DONTWAIT)
                                   : read(stream->fd, destination, size);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

ssize_t
vmk_stream_write(const struct vmk_stream *stream, const void *source, size_t size)
{
    ssize_t result;
    if (may_not(stream, POLLOUT))
        return -EAGAIN;
    if (stream->is_polled && size > PIPE_BUF)
        size = PIPE_BUF;
    do
        result = stream->is_socket ? send(stream->fd, source, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : write(stream->fd, source, size);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}
