/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open file of the guest: what Linux calls an open file description. Descriptors share it after
 * dup(2). What lies behind is a table of operations: a stream, a pipe, a file of a host folder, one
 * in memory, a device. Operations get host memory, never guest addresses; transfer.c stands
 * between.
 *
 * Results are counts or negative errnos as the guest sees them. The guest has one thread, so that
 * nothing here locks.
 */
#ifndef VMK_SANDBOX_FILE_H
#define VMK_SANDBOX_FILE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct vmk_dirent_sink;
struct vmk_epoll_watch;
struct vmk_file;
struct vmk_node;
struct vmk_process;
struct vmk_state_kind;

/* O_LARGEFILE as Linux shows it, whoever opens; the headers for 64 bits have 0. Of these two bits
 * every architecture has one for it and one for O_NOFOLLOW. */
#define VMK_FILE_LARGE ((0100000u | 0400000u) & ~(unsigned)O_NOFOLLOW)

/* The most pieces of host memory that an operation is given at once. */
#define VMK_FILE_IOV_MAX 16

struct vmk_file_ops {
    /* What readlink of /proc/self/fd/N says of a file without a path, "pipe" for "pipe:[3]". */
    const char *kind;

    /* Whether the position is in vmk_file.offset. Then `offset` is never NULL in read and write,
     * and the operation advances it. A file without a position is given NULL, or an explicit
     * position if it has `seek`. NULL operations: EINVAL. */
    bool positioned;
    ssize_t (*read)(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov,
                    int count, uint64_t *offset);
    ssize_t (*write)(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov,
                     int count, uint64_t *offset);

    /* Whether mmap(2) takes it, as it does what has contents; others are ENODEV. */
    bool mappable;

    /* Each buffer of the guest is one write, of which the operation takes what it is made for: less
     * than all of it ends the call. It is called for an empty one, too. */
    bool records;

    /* lseek(2); NULL: ESPIPE. */
    int64_t (*seek)(struct vmk_file *file, int64_t offset, int whence);

    int (*statx)(struct vmk_file *file, struct statx *status);
    int (*truncate)(struct vmk_process *process, struct vmk_file *file, uint64_t size);
    int (*allocate)(struct vmk_process *process, struct vmk_file *file, int mode, uint64_t offset,
                    uint64_t size);
    int (*sync)(struct vmk_process *process, struct vmk_file *file, bool data_only);

    /* A request that sys_ioctl.c does not serve for every file; `argument` is the guest's. NULL:
     * ENOTTY. */
    int64_t (*ioctl)(struct vmk_process *process, struct vmk_file *file, uint32_t request,
                     uint64_t argument);

    /* What of POLLIN, POLLOUT, POLLERR, POLLHUP holds now. NULL: always readable and writable. */
    short (*poll)(struct vmk_file *file);

    /* Where to wait for that to change; NULL or -1: nothing outside of the guest changes it. */
    int (*poll_fd)(struct vmk_file *file);

    /* Fill the sink with entries from the position on. NULL: ENOTDIR. */
    int (*read_directory)(struct vmk_process *process, struct vmk_file *file,
                          struct vmk_dirent_sink *sink);

    /* How a snapshot carries it (state_codec.h); NULL: it cannot. */
    const struct vmk_state_kind *state;

    /* Free what lies behind; file.c frees the structure. NULL: nothing to do. */
    void (*destroy)(struct vmk_file *file);
};

struct vmk_file {
    unsigned references;
    uint32_t flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH and further ones as F_GETFL tells */
    const struct vmk_file_ops *ops;
    uint64_t offset;
    struct vmk_node *node;           /* where it was opened; NULL for what has no path */
    struct vmk_epoll_watch *watches; /* of epoll instances, which forget a file that is gone */
    uint32_t *open_count;            /* that the file counts in once it has had a descriptor */
    uint64_t device, inode;          /* which file that is, once mapped.c has asked for it */
    bool identified;                 /* whether it has */
    uint32_t number;                 /* the inode number of what has no path */
    uint32_t mount_index;  /* reading a folder: 0, or which mount in it comes next, plus 1 */
    uint32_t state_number; /* while the process is saved: which of its files it is, from 1 on */
};

/* Fill the common part of a new file with one reference. `node` is referenced, and may be NULL. */
void
vmk_file_init(struct vmk_file *file, const struct vmk_file_ops *ops, uint32_t flags,
              struct vmk_node *node);

struct vmk_file *
vmk_file_ref(struct vmk_file *file);

/* Accepts NULL. */
void
vmk_file_unref(struct vmk_file *file);

bool
vmk_file_readable(const struct vmk_file *file);

bool
vmk_file_writable(const struct vmk_file *file);

/* What poll(2) says of the file now. */
short
vmk_file_poll(struct vmk_file *file);

int
vmk_file_statx(struct vmk_file *file, struct statx *status);

/* Fill `status` for something that has no file system behind it. */
void
vmk_statx_init(struct statx *status, uint32_t mode, uint64_t inode, uint32_t uid, uint32_t gid);

/* Read at a position into host memory, as the loader and mmap need it: the count, less than `size`
 * at the end of the file only, or a negative errno. Changes no position. */
ssize_t
vmk_file_pread(struct vmk_process *process, struct vmk_file *file, void *buffer, size_t size,
               uint64_t offset);

/* Helpers for operations. */

size_t
vmk_iov_size(const struct iovec *iov, int count);

/* The first `size` bytes of the pieces; the number of pieces stored, at most VMK_FILE_IOV_MAX. */
int
vmk_iov_clip(const struct iovec *iov, int count, size_t size, struct iovec *clipped);

/* Scatter bytes over the pieces, or gather them, skipping the first `at` bytes of the pieces. */
void
vmk_iov_fill(const struct iovec *iov, int count, size_t at, const void *data, size_t size);

void
vmk_iov_drain(const struct iovec *iov, int count, size_t at, void *data, size_t size);

void
vmk_iov_zero(const struct iovec *iov, int count, size_t at, size_t size);

#endif
