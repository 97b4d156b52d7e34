/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a file itself: mode, owner, times, size, and writing it back to its disk. */
#include "sandbox/at.h"
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

/* Takes the target over. */
static int
change(struct vmk_process *process, struct vmk_target *target, const struct vmk_node_change *what)
{
    struct vmk_node *node = target->node;
    int result = -EPERM;
    if (node != NULL && node->ops->change != NULL)
        result = node->ops->change(process->files, node, what);
    vmk_target_clear(target);
    return result;
}

static int
change_mode(struct vmk_process *process, struct vmk_target *target, uint64_t mode)
{
    if (target->node != NULL && target->node->type == S_IFLNK) {
        vmk_target_clear(target);
        return -EOPNOTSUPP;
    }
    return change(process, target,
                  &(struct vmk_node_change){.set_mode = true, .mode = (uint32_t)mode & 07777});
}

int64_t
vmk_sys_fchmodat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    int result = vmk_at_find(process, args[0], args[1], 0, &target);
    return result < 0 ? result : change_mode(process, &target, args[2]);
}

int64_t
vmk_sys_fchmod(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    int result = vmk_at_find_fd(process, args[0], false, &target);
    return result < 0 ? result : change_mode(process, &target, args[1]);
}

static int
change_owner(struct vmk_process *process, struct vmk_target *target, uint64_t uid, uint64_t gid)
{
    return change(
        process, target,
        &(struct vmk_node_change){.set_owner = true, .uid = (uint32_t)uid, .gid = (uint32_t)gid});
}

int64_t
vmk_sys_fchownat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    uint32_t flags = (uint32_t)args[4];
    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    int result = vmk_at_find(process, args[0], args[1], flags, &target);
    return result < 0 ? result : change_owner(process, &target, args[2], args[3]);
}

int64_t
vmk_sys_fchown(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    int result = vmk_at_find_fd(process, args[0], false, &target);
    return result < 0 ? result : change_owner(process, &target, args[1], args[2]);
}

static bool
valid_time(struct timespec time)
{
    return time.tv_nsec == UTIME_NOW || time.tv_nsec == UTIME_OMIT ||
           (time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
}

int64_t
vmk_at_set_times(struct vmk_process *process, uint64_t dirfd, uint64_t path,
                 const struct timespec times[2], uint32_t flags)
{
    struct vmk_target target;
    struct vmk_node_change what = {.set_times = true};
    what.times[0].tv_nsec = UTIME_NOW;
    what.times[1].tv_nsec = UTIME_NOW;
    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    if (times != NULL) {
        if (!valid_time(times[0]) || !valid_time(times[1]))
            return -EINVAL;
        what.times[0] = times[0];
        what.times[1] = times[1];
        if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
            return 0;
    }
    int result = path == 0 ? vmk_at_find_fd(process, dirfd, false, &target)
                           : vmk_at_find(process, dirfd, path, flags, &target);
    return result < 0 ? result : change(process, &target, &what);
}

int64_t
vmk_sys_utimensat(struct vmk_process *process, const uint64_t args[6])
{
    struct timespec times[2];
    if (args[2] == 0)
        return vmk_at_set_times(process, args[0], args[1], NULL, (uint32_t)args[3]);
    int result = vmk_uaccess_read(process->space, args[2], times, sizeof times);
    return result < 0 ? result
                      : vmk_at_set_times(process, args[0], args[1], times, (uint32_t)args[3]);
}

int64_t
vmk_sys_ftruncate(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    if (file == NULL)
        return -EBADF;
    if (args[1] > INT64_MAX || !vmk_file_writable(file) || file->ops->truncate == NULL)
        return -EINVAL;
    return file->ops->truncate(process, file, args[1]);
}

int64_t
vmk_sys_truncate(struct vmk_process *process, const uint64_t args[6])
{
    char path[VMK_PATH_MAX];
    struct vmk_node *node;
    struct vmk_file *file;
    if (args[1] > INT64_MAX)
        return -EINVAL;
    int result = vmk_at_read_path(process, args[0], path);
    if (result == 0)
        result = vmk_path_find(process->files, AT_FDCWD, path, VMK_LOOKUP_FOLLOW, &node);
    if (result < 0)
        return result;
    if (node->type != S_IFREG)
        result = node->type == S_IFDIR ? -EISDIR : -EINVAL;
    else
        result = node->ops->open(process->files, node, O_WRONLY, &file);
    vmk_node_unref(node);
    if (result < 0)
        return result;
    result = file->ops->truncate == NULL ? -EINVAL : file->ops->truncate(process, file, args[1]);
    vmk_file_unref(file);
    return result;
}

int64_t
vmk_sys_fallocate(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    uint64_t end;
    if (file == NULL || !vmk_file_writable(file))
        return -EBADF;
    if (args[2] > INT64_MAX || args[3] > INT64_MAX || args[3] == 0)
        return -EINVAL;
    if (__builtin_add_overflow(args[2], args[3], &end) || end > INT64_MAX)
        return -EFBIG;
    if (file->ops->allocate == NULL)
        return file->ops->seek == NULL ? -ESPIPE : -ENODEV;
    return file->ops->allocate(process, file, (int)args[1], args[2], args[3]);
}

static int64_t
sync_file(struct vmk_process *process, uint64_t fd, bool data_only)
{
    struct vmk_file *file = vmk_files_get(process->files, fd);
    if (file == NULL)
        return -EBADF;
    return file->ops->sync == NULL ? -EINVAL : file->ops->sync(process, file, data_only);
}

int64_t
vmk_sys_fsync(struct vmk_process *process, const uint64_t args[6])
{
    return sync_file(process, args[0], false);
}

int64_t
vmk_sys_fdatasync(struct vmk_process *process, const uint64_t args[6])
{
    return sync_file(process, args[0], true);
}

int64_t
vmk_sys_sync_file_range(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    if (file == NULL)
        return -EBADF;
    return file->ops->seek == NULL ? -ESPIPE : 0;
}

/* The host's file systems as a whole are none of the guest's business. */
int64_t
vmk_sys_sync(struct vmk_process *process, const uint64_t args[6])
{
    return 0;
}

int64_t
vmk_sys_syncfs(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_files_get(process->files, args[0]) == NULL ? -EBADF : 0;
}

int64_t
vmk_sys_umask(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t before = process->umask;
    process->umask = (uint32_t)args[0] & 0777;
    return before;
}

/* Advice about a file changes nothing here. */
int64_t
vmk_sys_fadvise64(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    if (file == NULL)
        return -EBADF;
    if (file->ops->seek == NULL)
        return -ESPIPE;
    return args[3] > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

int64_t
vmk_sys_readahead(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    if (file == NULL || !vmk_file_readable(file))
        return -EBADF;
    return file->node == NULL || file->node->type != S_IFREG ? -EINVAL : 0;
}
