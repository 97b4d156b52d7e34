/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in memory: making, removing, renaming and linking. The caller has looked the names up; they
 * are looked up again here, as a file system does.
 */
#include "sandbox/files.h"
#include "sandbox/mount.h"
#include "sandbox/tmpfs_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether names may be added to the folder or taken from it. */
static int
check_folder(struct vmk_files *files, const struct tmp_inode *folder)
{
    if (folder->removed)
        return -ENOENT;
    return vmk_tmp_permitted(files, folder, W_OK | X_OK);
}

static int
check_new_name(struct vmk_files *files, const struct tmp_inode *folder, const char *name)
{
    if (vmk_tmp_find(folder, name) != NULL)
        return -EEXIST;
    return check_folder(files, folder);
}

/* Make an inode with a name. The reference that is returned is the caller's. */
static int
make_named(struct vmk_files *files, struct vmk_node *folder, const char *name, uint32_t type,
           uint32_t mode, struct tmp_inode **ret_inode)
{
    struct tmp_inode *into = tmp_inode(folder);
    struct tmp_inode *inode;
    int result = check_new_name(files, into, name);
    if (result == 0)
        result = vmk_tmp_inode_new(files, into->fs, type, mode, &inode);
    if (result < 0)
        return result;
    result = vmk_tmp_add(into, name, inode);
    if (result < 0) {
        vmk_tmp_inode_unref(inode);
        return result;
    }
    *ret_inode = inode;
    return 0;
}

/* The file of a fresh inode, whose reference is taken over; its mode is not asked. */
static int
open_fresh(struct vmk_node *folder, const char *name, struct tmp_inode *inode, uint32_t flags,
           struct vmk_file **ret_file)
{
    struct vmk_node *node;
    int result = vmk_tmp_node_new(folder, name, inode, &node);
    vmk_tmp_inode_unref(inode);
    if (result < 0)
        return result;
    result = vmk_tmp_open(NULL, node, flags, ret_file);
    vmk_node_unref(node);
    return result;
}

int
vmk_tmp_create(struct vmk_files *files, struct vmk_node *folder, const char *name, uint32_t flags,
               uint32_t mode, struct vmk_file **ret_file)
{
    struct tmp_inode *inode;
    int result = make_named(files, folder, name, S_IFREG, mode, &inode);
    return result < 0 ? result : open_fresh(folder, name, inode, flags, ret_file);
}

int
vmk_tmp_create_unnamed(struct vmk_files *files, struct vmk_node *folder, uint32_t flags,
                       uint32_t mode, struct vmk_file **ret_file)
{
    struct tmp_inode *inode;
    char name[40];
    int result = check_folder(files, tmp_inode(folder));
    if (result == 0)
        result = vmk_tmp_inode_new(files, tmp_inode(folder)->fs, S_IFREG, mode, &inode);
    if (result < 0)
        return result;
    snprintf(name, sizeof name, "#%llu (deleted)", (unsigned long long)inode->number);
    return open_fresh(folder, name, inode, flags, ret_file);
}

int
vmk_tmp_make_folder(struct vmk_files *files, struct vmk_node *folder, const char *name,
                    uint32_t mode)
{
    struct tmp_inode *inode;
    int result = make_named(files, folder, name, S_IFDIR, mode, &inode);
    if (result == 0)
        vmk_tmp_inode_unref(inode);
    return result;
}

int
vmk_tmp_make_link(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  const char *target)
{
    struct tmp_inode *inode;
    struct tmpfs *fs = tmp_inode(folder)->fs;
    size_t length = strlen(target);
    char *copy = strdup(target);
    if (copy == NULL)
        return -ENOMEM;
    if (!vmk_memory_account_try_charge(fs->account, length)) {
        free(copy);
        return -ENOSPC;
    }
    int result = make_named(files, folder, name, S_IFLNK, 0777, &inode);
    if (result < 0) {
        vmk_memory_account_uncharge(fs->account, length);
        free(copy);
        return result;
    }
    inode->target = copy;
    inode->size = length;
    vmk_tmp_inode_unref(inode);
    return 0;
}

/* Whether `entry` may go, given what the caller takes it for. */
static int
check_removal(const struct tmp_entry *entry, bool is_folder)
{
    if (entry == NULL)
        return -ENOENT;
    if (is_folder && entry->inode->type != S_IFDIR)
        return -ENOTDIR;
    if (!is_folder && entry->inode->type == S_IFDIR)
        return -EISDIR;
    return entry->inode->first != NULL ? -ENOTEMPTY : 0;
}

int
vmk_tmp_unlink(struct vmk_files *files, struct vmk_node *folder, const char *name, bool is_folder)
{
    struct tmp_inode *from = tmp_inode(folder);
    struct tmp_entry *entry = vmk_tmp_find(from, name);
    int result = check_folder(files, from);
    if (result == 0)
        result = check_removal(entry, is_folder);
    if (result == 0)
        vmk_tmp_remove(from, entry);
    return result;
}

/* Whether `inode` is `folder` or lies above it. */
static bool
is_above(const struct tmp_inode *inode, const struct tmp_inode *folder)
{
    while (folder != NULL && folder != inode)
        folder = folder->parent;
    return folder != NULL;
}

static void
swap_entries(struct tmp_inode *old_folder, struct tmp_entry *old_entry,
             struct tmp_inode *new_folder, struct tmp_entry *new_entry)
{
    struct tmp_inode *inode = old_entry->inode;
    old_entry->inode = new_entry->inode;
    new_entry->inode = inode;
    if (old_folder != new_folder) {
        bool old_is_folder = old_entry->inode->type == S_IFDIR;
        bool new_is_folder = new_entry->inode->type == S_IFDIR;
        old_folder->links += (uint32_t)old_is_folder - (uint32_t)new_is_folder;
        new_folder->links += (uint32_t)new_is_folder - (uint32_t)old_is_folder;
        if (old_is_folder)
            old_entry->inode->parent = old_folder;
        if (new_is_folder)
            new_entry->inode->parent = new_folder;
    }
    if (old_entry->inode->type == S_IFDIR)
        old_entry->inode->name = old_entry;
    if (new_entry->inode->type == S_IFDIR)
        new_entry->inode->name = new_entry;
    vmk_tmp_touch(old_folder, true);
    vmk_tmp_touch(new_folder, true);
}

int
vmk_tmp_rename(struct vmk_files *files, struct vmk_node *old_node, const char *old_name,
               struct vmk_node *new_node, const char *new_name, uint32_t flags)
{
    struct tmp_inode *from = tmp_inode(old_node);
    struct tmp_inode *to = tmp_inode(new_node);
    struct tmp_entry *old_entry = vmk_tmp_find(from, old_name);
    struct tmp_entry *new_entry = vmk_tmp_find(to, new_name);
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return -EINVAL;
    int result = check_folder(files, from);
    if (result == 0)
        result = check_folder(files, to);
    if (result < 0)
        return result;
    if (old_entry == NULL || ((flags & RENAME_EXCHANGE) != 0 && new_entry == NULL))
        return -ENOENT;

    struct tmp_inode *inode = old_entry->inode;
    if (inode->type == S_IFDIR && is_above(inode, to))
        return -EINVAL;
    if ((flags & RENAME_EXCHANGE) != 0) {
        if (new_entry->inode->type == S_IFDIR && is_above(new_entry->inode, from))
            return -EINVAL;
        swap_entries(from, old_entry, to, new_entry);
        return 0;
    }
    if (new_entry != NULL) {
        if ((flags & RENAME_NOREPLACE) != 0)
            return -EEXIST;
        if (new_entry->inode == inode)
            return 0;
        result = check_removal(new_entry, inode->type == S_IFDIR);
        if (result == 0)
            vmk_tmp_move_over(from, old_entry, to, new_entry);
        return result;
    }

    result = vmk_tmp_add(to, new_name, inode);
    if (result == 0)
        vmk_tmp_remove(from, old_entry);
    return result;
}

int
vmk_tmp_find_path(struct vmk_files *files, struct vmk_node *folder, char path[VMK_PATH_MAX])
{
    const struct tmp_inode *inode = tmp_inode(folder);
    const struct vmk_node *root = vmk_mounts_find_root(&files->mounts, inode->fs);
    size_t at = VMK_PATH_MAX - 1;
    if (inode->removed || root == NULL) {
        int result = vmk_node_copy_path(folder, path);
        return result < 0 ? result : inode->removed;
    }
    for (; inode->name != NULL; inode = inode->parent) {
        size_t length = strlen(inode->name->name);
        if (length + 1 > at)
            return -ENAMETOOLONG;
        at -= length + 1;
        path[at] = '/';
        memcpy(path + at + 1, inode->name->name, length);
    }
    size_t size = VMK_PATH_MAX - 1 - at;
    bool is_root = strcmp(root->path, "/") == 0;
    size_t lead = is_root && size != 0 ? 0 : strlen(root->path);
    if (lead > at)
        return -ENAMETOOLONG;
    memmove(path + lead, path + at, size);
    memcpy(path, root->path, lead);
    path[lead + size] = '\0';
    return 0;
}

int
vmk_tmp_link(struct vmk_files *files, struct vmk_node *node, struct vmk_node *folder,
             const char *name)
{
    struct tmp_inode *inode = tmp_inode(node);
    int result = check_new_name(files, tmp_inode(folder), name);
    if (result < 0)
        return result;
    if (inode->type == S_IFDIR)
        return -EPERM;
    result = vmk_tmp_add(tmp_inode(folder), name, inode);
    if (result == 0)
        vmk_tmp_touch(inode, false);
    return result;
}
