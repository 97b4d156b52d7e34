/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on descriptors as such: close(2), dup(2), fcntl(2), flock(2), pipe(2). */
#include "sandbox/files.h"
#include "sandbox/pipe.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define CLOSE_RANGE_UNSHARE_FLAG 2u
#define CLOSE_RANGE_CLOEXEC_FLAG 4u

/* What F_SETFL changes of the flags. */
#define SETTABLE_FLAGS ((uint32_t)(O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK))

int64_t
vmk_sys_close(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_fdtable_close(&process->files->table, args[0]);
}

int64_t
vmk_sys_close_range(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_fdtable *table = &process->files->table;
    uint32_t first = (uint32_t)args[0];
    uint32_t last = (uint32_t)args[1];
    uint32_t flags = (uint32_t)args[2];
    if (first > last || (flags & ~(CLOSE_RANGE_UNSHARE_FLAG | CLOSE_RANGE_CLOEXEC_FLAG)) != 0)
        return -EINVAL;
    for (int fd = vmk_fdtable_next(table, first); fd >= 0 && (uint32_t)fd <= last;
         fd = vmk_fdtable_next(table, (uint32_t)fd + 1)) {
        if ((flags & CLOSE_RANGE_CLOEXEC_FLAG) != 0)
            table->entries[fd].close_on_exec = true;
        else
            vmk_fdtable_close(table, (uint64_t)fd);
    }
    return 0;
}

static int64_t
duplicate(struct vmk_process *process, uint64_t fd, uint32_t lowest, bool close_on_exec)
{
    struct vmk_fdtable *table = &process->files->table;
    struct vmk_file *file = vmk_fdtable_get(table, fd);
    if (file == NULL)
        return -EBADF;
    int result = vmk_fdtable_add(table, file, lowest, close_on_exec);
    if (result >= 0)
        vmk_file_ref(file);
    return result;
}

static int64_t
duplicate_to(struct vmk_process *process, uint64_t fd, uint32_t to, bool close_on_exec)
{
    struct vmk_fdtable *table = &process->files->table;
    struct vmk_file *file = vmk_fdtable_get(table, fd);
    if (file == NULL || to >= vmk_fdtable_get_limit(table))
        return -EBADF;
    int result = vmk_fdtable_put(table, vmk_file_ref(file), to, close_on_exec);
    if (result < 0)
        vmk_file_unref(file);
    return result;
}

int64_t
vmk_sys_dup(struct vmk_process *process, const uint64_t args[6])
{
    return duplicate(process, args[0], 0, false);
}

int64_t
vmk_sys_dup3(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t flags = (uint32_t)args[2];
    if ((flags & ~(uint32_t)O_CLOEXEC) != 0 || (uint32_t)args[0] == (uint32_t)args[1])
        return -EINVAL;
    return duplicate_to(process, args[0], (uint32_t)args[1], (flags & O_CLOEXEC) != 0);
}

/* The guest is the only process that it can see: no lock of another one is ever in the way. */
static int64_t
get_lock(struct vmk_process *process, uint64_t argument)
{
    struct flock lock;
    int result = vmk_uaccess_read(process->space, argument, &lock, sizeof lock);
    if (result < 0)
        return result;
    if (lock.l_type != F_RDLCK && lock.l_type != F_WRLCK)
        return -EINVAL;
    lock.l_type = F_UNLCK;
    return vmk_uaccess_write(process->space, argument, &lock, sizeof lock);
}

static int64_t
set_lock(struct vmk_process *process, struct vmk_file *file, uint64_t argument)
{
    struct flock lock;
    int result = vmk_uaccess_read(process->space, argument, &lock, sizeof lock);
    if (result < 0)
        return result;
    if (lock.l_whence < SEEK_SET || lock.l_whence > SEEK_END)
        return -EINVAL;
    switch (lock.l_type) {
    case F_RDLCK:
        return vmk_file_readable(file) ? 0 : -EBADF;
    case F_WRLCK:
        return vmk_file_writable(file) ? 0 : -EBADF;
    case F_UNLCK:
        return 0;
    default:
        return -EINVAL;
    }
}

static int64_t
duplicate_above(struct vmk_process *process, uint64_t fd, uint64_t lowest, bool close_on_exec)
{
    if ((uint32_t)lowest >= vmk_fdtable_get_limit(&process->files->table))
        return -EINVAL;
    return duplicate(process, fd, (uint32_t)lowest, close_on_exec);
}

int64_t
vmk_sys_fcntl(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_fdtable *table = &process->files->table;
    struct vmk_file *file = vmk_fdtable_get(table, args[0]);
    uint32_t fd = (uint32_t)args[0];
    if (file == NULL)
        return -EBADF;

    switch ((uint32_t)args[1]) {
    case F_DUPFD:
        return duplicate_above(process, fd, args[2], false);
    case F_DUPFD_CLOEXEC:
        return duplicate_above(process, fd, args[2], true);
    case F_GETFD:
        return table->entries[fd].close_on_exec ? FD_CLOEXEC : 0;
    case F_SETFD:
        table->entries[fd].close_on_exec = (args[2] & FD_CLOEXEC) != 0;
        return 0;
    case F_GETFL:
        return (int64_t)file->flags;
    default:
        break;
    }
    if ((file->flags & O_PATH) != 0)
        return -EBADF;

    switch ((uint32_t)args[1]) {
    case F_SETFL:
        file->flags = (file->flags & ~SETTABLE_FLAGS) | ((uint32_t)args[2] & SETTABLE_FLAGS);
        return 0;
    case F_GETLK:
    case F_OFD_GETLK:
        return get_lock(process, args[2]);
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return set_lock(process, file, args[2]);
    case F_GETOWN:
    case F_GETSIG:
        return 0;
    case F_GETPIPE_SZ:
        return vmk_pipe_get_size(file);
    case F_SETPIPE_SZ:
        return vmk_pipe_set_size(file, (uint32_t)args[2]);
    default:
        return -EINVAL;
    }
}

int64_t
vmk_sys_flock(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t operation = (uint32_t)args[1] & ~(uint32_t)LOCK_NB;
    if (vmk_files_get(process->files, args[0]) == NULL)
        return -EBADF;
    return operation == LOCK_SH || operation == LOCK_EX || operation == LOCK_UN ? 0 : -EINVAL;
}

int64_t
vmk_sys_pipe2(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t address = args[0];
    uint32_t flags = (uint32_t)args[1];
    struct vmk_files *files = process->files;
    struct vmk_file *ends[2];
    int32_t fds[2];
    /* O_DIRECT asks for packets, which no caller here tells apart from EINVAL. */
    if ((flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK)) != 0)
        return -EINVAL;
    int result = vmk_pipe_new(files, flags & O_NONBLOCK, ends);
    if (result < 0)
        return result;

    bool close_on_exec = (flags & O_CLOEXEC) != 0;
    fds[0] = vmk_files_install(files, ends[0], close_on_exec);
    if (fds[0] < 0) {
        vmk_file_unref(ends[1]);
        return fds[0];
    }
    fds[1] = vmk_files_install(files, ends[1], close_on_exec);
    if (fds[1] < 0) {
        vmk_fdtable_close(&files->table, (uint64_t)fds[0]);
        return fds[1];
    }
    result = vmk_uaccess_write(process->space, address, fds, sizeof fds);
    if (result < 0) {
        vmk_fdtable_close(&files->table, (uint64_t)fds[0]);
        vmk_fdtable_close(&files->table, (uint64_t)fds[1]);
    }
    return result;
}
