/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places in the tree of names in their saved form: a path, and what the file system of the place
 * adds. And the mounts, which the configuration makes again: what the snapshot saw at a path has to
 * be of the same kind, and a host folder that it saw has to be shown again.
 */
#include "sandbox/files.h"
#include "sandbox/mount.h"
#include "sandbox/node.h"
#include "sandbox/path.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>

static const struct vmk_state_place *const places[] = {
    &vmk_state_place_bare,
    &vmk_state_place_host,
    &vmk_state_place_tmp,
    &vmk_state_place_pseudo,
};

static const struct vmk_state_place *
find_place(uint32_t number)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i]->number == number)
            return places[i];
    }
    return NULL;
}

/* Names as a walk leaves them: no dots, nothing doubled, each of a length that a walk takes. */
static bool
is_plain(const char *path)
{
    const char *at = path;
    if (strcmp(path, "/") == 0)
        return true;
    while (*at == '/') {
        size_t length = strcspn(++at, "/");
        if (length == 0 || length > VMK_NAME_MAX || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
    }
    return at != path && *at == '\0';
}

int
vmk_state_get_path(struct vmk_state_reader *reader, char **ret_path)
{
    char *path;
    int r = vmk_state_get_string(reader, "a path", VMK_PATH_MAX - 1, &path);
    if (r < 0)
        return r;
    if (!is_plain(path)) {
        r = vmk_state_bad(reader, "\"%.80s\" is no path", path);
        free(path);
        return r;
    }
    *ret_path = path;
    return 0;
}

int
vmk_state_save_node(struct vmk_state_writer *writer, struct vmk_node *node)
{
    const struct vmk_state_place *place = node->ops->state;
    g_autofree char *path = NULL;
    if (place == NULL)
        return vmk_error_set(writer->ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "a snapshot cannot carry the guest's \"%.200s\"", node->path);
    if (place->find_path != NULL && !writer->comparing) {
        int r = place->find_path(writer, node, &path);
        if (r < 0)
            return r;
    }
    vmk_bytes_put_u32(writer->bytes, place->number);
    vmk_state_put_string(writer, path != NULL ? path : node->path);
    return place->save == NULL ? 0 : place->save(writer, node);
}

/* What a folder shows of the mounts below it depends on its path alone. */
static void
find_point(const struct vmk_files *files, struct vmk_node *node)
{
    if (node->type == S_IFDIR && node->point == NULL)
        node->point = vmk_mounts_find_point(&files->mounts, node->path);
}

int
vmk_state_load_node(struct vmk_state_reader *reader, struct vmk_node **ret_node)
{
    g_autofree char *path = NULL;
    uint32_t number = vmk_cursor_get_u32(&reader->in);
    const struct vmk_state_place *place = find_place(number);
    if (place == NULL)
        return vmk_state_bad(reader, "a place of kind %u, which there is none of", number);
    int r = vmk_state_get_path(reader, &path);
    if (r == 0)
        r = place->load(reader, path, ret_node);
    if (r == 0)
        find_point(reader->files, *ret_node);
    return r;
}

int
vmk_state_walk(struct vmk_state_reader *reader, const struct vmk_state_place *place,
               const char *path, struct vmk_node **ret_node)
{
    struct vmk_node *node;
    int r = vmk_path_find(reader->files, AT_FDCWD, path, 0, &node);
    if (r < 0)
        return vmk_error_set_known(reader->ret_error, -r, VMK_STATE_OPEN_ERRNOS,
                                   r == -ENOENT ? VMKIT_ERROR_NOT_FOUND : VMKIT_ERROR_IO,
                                   "the snapshot needs the guest's \"%.200s\", which cannot be "
                                   "reached",
                                   path);
    if (node->ops->state == place) {
        *ret_node = node;
        return 0;
    }
    vmk_node_unref(node);
    return vmk_error_set(reader->ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the snapshot needs %s at the guest's \"%.200s\", and something else is "
                         "there",
                         place->name, path);
}

int
vmk_state_save_mounts(struct vmk_state_writer *writer)
{
    const struct vmk_mount_point *point = writer->process->files->mounts.root;
    for (; point != NULL; point = vmk_mount_point_next(point)) {
        const struct vmk_node *root = point->mount.root;
        if (root == NULL)
            continue;
        vmk_bytes_put_u32(writer->bytes, root->ops->state->number);
        vmk_state_put_string(writer, root->path);
    }
    vmk_bytes_put_u32(writer->bytes, 0);
    return 0;
}

static int
check_mount(struct vmk_state_reader *reader, const struct vmk_state_place *place, const char *path)
{
    const struct vmk_mount_point *point = vmk_mounts_find_point(&reader->files->mounts, path);
    const struct vmk_node *root = point == NULL ? NULL : point->mount.root;
    if (root != NULL && root->ops->state == place)
        return 0;
    if (place == &vmk_state_place_host)
        return vmk_error_set(reader->ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "the snapshot needs the host folder of the guest's \"%.200s\": add it "
                             "to the configuration",
                             path);
    return vmk_error_set(reader->ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the snapshot has %s at the guest's \"%.200s\", where the configuration "
                         "shows %s",
                         place->name, path, root == NULL ? "nothing" : root->ops->state->name);
}

int
vmk_state_load_mounts(struct vmk_state_reader *reader)
{
    for (;;) {
        g_autofree char *path = NULL;
        uint32_t number = vmk_cursor_get_u32(&reader->in);
        const struct vmk_state_place *place = find_place(number);
        if (reader->in.failed || number == 0)
            return 0;
        if (place == NULL)
            return vmk_state_bad(reader, "a mount of kind %u, which there is none of", number);
        int r = vmk_state_get_path(reader, &path);
        if (r == 0)
            r = check_mount(reader, place, path);
        if (r < 0)
            return r;
    }
}
