/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system in memory in its saved form: the inodes by ascending numbers, each with what it
 * contains, and then the names, folder by folder. Pages that hold nothing but zeros are counted,
 * not written; others are shared with the bytes that they are loaded from until they are written
 * to, for which they lie at even addresses.
 *
 * Whoever wrote the bytes, what comes of them is a tree: every folder has one name, but for the
 * root and for those that were removed while they were open, and the root is above all that have.
 */
#include "sandbox/tmpfs.h"

#include "sandbox/files.h"
#include "sandbox/path.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
#include "sandbox/tmpfs_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_NUMBER 1
#define FIRST_COOKIE 2
#define PAGES_MAX (VMK_PAGES_BYTES_MAX / VMK_PAGES_SIZE)
#define RUN_MAX 4096u /* pages */

static struct tmp_inode *
root_of(const struct vmk_files *files)
{
    return tmp_inode(vmk_files_get_scratch(files));
}

static void
put_time(struct vmk_bytes *bytes, struct timespec time)
{
    vmk_bytes_put_u64(bytes, (uint64_t)time.tv_sec);
    vmk_bytes_put_u32(bytes, (uint32_t)time.tv_nsec);
}

static int
get_time(struct vmk_state_reader *reader, struct timespec *ret_time)
{
    ret_time->tv_sec = (time_t)vmk_cursor_get_u64(&reader->in);
    uint32_t nanoseconds = vmk_cursor_get_u32(&reader->in);
    ret_time->tv_nsec = (long)nanoseconds;
    return nanoseconds < 1000000000 ? 0 : vmk_state_bad(reader, "%u nanoseconds", nanoseconds);
}

static bool
is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, VMK_PAGES_SIZE - 1) == 0;
}

/* Pages from `first` on that follow each other and are alike; how many. */
static uint32_t
measure_run(const struct vmk_pages *pages, uint64_t first, bool *ret_zeros)
{
    const uint8_t *page = vmk_pages_get(pages, first);
    uint32_t count = 0;
    *ret_zeros = is_zero(page);
    do
        page = ++count < RUN_MAX ? vmk_pages_get(pages, first + count) : NULL;
    while (page != NULL && is_zero(page) == *ret_zeros);
    return count;
}

/* Fill up to a multiple of 8. */
static void
align(struct vmk_bytes *bytes)
{
    uint8_t padding = (uint8_t)(-(bytes->size + 1) & 7);
    vmk_bytes_put_u8(bytes, padding);
    vmk_bytes_put(bytes, (const uint8_t[8]){0}, padding);
}

static void
save_pages(struct vmk_bytes *bytes, const struct vmk_pages *pages)
{
    uint64_t at = vmk_pages_next(pages, 0);
    while (at != UINT64_MAX && !bytes->failed) {
        bool zeros;
        uint32_t count = measure_run(pages, at, &zeros);
        vmk_bytes_put_u32(bytes, count);
        vmk_bytes_put_u64(bytes, at);
        vmk_bytes_put_u8(bytes, zeros);
        if (!zeros)
            align(bytes);
        for (uint32_t i = 0; i < count && !zeros; i++)
            vmk_bytes_put(bytes, vmk_pages_get(pages, at + i), VMK_PAGES_SIZE);
        at = vmk_pages_next(pages, at + count);
    }
    vmk_bytes_put_u32(bytes, 0);
}

static int
skip_padding(struct vmk_state_reader *reader)
{
    uint8_t padding = vmk_cursor_get_u8(&reader->in);
    if (padding > 7)
        return vmk_state_bad(reader, "%u bytes of padding", padding);
    (void)vmk_cursor_get(&reader->in, padding);
    return 0;
}

/* `data` NULL: zeros. False at the memory limit. */
static bool
load_page(struct vmk_pages *pages, uint64_t number, const uint8_t *data)
{
    if (data != NULL && (uintptr_t)data % 2 == 0)
        return vmk_pages_share(pages, number, data);
    uint8_t *page = vmk_pages_make(pages, number);
    if (page != NULL && data != NULL)
        memcpy(page, data, VMK_PAGES_SIZE);
    return page != NULL;
}

static int
load_run(struct vmk_state_reader *reader, struct vmk_pages *pages, uint64_t first, uint32_t count)
{
    bool zeros;
    int r = vmk_state_get_bool(reader, &zeros);
    if (r == 0 && !zeros)
        r = skip_padding(reader);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        const uint8_t *data = zeros ? NULL : vmk_cursor_get(&reader->in, VMK_PAGES_SIZE);
        if (!zeros && data == NULL)
            return vmk_state_bad(reader, "a file in memory ends early");
        if (!load_page(pages, first + i, data))
            return vmk_state_no_room(reader, "a file in memory");
    }
    return r;
}

static int
load_pages(struct vmk_state_reader *reader, struct vmk_pages *pages)
{
    for (uint64_t next = 0;;) {
        uint32_t count = vmk_cursor_get_u32(&reader->in);
        if (reader->in.failed || count == 0)
            return 0;
        uint64_t first = vmk_cursor_get_u64(&reader->in);
        if (count > RUN_MAX || first < next || first > PAGES_MAX - count)
            return vmk_state_bad(reader, "%u pages of a file from page 0x%llx on", count,
                                 (unsigned long long)first);
        int r = load_run(reader, pages, first, count);
        if (r < 0)
            return r;
        next = first + count;
    }
}

static void
save_inode(struct vmk_state_writer *writer, const struct tmp_inode *inode)
{
    struct vmk_bytes *bytes = writer->bytes;
    vmk_bytes_put_u64(bytes, inode->number);
    vmk_bytes_put_u32(bytes, inode->type | inode->mode);
    vmk_bytes_put_u32(bytes, inode->uid);
    vmk_bytes_put_u32(bytes, inode->gid);
    put_time(bytes, inode->accessed);
    put_time(bytes, inode->modified);
    put_time(bytes, inode->changed);
    put_time(bytes, inode->born);
    if (inode->type == S_IFLNK)
        vmk_state_put_string(writer, inode->target);
    if (inode->type != S_IFREG)
        return;
    vmk_bytes_put_u64(bytes, inode->size);
    save_pages(bytes, &inode->pages);
}

static void
save_names(struct vmk_state_writer *writer, const struct tmp_inode *folder)
{
    struct vmk_bytes *bytes = writer->bytes;
    vmk_bytes_put_u64(bytes, folder->number);
    vmk_bytes_put_u64(bytes, folder->next_cookie);
    vmk_bytes_put_u32(bytes, folder->name_count);
    for (const struct tmp_entry *entry = folder->first; entry != NULL; entry = entry->next) {
        vmk_bytes_put_u64(bytes, entry->inode->number);
        vmk_bytes_put_u64(bytes, entry->cookie);
        vmk_state_put_string(writer, entry->name);
    }
}

int
vmk_state_save_tmp(struct vmk_state_writer *writer)
{
    const struct tmpfs *fs = root_of(writer->process->files)->fs;
    struct vmk_bytes *bytes = writer->bytes;
    if (writer->comparing) {
        vmk_bytes_put_u64(bytes, fs->generation);
        return 0;
    }
    /* The newest one is the first in the list. */
    const struct tmp_inode *first = fs->all;
    while (first->all_next != NULL)
        first = first->all_next;
    vmk_bytes_put_u64(bytes, fs->next_number);
    vmk_bytes_put_u32(bytes, fs->count);
    for (const struct tmp_inode *inode = first; inode != NULL; inode = inode->all_previous)
        save_inode(writer, inode);
    for (const struct tmp_inode *inode = first; inode != NULL; inode = inode->all_previous) {
        if (inode->type == S_IFDIR && inode->next_cookie != FIRST_COOKIE)
            save_names(writer, inode);
    }
    vmk_bytes_put_u64(bytes, 0);
    return 0;
}

/* The inode of a number, lent; NULL and an error when there is none. */
static struct tmp_inode *
find_inode(const struct vmk_state_reader *reader, uint64_t number)
{
    uint32_t low = 0, high = reader->inode_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (reader->inodes[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < reader->inode_count && reader->inodes[low]->number == number)
        return reader->inodes[low];
    vmk_state_bad(reader, "inode %llu is not there", (unsigned long long)number);
    return NULL;
}

static int
load_times(struct vmk_state_reader *reader, struct tmp_inode *inode)
{
    int r = get_time(reader, &inode->accessed);
    if (r == 0)
        r = get_time(reader, &inode->modified);
    if (r == 0)
        r = get_time(reader, &inode->changed);
    return r < 0 ? r : get_time(reader, &inode->born);
}

static int
load_target(struct vmk_state_reader *reader, struct tmp_inode *inode)
{
    int r = vmk_state_get_string(reader, "a symbolic link", VMK_PATH_MAX - 1, &inode->target);
    if (r < 0)
        return r;
    size_t length = strlen(inode->target);
    if (length != 0 && vmk_memory_account_try_charge(inode->fs->account, length)) {
        inode->size = length;
        return 0;
    }
    free(inode->target);
    inode->target = NULL;
    return length == 0 ? vmk_state_bad(reader, "a symbolic link to nowhere")
                       : vmk_state_no_room(reader, "a symbolic link");
}

/* A new inode, or the root, which is there already; a reference in the reader's list. */
static int
make_inode(struct vmk_state_reader *reader, struct tmpfs *fs, uint64_t number, uint32_t mode,
           struct tmp_inode **ret_inode)
{
    struct tmp_inode *root = root_of(reader->files);
    uint32_t type = mode & S_IFMT;
    bool is_root = number == ROOT_NUMBER;
    if ((mode & ~(uint32_t)(S_IFMT | 07777)) != 0 ||
        (type != S_IFREG && type != S_IFDIR && type != S_IFLNK) || (is_root && type != S_IFDIR))
        return vmk_state_bad(reader, "inode %llu has mode 0%o", (unsigned long long)number, mode);
    if (is_root) {
        root->references++;
        *ret_inode = root;
    } else {
        fs->next_number = number - 1;
        int r = vmk_tmp_inode_new(reader->files, fs, type, mode, ret_inode);
        if (r < 0)
            return r == -ENOSPC ? vmk_state_no_room(reader, "the files in memory")
                                : vmk_state_no_memory(reader->ret_error);
    }
    (*ret_inode)->mode = mode & 07777;
    reader->inodes[reader->inode_count++] = *ret_inode;
    return 0;
}

static int
load_inode(struct vmk_state_reader *reader, struct tmpfs *fs, uint64_t lowest)
{
    struct tmp_inode *inode;
    uint64_t number = vmk_cursor_get_u64(&reader->in);
    uint32_t mode = vmk_cursor_get_u32(&reader->in);
    if (number < lowest || (lowest == ROOT_NUMBER && number != lowest) || number > INT64_MAX)
        return vmk_state_bad(reader, "inode %llu behind %llu", (unsigned long long)number,
                             (unsigned long long)lowest - 1);
    int r = make_inode(reader, fs, number, mode, &inode);
    if (r < 0)
        return r;
    inode->uid = vmk_cursor_get_u32(&reader->in);
    inode->gid = vmk_cursor_get_u32(&reader->in);
    r = load_times(reader, inode);
    if (r == 0 && inode->type == S_IFLNK)
        r = load_target(reader, inode);
    if (r < 0 || inode->type != S_IFREG)
        return r;
    inode->size = vmk_cursor_get_u64(&reader->in);
    if (inode->size > VMK_PAGES_BYTES_MAX)
        return vmk_state_bad(reader, "a file of 0x%llx bytes", (unsigned long long)inode->size);
    return load_pages(reader, &inode->pages);
}

static bool
is_name(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int
load_name(struct vmk_state_reader *reader, struct tmp_inode *folder)
{
    g_autofree char *name = NULL;
    struct tmp_inode *inode = find_inode(reader, vmk_cursor_get_u64(&reader->in));
    uint64_t cookie = vmk_cursor_get_u64(&reader->in);
    if (inode == NULL)
        return -EINVAL;
    int r = vmk_state_get_string(reader, "a name", VMK_NAME_MAX, &name);
    if (r < 0)
        return r;
    if (!is_name(name) || vmk_tmp_find(folder, name) != NULL)
        return vmk_state_bad(reader, "the name \"%.80s\" in a folder", name);
    if (cookie <= folder->next_cookie || cookie > INT64_MAX)
        return vmk_state_bad(reader, "\"%.80s\" has place %llu in its folder", name,
                             (unsigned long long)cookie);
    if (inode->type == S_IFDIR && (inode->number == ROOT_NUMBER || inode->parent != NULL))
        return vmk_state_bad(reader, "the folder \"%.80s\" has two names", name);
    folder->next_cookie = cookie - 1;
    r = vmk_tmp_add(folder, name, inode);
    if (r < 0)
        return r == -ENOSPC ? vmk_state_no_room(reader, "the names of files in memory")
                            : vmk_state_no_memory(reader->ret_error);
    return 0;
}

static int
load_folder(struct vmk_state_reader *reader, struct tmp_inode *folder)
{
    uint64_t next_cookie = vmk_cursor_get_u64(&reader->in);
    uint32_t count = vmk_cursor_get_u32(&reader->in);
    struct timespec modified = folder->modified, changed = folder->changed;
    if (folder->type != S_IFDIR || folder->next_cookie != FIRST_COOKIE)
        return vmk_state_bad(reader, "names in inode %llu", (unsigned long long)folder->number);
    for (uint32_t i = 0; i < count; i++) {
        int r = load_name(reader, folder);
        if (r < 0)
            return r;
    }
    if (next_cookie <= FIRST_COOKIE || next_cookie < folder->next_cookie || next_cookie > INT64_MAX)
        return vmk_state_bad(reader, "%llu places in a folder", (unsigned long long)next_cookie);
    folder->next_cookie = next_cookie;
    folder->modified = modified;
    folder->changed = changed;
    return 0;
}

/* How many folders are reached from the root. None has two names, so that none is met twice. */
static int
count_reached(struct vmk_state_reader *reader, uint32_t *ret_count)
{
    uint32_t end = 0;
    g_autofree struct tmp_inode **queue = g_try_new(struct tmp_inode *, reader->inode_count);
    if (queue == NULL)
        return vmk_state_no_memory(reader->ret_error);
    queue[end++] = root_of(reader->files);
    for (uint32_t at = 0; at < end; at++) {
        for (struct tmp_entry *entry = queue[at]->first; entry != NULL; entry = entry->next) {
            if (entry->inode->type == S_IFDIR)
                queue[end++] = entry->inode;
        }
    }
    *ret_count = end;
    return 0;
}

static int
check_tree(struct vmk_state_reader *reader)
{
    uint32_t reached = 0, with_name = 1;
    int r = count_reached(reader, &reached);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < reader->inode_count; i++) {
        struct tmp_inode *inode = reader->inodes[i];
        if (inode->type != S_IFDIR || inode->number == ROOT_NUMBER)
            continue;
        with_name += inode->parent != NULL;
        inode->removed = inode->parent == NULL;
        if (inode->removed && inode->first != NULL)
            return vmk_state_bad(reader, "a folder without a name has names in it");
    }
    return reached == with_name ? 0 : vmk_state_bad(reader, "a folder lies in itself");
}

static int
load_tree(struct vmk_state_reader *reader, struct tmpfs *fs)
{
    uint64_t next_number = vmk_cursor_get_u64(&reader->in);
    uint32_t count = vmk_cursor_get_u32(&reader->in);
    uint64_t lowest = ROOT_NUMBER, folder;
    if (count == 0 || count > VMK_TMPFS_INODES_MAX)
        return vmk_state_bad(reader, "%u files in memory, of at most %d", count,
                             VMK_TMPFS_INODES_MAX);
    reader->inodes = g_try_new(struct tmp_inode *, count);
    if (reader->inodes == NULL)
        return vmk_state_no_memory(reader->ret_error);
    for (uint32_t i = 0; i < count; i++) {
        int r = load_inode(reader, fs, lowest);
        if (r < 0)
            return r;
        lowest = reader->inodes[i]->number + 1;
    }
    if (next_number < lowest - 1 || next_number > INT64_MAX)
        return vmk_state_bad(reader, "%llu inodes so far", (unsigned long long)next_number);
    fs->next_number = next_number;
    while ((folder = vmk_cursor_get_u64(&reader->in)) != 0) {
        struct tmp_inode *inode = find_inode(reader, folder);
        int r = inode == NULL ? -EINVAL : load_folder(reader, inode);
        if (r < 0)
            return r;
    }
    return check_tree(reader);
}

int
vmk_state_keep_tmp(struct vmk_state_reader *reader)
{
    struct tmpfs *fs = root_of(reader->files)->fs;
    if (fs->generation != fs->loaded)
        return 0;
    reader->inodes = g_try_new(struct tmp_inode *, fs->count);
    if (reader->inodes == NULL)
        return vmk_state_no_memory(reader->ret_error);
    reader->inode_count = fs->count;
    uint32_t at = fs->count;
    for (struct tmp_inode *inode = fs->all; inode != NULL; inode = inode->all_next) {
        inode->references++;
        reader->inodes[--at] = inode;
    }
    return 0;
}

int
vmk_state_load_tmp(struct vmk_state_reader *reader)
{
    struct tmp_inode *root = root_of(reader->files);
    if (reader->inodes != NULL) {
        vmk_cursor_get(&reader->in, reader->in.left);
        return 0;
    }
    vmk_tmp_empty(root->fs, root);
    return load_tree(reader, root->fs);
}

void
vmk_state_release_inodes(struct vmk_state_reader *reader, bool complete)
{
    struct tmpfs *fs = root_of(reader->files)->fs;
    for (uint32_t i = 0; i < reader->inode_count; i++)
        vmk_tmp_inode_unref(reader->inodes[i]);
    g_free(reader->inodes);
    reader->inodes = NULL;
    reader->inode_count = 0;
    fs->loaded = complete ? fs->generation : UINT64_MAX;
}

static int
place_save(struct vmk_state_writer *writer, struct vmk_node *node)
{
    vmk_bytes_put_u64(writer->bytes, tmp_inode(node)->number);
    return 0;
}

static int
place_load(struct vmk_state_reader *reader, const char *path, struct vmk_node **ret_node)
{
    struct tmp_inode *inode = find_inode(reader, vmk_cursor_get_u64(&reader->in));
    if (inode == NULL)
        return -EINVAL;
    int r = vmk_tmp_node_new(NULL, path, inode, ret_node);
    return r < 0 ? vmk_state_no_memory(reader->ret_error) : 0;
}

const struct vmk_state_place vmk_state_place_tmp = {
    .number = VMK_STATE_PLACE_TMP,
    .name = "files in memory",
    .save = place_save,
    .load = place_load,
};

static int
file_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    return vmk_state_save_node(writer, file->node);
}

static int
file_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
          struct vmk_file **ret_file)
{
    struct vmk_node *node;
    int r = vmk_state_load_node(reader, &node);
    if (r < 0)
        return r;
    if (node->ops->state != &vmk_state_place_tmp || node->type == S_IFLNK ||
        (node->type == S_IFDIR && (common->flags & O_ACCMODE) != O_RDONLY))
        r = vmk_state_bad(reader, "\"%.80s\" is open, which cannot be", node->path);
    else if (vmk_tmp_open(NULL, node, common->flags & O_ACCMODE, ret_file) < 0)
        r = vmk_state_no_memory(reader->ret_error);
    vmk_node_unref(node);
    return r;
}

const struct vmk_state_kind vmk_state_tmp = {
    .number = VMK_STATE_TMP, .save = file_save, .load = file_load};
