/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/node.h"

#include "sandbox/files.h"
#include "sandbox/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *
vmk_node_new(size_t size, const struct vmk_node_ops *ops, uint32_t type, const void *file_system,
             const struct vmk_node *folder, const char *name)
{
    struct vmk_node *node = calloc(1, size);
    if (node == NULL)
        return NULL;

    size_t folder_length = folder == NULL ? 0 : strlen(folder->path);
    /* The root's path ends with the slash that would separate the two. */
    bool separate = folder_length > 1;
    node->path = malloc(folder_length + separate + strlen(name) + 1);
    if (node->path == NULL) {
        free(node);
        return NULL;
    }
    if (folder != NULL)
        memcpy(node->path, folder->path, folder_length);
    if (separate)
        node->path[folder_length] = '/';
    strcpy(node->path + folder_length + separate, name);
    node->references = 1;
    node->ops = ops;
    node->type = type;
    node->file_system = file_system;
    return node;
}

struct vmk_node *
vmk_node_ref(struct vmk_node *node)
{
    node->references++;
    return node;
}

void
vmk_node_unref(struct vmk_node *node)
{
    if (node == NULL || --node->references != 0)
        return;
    if (node->ops->destroy != NULL)
        node->ops->destroy(node);
    free(node->path);
    free(node);
}

int
vmk_node_statx(struct vmk_node *node, struct statx *status)
{
    return node->ops->statx(node, status);
}

int
vmk_node_find_path(struct vmk_files *files, struct vmk_node *folder, char path[VMK_PATH_MAX])
{
    if (folder->ops->find_path != NULL)
        return folder->ops->find_path(files, folder, path);
    return vmk_node_copy_path(folder, path);
}

int
vmk_node_copy_path(const struct vmk_node *node, char path[VMK_PATH_MAX])
{
    size_t size = strlen(node->path) + 1;
    if (size > VMK_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(path, node->path, size);
    return 0;
}

bool
vmk_node_read_only(struct vmk_node *node)
{
    return node->ops->read_only != NULL && node->ops->read_only(node);
}

int
vmk_node_permitted(struct vmk_files *files, uint32_t mode_bits, uint32_t uid, uint32_t gid,
                   int mode)
{
    const struct vmk_process *process = files->process;
    if (process->uid == 0)
        return 0;
    if (process->uid == uid)
        mode_bits >>= 6;
    else if (process->gid == gid)
        mode_bits >>= 3;
    return ((uint32_t)mode & ~mode_bits & 7) == 0 ? 0 : -EACCES;
}
