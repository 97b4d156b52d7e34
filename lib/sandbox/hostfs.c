/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/hostfs.h"

#include "sandbox/config.h"
#include "sandbox/hostfs_internal.h"
#include "sandbox/state_codec.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const struct vmk_node_ops host_ops;

int
vmk_hostfs_openat(int folder, const char *name, uint64_t flags, uint32_t mode)
{
    struct open_how how = {
        .flags = flags | O_NOFOLLOW | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = vmk_descriptor_keep((int)syscall(SYS_openat2, folder, name, &how, sizeof how));
    return fd < 0 ? -errno : fd;
}

int
vmk_hostfs_reopen(int fd, uint32_t type, uint32_t flags)
{
    if (type == S_IFDIR)
        return vmk_hostfs_openat(fd, ".", O_RDONLY | O_DIRECTORY, 0);

    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    /* It is a regular file: O_NONBLOCK and O_NOCTTY mean nothing for it, and would for anything
     * that is not. */
    flags &= O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME;
    int opened = vmk_descriptor_keep(open(path, (int)flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    return opened < 0 ? -errno : opened;
}

/* Another file system begins here: all are as good as the first but procfs. */
static int
check_crossing(int fd)
{
    struct statfs status;
    if (fstatfs(fd, &status) < 0)
        return -errno;
    return status.f_type == PROC_SUPER_MAGIC ? -EACCES : 0;
}

int
vmk_hostfs_node_new(struct vmk_node *like, const char *name, int fd, struct vmk_node **ret_node)
{
    struct statx status;
    int result = statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &status) < 0 ? -errno : 0;
    uint64_t device = makedev(status.stx_dev_major, status.stx_dev_minor);
    if (result == 0 && device != ((struct host_node *)like)->device)
        result = check_crossing(fd);
    struct host_node *made = NULL;
    if (result == 0) {
        made = vmk_node_new(sizeof *made, &host_ops, status.stx_mode & S_IFMT, like->file_system,
                            name == NULL ? NULL : like, name == NULL ? like->path : name);
        result = made == NULL ? -ENOMEM : 0;
    }
    if (result < 0) {
        close(fd);
        return result;
    }
    made->fs = host_fs(like);
    made->fd = fd;
    made->device = device;
    if (name == NULL)
        made->node.point = like->point;
    *ret_node = &made->node;
    return 0;
}

static bool
host_read_only(struct vmk_node *node)
{
    return !host_fs(node)->writable;
}

static int
host_lookup(struct vmk_files *files, struct vmk_node *folder, const char *name,
            struct vmk_node **ret_node)
{
    int fd = vmk_hostfs_openat(host_fd(folder), name, O_PATH, 0);
    return fd < 0 ? fd : vmk_hostfs_node_new(folder, name, fd, ret_node);
}

static int
host_lookup_many(struct vmk_files *files, struct vmk_node *folder, const char *names,
                 struct vmk_node **ret_node)
{
    int fd = vmk_hostfs_openat(host_fd(folder), names, O_PATH, 0);
    if (fd == -ELOOP)
        return -EAGAIN;
    return fd < 0 ? fd : vmk_hostfs_node_new(folder, names, fd, ret_node);
}

static int
host_statx(struct vmk_node *node, struct statx *status)
{
    return statx(host_fd(node), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, status) < 0
               ? -errno
               : 0;
}

static ssize_t
host_readlink(struct vmk_files *files, struct vmk_node *node, char *buffer, size_t size)
{
    ssize_t length = readlinkat(host_fd(node), "", buffer, size);
    return length < 0 ? -errno : length;
}

static int
host_access(struct vmk_files *files, struct vmk_node *node, int mode)
{
    if ((mode & W_OK) != 0 && !host_fs(node)->writable)
        return -EROFS;
    return syscall(SYS_faccessat2, host_fd(node), "", mode, AT_EMPTY_PATH | AT_EACCESS) < 0 ? -errno
                                                                                            : 0;
}

static int
host_statfs(struct vmk_node *node, struct statfs *status)
{
    if (fstatfs(host_fd(node), status) < 0)
        return -errno;
    if (!host_fs(node)->writable)
        status->f_flags |= ST_RDONLY;
    return 0;
}

static void
host_destroy(struct vmk_node *node)
{
    if (!((struct host_node *)node)->borrowed)
        close(host_fd(node));
}

static const struct vmk_node_ops host_ops = {
    .read_only = host_read_only,
    .lookup = host_lookup,
    .lookup_many = host_lookup_many,
    .statx = host_statx,
    .readlink = host_readlink,
    .open = vmk_hostfs_open,
    .create = vmk_hostfs_create,
    .create_unnamed = vmk_hostfs_create_unnamed,
    .make_folder = vmk_hostfs_make_folder,
    .make_link = vmk_hostfs_make_link,
    .remove = vmk_hostfs_remove,
    .rename = vmk_hostfs_rename,
    .link = vmk_hostfs_link,
    .change = vmk_hostfs_change,
    .access = host_access,
    .statfs = host_statfs,
    .find_path = vmk_hostfs_find_path,
    .state = &vmk_state_place_host,
    .destroy = host_destroy,
};

static void
hostfs_free(void *file_system)
{
    struct hostfs *fs = file_system;
    vmk_host_fd_unref(fs->root);
    free(fs);
}

int
vmk_hostfs_new(const struct vmk_folder_config *folder, struct vmk_mount *ret_mount)
{
    struct statx status;
    if (statx(folder->fd->fd, "", AT_EMPTY_PATH, STATX_TYPE, &status) < 0)
        return -errno;
    struct hostfs *fs = calloc(1, sizeof *fs);
    if (fs == NULL)
        return -ENOMEM;
    struct host_node *root = vmk_node_new(sizeof *root, &host_ops, status.stx_mode & S_IFMT, fs,
                                          NULL, folder->guest_path);
    if (root == NULL) {
        free(fs);
        return -ENOMEM;
    }
    fs->root = vmk_host_fd_ref(folder->fd);
    fs->writable = folder->writable;
    root->fs = fs;
    root->fd = fs->root->fd;
    root->borrowed = true;
    root->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    *ret_mount = (struct vmk_mount){&root->node, fs, hostfs_free};
    return 0;
}
