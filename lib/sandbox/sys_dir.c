/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: getdents64(2), getcwd(2), chdir(2). */
#include "sandbox/at.h"
#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The mounts in a folder come after what its file system has. */
static void
put_mounts(struct vmk_file *file, struct vmk_dirent_sink *sink)
{
    const struct vmk_mount_point *folder = sink->mounts;
    const struct vmk_mount_point *point = folder == NULL ? NULL : folder->children;
    sink->mounts = NULL;
    for (uint32_t index = 1; point != NULL; point = point->next, index++) {
        if (index < file->mount_index)
            continue;
        uint32_t type = point->mount.root != NULL ? point->mount.root->type : S_IFDIR;
        if (!vmk_dirent_put(sink, point->name, point->number, type, INT64_MAX))
            return;
        file->mount_index = index + 1;
    }
}

int64_t
vmk_dirent_serve(struct vmk_process *process, const uint64_t args[6], bool old_format)
{
    _Alignas(8) char buffer[VMK_DIRENT_BYTES_MAX];
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    uint32_t size = (uint32_t)args[2];
    if (file == NULL)
        return -EBADF;
    if (file->ops->read_directory == NULL)
        return -ENOTDIR;

    struct vmk_dirent_sink sink = {
        .buffer = buffer,
        .capacity = size < sizeof buffer ? size : sizeof buffer,
        .old_format = old_format,
        .mounts = file->node->point,
    };
    if (file->mount_index == 0) {
        int result = file->ops->read_directory(process, file, &sink);
        if (result < 0)
            return result;
        if (sink.used == 0 && !sink.full)
            file->mount_index = 1;
    }
    if (file->mount_index != 0)
        put_mounts(file, &sink);
    if (sink.used == 0 && sink.full)
        return -EINVAL;
    int result = vmk_uaccess_write(process->space, args[1], buffer, sink.used);
    return result < 0 ? result : (int64_t)sink.used;
}

int64_t
vmk_sys_getdents64(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_dirent_serve(process, args, false);
}

int64_t
vmk_sys_getcwd(struct vmk_process *process, const uint64_t args[6])
{
    char path[VMK_PATH_MAX];
    int result = vmk_node_find_path(process->files, process->files->cwd, path);
    if (result != 0)
        return result < 0 ? result : -ENOENT;
    size_t size = strlen(path) + 1;
    if (size > args[1])
        return -ERANGE;
    result = vmk_uaccess_write(process->space, args[0], path, size);
    return result < 0 ? result : (int64_t)size;
}

/* Takes the reference to the node over. */
static int
enter(struct vmk_files *files, struct vmk_node *node)
{
    int result = node->type != S_IFDIR ? -ENOTDIR : 0;
    if (result == 0 && node->ops->access != NULL)
        result = node->ops->access(files, node, X_OK);
    if (result < 0) {
        vmk_node_unref(node);
        return result;
    }
    vmk_node_unref(files->cwd);
    files->cwd = node;
    return 0;
}

int64_t
vmk_sys_chdir(struct vmk_process *process, const uint64_t args[6])
{
    char path[VMK_PATH_MAX];
    struct vmk_node *node;
    int result = vmk_at_read_path(process, args[0], path);
    if (result == 0)
        result = vmk_path_find(process->files, AT_FDCWD, path, VMK_LOOKUP_FOLLOW, &node);
    return result < 0 ? result : enter(process->files, node);
}

int64_t
vmk_sys_fchdir(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_fdtable_get(&process->files->table, args[0]);
    if (file == NULL)
        return -EBADF;
    if (file->node == NULL)
        return -ENOTDIR;
    return enter(process->files, vmk_node_ref(file->node));
}
