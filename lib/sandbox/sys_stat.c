/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a file: stat(2), statx(2), statfs(2), access(2), readlink(2). */
#include "sandbox/at.h"
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct timespec
from_statx_time(struct statx_timestamp time)
{
    return (struct timespec){.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

int64_t
vmk_at_put_stat(struct vmk_process *process, const struct vmk_target *target, uint64_t va)
{
    struct statx from;
    int result = vmk_target_statx(target, &from);
    if (result < 0)
        return result;
    struct stat to = {
        .st_dev = makedev(from.stx_dev_major, from.stx_dev_minor),
        .st_ino = from.stx_ino,
        .st_nlink = from.stx_nlink,
        .st_mode = from.stx_mode,
        .st_uid = from.stx_uid,
        .st_gid = from.stx_gid,
        .st_rdev = makedev(from.stx_rdev_major, from.stx_rdev_minor),
        .st_size = (off_t)from.stx_size,
        .st_blksize = (blksize_t)from.stx_blksize,
        .st_blocks = (blkcnt_t)from.stx_blocks,
        .st_atim = from_statx_time(from.stx_atime),
        .st_mtim = from_statx_time(from.stx_mtime),
        .st_ctim = from_statx_time(from.stx_ctime),
    };
    return vmk_uaccess_write(process->space, va, &to, sizeof to);
}

int64_t
vmk_sys_newfstatat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    uint32_t flags = (uint32_t)args[3];
    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    int64_t result = vmk_at_find(process, args[0], args[1], flags, &target);
    if (result < 0)
        return result;
    result = vmk_at_put_stat(process, &target, args[2]);
    vmk_target_clear(&target);
    return result;
}

int64_t
vmk_sys_fstat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    int64_t result = vmk_at_find_fd(process, args[0], true, &target);
    if (result < 0)
        return result;
    result = vmk_at_put_stat(process, &target, args[1]);
    vmk_target_clear(&target);
    return result;
}

int64_t
vmk_sys_statx(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    struct statx status;
    uint32_t flags = (uint32_t)args[2];
    if ((args[3] & STATX__RESERVED) != 0 ||
        (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
                             AT_STATX_SYNC_TYPE)) != 0 ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return -EINVAL;
    int64_t result = vmk_at_find(process, args[0], args[1], flags, &target);
    if (result < 0)
        return result;
    result = vmk_target_statx(&target, &status);
    vmk_target_clear(&target);
    return result < 0 ? result : vmk_uaccess_write(process->space, args[4], &status, sizeof status);
}

static int64_t
put_statfs(struct vmk_process *process, struct vmk_target *target, uint64_t va)
{
    struct statfs status = {.f_type = PIPEFS_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    int result = 0;
    status.f_frsize = 4096;
    if (target->node != NULL)
        result = target->node->ops->statfs == NULL
                     ? -ENOSYS
                     : target->node->ops->statfs(target->node, &status);
    vmk_target_clear(target);
    return result < 0 ? result : vmk_uaccess_write(process->space, va, &status, sizeof status);
}

int64_t
vmk_sys_statfs(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    int result = vmk_at_find(process, (uint64_t)AT_FDCWD, args[0], 0, &target);
    return result < 0 ? result : put_statfs(process, &target, args[1]);
}

int64_t
vmk_sys_fstatfs(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    int result = vmk_at_find_fd(process, args[0], true, &target);
    return result < 0 ? result : put_statfs(process, &target, args[1]);
}

static int64_t
check_access(struct vmk_process *process, const uint64_t args[6], uint32_t flags)
{
    struct vmk_target target;
    int mode = (int)args[2];
    if ((mode & ~(R_OK | W_OK | X_OK)) != 0)
        return -EINVAL;
    int result = vmk_at_find(process, args[0], args[1], flags, &target);
    if (result < 0)
        return result;
    if (mode != F_OK && target.node != NULL && target.node->type != S_IFLNK)
        result = target.node->ops->access(process->files, target.node, mode);
    else if (mode != F_OK && target.file != NULL)
        result = ((mode & R_OK) != 0 && !vmk_file_readable(target.file)) ||
                         ((mode & W_OK) != 0 && !vmk_file_writable(target.file)) ||
                         (mode & X_OK) != 0
                     ? -EACCES
                     : 0;
    vmk_target_clear(&target);
    return result;
}

int64_t
vmk_sys_faccessat(struct vmk_process *process, const uint64_t args[6])
{
    return check_access(process, args, 0);
}

int64_t
vmk_sys_faccessat2(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t flags = (uint32_t)args[3];
    if ((flags & ~(uint32_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    return check_access(process, args, flags);
}

int64_t
vmk_sys_readlinkat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    char text[VMK_PATH_MAX];
    if ((int32_t)args[3] <= 0)
        return -EINVAL;
    int result =
        vmk_at_find(process, args[0], args[1], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &target);
    if (result < 0)
        return result;
    size_t size = (size_t)args[3] < sizeof text ? (size_t)(uint32_t)args[3] : sizeof text;
    ssize_t length = -EINVAL;
    if (target.node != NULL && target.node->type == S_IFLNK)
        length = target.node->ops->readlink(process->files, target.node, text, size);
    vmk_target_clear(&target);
    if (length < 0)
        return length;
    result = vmk_uaccess_write(process->space, args[2], text, (size_t)length);
    return result < 0 ? result : length;
}
