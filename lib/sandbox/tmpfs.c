/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/tmpfs.h"

#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
#include "sandbox/tmpfs_internal.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TMPFS_DEVICE_MINOR 1

static struct statx_timestamp
to_statx_time(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

void
vmk_tmp_statx(const struct tmp_inode *inode, struct statx *status)
{
    bool is_folder = inode->type == S_IFDIR;
    vmk_statx_init(status, inode->type | inode->mode, inode->number, inode->uid, inode->gid);
    /* A folder's own link and that from its parent's name; the root has no name. */
    status->stx_nlink = inode->links + (is_folder && !inode->removed ? 1 : 0) +
                        (is_folder && inode->parent == NULL && !inode->removed ? 1 : 0);
    status->stx_size = inode->size;
    status->stx_blocks = inode->pages.count * (VMK_PAGES_SIZE / 512);
    status->stx_dev_minor = TMPFS_DEVICE_MINOR;
    status->stx_mask |= STATX_BTIME;
    status->stx_atime = to_statx_time(inode->accessed);
    status->stx_mtime = to_statx_time(inode->modified);
    status->stx_ctime = to_statx_time(inode->changed);
    status->stx_btime = to_statx_time(inode->born);
}

static int
tmp_lookup(struct vmk_files *files, struct vmk_node *folder, const char *name,
           struct vmk_node **ret_node)
{
    int result = vmk_tmp_permitted(files, tmp_inode(folder), X_OK);
    if (result < 0)
        return result;
    struct tmp_entry *entry = vmk_tmp_find(tmp_inode(folder), name);
    return entry == NULL ? -ENOENT : vmk_tmp_node_new(folder, name, entry->inode, ret_node);
}

static int
tmp_statx(struct vmk_node *node, struct statx *status)
{
    vmk_tmp_statx(tmp_inode(node), status);
    return 0;
}

static ssize_t
tmp_readlink(struct vmk_files *files, struct vmk_node *node, char *buffer, size_t size)
{
    const struct tmp_inode *inode = tmp_inode(node);
    if (size > inode->size)
        size = inode->size;
    memcpy(buffer, inode->target, size);
    return (ssize_t)size;
}

/* UTIME_NOW and UTIME_OMIT, as utimensat(2) has them. */
static void
set_time(struct timespec *time, struct timespec to)
{
    if (to.tv_nsec == UTIME_NOW)
        clock_gettime(CLOCK_REALTIME, time);
    else if (to.tv_nsec != UTIME_OMIT)
        *time = to;
}

static bool
all_now(const struct timespec times[2])
{
    return times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;
}

static int
tmp_change(struct vmk_files *files, struct vmk_node *node, const struct vmk_node_change *change)
{
    struct tmp_inode *inode = tmp_inode(node);
    uint32_t user = files->process->uid;
    bool owner = user == 0 || user == inode->uid;
    if (!owner && (change->set_mode || change->set_owner))
        return -EPERM;
    /* Who may write may set the times to now. */
    if (!owner && change->set_times &&
        (!all_now(change->times) || vmk_tmp_permitted(files, inode, W_OK) < 0))
        return all_now(change->times) ? -EACCES : -EPERM;
    if (change->set_owner && user != 0 &&
        ((change->uid != UINT32_MAX && change->uid != inode->uid) ||
         (change->gid != UINT32_MAX && change->gid != inode->gid)))
        return -EPERM;

    if (change->set_mode)
        inode->mode = change->mode & 07777;
    if (change->set_owner && change->uid != UINT32_MAX)
        inode->uid = change->uid;
    if (change->set_owner && change->gid != UINT32_MAX)
        inode->gid = change->gid;
    vmk_tmp_touch(inode, false);
    if (change->set_times) {
        set_time(&inode->accessed, change->times[0]);
        set_time(&inode->modified, change->times[1]);
    }
    return 0;
}

static int
tmp_access(struct vmk_files *files, struct vmk_node *node, int mode)
{
    const struct tmp_inode *inode = tmp_inode(node);
    if (files->process->uid == 0 && (mode & X_OK) != 0 && inode->type == S_IFREG &&
        (inode->mode & 0111) == 0)
        return -EACCES;
    return vmk_tmp_permitted(files, inode, mode);
}

static int
tmp_statfs(struct vmk_node *node, struct statfs *status)
{
    const struct tmpfs *fs = tmp_inode(node)->fs;
    uint64_t left = (fs->account->limit - fs->account->used) / VMK_PAGES_SIZE;
    *status = (struct statfs){
        .f_type = TMPFS_MAGIC,
        .f_bsize = VMK_PAGES_SIZE,
        .f_blocks = fs->account->limit / VMK_PAGES_SIZE,
        .f_bfree = left,
        .f_bavail = left,
        .f_files = VMK_TMPFS_INODES_MAX,
        .f_ffree = VMK_TMPFS_INODES_MAX - fs->count,
        .f_namelen = 255,
        .f_frsize = VMK_PAGES_SIZE,
    };
    return 0;
}

static void
tmp_destroy(struct vmk_node *node)
{
    if (tmp_inode(node) != NULL)
        vmk_tmp_inode_unref(tmp_inode(node));
}

static const struct vmk_node_ops tmp_ops = {
    .lookup = tmp_lookup,
    .statx = tmp_statx,
    .readlink = tmp_readlink,
    .open = vmk_tmp_open,
    .create = vmk_tmp_create,
    .create_unnamed = vmk_tmp_create_unnamed,
    .make_folder = vmk_tmp_make_folder,
    .make_link = vmk_tmp_make_link,
    .remove = vmk_tmp_unlink,
    .rename = vmk_tmp_rename,
    .link = vmk_tmp_link,
    .change = tmp_change,
    .access = tmp_access,
    .statfs = tmp_statfs,
    .find_path = vmk_tmp_find_path,
    .state = &vmk_state_place_tmp,
    .destroy = tmp_destroy,
};

int
vmk_tmp_node_new(struct vmk_node *folder, const char *name, struct tmp_inode *inode,
                 struct vmk_node **ret_node)
{
    struct tmp_node *made =
        vmk_node_new(sizeof *made, &tmp_ops, inode->type, inode->fs, folder, name);
    if (made == NULL)
        return -ENOMEM;
    made->inode = inode;
    inode->references++;
    *ret_node = &made->node;
    return 0;
}

static void
tmpfs_free(void *file_system)
{
    vmk_tmp_free_all(file_system);
    free(file_system);
}

int
vmk_tmpfs_new(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount)
{
    struct tmp_inode *inode = NULL;
    struct vmk_node *root = NULL;
    struct tmpfs *fs = calloc(1, sizeof *fs);
    if (fs == NULL)
        return -ENOMEM;
    fs->process = files->process;
    fs->account = files->account;
    int result = vmk_tmp_inode_new(files, fs, S_IFDIR, 01777, &inode);
    if (result == 0) {
        inode->uid = 0;
        inode->gid = 0;
        result = vmk_tmp_node_new(NULL, path, inode, &root);
        vmk_tmp_inode_unref(inode);
    }
    if (result < 0) {
        tmpfs_free(fs);
        return -ENOMEM;
    }
    *ret_mount = (struct vmk_mount){root, fs, tmpfs_free};
    return 0;
}
