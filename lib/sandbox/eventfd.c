/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd(2): a counter that is read and written, of the guest with itself. */
#include "sandbox/epoll.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
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
    vmk_epoll_renew(file, POLLOUT);
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
    vmk_epoll_renew(file, POLLIN);
    return sizeof value;
}

static short
event_poll(struct vmk_file *file)
{
    uint64_t value = ((struct event *)file)->value;
    return (short)((value != 0 ? POLLIN : 0) | (value < UINT64_MAX - 1 ? POLLOUT : 0));
}

static int
event_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    const struct event *event = (struct event *)file;
    vmk_bytes_put_u64(writer->bytes, event->value);
    vmk_bytes_put_u8(writer->bytes, event->semaphore);
    return 0;
}

static const struct vmk_file_ops event_ops = {
    .kind = "anon_inode",
    .records = true,
    .read = event_read,
    .write = event_write,
    .poll = event_poll,
    .state = &vmk_state_event,
};

static int
event_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
           struct vmk_file **ret_file)
{
    bool semaphore;
    uint64_t value = vmk_cursor_get_u64(&reader->in);
    int r = vmk_state_get_bool(reader, &semaphore);
    if (r < 0)
        return r;
    if (value == UINT64_MAX)
        return vmk_state_bad(reader, "an eventfd above its highest value");
    struct event *event = calloc(1, sizeof *event);
    if (event == NULL)
        return vmk_state_no_memory(reader->ret_error);
    vmk_file_init(&event->file, &event_ops, O_RDWR, NULL);
    event->value = value;
    event->semaphore = semaphore;
    *ret_file = &event->file;
    return 0;
}

const struct vmk_state_kind vmk_state_event = {
    .number = VMK_STATE_EVENT, .save = event_save, .load = event_load};

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
