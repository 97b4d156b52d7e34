/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from file to file: sendfile(2) and copy_file_range(2). */
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/transfer.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CHUNK 16384

/* A position that is the caller's, at `address`, or the file's own. What has none of its own, as a
 * stream, is written to where it stands. */
struct position {
    struct vmk_file *file;
    uint64_t address; /* 0: the file's own */
    uint64_t offset;
};

static bool
is_in_sequence(const struct position *to)
{
    return to->address == 0 && !to->file->ops->positioned;
}

static int
position_get(struct vmk_process *process, struct position *position)
{
    struct vmk_file *file = position->file;
    if (position->address != 0) {
        int result = vmk_uaccess_read(process->space, position->address, &position->offset,
                                      sizeof position->offset);
        return result < 0 ? result : position->offset > INT64_MAX ? -EINVAL : 0;
    }
    int64_t offset = file->ops->seek == NULL ? 0 : file->ops->seek(file, 0, SEEK_CUR);
    position->offset = (uint64_t)offset;
    return offset < 0 ? (int)offset : 0;
}

static int
position_put(struct vmk_process *process, const struct position *position)
{
    struct vmk_file *file = position->file;
    if (position->address != 0)
        return vmk_uaccess_write(process->space, position->address, &position->offset,
                                 sizeof position->offset);
    if (file->ops->seek != NULL)
        file->ops->seek(file, (int64_t)position->offset, SEEK_SET);
    return 0;
}

/* Write all of a chunk, or as much as the file takes. The count or a negative errno. */
static int64_t
write_chunk(struct vmk_process *process, struct position *to, char *data, size_t size)
{
    size_t done = 0;
    while (done < size && !vmk_process_ended(process)) {
        struct iovec iov = {data + done, size - done};
        uint64_t *offset = is_in_sequence(to) ? NULL : &to->offset;
        ssize_t wrote = to->file->ops->write(process, to->file, &iov, 1, offset);
        if (wrote < 0)
            return done != 0 ? (int64_t)done : wrote;
        if (wrote == 0)
            break;
        done += (size_t)wrote;
    }
    return (int64_t)done;
}

/* The bytes that were copied, or a negative errno. Positions move by what was. */
static int64_t
copy(struct vmk_process *process, struct position *from, struct position *to, uint64_t size)
{
    char buffer[CHUNK];
    uint64_t done = 0;
    while (done < size) {
        struct iovec iov = {buffer, size - done < CHUNK ? (size_t)(size - done) : CHUNK};
        uint64_t offset = from->offset;
        ssize_t got = from->file->ops->read(process, from->file, &iov, 1, &offset);
        int64_t wrote = got <= 0 ? got : write_chunk(process, to, buffer, (size_t)got);
        if (wrote < 0 && done == 0)
            return wrote;
        if (wrote <= 0)
            break;
        from->offset += (uint64_t)wrote;
        done += (uint64_t)wrote;
        if (wrote < got || vmk_process_must_stop(process))
            break;
    }
    return (int64_t)done;
}

/* From one regular file to another, or to another part of the same: the copy ends with what was
 * there before it. -EINVAL when the two parts share bytes. */
static int
settle_range(const struct position *from, const struct position *to, uint64_t *size)
{
    struct statx one, other;
    int result = vmk_file_statx(from->file, &one);
    if (result == 0)
        result = vmk_file_statx(to->file, &other);
    if (result < 0)
        return result;
    uint64_t left = from->offset < one.stx_size ? one.stx_size - from->offset : 0;
    if (*size > left)
        *size = left;
    if (one.stx_ino != other.stx_ino || one.stx_dev_major != other.stx_dev_major ||
        one.stx_dev_minor != other.stx_dev_minor)
        return 0;
    uint64_t apart =
        from->offset < to->offset ? to->offset - from->offset : from->offset - to->offset;
    return apart < *size ? -EINVAL : 0;
}

static int64_t
copy_between(struct vmk_process *process, struct position *from, struct position *to, uint64_t size,
             bool regular)
{
    if (size > VMK_TRANSFER_MAX)
        size = VMK_TRANSFER_MAX;
    int64_t result = position_get(process, from);
    if (result == 0 && !is_in_sequence(to))
        result = position_get(process, to);
    if (result == 0 && regular)
        result = settle_range(from, to, &size);
    if (result < 0)
        return result;
    int64_t done = copy(process, from, to, size);
    if (done < 0)
        return done;
    result = position_put(process, from);
    if (result == 0 && !is_in_sequence(to))
        result = position_put(process, to);
    return result < 0 ? result : done;
}

/* Both ends of a copy; -EBADF unless they allow it. */
static int
get_files(struct vmk_process *process, uint64_t in, uint64_t out, struct vmk_file **ret_in,
          struct vmk_file **ret_out)
{
    *ret_in = vmk_files_get(process->files, in);
    *ret_out = vmk_files_get(process->files, out);
    if (*ret_in == NULL || *ret_out == NULL || !vmk_file_readable(*ret_in) ||
        !vmk_file_writable(*ret_out))
        return -EBADF;
    return 0;
}

int64_t
vmk_sys_sendfile(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *in;
    struct vmk_file *out;
    int result = get_files(process, args[1], args[0], &in, &out);
    if (result < 0)
        return result;
    /* The input has to be something like a file, as for Linux. */
    if (in->ops->seek == NULL)
        return args[2] != 0 ? -ESPIPE : -EINVAL;
    if (in->ops->read == NULL || out->ops->write == NULL || out->ops->records ||
        (out->flags & O_APPEND) != 0)
        return -EINVAL;
    return copy_between(process, &(struct position){in, args[2], 0}, &(struct position){out, 0, 0},
                        args[3], false);
}

static bool
is_regular(const struct vmk_file *file)
{
    return file->node != NULL && file->node->type == S_IFREG;
}

int64_t
vmk_sys_copy_file_range(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *in;
    struct vmk_file *out;
    int result = get_files(process, args[0], args[2], &in, &out);
    if (result < 0)
        return result;
    if (!is_regular(in) || !is_regular(out) || args[5] != 0 || in->ops->read == NULL ||
        out->ops->write == NULL)
        return -EINVAL;
    if ((out->flags & O_APPEND) != 0)
        return -EBADF;
    return copy_between(process, &(struct position){in, args[1], 0},
                        &(struct position){out, args[3], 0}, args[4], true);
}

/* No pipe of the guest is the kernel's: who splices falls back to read and write. */
int64_t
vmk_sys_splice(struct vmk_process *process, const uint64_t args[6])
{
    return -EINVAL;
}

int64_t
vmk_sys_tee(struct vmk_process *process, const uint64_t args[6])
{
    return -EINVAL;
}

int64_t
vmk_sys_vmsplice(struct vmk_process *process, const uint64_t args[6])
{
    return -EINVAL;
}
