/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that make, remove and move names: mkdir(2), unlink(2), rename(2), link(2), symlink(2). */
#include "sandbox/at.h"
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* Walk to a name that is to be made. */
static int
lookup_new(struct vmk_process *process, uint64_t dirfd, uint64_t path, bool folder,
           struct vmk_lookup *lookup)
{
    int result = vmk_at_lookup_name(process, dirfd, path, lookup);
    if (result < 0)
        return result;
    if (lookup->last != VMK_LAST_NAME || lookup->node != NULL)
        result = -EEXIST;
    else if (lookup->trailing_slash && !folder)
        result = -ENOENT;
    if (result < 0)
        vmk_lookup_clear(lookup);
    return result;
}

int64_t
vmk_sys_mkdirat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_lookup lookup;
    int result = lookup_new(process, args[0], args[1], true, &lookup);
    if (result < 0)
        return result;
    struct vmk_node *folder = lookup.folder;
    uint32_t mode = (uint32_t)args[2] & 01777 & ~process->umask;
    result = folder->ops->make_folder == NULL
                 ? vmk_at_denied(folder)
                 : folder->ops->make_folder(process->files, folder, lookup.name, mode);
    vmk_lookup_clear(&lookup);
    return result;
}

/* A regular file alone: devices reach what the sandbox keeps from the guest, and nobody is at the
 * other end of a FIFO or a socket. */
int64_t
vmk_sys_mknodat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_lookup lookup;
    struct vmk_file *file;
    uint32_t type = (uint32_t)args[2] & S_IFMT;
    if (type != 0 && type != S_IFREG)
        return type == S_IFDIR ? -EPERM : type == S_IFLNK ? -EINVAL : -EPERM;
    int result = lookup_new(process, args[0], args[1], false, &lookup);
    if (result < 0)
        return result;
    struct vmk_node *folder = lookup.folder;
    uint32_t mode = (uint32_t)args[2] & 07777 & ~process->umask;
    result = folder->ops->create == NULL
                 ? vmk_at_denied(folder)
                 : folder->ops->create(process->files, folder, lookup.name, O_RDONLY, mode, &file);
    vmk_lookup_clear(&lookup);
    if (result == 0)
        vmk_file_unref(file);
    return result;
}

int64_t
vmk_sys_symlinkat(struct vmk_process *process, const uint64_t args[6])
{
    char target[VMK_PATH_MAX];
    struct vmk_lookup lookup;
    int result = vmk_at_read_path(process, args[0], target);
    if (result == 0 && target[0] == '\0')
        result = -ENOENT;
    if (result == 0)
        result = lookup_new(process, args[1], args[2], false, &lookup);
    if (result < 0)
        return result;
    struct vmk_node *folder = lookup.folder;
    result = folder->ops->make_link == NULL
                 ? vmk_at_denied(folder)
                 : folder->ops->make_link(process->files, folder, lookup.name, target);
    vmk_lookup_clear(&lookup);
    return result;
}

int64_t
vmk_sys_linkat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_target target;
    struct vmk_lookup lookup;
    uint32_t flags = (uint32_t)args[4];
    if ((flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    uint32_t how = (flags & AT_EMPTY_PATH) |
                   ((flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : (uint32_t)AT_SYMLINK_NOFOLLOW);
    int result = vmk_at_find(process, args[0], args[1], how, &target);
    if (result < 0)
        return result;
    result = lookup_new(process, args[2], args[3], false, &lookup);
    if (result == 0) {
        struct vmk_node *node = target.node;
        if (node == NULL || node->file_system != lookup.folder->file_system)
            result = -EXDEV;
        else if (node->type == S_IFDIR)
            result = -EPERM;
        else if (node->ops->link == NULL)
            result = vmk_at_denied(lookup.folder);
        else
            result = node->ops->link(process->files, node, lookup.folder, lookup.name);
        vmk_lookup_clear(&lookup);
    }
    vmk_target_clear(&target);
    return result;
}

/* Whether something is mounted there or below, so that the name has to stay. */
static bool
is_mounted(const struct vmk_node *node)
{
    return node != NULL && node->point != NULL;
}

/* "." and ".." and the root are not removed; the errnos are Linux's. */
static int
check_last(const struct vmk_lookup *lookup, bool folder)
{
    if (lookup->last == VMK_LAST_NAME)
        return 0;
    if (!folder)
        return -EISDIR;
    return lookup->last == VMK_LAST_DOT      ? -EINVAL
           : lookup->last == VMK_LAST_DOTDOT ? -ENOTEMPTY
                                             : -EBUSY;
}

int64_t
vmk_sys_unlinkat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_lookup lookup;
    uint32_t flags = (uint32_t)args[2];
    bool folder = (flags & AT_REMOVEDIR) != 0;
    if ((flags & ~(uint32_t)AT_REMOVEDIR) != 0)
        return -EINVAL;
    int result = vmk_at_lookup_name(process, args[0], args[1], &lookup);
    if (result < 0)
        return result;
    result = check_last(&lookup, folder);
    if (result == 0 && vmk_node_read_only(lookup.folder))
        result = -EROFS;
    else if (result == 0 && lookup.node == NULL)
        result = -ENOENT;
    else if (result == 0 && lookup.trailing_slash && lookup.node->type != S_IFDIR)
        result = -ENOTDIR;
    else if (result == 0 && is_mounted(lookup.node))
        result = folder ? -EBUSY : lookup.node->type == S_IFDIR ? -EISDIR : -EBUSY;
    else if (result == 0)
        result =
            lookup.folder->ops->remove == NULL
                ? -EACCES
                : lookup.folder->ops->remove(process->files, lookup.folder, lookup.name, folder);
    vmk_lookup_clear(&lookup);
    return result;
}

static int
rename_names(struct vmk_files *files, const struct vmk_lookup *from, const struct vmk_lookup *to,
             uint32_t flags)
{
    if (from->folder->file_system != to->folder->file_system)
        return -EXDEV;
    if (vmk_node_read_only(from->folder))
        return -EROFS;
    if (from->node == NULL)
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE) != 0 && to->node != NULL)
        return -EEXIST;
    if ((flags & RENAME_EXCHANGE) != 0 && to->node == NULL)
        return -ENOENT;
    if (from->node->type != S_IFDIR && (from->trailing_slash || to->trailing_slash))
        return -ENOTDIR;
    if (is_mounted(from->node) || is_mounted(to->node))
        return -EBUSY;
    if (from->folder->ops->rename == NULL)
        return -EACCES;
    return from->folder->ops->rename(files, from->folder, from->name, to->folder, to->name, flags);
}

int64_t
vmk_sys_renameat2(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_lookup from;
    struct vmk_lookup to;
    uint32_t flags = (uint32_t)args[4];
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int result = vmk_at_lookup_name(process, args[0], args[1], &from);
    if (result < 0)
        return result;
    result = vmk_at_lookup_name(process, args[2], args[3], &to);
    if (result == 0) {
        if (from.last != VMK_LAST_NAME)
            result = -EBUSY;
        else if (to.last != VMK_LAST_NAME)
            result = (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
        else
            result = rename_names(process->files, &from, &to, flags);
        vmk_lookup_clear(&to);
    }
    vmk_lookup_clear(&from);
    return result;
}

int64_t
vmk_sys_renameat(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_sys_renameat2(process, (const uint64_t[6]){args[0], args[1], args[2], args[3], 0});
}
