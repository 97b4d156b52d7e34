/* SPDX-License-Identifier: Apache-2.0 */
/* ioctl(2): the requests that every file has; others are the file's (struct vmk_file_ops). */
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

static int64_t
set_flag(struct vmk_process *process, struct vmk_file *file, uint32_t flag, uint64_t argument)
{
    int32_t on;
    int result = vmk_uaccess_read(process->space, argument, &on, sizeof on);
    if (result < 0)
        return result;
    file->flags = on != 0 ? file->flags | flag : file->flags & ~flag;
    return 0;
}

/* What is left of a regular file. */
static int64_t
put_left(struct vmk_process *process, struct vmk_file *file, uint64_t argument)
{
    struct statx status;
    int result = vmk_file_statx(file, &status);
    if (result < 0)
        return result;
    uint64_t left = status.stx_size > file->offset ? status.stx_size - file->offset : 0;
    int32_t value = left > INT_MAX ? INT_MAX : (int32_t)left;
    return vmk_uaccess_write(process->space, argument, &value, sizeof value);
}

int64_t
vmk_sys_ioctl(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_file *file = vmk_files_get(process->files, args[0]);
    uint32_t request = (uint32_t)args[1];
    if (file == NULL)
        return -EBADF;
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        process->files->table.entries[(uint32_t)args[0]].close_on_exec = request == FIOCLEX;
        return 0;
    case FIONBIO:
        return set_flag(process, file, O_NONBLOCK, args[2]);
    case FIONREAD:
        if (file->ops->ioctl == NULL && file->node != NULL && file->node->type == S_IFREG)
            return put_left(process, file, args[2]);
        break;
    default:
        break;
    }
    return file->ops->ioctl == NULL ? -ENOTTY : file->ops->ioctl(process, file, request, args[2]);
}
