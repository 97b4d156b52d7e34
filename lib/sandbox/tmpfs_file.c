/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and folders in memory. */
#include "sandbox/tmpfs_internal.h"

#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/mapped.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pages that are allocated between two looks at the limits of time. */
#define PAGES_BETWEEN_CHECKS 64

static struct tmp_inode *
inode_of(struct vmk_file *file)
{
    return tmp_inode(file->node);
}

static ssize_t
tmp_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
         uint64_t *offset)
{
    struct tmp_inode *inode = inode_of(file);
    size_t size = vmk_iov_size(iov, count);
    uint64_t left = *offset < inode->size ? inode->size - *offset : 0;
    if (size > left)
        size = (size_t)left;
    for (size_t done = 0; done < size;) {
        uint64_t at = *offset + done;
        size_t inside = (size_t)(at % VMK_PAGES_SIZE);
        size_t piece =
            VMK_PAGES_SIZE - inside < size - done ? VMK_PAGES_SIZE - inside : size - done;
        const uint8_t *page = vmk_pages_get(&inode->pages, at / VMK_PAGES_SIZE);
        if (page != NULL)
            vmk_iov_fill(iov, count, done, page + inside, piece);
        else
            vmk_iov_zero(iov, count, done, piece);
        done += piece;
    }
    *offset += size;
    return (ssize_t)size;
}

static ssize_t
tmp_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
          uint64_t *offset)
{
    struct tmp_inode *inode = inode_of(file);
    size_t size = vmk_iov_size(iov, count);
    if ((file->flags & O_APPEND) != 0)
        *offset = inode->size;
    if (*offset >= VMK_PAGES_BYTES_MAX)
        return -EFBIG;
    if (size > VMK_PAGES_BYTES_MAX - *offset)
        size = (size_t)(VMK_PAGES_BYTES_MAX - *offset);

    size_t done = 0;
    while (done < size) {
        uint64_t at = *offset + done;
        size_t inside = (size_t)(at % VMK_PAGES_SIZE);
        size_t piece =
            VMK_PAGES_SIZE - inside < size - done ? VMK_PAGES_SIZE - inside : size - done;
        uint8_t *page = vmk_pages_make(&inode->pages, at / VMK_PAGES_SIZE);
        if (page == NULL)
            break;
        vmk_iov_drain(iov, count, done, page + inside, piece);
        done += piece;
    }
    if (done == 0)
        return -ENOSPC;
    *offset += done;
    if (*offset > inode->size)
        inode->size = *offset;
    vmk_tmp_touch(inode, true);
    vmk_mapped_change(process, file, *offset - done, done);
    return (ssize_t)done;
}

static int64_t
tmp_seek(struct vmk_file *file, int64_t offset, int whence)
{
    const struct tmp_inode *inode = inode_of(file);
    int64_t base = 0;
    switch (whence) {
    case SEEK_CUR:
        base = (int64_t)file->offset;
        break;
    case SEEK_END:
        base = (int64_t)inode->size;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        /* All is data, and the hole is at the end: what a file system without holes says. */
        if (offset < 0 || (uint64_t)offset >= inode->size)
            return -ENXIO;
        if (whence == SEEK_HOLE)
            offset = (int64_t)inode->size;
        break;
    default:
        break;
    }
    if (__builtin_add_overflow(base, offset, &offset))
        return -EOVERFLOW;
    if (offset < 0)
        return -EINVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

/* Zeros in `size` bytes from `from` on, which lie in one page. -ENOMEM when the page is shared and
 * the host has no memory for a copy. */
static int
clear_part(struct tmp_inode *inode, uint64_t from, size_t size)
{
    if (vmk_pages_get(&inode->pages, from / VMK_PAGES_SIZE) == NULL)
        return 0;
    uint8_t *page = vmk_pages_make(&inode->pages, from / VMK_PAGES_SIZE);
    if (page == NULL)
        return -ENOMEM;
    memset(page + from % VMK_PAGES_SIZE, 0, size);
    return 0;
}

/* What is cut off is cleared, so that a file that grows again shows none of it. */
static int
set_size(struct tmp_inode *inode, uint64_t size)
{
    size_t inside = (size_t)(size % VMK_PAGES_SIZE);
    if (size < inode->size) {
        int result = inside == 0 ? 0 : clear_part(inode, size, VMK_PAGES_SIZE - inside);
        if (result < 0)
            return result;
        vmk_tmp_drop_pages(inode, size / VMK_PAGES_SIZE + (inside != 0), UINT64_MAX);
    }
    inode->size = size;
    vmk_tmp_touch(inode, true);
    return 0;
}

static int
tmp_truncate(struct vmk_process *process, struct vmk_file *file, uint64_t size)
{
    if (size > VMK_PAGES_BYTES_MAX)
        return -EFBIG;
    int result = set_size(inode_of(file), size);
    if (result == 0)
        vmk_mapped_cut(process, file, size);
    return result;
}

static int
punch_hole(struct tmp_inode *inode, uint64_t offset, uint64_t end)
{
    while (offset < end && offset < inode->size) {
        size_t inside = (size_t)(offset % VMK_PAGES_SIZE);
        uint64_t piece = VMK_PAGES_SIZE - inside;
        uint64_t number = offset / VMK_PAGES_SIZE;
        if (inside == 0 && end - offset >= VMK_PAGES_SIZE) {
            vmk_tmp_drop_pages(inode, number, end / VMK_PAGES_SIZE - 1);
            offset = end - end % VMK_PAGES_SIZE;
            continue;
        }
        if (piece > end - offset)
            piece = end - offset;
        int result = clear_part(inode, offset, (size_t)piece);
        if (result < 0)
            return result;
        offset += piece;
    }
    return 0;
}

static int
tmp_allocate(struct vmk_process *process, struct vmk_file *file, int mode, uint64_t offset,
             uint64_t size)
{
    struct tmp_inode *inode = inode_of(file);
    uint64_t end = offset + size;
    if (end > VMK_PAGES_BYTES_MAX)
        return -EFBIG;
    if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
        vmk_tmp_touch(inode, true);
        int result = punch_hole(inode, offset, end);
        vmk_mapped_change(process, file, offset, size);
        return result;
    }
    if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0)
        return -EOPNOTSUPP;

    /* Refused before anything is allocated, as far as that can be told. */
    if (size > inode->fs->account->limit)
        return -ENOSPC;
    inode->fs->generation++;
    for (uint64_t number = offset / VMK_PAGES_SIZE; number <= (end - 1) / VMK_PAGES_SIZE;
         number++) {
        if (vmk_pages_make(&inode->pages, number) == NULL)
            return -ENOSPC;
        if (number % PAGES_BETWEEN_CHECKS == 0 && vmk_process_must_stop(process))
            return -EINTR;
    }
    if (mode == 0 && end > inode->size)
        inode->size = end;
    vmk_tmp_touch(inode, true);
    return 0;
}

static int
tmp_sync(struct vmk_process *process, struct vmk_file *file, bool data_only)
{
    return 0;
}

static const struct vmk_file_ops tmp_file_ops = {
    .positioned = true,
    .mappable = true,
    .read = tmp_read,
    .write = tmp_write,
    .seek = tmp_seek,
    .truncate = tmp_truncate,
    .allocate = tmp_allocate,
    .sync = tmp_sync,
    .state = &vmk_state_tmp,
};

static int
tmp_read_directory(struct vmk_process *process, struct vmk_file *file, struct vmk_dirent_sink *sink)
{
    const struct tmp_inode *inode = inode_of(file);
    if (inode->removed)
        return -ENOENT;
    const struct tmp_inode *parent = inode->parent != NULL ? inode->parent : inode;
    vmk_dirent_put_dots(sink, file, inode->number, parent->number);
    if (file->offset < 2)
        return 0;
    for (const struct tmp_entry *entry = inode->first; entry != NULL; entry = entry->next) {
        if (entry->cookie <= file->offset)
            continue;
        if (!vmk_dirent_put(sink, entry->name, entry->inode->number, entry->inode->type,
                            (int64_t)entry->cookie))
            break;
        file->offset = entry->cookie;
    }
    return 0;
}

static ssize_t
folder_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
            uint64_t *offset)
{
    return -EISDIR;
}

static const struct vmk_file_ops tmp_folder_ops = {
    .positioned = true,
    .read = folder_read,
    .seek = vmk_dirent_seek,
    .sync = tmp_sync,
    .read_directory = tmp_read_directory,
    .state = &vmk_state_tmp,
};

/* What open(2) asks of the permission bits. */
static int
access_mode(uint32_t flags)
{
    int mode = (flags & O_ACCMODE) == O_WRONLY ? W_OK : R_OK;
    if ((flags & O_ACCMODE) == O_RDWR || (flags & O_TRUNC) != 0)
        mode |= W_OK;
    return mode;
}

/* `files` is NULL for a file that was just made, whose mode is for later opens. */
int
vmk_tmp_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
             struct vmk_file **ret_file)
{
    struct tmp_inode *inode = tmp_inode(node);
    int mode = access_mode(flags);
    if (inode->type == S_IFDIR && (mode & W_OK) != 0)
        return -EISDIR;
    int result = files == NULL ? 0 : vmk_tmp_permitted(files, inode, mode);
    if (result < 0)
        return result;
    struct vmk_file *file = malloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    vmk_file_init(file, inode->type == S_IFDIR ? &tmp_folder_ops : &tmp_file_ops,
                  flags & ~(uint32_t)(O_TMPFILE & ~O_DIRECTORY), node);
    if ((flags & O_TRUNC) != 0 && inode->type == S_IFREG) {
        (void)set_size(inode, 0); /* To nothing it cannot fail. */
        vmk_mapped_cut(inode->fs->process, file, 0);
    }
    *ret_file = file;
    return 0;
}
