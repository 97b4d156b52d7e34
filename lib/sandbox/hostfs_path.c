/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where something of a host folder is now, as the guest would name it. The host's kernel knows, and
 * tells it by proc(5): what was opened may have been renamed since, by the guest or by others. The
 * answer is a path for a walk from the guest's root, which checks each step as any other does; a
 * wrong one leads to something else in the folders that are shown, never out of them.
 */
#include "sandbox/hostfs_internal.h"

#include "sandbox/config.h"
#include "sandbox/files.h"
#include "sandbox/mount.h"
#include "sandbox/path.h"
#include "sandbox/state_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DELETED " (deleted)"

static bool
is_same(int one, int other)
{
    struct stat a, b;
    return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

bool
vmk_hostfs_leads_to(struct vmk_files *files, const char *path, struct vmk_node *node)
{
    struct vmk_node *found;
    if (vmk_path_find(files, AT_FDCWD, path, 0, &found) < 0)
        return false;
    bool same =
        found->ops->state == &vmk_state_place_host && is_same(host_fd(found), host_fd(node));
    vmk_node_unref(found);
    return same;
}

/* The host's path of a descriptor; its length, or -1. */
static ssize_t
read_host_path(int fd, char path[PATH_MAX])
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length >= 0)
        path[length] = '\0';
    return length;
}

/* The kernel appends that to the name of what was deleted. A name may also be so. */
static bool
take_deleted(struct vmk_files *files, struct vmk_node *node, char *path)
{
    size_t length = strlen(path), tail = strlen(DELETED);
    if (length < tail || strcmp(path + length - tail, DELETED) != 0 ||
        vmk_hostfs_leads_to(files, path, node))
        return false;
    path[length - tail] = '\0';
    return true;
}

int
vmk_hostfs_find_path(struct vmk_files *files, struct vmk_node *node, char path[VMK_PATH_MAX])
{
    char folder[PATH_MAX], file[PATH_MAX];
    const struct vmk_node *root = vmk_mounts_find_root(&files->mounts, node->file_system);
    ssize_t length = read_host_path(host_fs(node)->root->fd, folder);
    if (root == NULL || length < 0 || read_host_path(host_fd(node), file) < 0)
        return vmk_node_copy_path(node, path);
    if (length == 1)
        length = 0;
    const char *below = file + length;
    if (strncmp(file, folder, (size_t)length) != 0 || (below[0] != '/' && below[0] != '\0'))
        return -ENOENT;
    bool is_root = strcmp(below, "/") == 0 || below[0] == '\0';
    const char *base = strcmp(root->path, "/") == 0 && !is_root ? "" : root->path;
    int size = snprintf(path, VMK_PATH_MAX, "%s%s", base, is_root ? "" : below);
    if (size < 0 || size >= VMK_PATH_MAX)
        return -ENAMETOOLONG;
    return take_deleted(files, node, path);
}
