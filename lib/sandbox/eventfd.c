/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd(2): a counter that is read and written, of the guest with itself. */
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct event {
    struct vmk_file file;
    uint64_t value;
    bool semaphore;
};

/* Only a signal ends a wait of the one thread for itself. */
static int
would_block(struct vmk_process *process, const struct vmk_file *file)
{
    if ((file->flags & O_NONBLOCK) != 0)
        return -EAGAIN;
    while (vmk_process_wait(process, NULL, 0, UINT64_MAX) >= 0)
        continue;
    return -VMK_ERESTARTSYS;
}

static ssize_t
event_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    struct event *event = (struct event *)file;
    if (vmk_iov_size(iov, count) < sizeof event->value)
        return -EINVAL;
    if (event->value == 0)
        return would_block(process, file);
    uint64_t value = event->semaphore ? 1 : event->value;
    event->value -= value;
    vmk_iov_fill(iov, count, 0, &value, sizeof value);
    return sizeof value;
}

static ssize_t
event_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
            uint64_t *offset)
{
    struct event *event = (struct event *)file;
    uint64_t value;
    if (vmk_iov_size(iov, count) < sizeof value)
        return -EINVAL;
    vmk_iov_drain(iov, count, 0, &value, sizeof value);
    if (value == UINT64_MAX)
        return -EINVAL;
    if (value >= UINT64_MAX - event->value)
        return would_block(process, file);
    event->value += value;
    return sizeof value;
}

static short
event_poll(struct vmk_file *file)
{
    uint64_t value = ((struct event *)file)->value;
    return (short)((value != 0 ? POLLIN : 0) | (value < UINT64_MAX - 1 ? POLLOUT : 0));
}

static const struct vmk_file_ops event_ops = {
    .kind = "anon_inode",
    .records = true,
    .read = event_read,
    .write = event_write,
    .poll = event_poll,
};

int64_t
vmk_sys_eventfd2(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_files *files = process->files;
    uint32_t flags = (uint32_t)args[1];
    if ((flags & ~(uint32_t)(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)) != 0)
        return -EINVAL;
    struct event *event = calloc(1, sizeof *event);
    if (event == NULL)
        return -ENOMEM;
    vmk_file_init(&event->file, &event_ops, O_RDWR | (flags & EFD_NONBLOCK), NULL);
    event->file.number = vmk_files_next_number(files);
    event->value = (uint32_t)args[0];
    event->semaphore = (flags & EFD_SEMAPHORE) != 0;
    return vmk_files_install(files, &event->file, (flags & EFD_CLOEXEC) != 0);
}
