/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pseudo_internal.h"

#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct vmk_node_ops pseudo_ops;

static const struct vmk_pseudo_entry *
entry_of(struct vmk_node *node)
{
    return ((struct pseudo_node *)node)->entry;
}

static const struct pseudo *
pseudo_of(const struct vmk_node *node)
{
    return node->file_system;
}

struct pseudo_node *
vmk_pseudo_node_new(const struct pseudo *fs, struct vmk_node *folder, const char *name,
                    const struct vmk_pseudo_entry *entry, uint32_t number)
{
    struct pseudo_node *node =
        vmk_node_new(sizeof *node, &pseudo_ops, entry->mode & S_IFMT, fs, folder, name);
    if (node != NULL) {
        node->entry = entry;
        node->number = number;
    }
    return node;
}

/* Whether an entry lies right in the folder; its name there. */
static const char *
name_in(const struct vmk_pseudo_entry *entry, const struct vmk_pseudo_entry *folder)
{
    size_t length = strlen(folder->name);
    if (entry == folder || strncmp(entry->name, folder->name, length) != 0)
        return NULL;
    const char *name = entry->name + length;
    if (length != 0 && *name++ != '/')
        return NULL;
    return strchr(name, '/') == NULL ? name : NULL;
}

static int
find_number(struct vmk_files *files, const struct vmk_pseudo_entry *folder, const char *name)
{
    char *end;
    if (folder->next_number == NULL || name[0] < '0' || name[0] > '9' ||
        (name[0] == '0' && name[1] != '\0'))
        return -1;
    unsigned long number = strtoul(name, &end, 10);
    if (*end != '\0' || number > INT32_MAX)
        return -1;
    return folder->next_number(files, (uint32_t)number) == (int)number ? (int)number : -1;
}

static int
pseudo_lookup(struct vmk_files *files, struct vmk_node *folder, const char *name,
              struct vmk_node **ret_node)
{
    const struct pseudo *fs = pseudo_of(folder);
    const struct vmk_pseudo_entry *found = NULL;
    int number = find_number(files, entry_of(folder), name);
    if (number >= 0)
        found = entry_of(folder)->numbers;
    for (uint32_t i = 0; i < fs->table->count && found == NULL; i++) {
        const char *at = name_in(&fs->table->entries[i], entry_of(folder));
        if (at != NULL && strcmp(at, name) == 0)
            found = &fs->table->entries[i];
    }
    if (found == NULL)
        return -ENOENT;
    struct pseudo_node *node =
        vmk_pseudo_node_new(fs, folder, name, found, number < 0 ? 0 : (uint32_t)number);
    if (node == NULL)
        return -ENOMEM;
    *ret_node = &node->node;
    return 0;
}

static uint64_t
inode_number(const struct pseudo *fs, const struct vmk_pseudo_entry *entry, uint32_t number)
{
    const struct vmk_pseudo_entry *first = fs->table->entries;
    if (entry < first || entry >= first + fs->table->count)
        return 1000 + (uint64_t)number;
    return (uint64_t)(entry - first) + 1;
}

static int
pseudo_statx(struct vmk_node *node, struct statx *status)
{
    const struct pseudo *fs = pseudo_of(node);
    const struct vmk_pseudo_entry *entry = entry_of(node);
    uint32_t number = ((struct pseudo_node *)node)->number;
    vmk_statx_init(status, entry->mode, inode_number(fs, entry, number), 0, 0);
    status->stx_nlink = S_ISDIR(entry->mode) ? 2 : 1;
    status->stx_rdev_major = entry->device_major;
    status->stx_rdev_minor = entry->device_minor;
    status->stx_dev_minor = fs->table->device_minor;
    return 0;
}

static ssize_t
pseudo_readlink(struct vmk_files *files, struct vmk_node *node, char *buffer, size_t size)
{
    const struct vmk_pseudo_entry *entry = entry_of(node);
    struct vmk_text text = {0};
    if (entry->number_text != NULL)
        entry->number_text(files, ((struct pseudo_node *)node)->number, &text);
    else if (entry->text != NULL)
        entry->text(files, &text);
    else
        vmk_text_append(&text, entry->link);
    ssize_t result = text.failed ? -ENOMEM : (ssize_t)(size < text.size ? size : text.size);
    if (result > 0)
        memcpy(buffer, text.data, (size_t)result);
    vmk_text_clear(&text);
    return result;
}

static int
pseudo_follow(struct vmk_files *files, struct vmk_node *node, struct vmk_node **ret_node,
              struct vmk_file **ret_file)
{
    const struct vmk_pseudo_entry *entry = entry_of(node);
    if (entry->follow == NULL)
        return -EAGAIN;
    return entry->follow(files, ((struct pseudo_node *)node)->number, ret_node, ret_file);
}

static ssize_t
text_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
          uint64_t *offset)
{
    const struct vmk_text *text = &((struct text_file *)file)->text;
    size_t left = *offset < text->size ? text->size - (size_t)*offset : 0;
    size_t size = vmk_iov_size(iov, count);
    if (size > left)
        size = left;
    if (size != 0)
        vmk_iov_fill(iov, count, 0, text->data + *offset, size);
    *offset += size;
    return (ssize_t)size;
}

static int64_t
text_seek(struct vmk_file *file, int64_t offset, int whence)
{
    return vmk_dirent_seek(file, offset, whence);
}

static void
text_destroy(struct vmk_file *file)
{
    struct text_file *opened = (struct text_file *)file;
    vmk_memory_account_uncharge(opened->account, opened->charged);
    vmk_text_clear(&opened->text);
}

static const struct vmk_file_ops text_ops = {
    .positioned = true,
    .read = text_read,
    .seek = text_seek,
    .state = &vmk_state_pseudo,
    .destroy = text_destroy,
};

int
vmk_pseudo_text_new(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
                    struct vmk_text *text, struct vmk_file **ret_file)
{
    struct text_file *made = calloc(1, sizeof *made);
    if (made == NULL || text->failed ||
        !vmk_memory_account_try_charge(files->account, text->capacity)) {
        vmk_text_clear(text);
        free(made);
        return -ENOMEM;
    }
    made->text = *text;
    made->account = files->account;
    made->charged = text->capacity;
    vmk_file_init(&made->file, &text_ops, flags, node);
    *ret_file = &made->file;
    return 0;
}

/* Positions: 0 and 1 the dots, then the entries by index, then the numbers. */
static int
pseudo_read_directory(struct vmk_process *process, struct vmk_file *file,
                      struct vmk_dirent_sink *sink)
{
    struct vmk_node *node = file->node;
    const struct pseudo *fs = pseudo_of(node);
    const struct vmk_pseudo_entry *folder = entry_of(node);
    uint32_t count = fs->table->count;
    vmk_dirent_put_dots(sink, file, inode_number(fs, folder, 0), 1);
    while (file->offset >= 2 && file->offset < 2 + count) {
        const struct vmk_pseudo_entry *entry = &fs->table->entries[file->offset - 2];
        const char *name = name_in(entry, folder);
        int64_t next = (int64_t)file->offset + 1;
        if (name != NULL &&
            !vmk_dirent_put(sink, name, inode_number(fs, entry, 0), entry->mode & S_IFMT, next))
            return 0;
        file->offset = (uint64_t)next;
    }
    while (folder->next_number != NULL && file->offset >= 2 + count) {
        char name[16];
        uint64_t from = file->offset - 2 - count;
        int number = from > INT32_MAX ? -1 : folder->next_number(fs->files, (uint32_t)from);
        if (number < 0)
            return 0;
        snprintf(name, sizeof name, "%d", number);
        int64_t next = (int64_t)count + number + 3;
        if (!vmk_dirent_put(sink, name, inode_number(fs, folder->numbers, (uint32_t)number),
                            folder->numbers->mode & S_IFMT, next))
            return 0;
        file->offset = (uint64_t)next;
    }
    return 0;
}

static ssize_t
folder_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
            uint64_t *offset)
{
    return -EISDIR;
}

static const struct vmk_file_ops folder_ops = {
    .positioned = true,
    .read = folder_read,
    .seek = vmk_dirent_seek,
    .read_directory = pseudo_read_directory,
    .state = &vmk_state_pseudo,
};

static int
pseudo_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
            struct vmk_file **ret_file)
{
    const struct vmk_pseudo_entry *entry = entry_of(node);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    struct vmk_text text = {0};
    if (S_ISREG(entry->mode)) {
        if (writes)
            return -EACCES;
        entry->text(files, &text);
        return vmk_pseudo_text_new(files, node, flags, &text, ret_file);
    }
    if (S_ISDIR(entry->mode) && writes)
        return -EISDIR;
    if (S_ISCHR(entry->mode) && entry->device == NULL)
        return -ENXIO;

    struct vmk_file *file = malloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    vmk_file_init(file, S_ISDIR(entry->mode) ? &folder_ops : entry->device, flags, node);
    *ret_file = file;
    return 0;
}

static int
pseudo_access(struct vmk_files *files, struct vmk_node *node, int mode)
{
    return vmk_node_permitted(files, entry_of(node)->mode, 0, 0, mode);
}

static int
pseudo_statfs(struct vmk_node *node, struct statfs *status)
{
    *status = (struct statfs){.f_bsize = 4096, .f_namelen = 255, .f_frsize = 4096};
    status->f_type = (__typeof__(status->f_type))pseudo_of(node)->table->magic;
    return 0;
}

static const struct vmk_node_ops pseudo_ops = {
    .lookup = pseudo_lookup,
    .statx = pseudo_statx,
    .readlink = pseudo_readlink,
    .follow = pseudo_follow,
    .open = pseudo_open,
    .access = pseudo_access,
    .statfs = pseudo_statfs,
    .state = &vmk_state_place_pseudo,
};

int
vmk_pseudo_new(const struct vmk_pseudo_table *table, struct vmk_files *files, const char *path,
               struct vmk_mount *ret_mount)
{
    struct pseudo *fs = malloc(sizeof *fs);
    if (fs == NULL)
        return -ENOMEM;
    *fs = (struct pseudo){table, files};
    struct pseudo_node *root = vmk_pseudo_node_new(fs, NULL, path, &table->entries[0], 0);
    if (root == NULL) {
        free(fs);
        return -ENOMEM;
    }
    *ret_mount = (struct vmk_mount){&root->node, fs, free};
    return 0;
}
