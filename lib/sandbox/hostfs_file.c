/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of a host folder. Each has a description of its own, in its node, and its position is
 * the guest's: O_APPEND is asked for at each write, so that fcntl(2) can change it.
 */
#include "sandbox/hostfs_internal.h"

#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/hostio.h"
#include "sandbox/mapped.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int
fd_of(struct vmk_file *file)
{
    return host_fd(file->node);
}

static ssize_t
host_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
          uint64_t *offset)
{
    ssize_t got = preadv(fd_of(file), iov, count, (off_t)*offset);
    if (got < 0)
        return -errno;
    *offset += (uint64_t)got;
    return got;
}

static ssize_t
host_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    struct vmk_host_guard guard;
    bool append = (file->flags & O_APPEND) != 0;
    vmk_host_guard_enter(&guard);
    ssize_t wrote = pwritev2(fd_of(file), iov, count, (off_t)*offset, append ? RWF_APPEND : 0);
    wrote = vmk_host_guard_leave(&guard, process, wrote < 0 ? -errno : wrote);
    if (wrote < 0)
        return wrote;
    struct stat status;
    if (append && fstat(fd_of(file), &status) == 0)
        *offset = (uint64_t)status.st_size;
    else
        *offset += (uint64_t)wrote;
    vmk_mapped_change(process, file, *offset - (uint64_t)wrote, (uint64_t)wrote);
    return wrote;
}

static int64_t
host_seek(struct vmk_file *file, int64_t offset, int whence)
{
    /* The description's own position serves nothing else. */
    if (whence == SEEK_CUR && lseek(fd_of(file), (off_t)file->offset, SEEK_SET) < 0)
        return -errno;
    off_t at = lseek(fd_of(file), offset, whence);
    if (at < 0)
        return -errno;
    file->offset = (uint64_t)at;
    return at;
}

static int
host_truncate(struct vmk_process *process, struct vmk_file *file, uint64_t size)
{
    struct vmk_host_guard guard;
    vmk_host_guard_enter(&guard);
    int result = ftruncate(fd_of(file), (off_t)size) < 0 ? -errno : 0;
    if (result == 0)
        vmk_mapped_cut(process, file, size);
    return (int)vmk_host_guard_leave(&guard, process, result);
}

static int
host_allocate(struct vmk_process *process, struct vmk_file *file, int mode, uint64_t offset,
              uint64_t size)
{
    struct vmk_host_guard guard;
    vmk_host_guard_enter(&guard);
    int result = vmk_hostio_allocate(process, fd_of(file), mode, offset, size);
    /* Some modes move what follows the range. */
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE)
        vmk_mapped_change(process, file, offset, UINT64_MAX - offset);
    return (int)vmk_host_guard_leave(&guard, process, result);
}

static int
host_sync(struct vmk_process *process, struct vmk_file *file, bool data_only)
{
    return vmk_hostio_sync(process, fd_of(file), data_only);
}

static const struct vmk_file_ops host_file_ops = {
    .positioned = true,
    .mappable = true,
    .read = host_read,
    .write = host_write,
    .seek = host_seek,
    .truncate = host_truncate,
    .allocate = host_allocate,
    .sync = host_sync,
    .state = &vmk_state_host,
};

/* struct linux_dirent64. */
struct host_dirent {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

static int
host_read_directory(struct vmk_process *process, struct vmk_file *file,
                    struct vmk_dirent_sink *sink)
{
    _Alignas(8) char buffer[VMK_DIRENT_BYTES_MAX];
    size_t room = sink->capacity - sink->used;
    while (sink->used == 0 && !sink->full) {
        long got = syscall(SYS_getdents64, fd_of(file), buffer,
                           room < sizeof buffer ? room : sizeof buffer);
        if (got <= 0)
            return got < 0 ? -errno : 0;
        for (long at = 0; at < got;) {
            struct host_dirent *entry = (struct host_dirent *)(buffer + at);
            /* The guest's format is never longer than the host's, so that all fit. */
            vmk_dirent_put(sink, entry->name, entry->inode, (uint32_t)entry->type << 12,
                           entry->next);
            at += entry->length;
        }
    }
    return 0;
}

static ssize_t
folder_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
            uint64_t *offset)
{
    return -EISDIR;
}

static int64_t
folder_seek(struct vmk_file *file, int64_t offset, int whence)
{
    off_t at = lseek(fd_of(file), offset, whence);
    return at < 0 ? -errno : at;
}

static const struct vmk_file_ops host_folder_ops = {
    .read = folder_read,
    .seek = folder_seek,
    .sync = host_sync,
    .read_directory = host_read_directory,
    .state = &vmk_state_host,
};

/* A file for a node that has a real descriptor; takes the node over. */
static int
file_new(struct vmk_node *node, uint32_t flags, struct vmk_file **ret_file)
{
    struct vmk_file *file = malloc(sizeof *file);
    if (file != NULL) {
        vmk_file_init(file, node->type == S_IFDIR ? &host_folder_ops : &host_file_ops, flags, node);
        *ret_file = file;
    }
    vmk_node_unref(node);
    return file == NULL ? -ENOMEM : 0;
}

int
vmk_hostfs_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
                struct vmk_file **ret_file)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    switch (node->type) {
    case S_IFREG:
        break;
    case S_IFDIR:
        if (writes)
            return -EISDIR;
        break;
    case S_IFCHR:
    case S_IFBLK:
        return -EACCES;
    default:
        return -ENXIO;
    }
    if (writes && !host_fs(node)->writable)
        return -EROFS;

    struct vmk_node *opened;
    int fd = vmk_hostfs_reopen(host_fd(node), node->type, flags);
    int result = fd < 0 ? fd : vmk_hostfs_node_new(node, NULL, fd, &opened);
    if (result == 0)
        result = file_new(opened, flags, ret_file);
    if (result == 0 && (flags & O_TRUNC) != 0)
        vmk_mapped_cut(files->process, *ret_file, 0);
    return result;
}

/* The guest's umask decides, and the caller's umask took bits away that it does not. */
static void
set_mode(int fd, uint32_t mode)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && (status.st_mode & 07777) != mode)
        (void)!fchmod(fd, mode);
}

int
vmk_hostfs_create(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  uint32_t flags, uint32_t mode, struct vmk_file **ret_file)
{
    struct vmk_node *node;
    uint64_t host_flags = flags & (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME);
    mode &= ~(uint32_t)(S_ISUID | S_ISGID);
    if (!host_fs(folder)->writable)
        return -EROFS;
    int fd = vmk_hostfs_openat(host_fd(folder), name,
                               host_flags | O_CREAT | O_EXCL | O_NONBLOCK | O_NOCTTY, mode);
    if (fd < 0)
        return fd;
    set_mode(fd, mode);
    int result = vmk_hostfs_node_new(folder, name, fd, &node);
    return result < 0 ? result : file_new(node, flags, ret_file);
}

int
vmk_hostfs_create_unnamed(struct vmk_files *files, struct vmk_node *folder, uint32_t flags,
                          uint32_t mode, struct vmk_file **ret_file)
{
    struct vmk_node *node;
    mode &= ~(uint32_t)(S_ISUID | S_ISGID);
    if (!host_fs(folder)->writable)
        return -EROFS;
    int fd = vmk_hostfs_openat(host_fd(folder), ".", (flags & O_ACCMODE) | O_TMPFILE, mode);
    if (fd < 0)
        return fd;
    set_mode(fd, mode);
    int result = vmk_hostfs_node_new(folder, "#unnamed (deleted)", fd, &node);
    return result < 0 ? result : file_new(node, flags & ~(uint32_t)O_TMPFILE, ret_file);
}
