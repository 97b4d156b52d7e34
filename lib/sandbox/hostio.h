/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing a descriptor of the host without ever blocking in it, and without the signals
 * that the host would send to the calling process for what a guest did: SIGPIPE for a pipe without
 * a reader, SIGXFSZ for a file above the host's limit, SIGTTIN and SIGTTOU for a terminal in the
 * background. They are blocked in this thread around the call, and taken back if the call made
 * them.
 *
 * A descriptor that the embedder gave shares its description, O_NONBLOCK included, with the
 * embedder, so that flag is never touched: a socket is used with MSG_DONTWAIT, a pipe with
 * RWF_NOWAIT, a terminal, or a pipe of an older kernel, through a description of its own (a new
 * open of /proc/self/fd/N), and what allows none of them is asked by poll(2) first.
 */
#ifndef VMK_SANDBOX_HOSTIO_H
#define VMK_SANDBOX_HOSTIO_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct vmk_process;

struct vmk_host_guard {
    sigset_t before;
    sigset_t pending_before;
    bool was_blocked;
};

void
vmk_host_guard_enter(struct vmk_host_guard *guard);

/* End the guard after a call that returned `result`, which is handed on. Where the host sent
 * SIGPIPE with -EPIPE, or SIGXFSZ with -EFBIG, the guest gets the signal: not every one of these
 * comes with one, as for a file larger than its file system can have. */
int64_t
vmk_host_guard_leave(struct vmk_host_guard *guard, struct vmk_process *process, int64_t result);

enum vmk_hostio_way {
    VMK_HOSTIO_DIRECT, /* never blocks for long: a file, a disk, /dev/null */
    VMK_HOSTIO_SOCKET,
    VMK_HOSTIO_NOWAIT,
    VMK_HOSTIO_OWN, /* `fd` is the library's own description and O_NONBLOCK */
    VMK_HOSTIO_POLLED,
};

struct vmk_hostio {
    int fd;     /* to use; belongs to whoever made it */
    int own_fd; /* a description of the library's own, or -1 */
    enum vmk_hostio_way way;
    bool is_terminal;
};

/* Find the way for a descriptor, which is lent. 0 or a negative errno. */
int
vmk_hostio_init(struct vmk_hostio *io, int fd);

void
vmk_hostio_clear(struct vmk_hostio *io);

/* The count; -EAGAIN where poll(2) on io->fd has to be waited for; or another negative errno. At
 * most VMK_FILE_IOV_MAX pieces. */
ssize_t
vmk_hostio_read(struct vmk_process *process, struct vmk_hostio *io, const struct iovec *iov,
                int count);

ssize_t
vmk_hostio_write(struct vmk_process *process, struct vmk_hostio *io, const struct iovec *iov,
                 int count);

/* fallocate(2) of [offset, offset + size), which ends below INT64_MAX, with looks at what ends the
 * process in between: -EINTR then. A call that fails may have allocated a part, but leaves the size
 * of the file. */
int
vmk_hostio_allocate(struct vmk_process *process, int fd, int mode, uint64_t offset, uint64_t size);

/* fsync(2) or fdatasync(2). The file's pages are written with looks at what ends the process in
 * between: -EINTR then. What the file system does beside them cannot be left. */
int
vmk_hostio_sync(struct vmk_process *process, int fd, bool data_only);

#endif
