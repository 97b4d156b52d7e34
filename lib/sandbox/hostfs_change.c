/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes a host folder. Every call names one component in a folder that is pinned, and none
 * follows a link. The host's errnos are the guest's; EROFS comes where Linux has it, after the
 * checks of what is there, which the caller has made.
 */
#include "sandbox/hostfs_internal.h"

#include "sandbox/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int
vmk_hostfs_make_folder(struct vmk_files *files, struct vmk_node *folder, const char *name,
                       uint32_t mode)
{
    if (!host_fs(folder)->writable)
        return -EROFS;
    if (mkdirat(host_fd(folder), name, mode) < 0)
        return -errno;
    /* The caller's umask may have taken bits away. Another may have replaced it by now: then
     * nothing happens to what is there. */
    struct stat status;
    int fd = vmk_hostfs_openat(host_fd(folder), name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return 0;
    mode &= ~(uint32_t)(S_ISUID | S_ISGID);
    if (fstat(fd, &status) == 0 && (status.st_mode & 01777) != mode)
        (void)!fchmod(fd, mode | (status.st_mode & S_ISGID));
    close(fd);
    return 0;
}

int
vmk_hostfs_make_link(struct vmk_files *files, struct vmk_node *folder, const char *name,
                     const char *target)
{
    if (!host_fs(folder)->writable)
        return -EROFS;
    return symlinkat(target, host_fd(folder), name) < 0 ? -errno : 0;
}

int
vmk_hostfs_remove(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  bool is_folder)
{
    if (!host_fs(folder)->writable)
        return -EROFS;
    return unlinkat(host_fd(folder), name, is_folder ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

int
vmk_hostfs_rename(struct vmk_files *files, struct vmk_node *old_folder, const char *old_name,
                  struct vmk_node *new_folder, const char *new_name, uint32_t flags)
{
    if (!host_fs(old_folder)->writable)
        return -EROFS;
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return -EINVAL;
    return syscall(SYS_renameat2, host_fd(old_folder), old_name, host_fd(new_folder), new_name,
                   flags) < 0
               ? -errno
               : 0;
}

int
vmk_hostfs_link(struct vmk_files *files, struct vmk_node *node, struct vmk_node *folder,
                const char *name)
{
    if (!host_fs(folder)->writable)
        return -EROFS;
    if (linkat(host_fd(node), "", host_fd(folder), name, AT_EMPTY_PATH) == 0)
        return 0;
    /* Without the capability that AT_EMPTY_PATH asks for. The path is the kernel's name for the
     * descriptor, and leads to what it pins. */
    char path[40];
    if (errno != ENOENT)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", host_fd(node));
    return linkat(AT_FDCWD, path, host_fd(folder), name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int
change_mode(struct vmk_node *node, uint32_t mode)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", host_fd(node));
    /* A guest makes no file that gives whoever runs it the rights of the calling process. */
    return chmod(path, mode & ~(uint32_t)(S_ISUID | S_ISGID)) < 0 ? -errno : 0;
}

/* The guest is given no right to give files away: asking for what is there succeeds. */
static int
change_owner(struct vmk_node *node, uint32_t uid, uint32_t gid)
{
    struct stat status;
    if (fstatat(host_fd(node), "", &status, AT_EMPTY_PATH) < 0)
        return -errno;
    bool same =
        (uid == UINT32_MAX || uid == status.st_uid) && (gid == UINT32_MAX || gid == status.st_gid);
    return same ? 0 : -EPERM;
}

int
vmk_hostfs_change(struct vmk_files *files, struct vmk_node *node,
                  const struct vmk_node_change *change)
{
    int result = 0;
    if (!host_fs(node)->writable)
        return -EROFS;
    if (change->set_owner)
        result = change_owner(node, change->uid, change->gid);
    if (result == 0 && change->set_mode)
        result = change_mode(node, change->mode);
    if (result == 0 && change->set_times &&
        utimensat(host_fd(node), "", change->times, AT_EMPTY_PATH) < 0)
        result = -errno;
    return result;
}
