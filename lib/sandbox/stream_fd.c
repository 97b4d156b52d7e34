/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream that is a descriptor of the host. Its position, if it has one, is the description's,
 * which the embedder shares, as a shell's redirection would. A wait for it goes through
 * vmk_process_wait().
 */
#include "sandbox/stream.h"

#include "sandbox/epoll.h"
#include "sandbox/files.h"
#include "sandbox/hostio.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The kernel's struct termios of TCGETS; libc's is larger. */
struct kernel_termios {
    uint32_t flags[4];
    uint8_t line;
    uint8_t characters[19];
};

struct fd_stream {
    struct vmk_file file;
    enum vmkit_stream stream;
    struct vmk_host_fd *host;
    struct vmk_hostio io;
};

static int
wait_for(struct vmk_process *process, struct fd_stream *stream, short events)
{
    struct pollfd entry = {stream->io.fd, events, 0};
    if ((stream->file.flags & O_NONBLOCK) != 0)
        return -EAGAIN;
    int result = vmk_process_wait(process, &entry, 1, UINT64_MAX);
    return result < 0 ? -VMK_ERESTARTSYS : 0;
}

static ssize_t
fd_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
        uint64_t *offset)
{
    struct fd_stream *stream = (struct fd_stream *)file;
    vmk_epoll_renew(file, POLLIN | POLLHUP | POLLERR);
    if (offset != NULL) {
        ssize_t got = preadv(stream->host->fd, iov, count, (off_t)*offset);
        *offset += got > 0 ? (uint64_t)got : 0;
        return got < 0 ? -errno : got;
    }
    for (;;) {
        ssize_t got = vmk_hostio_read(process, &stream->io, iov, count);
        if (got != -EAGAIN)
            return got;
        int result = wait_for(process, stream, POLLIN);
        if (result < 0)
            return result;
    }
}

static ssize_t
write_at(struct vmk_process *process, int fd, const struct iovec *iov, int count, uint64_t *offset)
{
    struct vmk_host_guard guard;
    vmk_host_guard_enter(&guard);
    ssize_t wrote = pwritev(fd, iov, count, (off_t)*offset);
    wrote = vmk_host_guard_leave(&guard, process, wrote < 0 ? -errno : wrote);
    *offset += wrote > 0 ? (uint64_t)wrote : 0;
    return wrote;
}

static ssize_t
fd_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
         uint64_t *offset)
{
    struct fd_stream *stream = (struct fd_stream *)file;
    struct iovec clipped[VMK_FILE_IOV_MAX];
    size_t wanted = vmk_iov_size(iov, count);
    size_t allowed = vmk_stream_allow(process, wanted);
    vmk_epoll_renew(file, POLLOUT | POLLERR | POLLHUP);

    ssize_t wrote = 0;
    if (allowed != 0) {
        count = vmk_iov_clip(iov, count, allowed, clipped);
        while ((wrote = offset != NULL
                            ? write_at(process, stream->host->fd, clipped, count, offset)
                            : vmk_hostio_write(process, &stream->io, clipped, count)) == -EAGAIN) {
            int result = wait_for(process, stream, POLLOUT);
            if (result < 0)
                return result;
        }
    }
    return vmk_stream_account(process, wanted, allowed, wrote);
}

static int64_t
fd_seek(struct vmk_file *file, int64_t offset, int whence)
{
    int64_t at = lseek(((struct fd_stream *)file)->host->fd, offset, whence);
    return at < 0 ? -errno : at;
}

static int
fd_statx(struct vmk_file *file, struct statx *status)
{
    int fd = ((struct fd_stream *)file)->host->fd;
    return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, status) < 0 ? -errno : 0;
}

static int
fd_truncate(struct vmk_process *process, struct vmk_file *file, uint64_t size)
{
    struct vmk_host_guard guard;
    vmk_host_guard_enter(&guard);
    int result = ftruncate(((struct fd_stream *)file)->host->fd, (off_t)size) < 0 ? -errno : 0;
    return (int)vmk_host_guard_leave(&guard, process, result);
}

static int
fd_sync(struct vmk_process *process, struct vmk_file *file, bool data_only)
{
    return vmk_hostio_sync(process, ((struct fd_stream *)file)->host->fd, data_only);
}

/* Reading a terminal's settings is harmless; changing them would outlive the guest. */
static int64_t
fd_ioctl(struct vmk_process *process, struct vmk_file *file, uint32_t request, uint64_t argument)
{
    struct fd_stream *stream = (struct fd_stream *)file;
    union {
        struct kernel_termios termios;
        struct winsize window;
        int number;
    } data = {0};
    size_t size = 0;

    switch (request) {
    case TCGETS:
        size = sizeof data.termios;
        break;
    case TIOCGWINSZ:
        size = sizeof data.window;
        break;
    case FIONREAD:
    case TIOCOUTQ:
        size = sizeof data.number;
        break;
    case TIOCGPGRP:
        data.number = (int)process->pid;
        break;
    case TIOCSPGRP:
        return stream->io.is_terminal ? 0 : -ENOTTY;
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TIOCSWINSZ:
        return stream->io.is_terminal ? -EPERM : -ENOTTY;
    default:
        return -ENOTTY;
    }
    if (request != FIONREAD && !stream->io.is_terminal)
        return -ENOTTY;
    if (size != 0 && ioctl(stream->io.fd, request, &data) < 0)
        return -errno;
    return vmk_uaccess_write(process->space, argument, &data,
                             size == 0 ? sizeof data.number : size);
}

static short
fd_poll(struct vmk_file *file)
{
    struct pollfd entry = {((struct fd_stream *)file)->io.fd, POLLIN | POLLPRI | POLLOUT, 0};
    return poll(&entry, 1, 0) < 0 ? POLLERR : entry.revents;
}

static int
fd_poll_fd(struct vmk_file *file)
{
    return ((struct fd_stream *)file)->io.fd;
}

static void
fd_destroy(struct vmk_file *file)
{
    struct fd_stream *stream = (struct fd_stream *)file;
    vmk_hostio_clear(&stream->io);
    vmk_host_fd_unref(stream->host);
}

static int
fd_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    vmk_bytes_put_u8(writer->bytes, (uint8_t)((struct fd_stream *)file)->stream);
    return 0;
}

/* Loaded as any stream, whatever that one is connected to. */
static const struct vmk_state_kind fd_state = {.number = VMK_STATE_STREAM, .save = fd_save};

static const struct vmk_file_ops fd_ops = {
    .kind = "pipe",
    .read = fd_read,
    .write = fd_write,
    .seek = fd_seek,
    .statx = fd_statx,
    .truncate = fd_truncate,
    .sync = fd_sync,
    .ioctl = fd_ioctl,
    .poll = fd_poll,
    .poll_fd = fd_poll_fd,
    .state = &fd_state,
    .destroy = fd_destroy,
};

/* The guest reads its input and writes its output, also where the descriptor, a terminal's say,
 * would allow both: what it writes is counted, and what it reads is meant for it. */
static uint32_t
guest_flags(enum vmkit_stream stream, uint32_t flags)
{
    uint32_t kept = flags & (O_ACCMODE | O_APPEND | O_PATH);
    if ((flags & O_ACCMODE) == O_RDWR)
        kept = (kept & ~(uint32_t)O_ACCMODE) | (stream == VMKIT_STREAM_STDIN ? O_RDONLY : O_WRONLY);
    return kept;
}

int
vmk_stream_open_fd(struct vmk_files *files, enum vmkit_stream stream,
                   const struct vmk_stream_config *config, struct vmk_file **ret_file)
{
    int flags = fcntl(config->fd->fd, F_GETFL);
    if (flags < 0)
        return -errno;
    struct fd_stream *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    int result = vmk_hostio_init(&made->io, config->fd->fd);
    if (result < 0) {
        free(made);
        return result;
    }
    vmk_file_init(&made->file, &fd_ops, guest_flags(stream, (uint32_t)flags), NULL);
    made->file.number = vmk_files_next_number(files);
    made->stream = stream;
    made->host = vmk_host_fd_ref(config->fd);
    *ret_file = &made->file;
    return 0;
}
