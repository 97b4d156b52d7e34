/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pipe.h"

#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <asm/ioctls.h>

#define PIPE_SIZE 65536
#define PIPE_SIZE_MIN 4096
#define PIPE_SIZE_MAX (1 << 20) /* pipe-max-size */

struct pipe {
    struct vmk_memory_account *account;
    unsigned readers;
    unsigned writers;
    uint8_t *data;
    size_t capacity;
    size_t head; /* where the oldest byte is */
    size_t size;
};

struct pipe_end {
    struct vmk_file file;
    struct pipe *pipe;
};

static struct pipe *
pipe_of(struct vmk_file *file)
{
    return ((struct pipe_end *)file)->pipe;
}

/* Nothing but a signal can change a pipe while its only process waits. */
static int
wait_for_signal(struct vmk_process *process)
{
    while (vmk_process_wait(process, NULL, 0, UINT64_MAX) >= 0)
        continue;
    return -VMK_ERESTARTSYS;
}

static ssize_t
pipe_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
          uint64_t *offset)
{
    struct pipe *pipe = pipe_of(file);
    if (pipe->size == 0 && pipe->writers == 0)
        return 0;
    if (pipe->size == 0)
        return (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : wait_for_signal(process);

    size_t size = vmk_iov_size(iov, count);
    if (size > pipe->size)
        size = pipe->size;
    size_t first = pipe->capacity - pipe->head;
    if (first > size)
        first = size;
    vmk_iov_fill(iov, count, 0, pipe->data + pipe->head, first);
    vmk_iov_fill(iov, count, first, pipe->data, size - first);
    pipe->head = (pipe->head + size) % pipe->capacity;
    pipe->size -= size;
    return (ssize_t)size;
}

static ssize_t
pipe_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    struct pipe *pipe = pipe_of(file);
    if (pipe->readers == 0) {
        vmk_signals_raise(process, SIGPIPE);
        return -EPIPE;
    }

    size_t size = vmk_iov_size(iov, count);
    size_t room = pipe->capacity - pipe->size;
    if (room == 0 || (size <= PIPE_BUF && room < size))
        return (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : wait_for_signal(process);
    if (size > room)
        size = room;
    size_t tail = (pipe->head + pipe->size) % pipe->capacity;
    size_t first = pipe->capacity - tail;
    if (first > size)
        first = size;
    vmk_iov_drain(iov, count, 0, pipe->data + tail, first);
    vmk_iov_drain(iov, count, first, pipe->data, size - first);
    pipe->size += size;
    return (ssize_t)size;
}

static short
pipe_poll_read(struct vmk_file *file)
{
    struct pipe *pipe = pipe_of(file);
    return (short)((pipe->size != 0 ? POLLIN : 0) | (pipe->writers == 0 ? POLLHUP : 0));
}

static short
pipe_poll_write(struct vmk_file *file)
{
    struct pipe *pipe = pipe_of(file);
    return (short)((pipe->capacity - pipe->size >= PIPE_BUF ? POLLOUT : 0) |
                   (pipe->readers == 0 ? POLLERR : 0));
}

static int64_t
pipe_ioctl(struct vmk_process *process, struct vmk_file *file, uint32_t request, uint64_t argument)
{
    int size = (int)pipe_of(file)->size;
    if (request != FIONREAD)
        return -ENOTTY;
    return vmk_uaccess_write(process->space, argument, &size, sizeof size);
}

static int
pipe_statx(struct vmk_file *file, struct statx *status)
{
    vmk_statx_init(status, S_IFIFO | 0600, file->number, 0, 0);
    return 0;
}

static void
pipe_release(struct pipe *pipe)
{
    if (pipe->readers != 0 || pipe->writers != 0)
        return;
    vmk_memory_account_uncharge(pipe->account, pipe->capacity);
    free(pipe->data);
    free(pipe);
}

static void
pipe_destroy_read(struct vmk_file *file)
{
    pipe_of(file)->readers--;
    pipe_release(pipe_of(file));
}

static void
pipe_destroy_write(struct vmk_file *file)
{
    pipe_of(file)->writers--;
    pipe_release(pipe_of(file));
}

static const struct vmk_file_ops read_ops = {
    .kind = "pipe",
    .read = pipe_read,
    .poll = pipe_poll_read,
    .ioctl = pipe_ioctl,
    .statx = pipe_statx,
    .destroy = pipe_destroy_read,
};

static const struct vmk_file_ops write_ops = {
    .kind = "pipe",
    .write = pipe_write,
    .poll = pipe_poll_write,
    .ioctl = pipe_ioctl,
    .statx = pipe_statx,
    .destroy = pipe_destroy_write,
};

int
vmk_pipe_new(struct vmk_files *files, uint32_t flags, struct vmk_file *ret_ends[2])
{
    if (!vmk_memory_account_try_charge(files->account, PIPE_SIZE))
        return -ENFILE;
    struct pipe *pipe = calloc(1, sizeof *pipe);
    struct pipe_end *ends[2] = {calloc(1, sizeof **ends), calloc(1, sizeof **ends)};
    uint8_t *data = malloc(PIPE_SIZE);
    if (pipe == NULL || ends[0] == NULL || ends[1] == NULL || data == NULL) {
        free(pipe);
        free(ends[0]);
        free(ends[1]);
        free(data);
        vmk_memory_account_uncharge(files->account, PIPE_SIZE);
        return -ENOMEM;
    }

    uint32_t number = vmk_files_next_number(files);
    *pipe = (struct pipe){
        .account = files->account, .readers = 1, .writers = 1, .data = data, .capacity = PIPE_SIZE};
    vmk_file_init(&ends[0]->file, &read_ops, O_RDONLY | flags, NULL);
    vmk_file_init(&ends[1]->file, &write_ops, O_WRONLY | flags, NULL);
    for (int i = 0; i < 2; i++) {
        ends[i]->pipe = pipe;
        ends[i]->file.number = number;
        ret_ends[i] = &ends[i]->file;
    }
    return 0;
}

static bool
is_pipe(const struct vmk_file *file)
{
    return file->ops == &read_ops || file->ops == &write_ops;
}

int64_t
vmk_pipe_get_size(struct vmk_file *file)
{
    return is_pipe(file) ? (int64_t)pipe_of(file)->capacity : -EBADF;
}

int64_t
vmk_pipe_set_size(struct vmk_file *file, uint64_t size)
{
    if (!is_pipe(file))
        return -EBADF;
    struct pipe *pipe = pipe_of(file);
    if (size > PIPE_SIZE_MAX)
        return -EPERM;
    size_t capacity = PIPE_SIZE_MIN;
    while (capacity < size)
        capacity *= 2;
    if (capacity < pipe->size)
        return -EBUSY;
    if (!vmk_memory_account_try_charge(pipe->account, capacity))
        return -EPERM;
    uint8_t *data = malloc(capacity);
    if (data == NULL) {
        vmk_memory_account_uncharge(pipe->account, capacity);
        return -ENOMEM;
    }

    size_t first = pipe->capacity - pipe->head;
    if (first > pipe->size)
        first = pipe->size;
    memcpy(data, pipe->data + pipe->head, first);
    memcpy(data + first, pipe->data, pipe->size - first);
    vmk_memory_account_uncharge(pipe->account, pipe->capacity);
    free(pipe->data);
    pipe->data = data;
    pipe->head = 0;
    pipe->capacity = capacity;
    return (int64_t)capacity;
}
