/* SPDX-License-Identifier: Apache-2.0 */
/* read(2), write(2) and their like with positions and vectors. */
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/syscall.h"
#include "sandbox/transfer.h"
#include "sandbox/uaccess.h"
#include "util/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* The file if the call may use it so, with an explicit position or without. */
static int
get_file(struct vmk_process *process, uint64_t fd, bool write, bool has_offset,
         struct vmk_file **ret_file)
{
    struct vmk_file *file = vmk_files_get(process->files, fd);
    if (file == NULL || (write ? !vmk_file_writable(file) : !vmk_file_readable(file)))
        return -EBADF;
    if (has_offset && file->ops->seek == NULL)
        return -ESPIPE;
    *ret_file = file;
    return 0;
}

static int64_t
transfer_one(struct vmk_process *process, const uint64_t args[6], bool write, uint64_t *offset)
{
    struct vmk_guest_iovec buffer = {args[1], args[2]};
    struct vmk_file *file;
    int result = get_file(process, args[0], write, offset != NULL, &file);
    if (result < 0)
        return result;
    /* Linux looks at the whole range before it cuts the size. */
    bool can = write ? file->ops->write != NULL : file->ops->read != NULL;
    if (can && !vmk_range_inside(buffer.base, buffer.size, 0, VMK_SPACE_HIGH))
        return -EFAULT;
    return vmk_transfer(process, file, write, &buffer, 1, offset);
}

/* Linux looks at all of several buffers before it cuts their sizes. */
static int
check_buffers(const struct vmk_guest_iovec *buffers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (buffers[i].size > INT64_MAX)
            return -EINVAL;
    }
    for (uint64_t i = 0; i < count && count > 1; i++) {
        if (!vmk_range_inside(buffers[i].base, buffers[i].size, 0, VMK_SPACE_HIGH))
            return -EFAULT;
    }
    return 0;
}

static int64_t
transfer_many(struct vmk_process *process, const uint64_t args[6], bool write, uint64_t *offset)
{
    struct vmk_guest_iovec buffers[VMK_GUEST_IOV_MAX];
    struct vmk_file *file;
    uint64_t count = args[2];
    int result = get_file(process, args[0], write, offset != NULL, &file);
    if (result == 0 && count > VMK_GUEST_IOV_MAX)
        result = -EINVAL;
    if (result == 0)
        result = vmk_uaccess_read(process->space, args[1], buffers, count * sizeof buffers[0]);
    if (result == 0)
        result = check_buffers(buffers, count);
    return result < 0 ? result
                      : vmk_transfer(process, file, write, buffers, (unsigned)count, offset);
}

/* An explicit position; Linux takes negative ones for none. */
static int64_t
transfer_at(struct vmk_process *process, const uint64_t args[6], bool write, bool many)
{
    uint64_t offset = args[3];
    if (offset > INT64_MAX)
        return -EINVAL;
    return many ? transfer_many(process, args, write, &offset)
                : transfer_one(process, args, write, &offset);
}

static int64_t
transfer_here_or_at(struct vmk_process *process, const uint64_t args[6], bool write)
{
    if (args[3] == UINT64_MAX)
        return transfer_many(process, args, write, NULL);
    return transfer_at(process, args, write, true);
}

/* The flags that ask for a way of writing are hints here. RWF_NOWAIT is not served, as by file
 * systems that lack it. */
static int64_t
transfer_flags(struct vmk_process *process, const uint64_t args[6], bool write)
{
    uint64_t flags = args[5];
    if ((flags & ~(uint64_t)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND)) != 0)
        return -EOPNOTSUPP;
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    if (!write || (flags & RWF_APPEND) == 0 || file == NULL)
        return transfer_here_or_at(process, args, write);

    /* For this call, the file is one that was opened for appending. */
    uint32_t before = file->flags;
    file->flags |= O_APPEND;
    int64_t result = transfer_here_or_at(process, args, write);
    file->flags = before;
    return result;
}

#define CALL(name, transfer, ...)                                               \
    int64_t vmk_sys_##name(struct vmk_process *process, const uint64_t args[6]) \
    {                                                                           \
        return transfer(process, args, __VA_ARGS__);                            \
    }

CALL(read, transfer_one, false, NULL)
CALL(write, transfer_one, true, NULL)
CALL(readv, transfer_many, false, NULL)
CALL(writev, transfer_many, true, NULL)
CALL(pread64, transfer_at, false, false)
CALL(pwrite64, transfer_at, true, false)
CALL(preadv, transfer_at, false, true)
CALL(pwritev, transfer_at, true, true)
CALL(preadv2, transfer_flags, false)
CALL(pwritev2, transfer_flags, true)

int64_t
vmk_sys_lseek(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    if (file == NULL)
        return -EBADF;
    if ((uint32_t)args[2] > SEEK_HOLE)
        return -EINVAL;
    if (file->ops->seek == NULL)
        return -ESPIPE;
    file->mount_index = 0;
    return file->ops->seek(file, (int64_t)args[1], (int)args[2]);
}
