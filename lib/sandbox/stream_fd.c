/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream that is a descriptor of the host. Its position, if it has one, is the description's,
 * which the embedder shares, as a shell's redirection would. A wait for it goes through
 * vmk_process_wait().
 *
 * What the guest writes follows what was written before: the file behind an output stream may hold
 * bytes that are not the guest's, and the output limit counts what is written. So the guest neither
 * moves its position nor cuts it.
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
#include <sys/stat.h>
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
    bool is_output_too; /* The standard input: its position may be that of an output stream. */
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
fd_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
         uint64_t *offset)
{
    struct fd_stream *stream = (struct fd_stream *)file;
    struct iovec clipped[VMK_FILE_IOV_MAX];
    size_t wanted = vmk_iov_size(iov, count);
    size_t allowed = vmk_stream_allow(process, wanted);
    if (offset != NULL)
        return -ESPIPE;
    vmk_epoll_renew(file, POLLOUT | POLLERR | POLLHUP);

    ssize_t wrote = 0;
    if (allowed != 0) {
        count = vmk_iov_clip(iov, count, allowed, clipped);
        while ((wrote = vmk_hostio_write(process, &stream->io, clipped, count)) == -EAGAIN) {
            int result = wait_for(process, stream, POLLOUT);
            if (result < 0)
                return result;
        }
    }
    return vmk_stream_account(process, wanted, allowed, wrote);
}

/* Where an output stream stands, for whoever asks to go where it is. */
static int64_t
tell_position(int fd, int64_t offset, int whence)
{
    struct stat status;
    int64_t at = lseek(fd, 0, SEEK_CUR), target;
    if (at < 0 || fstat(fd, &status) < 0)
        return -errno;
    const int64_t bases[] = {[SEEK_SET] = 0, [SEEK_CUR] = at, [SEEK_END] = status.st_size};
    if ((size_t)whence >= sizeof bases / sizeof bases[0] ||
        __builtin_add_overflow(bases[whence], offset, &target) || target != at)
        return -ESPIPE;
    return at;
}

static int64_t
fd_seek(struct vmk_file *file, int64_t offset, int whence)
{
    struct fd_stream *stream = (struct fd_stream *)file;
    int fd = stream->host->fd;
    if (stream->is_output_too)
        return -ESPIPE;
    if (stream->stream != VMKIT_STREAM_STDIN)
        return tell_position(fd, offset, whence);
    int64_t at = lseek(fd, offset, whence);
    return at < 0 ? -errno : at;
}

static int
fd_statx(struct vmk_file *file, struct statx *status)
{
    int fd = ((struct fd_stream *)file)->host->fd;
    return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, status) < 0 ? -errno : 0;
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
    .sync = fd_sync,
    .ioctl = fd_ioctl,
    .poll = fd_poll,
    .poll_fd = fd_poll_fd,
    .state = &fd_state,
    .destroy = fd_destroy,
};

/* The guest reads its input and writes its output, whatever else the descriptor would allow: what
 * it writes is counted, and what it reads is meant for it. */
static uint32_t
guest_flags(enum vmkit_stream stream, uint32_t flags)
{
    return (flags & (O_APPEND | O_PATH)) | (stream == VMKIT_STREAM_STDIN ? O_RDONLY : O_WRONLY);
}

/* Whether an output stream has the standard input's file. */
static bool
has_output_of(const struct vmk_stream_config streams[3], int fd)
{
    struct stat status, other;
    if (fstat(fd, &status) < 0 || S_ISCHR(status.st_mode))
        return false;
    for (int i = VMKIT_STREAM_STDOUT; i <= VMKIT_STREAM_STDERR; i++) {
        if (streams[i].kind == VMK_STREAM_FD && fstat(streams[i].fd->fd, &other) == 0 &&
            other.st_dev == status.st_dev && other.st_ino == status.st_ino)
            return true;
    }
    return false;
}

int
vmk_stream_open_fd(struct vmk_files *files, enum vmkit_stream stream,
                   const struct vmk_stream_config streams[3], struct vmk_file **ret_file)
{
    const struct vmk_stream_config *config = &streams[stream];
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
    made->is_output_too = stream == VMKIT_STREAM_STDIN && (flags & O_ACCMODE) != O_RDONLY &&
                          has_output_of(streams, config->fd->fd);
    made->host = vmk_host_fd_ref(config->fd);
    *ret_file = &made->file;
    return 0;
}
