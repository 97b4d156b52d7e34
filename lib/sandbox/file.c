/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/file.h"

#include "sandbox/epoll.h"
#include "sandbox/node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

void
vmk_file_init(struct vmk_file *file, const struct vmk_file_ops *ops, uint32_t flags,
              struct vmk_node *node)
{
    file->references = 1;
    file->ops = ops;
    file->flags = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    file->offset = 0;
    file->watches = NULL;
    file->open_count = NULL;
    file->mount_index = 0;
    file->number = 0;
    file->identified = false;
    file->state_number = 0;
    file->node = node == NULL ? NULL : vmk_node_ref(node);
}

struct vmk_file *
vmk_file_ref(struct vmk_file *file)
{
    file->references++;
    return file;
}

void
vmk_file_unref(struct vmk_file *file)
{
    if (file == NULL || --file->references != 0)
        return;
    if (file->watches != NULL)
        vmk_epoll_forget(file);
    if (file->open_count != NULL)
        --*file->open_count;
    if (file->ops->destroy != NULL)
        file->ops->destroy(file);
    vmk_node_unref(file->node);
    free(file);
}

bool
vmk_file_readable(const struct vmk_file *file)
{
    return (file->flags & O_PATH) == 0 && (file->flags & O_ACCMODE) != O_WRONLY;
}

bool
vmk_file_writable(const struct vmk_file *file)
{
    return (file->flags & O_PATH) == 0 && (file->flags & O_ACCMODE) != O_RDONLY;
}

short
vmk_file_poll(struct vmk_file *file)
{
    if (file->ops->poll == NULL)
        return POLLIN | POLLOUT;
    return file->ops->poll(file);
}

int
vmk_file_statx(struct vmk_file *file, struct statx *status)
{
    if (file->ops->statx != NULL)
        return file->ops->statx(file, status);
    if (file->node != NULL)
        return vmk_node_statx(file->node, status);
    vmk_statx_init(status, 0600, file->number, 0, 0);
    return 0;
}

void
vmk_statx_init(struct statx *status, uint32_t mode, uint64_t inode, uint32_t uid, uint32_t gid)
{
    *status = (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = 4096,
        .stx_nlink = 1,
        .stx_uid = uid,
        .stx_gid = gid,
        .stx_mode = (uint16_t)mode,
        .stx_ino = inode,
    };
}

ssize_t
vmk_file_pread(struct vmk_process *process, struct vmk_file *file, void *buffer, size_t size,
               uint64_t offset)
{
    if (!vmk_file_readable(file))
        return -EBADF;
    if (file->ops->seek == NULL)
        return -ESPIPE;
    if (file->ops->read == NULL)
        return -EINVAL;

    size_t done = 0;
    while (done < size) {
        struct iovec iov = {(char *)buffer + done, size - done};
        ssize_t got = file->ops->read(process, file, &iov, 1, &offset);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

size_t
vmk_iov_size(const struct iovec *iov, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

int
vmk_iov_clip(const struct iovec *iov, int count, size_t size, struct iovec *clipped)
{
    int stored = 0;
    for (int i = 0; i < count && size != 0 && stored < VMK_FILE_IOV_MAX; i++) {
        clipped[stored] = iov[i];
        if (clipped[stored].iov_len > size)
            clipped[stored].iov_len = size;
        size -= clipped[stored].iov_len;
        stored++;
    }
    return stored;
}

/* The next run of bytes in one piece from `at` on, at most `size`; NULL past the end. */
static char *
piece_at(const struct iovec *iov, int count, size_t at, size_t size, size_t *ret_run)
{
    for (int i = 0; i < count; i++) {
        if (at < iov[i].iov_len) {
            size_t run = iov[i].iov_len - at;
            *ret_run = run < size ? run : size;
            return (char *)iov[i].iov_base + at;
        }
        at -= iov[i].iov_len;
    }
    return NULL;
}

void
vmk_iov_fill(const struct iovec *iov, int count, size_t at, const void *data, size_t size)
{
    const char *from = data;
    size_t run;
    for (char *to; size != 0 && (to = piece_at(iov, count, at, size, &run)) != NULL;) {
        memcpy(to, from, run);
        from += run;
        at += run;
        size -= run;
    }
}

void
vmk_iov_drain(const struct iovec *iov, int count, size_t at, void *data, size_t size)
{
    char *to = data;
    size_t run;
    for (char *from; size != 0 && (from = piece_at(iov, count, at, size, &run)) != NULL;) {
        memcpy(to, from, run);
        to += run;
        at += run;
        size -= run;
    }
}

void
vmk_iov_zero(const struct iovec *iov, int count, size_t at, size_t size)
{
    size_t run;
    for (char *to; size != 0 && (to = piece_at(iov, count, at, size, &run)) != NULL;) {
        memset(to, 0, run);
        at += run;
        size -= run;
    }
}
