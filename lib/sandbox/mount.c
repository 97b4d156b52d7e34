/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/mount.h"

#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/state_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>

/* Folders that are there only because a mount lies below them: read-only, owned by root. */

static int
bare_statx(struct vmk_node *node, struct statx *status)
{
    vmk_statx_init(status, S_IFDIR | 0755, node->point->number, 0, 0);
    status->stx_nlink = 2;
    return 0;
}

static int
bare_access(struct vmk_files *files, struct vmk_node *node, int mode)
{
    return vmk_node_permitted(files, 0755, 0, 0, mode);
}

static int
bare_statfs(struct vmk_node *node, struct statfs *status)
{
    *status = (struct statfs){.f_type = TMPFS_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    status->f_frsize = 4096;
    return 0;
}

/* The mounts themselves are added by getdents. */
static int
bare_read_directory(struct vmk_process *process, struct vmk_file *file,
                    struct vmk_dirent_sink *sink)
{
    return vmk_dirent_put_dots(sink, file, file->node->point->number, 1);
}

static const struct vmk_file_ops bare_file_ops = {
    .positioned = true,
    .seek = vmk_dirent_seek,
    .read_directory = bare_read_directory,
    .state = &vmk_state_bare_folder,
};

static int
bare_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
          struct vmk_file **ret_file)
{
    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EISDIR;
    struct vmk_file *file = malloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    vmk_file_init(file, &bare_file_ops, flags, node);
    *ret_file = file;
    return 0;
}

static int
bare_file_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    return vmk_state_save_node(writer, file->node);
}

static int
bare_file_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
               struct vmk_file **ret_file)
{
    struct vmk_node *node;
    int r = vmk_state_load_node(reader, &node);
    if (r < 0)
        return r;
    if (node->ops->state != &vmk_state_place_bare)
        r = vmk_state_bad(reader, "\"%.80s\" is open as a folder of another kind", node->path);
    else if (bare_open(reader->files, node, O_RDONLY, ret_file) < 0)
        r = vmk_state_no_memory(reader->ret_error);
    vmk_node_unref(node);
    return r;
}

const struct vmk_state_kind vmk_state_bare_folder = {
    .number = VMK_STATE_BARE_FOLDER, .save = bare_file_save, .load = bare_file_load};

static int
bare_load(struct vmk_state_reader *reader, const char *path, struct vmk_node **ret_node)
{
    return vmk_state_walk(reader, &vmk_state_place_bare, path, ret_node);
}

const struct vmk_state_place vmk_state_place_bare = {
    .number = VMK_STATE_PLACE_BARE, .name = "an empty folder", .load = bare_load};

static const struct vmk_node_ops bare_ops = {
    .statx = bare_statx,
    .open = bare_open,
    .access = bare_access,
    .statfs = bare_statfs,
    .state = &vmk_state_place_bare,
};

void
vmk_mount_clear(struct vmk_mount *mount)
{
    vmk_node_unref(mount->root);
    if (mount->free != NULL)
        mount->free(mount->file_system);
    *mount = (struct vmk_mount){0};
}

static struct vmk_mount_point *
point_new(struct vmk_mounts *mounts, struct vmk_mount_point *parent, const char *name,
          size_t length)
{
    struct vmk_mount_point *point = calloc(1, sizeof *point + length + 1);
    if (point == NULL)
        return NULL;
    memcpy(point->name, name, length);
    point->number = ++mounts->count;
    point->parent = parent;
    if (parent != NULL) {
        point->next = parent->children;
        parent->children = point;
    }
    return point;
}

static struct vmk_mount_point *
point_find(const struct vmk_mount_point *point, const char *name, size_t length)
{
    struct vmk_mount_point *child = point->children;
    while (child != NULL &&
           (strncmp(child->name, name, length) != 0 || child->name[length] != '\0'))
        child = child->next;
    return child;
}

struct vmk_mount_point *
vmk_mount_point_find(const struct vmk_mount_point *point, const char *name)
{
    return point == NULL ? NULL : point_find(point, name, strlen(name));
}

/* The point at a path; made on the way if `make`. NULL: not there, or no memory. */
static struct vmk_mount_point *
point_at(struct vmk_mounts *mounts, const char *path, int make)
{
    if (mounts->root == NULL && make)
        mounts->root = point_new(mounts, NULL, "", 0);
    struct vmk_mount_point *point = mounts->root;
    for (const char *at = path + 1; *at != '\0' && point != NULL;) {
        size_t length = strcspn(at, "/");
        struct vmk_mount_point *child = point_find(point, at, length);
        if (child == NULL && make)
            child = point_new(mounts, point, at, length);
        point = child;
        at += length;
        at += *at == '/';
    }
    return point;
}

int
vmk_mounts_add(struct vmk_mounts *mounts, const char *path, struct vmk_mount mount)
{
    struct vmk_mount_point *point = point_at(mounts, path, 1);
    if (point == NULL || point->mount.root != NULL) {
        vmk_mount_clear(&mount);
        return point == NULL ? -ENOMEM : -EEXIST;
    }
    point->mount = mount;
    mount.root->point = point;
    return 0;
}

struct vmk_mount_point *
vmk_mounts_find_point(const struct vmk_mounts *mounts, const char *path)
{
    return point_at((struct vmk_mounts *)mounts, path, 0);
}

int
vmk_mounts_has(const struct vmk_mounts *mounts, const char *path)
{
    const struct vmk_mount_point *point = vmk_mounts_find_point(mounts, path);
    return point != NULL && point->mount.root != NULL;
}

struct vmk_mount_point *
vmk_mount_point_next(const struct vmk_mount_point *point)
{
    if (point->children != NULL)
        return point->children;
    while (point != NULL && point->next == NULL)
        point = point->parent;
    return point == NULL ? NULL : point->next;
}

struct vmk_node *
vmk_mounts_find_root(const struct vmk_mounts *mounts, const void *file_system)
{
    const struct vmk_mount_point *point = mounts->root;
    while (point != NULL &&
           (point->mount.root == NULL || point->mount.root->file_system != file_system))
        point = vmk_mount_point_next(point);
    return point == NULL ? NULL : point->mount.root;
}

int
vmk_mounts_finish(struct vmk_mounts *mounts)
{
    if (vmk_mounts_has(mounts, "/"))
        return 0;
    struct vmk_node *root = vmk_node_new(sizeof *root, &bare_ops, S_IFDIR, mounts, NULL, "/");
    if (root == NULL)
        return -ENOMEM;
    return vmk_mounts_add(mounts, "/", (struct vmk_mount){.root = root});
}

void
vmk_mounts_clear(struct vmk_mounts *mounts)
{
    /* Leaves first, without recursion. */
    struct vmk_mount_point *point = mounts->root;
    while (point != NULL) {
        if (point->children != NULL) {
            point = point->children;
            continue;
        }
        struct vmk_mount_point *parent = point->parent;
        if (parent != NULL)
            parent->children = point->next;
        vmk_mount_clear(&point->mount);
        free(point);
        point = parent;
    }
    mounts->root = NULL;
}

struct vmk_node *
vmk_mounts_get_root(const struct vmk_mounts *mounts)
{
    return mounts->root->mount.root;
}

int
vmk_mounts_lookup(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  struct vmk_node **ret_node)
{
    struct vmk_mount_point *point = vmk_mount_point_find(folder->point, name);
    if (point != NULL && point->mount.root != NULL) {
        *ret_node = vmk_node_ref(point->mount.root);
        return 0;
    }

    struct vmk_node *node = NULL;
    int result =
        folder->ops->lookup == NULL ? -ENOENT : folder->ops->lookup(files, folder, name, &node);
    if (point == NULL) {
        if (result == 0)
            *ret_node = node;
        return result;
    }

    /* A mount lies below: the name is a folder, whatever the file system has there. */
    if (result == 0 && node->type != S_IFDIR) {
        vmk_node_unref(node);
        node = NULL;
    }
    if (result < 0 || node == NULL)
        node = vmk_node_new(sizeof *node, &bare_ops, S_IFDIR, &files->mounts, folder, name);
    if (node == NULL)
        return -ENOMEM;
    node->point = point;
    *ret_node = node;
    return 0;
}
