/* SPDX-License-Identifier: Apache-2.0 */
/* read(2), write(2) and their like with positions and vectors. */
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/transfer.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

/* The file if the call may use it so. */
static int
get_file(struct vmk_process *process, uint64_t fd, bool write, struct vmk_file **ret_file)
{
    struct vmk_file *file = vmk_files_get(process->files, fd);
    if (file == NULL || (write ? !vmk_file_writable(file) : !vmk_file_readable(file)))
        return -EBADF;
    *ret_file = file;
    return 0;
}

static int64_t
transfer_one(struct vmk_process *process, const uint64_t args[6], bool write, uint64_t *offset)
{
    struct vmk_guest_iovec buffer = {args[1], args[2]};
    struct vmk_file *file;
    int result = get_file(process, args[0], write, &file);
    if (result < 0)
        return result;
    if (offset != NULL && file->ops->seek == NULL)
        return -ESPIPE;
    return vmk_transfer(process, file, write, &buffer, 1, offset);
}

static int64_t
transfer_many(struct vmk_process *process, const uint64_t args[6], bool write, uint64_t *offset)
{
    struct vmk_guest_iovec buffers[VMK_GUEST_IOV_MAX];
    struct vmk_file *file;
    uint64_t count = args[2];
    int result = get_file(process, args[0], write, &file);
    if (result < 0)
        return result;
    if (offset != NULL && file->ops->seek == NULL)
        return -ESPIPE;
    if (count > VMK_GUEST_IOV_MAX)
        return -EINVAL;
    result = vmk_uaccess_read(process->space, args[1], buffers, count * sizeof buffers[0]);
    if (result < 0)
        return result;
    return vmk_transfer(process, file, write, buffers, (unsigned)count, offset);
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

int64_t
vmk_sys_read(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_one(process, args, false, NULL);
}

int64_t
vmk_sys_write(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_one(process, args, true, NULL);
}

int64_t
vmk_sys_readv(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_many(process, args, false, NULL);
}

int64_t
vmk_sys_writev(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_many(process, args, true, NULL);
}

int64_t
vmk_sys_pread64(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_at(process, args, false, false);
}

int64_t
vmk_sys_pwrite64(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_at(process, args, true, false);
}

int64_t
vmk_sys_preadv(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_at(process, args, false, true);
}

int64_t
vmk_sys_pwritev(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_at(process, args, true, true);
}

/* The flags that ask for a way of writing are hints here; the ones that change the result are not
 * served. */
static int64_t
transfer_flags(struct vmk_process *process, const uint64_t args[6], bool write)
{
    uint64_t flags = args[5];
    if ((flags & ~(uint64_t)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC)) != 0)
        return -EOPNOTSUPP;
    if (args[3] == UINT64_MAX)
        return transfer_many(process, args, write, NULL);
    return transfer_at(process, args, write, true);
}

int64_t
vmk_sys_preadv2(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_flags(process, args, false);
}

int64_t
vmk_sys_pwritev2(struct vmk_process *process, const uint64_t args[6])
{
    return transfer_flags(process, args, true);
}

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
