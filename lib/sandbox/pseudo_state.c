/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev and /proc in their saved form. A place is told by the name of its entry, which is part of
 * the format, or, where the name is a number, by the folder that has it. An open file of a text
 * keeps the text that it was opened with.
 */
#include "sandbox/pseudo_internal.h"

#include "sandbox/files.h"
#include "sandbox/state_codec.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>

#define NAME_BYTES_MAX 64

static const struct pseudo *
fs_of(const struct vmk_node *node)
{
    return node->file_system;
}

/* The folder whose numbers the entry stands for; NULL for an entry with a name of its own. */
static const struct vmk_pseudo_entry *
find_owner(const struct vmk_pseudo_table *table, const struct vmk_pseudo_entry *entry)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->entries[i].numbers == entry)
            return &table->entries[i];
    }
    return NULL;
}

static int
place_save(struct vmk_state_writer *writer, struct vmk_node *node)
{
    const struct pseudo_node *pseudo = (struct pseudo_node *)node;
    const struct vmk_pseudo_table *table = fs_of(node)->table;
    const struct vmk_pseudo_entry *owner = find_owner(table, pseudo->entry);
    vmk_bytes_put_u8(writer->bytes, (uint8_t)table->device_minor);
    vmk_bytes_put_u8(writer->bytes, owner != NULL);
    vmk_state_put_string(writer, owner != NULL ? owner->name : pseudo->entry->name);
    vmk_bytes_put_u32(writer->bytes, pseudo->number);
    return 0;
}

/* The file system of a table, told by its device number. */
static const struct pseudo *
find_fs(const struct vmk_files *files, uint8_t minor)
{
    static const char *const paths[] = {"/dev", "/proc"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const struct vmk_mount_point *point = vmk_mounts_find_point(&files->mounts, paths[i]);
        const struct vmk_node *root = point == NULL ? NULL : point->mount.root;
        if (root != NULL && root->ops->state == &vmk_state_place_pseudo &&
            fs_of(root)->table->device_minor == minor)
            return fs_of(root);
    }
    return NULL;
}

static const struct vmk_pseudo_entry *
find_entry(const struct vmk_pseudo_table *table, const char *name, bool is_owner)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (strcmp(table->entries[i].name, name) == 0)
            return is_owner ? table->entries[i].numbers : &table->entries[i];
    }
    return NULL;
}

static int
place_load(struct vmk_state_reader *reader, const char *path, struct vmk_node **ret_node)
{
    g_autofree char *name = NULL;
    bool is_owner;
    const struct pseudo *fs = find_fs(reader->files, vmk_cursor_get_u8(&reader->in));
    int r = vmk_state_get_bool(reader, &is_owner);
    if (r == 0)
        r = vmk_state_get_string(reader, "the name of an entry", NAME_BYTES_MAX, &name);
    if (r < 0)
        return r;
    uint32_t number = vmk_cursor_get_u32(&reader->in);
    const struct vmk_pseudo_entry *entry =
        fs == NULL ? NULL : find_entry(fs->table, name, is_owner);
    if (entry == NULL || number > INT32_MAX)
        return vmk_state_bad(reader, "\"%.80s\" is none of the sandbox's own files", path);
    struct pseudo_node *node = vmk_pseudo_node_new(fs, NULL, path, entry, number);
    if (node == NULL)
        return vmk_state_no_memory(reader->ret_error);
    *ret_node = &node->node;
    return 0;
}

const struct vmk_state_place vmk_state_place_pseudo = {
    .number = VMK_STATE_PLACE_PSEUDO,
    .name = "the sandbox's own files",
    .save = place_save,
    .load = place_load,
};

static bool
is_text(const struct vmk_node *node)
{
    return node->type == S_IFREG;
}

static int
file_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    const struct text_file *opened = (struct text_file *)file;
    int r = vmk_state_save_node(writer, file->node);
    if (r < 0 || !is_text(file->node))
        return r;
    vmk_bytes_put_u64(writer->bytes, opened->text.size);
    vmk_bytes_put(writer->bytes, opened->text.data, opened->text.size);
    return 0;
}

static int
load_text(struct vmk_state_reader *reader, struct vmk_node *node, struct vmk_file **ret_file)
{
    struct vmk_text text = {0};
    uint64_t size = vmk_cursor_get_u64(&reader->in);
    const uint8_t *data = vmk_cursor_get(&reader->in, size);
    if (data == NULL)
        return vmk_state_bad(reader, "the text of \"%.80s\" ends early", node->path);
    vmk_text_append_bytes(&text, data, (size_t)size);
    if (vmk_pseudo_text_new(reader->files, node, O_RDONLY, &text, ret_file) < 0)
        return vmk_state_no_room(reader, node->path);
    return 0;
}

static int
load_other(struct vmk_state_reader *reader, struct vmk_node *node, uint32_t flags,
           struct vmk_file **ret_file)
{
    if (node->ops->state != &vmk_state_place_pseudo || node->type == S_IFLNK ||
        node->ops->open(reader->files, node, flags & O_ACCMODE, ret_file) < 0)
        return vmk_state_bad(reader, "\"%.80s\" is open, which cannot be", node->path);
    return 0;
}

static int
file_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
          struct vmk_file **ret_file)
{
    struct vmk_node *node;
    int r = vmk_state_load_node(reader, &node);
    if (r < 0)
        return r;
    r = node->ops->state == &vmk_state_place_pseudo && is_text(node)
            ? load_text(reader, node, ret_file)
            : load_other(reader, node, common->flags, ret_file);
    vmk_node_unref(node);
    return r;
}

const struct vmk_state_kind vmk_state_pseudo = {
    .number = VMK_STATE_PSEUDO, .save = file_save, .load = file_load};
