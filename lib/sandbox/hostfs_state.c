/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host folders in their saved form: files are named by the guest's paths and opened again by them.
 * What was deleted since it was opened, or replaced, has no name, and cannot be carried.
 *
 * A file that only mappings hold, or that is the program, is not needed: what is mapped of it is
 * memory. It is opened again where that can be done; otherwise a file that has the name alone takes
 * its place, as the name is what /proc/self/maps shows.
 */
#include "sandbox/hostfs_internal.h"

#include "sandbox/config.h"
#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/path.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the guest may set of a file that it opened and that decides how the host opens it. */
#define REOPEN_FLAGS ((uint32_t)(O_ACCMODE | O_SYNC | O_DSYNC))

static int
place_find_path(struct vmk_state_writer *writer, struct vmk_node *node, char **ret_path)
{
    struct vmk_files *files = writer->process->files;
    char path[VMK_PATH_MAX];
    if (vmk_hostfs_leads_to(files, node->path, node))
        return 0;
    if (vmk_hostfs_find_path(files, node, path) == 0 && vmk_hostfs_leads_to(files, path, node)) {
        *ret_path = g_try_malloc(strlen(path) + 1);
        if (*ret_path == NULL)
            return vmk_state_no_memory(writer->ret_error);
        strcpy(*ret_path, path);
        return 0;
    }
    return vmk_error_set(writer->ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                         "the guest uses \"%.200s\" of a host folder, which was deleted or "
                         "replaced: a snapshot has no name for it",
                         node->path);
}

static int
place_load(struct vmk_state_reader *reader, const char *path, struct vmk_node **ret_node)
{
    return vmk_state_walk(reader, &vmk_state_place_host, path, ret_node);
}

const struct vmk_state_place vmk_state_place_host = {
    .number = VMK_STATE_PLACE_HOST,
    .name = "a host folder",
    .find_path = place_find_path,
    .load = place_load,
};

/* A file of which the name is left. */

struct gone_node {
    struct vmk_node node;
    struct statx status;
};

static int
gone_statx(struct vmk_node *node, struct statx *status)
{
    *status = ((struct gone_node *)node)->status;
    return 0;
}

static int
gone_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
          struct vmk_file **ret_file)
{
    return -ENOENT;
}

static int
gone_access(struct vmk_files *files, struct vmk_node *node, int mode)
{
    return -EACCES;
}

static int
gone_statfs(struct vmk_node *node, struct statfs *status)
{
    *status = (struct statfs){.f_bsize = 4096, .f_frsize = 4096, .f_namelen = VMK_NAME_MAX};
    return 0;
}

static const struct vmk_node_ops gone_node_ops = {
    .statx = gone_statx,
    .open = gone_open,
    .access = gone_access,
    .statfs = gone_statfs,
};

static ssize_t
gone_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
          uint64_t *offset)
{
    return -EIO;
}

static const struct vmk_file_ops gone_file_ops = {
    .positioned = true,
    .mappable = true,
    .read = gone_read,
    .seek = vmk_dirent_seek,
    .state = &vmk_state_host,
};

static int
gone_new(const char *path, const struct statx *status, struct vmk_file **ret_file)
{
    struct gone_node *node =
        vmk_node_new(sizeof *node, &gone_node_ops, S_IFREG, &gone_node_ops, NULL, path);
    struct vmk_file *file = malloc(sizeof *file);
    if (node == NULL || file == NULL) {
        vmk_node_unref(node == NULL ? NULL : &node->node);
        free(file);
        return -ENOMEM;
    }
    node->status = *status;
    vmk_file_init(file, &gone_file_ops, O_RDONLY, &node->node);
    vmk_node_unref(&node->node);
    *ret_file = file;
    return 0;
}

static int
save_optional(struct vmk_state_writer *writer, struct vmk_file *file)
{
    struct statx status;
    vmk_state_put_string(writer, file->node->path);
    if (writer->comparing)
        return 0;
    int r = vmk_node_statx(file->node, &status);
    if (r < 0)
        return vmk_error_set_known(writer->ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "cannot inspect the guest's \"%.200s\"", file->node->path);
    vmk_state_put_status(writer, &status);
    return 0;
}

static int
host_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    bool optional = file->state_number > writer->with_descriptor && file->node->type == S_IFREG;
    vmk_bytes_put_u8(writer->bytes, optional);
    if (optional)
        return save_optional(writer, file);
    int r = vmk_state_save_node(writer, file->node);
    if (r < 0 || file->node->type != S_IFDIR)
        return r;
    off_t at = lseek(host_fd(file->node), 0, SEEK_CUR);
    vmk_bytes_put_u64(writer->bytes, at < 0 ? 0 : (uint64_t)at);
    return 0;
}

/* The file itself, if it is still there and as long as it was. */
static int
open_same(struct vmk_files *files, const char *path, const struct statx *status,
          struct vmk_file **ret_file)
{
    struct vmk_node *node;
    struct statx now;
    int r = vmk_path_find(files, AT_FDCWD, path, 0, &node);
    if (r < 0)
        return r;
    if (node->ops->state != &vmk_state_place_host || node->type != S_IFREG ||
        vmk_node_statx(node, &now) < 0 || now.stx_size != status->stx_size)
        r = -ENOENT;
    else
        r = vmk_hostfs_open(files, node, O_RDONLY, ret_file);
    vmk_node_unref(node);
    return r;
}

static int
load_optional(struct vmk_state_reader *reader, struct vmk_file **ret_file)
{
    g_autofree char *path = NULL;
    struct statx status;
    int r = vmk_state_get_path(reader, &path);
    if (r == 0)
        r = vmk_state_get_status(reader, &status);
    if (r < 0 || open_same(reader->files, path, &status, ret_file) == 0)
        return r;
    return gone_new(path, &status, ret_file) < 0 ? vmk_state_no_memory(reader->ret_error) : 0;
}

static int
load_position(struct vmk_state_reader *reader, struct vmk_file *file)
{
    uint64_t at = vmk_cursor_get_u64(&reader->in);
    if (at > INT64_MAX || lseek(host_fd(file->node), (off_t)at, SEEK_SET) < 0)
        return vmk_state_bad(reader, "position 0x%llx in the folder \"%.80s\"",
                             (unsigned long long)at, file->node->path);
    return 0;
}

static int
fail_open(struct vmk_state_reader *reader, const struct vmk_node *node, int r)
{
    if (node->type == S_IFLNK)
        return vmk_error_set(reader->ret_error, ENXIO, VMKIT_ERROR_IO,
                             "cannot open the guest's \"%.200s\" again: a symbolic link is in its "
                             "place",
                             node->path);
    return vmk_error_set_known(reader->ret_error, -r, VMK_STATE_OPEN_ERRNOS, VMKIT_ERROR_IO,
                               "cannot open the guest's \"%.200s\" again", node->path);
}

static int
load_open(struct vmk_state_reader *reader, struct vmk_node *node, uint32_t flags,
          struct vmk_file **ret_file)
{
    if (node->ops->state != &vmk_state_place_host)
        return vmk_state_bad(reader, "\"%.80s\" is open as a file of a host folder", node->path);
    int r = vmk_hostfs_open(reader->files, node, flags & REOPEN_FLAGS, ret_file);
    if (r < 0)
        return fail_open(reader, node, r);
    r = node->type == S_IFDIR ? load_position(reader, *ret_file) : 0;
    if (r < 0)
        vmk_file_unref(*ret_file);
    return r;
}

static int
host_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
          struct vmk_file **ret_file)
{
    bool optional = false;
    struct vmk_node *node;
    int r = vmk_state_get_bool(reader, &optional);
    if (r < 0)
        return r;
    if (optional)
        return load_optional(reader, ret_file);
    r = vmk_state_load_node(reader, &node);
    if (r < 0)
        return r;
    r = load_open(reader, node, common->flags, ret_file);
    vmk_node_unref(node);
    return r;
}

const struct vmk_state_kind vmk_state_host = {
    .number = VMK_STATE_HOST, .outside = true, .save = host_save, .load = host_load};
