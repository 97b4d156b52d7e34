/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/at.h"

#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>

int
vmk_at_read_path(struct vmk_process *process, uint64_t va, char path[VMK_PATH_MAX])
{
    ssize_t length = vmk_uaccess_read_string(process->space, va, path, VMK_PATH_MAX);
    return length < 0 ? (int)length : 0;
}

static int
find_empty(struct vmk_process *process, uint64_t dirfd, struct vmk_target *target)
{
    if ((int)dirfd == AT_FDCWD) {
        target->node = vmk_node_ref(process->files->cwd);
        return 0;
    }
    return vmk_at_find_fd(process, dirfd, true, target);
}

int
vmk_at_find(struct vmk_process *process, uint64_t dirfd, uint64_t path, uint32_t flags,
            struct vmk_target *ret_target)
{
    char text[VMK_PATH_MAX];
    struct vmk_target target = {0};
    bool may_be_empty = (flags & AT_EMPTY_PATH) != 0;
    int result = path == 0 && may_be_empty ? 0 : vmk_at_read_path(process, path, text);
    if (result < 0)
        return result;
    if (may_be_empty && (path == 0 || text[0] == '\0')) {
        result = find_empty(process, dirfd, &target);
    } else {
        struct vmk_lookup lookup;
        result =
            vmk_path_lookup(process->files, (int)dirfd, text,
                            (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : VMK_LOOKUP_FOLLOW, &lookup);
        if (result == 0) {
            target = (struct vmk_target){lookup.node, lookup.file};
            vmk_node_unref(lookup.folder);
        }
    }
    if (result == 0)
        *ret_target = target;
    return result;
}

int
vmk_at_find_fd(struct vmk_process *process, uint64_t fd, bool allow_path,
               struct vmk_target *ret_target)
{
    struct vmk_file *file = allow_path ? vmk_fdtable_get(&process->files->table, fd)
                                       : vmk_files_get(process->files, fd);
    if (file == NULL)
        return -EBADF;
    ret_target->file = vmk_file_ref(file);
    ret_target->node = file->node == NULL ? NULL : vmk_node_ref(file->node);
    return 0;
}

void
vmk_target_clear(struct vmk_target *target)
{
    vmk_node_unref(target->node);
    vmk_file_unref(target->file);
    *target = (struct vmk_target){0};
}

int
vmk_target_statx(const struct vmk_target *target, struct statx *status)
{
    return target->file != NULL ? vmk_file_statx(target->file, status)
                                : vmk_node_statx(target->node, status);
}

int
vmk_at_lookup_name(struct vmk_process *process, uint64_t dirfd, uint64_t path,
                   struct vmk_lookup *ret_lookup)
{
    char text[VMK_PATH_MAX];
    int result = vmk_at_read_path(process, path, text);
    if (result < 0)
        return result;
    return vmk_path_lookup(process->files, (int)dirfd, text, VMK_LOOKUP_MISSING | VMK_LOOKUP_KEEP,
                           ret_lookup);
}

int
vmk_at_denied(struct vmk_node *folder)
{
    return vmk_node_read_only(folder) ? -EROFS : -EACCES;
}
