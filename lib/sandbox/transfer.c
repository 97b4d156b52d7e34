/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/transfer.h"

#include "sandbox/file.h"
#include "sandbox/process.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>

/* How much one operation is given, so that vmkit_sandbox_kill() and the limits of time are noticed
 * in between. */
#define BATCH_MAX ((size_t)256 << 10)

/* Where a transfer is in the guest's buffers. */
struct cursor {
    const struct vmk_guest_iovec *buffers;
    unsigned count;
    unsigned index;
    uint64_t at; /* in buffers[index] */
    size_t left; /* of the whole transfer */
};

static void
cursor_advance(struct cursor *cursor, size_t size)
{
    cursor->left -= size;
    while (size != 0) {
        uint64_t rest = cursor->buffers[cursor->index].size - cursor->at;
        if (size < rest) {
            cursor->at += size;
            return;
        }
        size -= (size_t)rest;
        cursor->index++;
        cursor->at = 0;
    }
}

/* Pin what comes next, from the cursor on, without moving it. The bytes that the pieces cover, or
 * -EFAULT. */
static ssize_t
pin_batch(struct vmk_process *process, const struct cursor *cursor, bool write, struct iovec *iov,
          int *ret_count)
{
    unsigned index = cursor->index;
    uint64_t at = cursor->at;
    size_t limit = cursor->left < BATCH_MAX ? cursor->left : BATCH_MAX;
    size_t total = 0;
    int used = 0;

    while (total < limit && used < VMK_FILE_IOV_MAX && index < cursor->count) {
        const struct vmk_guest_iovec *buffer = &cursor->buffers[index];
        size_t size =
            buffer->size - at < limit - total ? (size_t)(buffer->size - at) : limit - total;
        int count = 0;
        if (size != 0) {
            ssize_t pinned = vmk_uaccess_pin(process->space, buffer->base + at, size, !write,
                                             iov + used, VMK_FILE_IOV_MAX - used, &count);
            if (pinned < 0 && total == 0)
                return pinned;
            if (pinned <= 0)
                break;
            used += count;
            total += (size_t)pinned;
            if ((size_t)pinned < size)
                break;
        }
        index++;
        at = 0;
    }
    *ret_count = used;
    return (ssize_t)total;
}

/* The sum of the sizes, cut to what one call may move; -EINVAL for a size that is negative. */
static int64_t
total_size(const struct vmk_guest_iovec *buffers, unsigned count)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        if (buffers[i].size > INT64_MAX)
            return -EINVAL;
        if (buffers[i].size > VMK_TRANSFER_MAX - total)
            total = VMK_TRANSFER_MAX;
        else
            total += buffers[i].size;
    }
    return (int64_t)total;
}

/* See `records` in struct vmk_file_ops. */
static int64_t
write_records(struct vmk_process *process, struct vmk_file *file,
              const struct vmk_guest_iovec *buffers, unsigned count)
{
    int64_t done = 0;
    for (unsigned i = 0; i < count && !vmk_process_ended(process); i++) {
        struct iovec iov[VMK_FILE_IOV_MAX];
        size_t size = buffers[i].size < BATCH_MAX ? (size_t)buffers[i].size : BATCH_MAX;
        int pieces = 0;
        ssize_t moved = 0;
        if (size != 0)
            moved = vmk_uaccess_pin(process->space, buffers[i].base, size, false, iov,
                                    VMK_FILE_IOV_MAX, &pieces);
        if (moved >= 0)
            moved = file->ops->write(process, file, iov, pieces, NULL);
        if (moved < 0)
            return done != 0 ? done : moved;
        done += moved;
        if ((uint64_t)moved < buffers[i].size)
            break;
    }
    return done;
}

int64_t
vmk_transfer(struct vmk_process *process, struct vmk_file *file, bool write,
             const struct vmk_guest_iovec *buffers, unsigned count, uint64_t *offset)
{
    ssize_t (*operation)(struct vmk_process *, struct vmk_file *, const struct iovec *, int,
                         uint64_t *) = write ? file->ops->write : file->ops->read;
    int64_t size = total_size(buffers, count);
    if (size < 0)
        return size;
    if (operation == NULL)
        return -EINVAL;
    if (file->ops->records && write)
        return write_records(process, file, buffers, count);
    if (file->ops->records && size == 0)
        return operation(process, file, NULL, 0, NULL);
    if (offset == NULL && file->ops->positioned)
        offset = &file->offset;

    struct cursor cursor = {.buffers = buffers, .count = count, .left = (size_t)size};
    int64_t done = 0;
    while (cursor.left != 0) {
        struct iovec iov[VMK_FILE_IOV_MAX];
        int pieces = 0;
        ssize_t pinned = pin_batch(process, &cursor, write, iov, &pieces);
        if (pinned <= 0)
            return done != 0 ? done : -EFAULT;
        ssize_t moved = operation(process, file, iov, pieces, offset);
        if (moved < 0)
            return done != 0 ? done : moved;
        done += moved;
        /* A stream that gave less has no more for now. One that took less is offered the rest. */
        if (moved == 0 || (!write && (moved < pinned || !file->ops->positioned)) ||
            vmk_process_ended(process))
            break;
        cursor_advance(&cursor, (size_t)moved);
        if (cursor.left != 0 && vmk_process_must_stop(process))
            break;
    }
    return done;
}
