/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pipe.h"

#include "sandbox/epoll.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/state_codec.h"
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

enum pipe_side { SIDE_READ, SIDE_WRITE };

struct pipe {
    struct vmk_memory_account *account;
    struct pipe_end *ends[2]; /* by side; NULL once it is closed */
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

static void
tell(const struct pipe *pipe, enum pipe_side side, short events)
{
    if (pipe->ends[side] != NULL)
        vmk_epoll_renew(&pipe->ends[side]->file, events);
}

static ssize_t
pipe_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
          uint64_t *offset)
{
    struct pipe *pipe = pipe_of(file);
    if (pipe->size == 0 && pipe->ends[SIDE_WRITE] == NULL)
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
    bool was_full = pipe->capacity - pipe->size < PIPE_BUF;
    pipe->size -= size;
    if (was_full)
        tell(pipe, SIDE_WRITE, POLLOUT);
    return (ssize_t)size;
}

static ssize_t
pipe_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    struct pipe *pipe = pipe_of(file);
    if (pipe->ends[SIDE_READ] == NULL) {
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
    tell(pipe, SIDE_READ, POLLIN);
    return (ssize_t)size;
}

static short
pipe_poll_read(struct vmk_file *file)
{
    struct pipe *pipe = pipe_of(file);
    return (short)((pipe->size != 0 ? POLLIN : 0) | (pipe->ends[SIDE_WRITE] == NULL ? POLLHUP : 0));
}

static short
pipe_poll_write(struct vmk_file *file)
{
    struct pipe *pipe = pipe_of(file);
    return (short)((pipe->capacity - pipe->size >= PIPE_BUF ? POLLOUT : 0) |
                   (pipe->ends[SIDE_READ] == NULL ? POLLERR : 0));
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
    if (pipe->ends[SIDE_READ] != NULL || pipe->ends[SIDE_WRITE] != NULL)
        return;
    vmk_memory_account_uncharge(pipe->account, pipe->capacity);
    free(pipe->data);
    free(pipe);
}

static void
pipe_destroy_read(struct vmk_file *file)
{
    pipe_of(file)->ends[SIDE_READ] = NULL;
    tell(pipe_of(file), SIDE_WRITE, POLLOUT | POLLERR);
    pipe_release(pipe_of(file));
}

static void
pipe_destroy_write(struct vmk_file *file)
{
    pipe_of(file)->ends[SIDE_WRITE] = NULL;
    tell(pipe_of(file), SIDE_READ, POLLIN | POLLHUP);
    pipe_release(pipe_of(file));
}

static const struct vmk_file_ops read_ops = {
    .kind = "pipe",
    .read = pipe_read,
    .poll = pipe_poll_read,
    .ioctl = pipe_ioctl,
    .statx = pipe_statx,
    .state = &vmk_state_pipe,
    .destroy = pipe_destroy_read,
};

static const struct vmk_file_ops write_ops = {
    .kind = "pipe",
    .write = pipe_write,
    .poll = pipe_poll_write,
    .ioctl = pipe_ioctl,
    .statx = pipe_statx,
    .state = &vmk_state_pipe,
    .destroy = pipe_destroy_write,
};

/* A pipe without ends. -ENFILE at the memory limit. */
static int
pipe_make(struct vmk_memory_account *account, size_t capacity, struct pipe **ret_pipe)
{
    if (!vmk_memory_account_try_charge(account, capacity))
        return -ENFILE;
    struct pipe *pipe = calloc(1, sizeof *pipe);
    uint8_t *data = malloc(capacity);
    if (pipe == NULL || data == NULL) {
        free(pipe);
        free(data);
        vmk_memory_account_uncharge(account, capacity);
        return -ENOMEM;
    }
    *pipe = (struct pipe){.account = account, .data = data, .capacity = capacity};
    *ret_pipe = pipe;
    return 0;
}

static int
end_make(struct pipe *pipe, enum pipe_side side, uint32_t flags, struct vmk_file **ret_end)
{
    struct pipe_end *end = calloc(1, sizeof *end);
    if (end == NULL)
        return -ENOMEM;
    vmk_file_init(&end->file, side == SIDE_READ ? &read_ops : &write_ops,
                  (side == SIDE_READ ? O_RDONLY : O_WRONLY) | flags, NULL);
    end->pipe = pipe;
    pipe->ends[side] = end;
    *ret_end = &end->file;
    return 0;
}

int
vmk_pipe_new(struct vmk_files *files, uint32_t flags, struct vmk_file *ret_ends[2])
{
    struct pipe *pipe;
    int result = pipe_make(files->account, PIPE_SIZE, &pipe);
    if (result < 0)
        return result;
    if (end_make(pipe, SIDE_READ, flags, &ret_ends[0]) < 0) {
        pipe_release(pipe);
        return -ENOMEM;
    }
    if (end_make(pipe, SIDE_WRITE, flags, &ret_ends[1]) < 0) {
        vmk_file_unref(ret_ends[0]);
        return -ENOMEM;
    }
    ret_ends[0]->number = ret_ends[1]->number = vmk_files_next_number(files);
    return 0;
}

/* The number of the other end, 0 once it is closed; the end that comes first has the contents. */
static int
pipe_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    const struct pipe *pipe = pipe_of(file);
    enum pipe_side side = file->ops == &read_ops ? SIDE_READ : SIDE_WRITE;
    const struct pipe_end *other = pipe->ends[!side];
    uint32_t number = other == NULL ? 0 : other->file.state_number;
    vmk_bytes_put_u8(writer->bytes, (uint8_t)side);
    vmk_bytes_put_u32(writer->bytes, number);
    if (number != 0 && number < file->state_number)
        return 0;
    size_t first = pipe->capacity - pipe->head;
    if (first > pipe->size)
        first = pipe->size;
    vmk_bytes_put_u32(writer->bytes, (uint32_t)pipe->capacity);
    vmk_bytes_put_u32(writer->bytes, (uint32_t)pipe->size);
    vmk_bytes_put(writer->bytes, pipe->data + pipe->head, first);
    vmk_bytes_put(writer->bytes, pipe->data, pipe->size - first);
    return 0;
}

static int
load_contents(struct vmk_state_reader *reader, struct pipe **ret_pipe)
{
    uint32_t capacity = vmk_cursor_get_u32(&reader->in);
    uint32_t size = vmk_cursor_get_u32(&reader->in);
    if (capacity < PIPE_SIZE_MIN || capacity > PIPE_SIZE_MAX || (capacity & (capacity - 1)) != 0 ||
        size > capacity)
        return vmk_state_bad(reader, "a pipe with %u of %u bytes", size, capacity);
    const uint8_t *data = vmk_cursor_get(&reader->in, size);
    if (data == NULL)
        return vmk_state_bad(reader, "the contents of a pipe end early");
    int r = pipe_make(reader->files->account, capacity, ret_pipe);
    if (r == -ENFILE)
        return vmk_state_no_room(reader, "a pipe");
    if (r < 0)
        return vmk_state_no_memory(reader->ret_error);
    memcpy((*ret_pipe)->data, data, size);
    (*ret_pipe)->size = size;
    return 0;
}

/* The pipe of the other end, which came before. */
static int
find_other(struct vmk_state_reader *reader, enum pipe_side side, uint32_t number,
           struct pipe **ret_pipe)
{
    struct vmk_file *other = vmk_state_get_file(reader, number);
    if (other == NULL)
        return -EINVAL;
    if (other->ops != (side == SIDE_READ ? &write_ops : &read_ops) ||
        pipe_of(other)->ends[side] != NULL)
        return vmk_state_bad(reader, "file %u is not the other end of a pipe", number);
    *ret_pipe = pipe_of(other);
    return 0;
}

static int
pipe_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
          struct vmk_file **ret_file)
{
    struct pipe *pipe = NULL;
    uint8_t side = vmk_cursor_get_u8(&reader->in);
    uint32_t other = vmk_cursor_get_u32(&reader->in);
    if (side > SIDE_WRITE)
        return vmk_state_bad(reader, "end %u of a pipe", side);
    int r = other != 0 && other <= reader->count ? find_other(reader, side, other, &pipe)
                                                 : load_contents(reader, &pipe);
    if (r == 0 && end_make(pipe, side, 0, ret_file) < 0)
        r = vmk_state_no_memory(reader->ret_error);
    if (r < 0 && pipe != NULL)
        pipe_release(pipe);
    return r;
}

const struct vmk_state_kind vmk_state_pipe = {
    .number = VMK_STATE_PIPE, .save = pipe_save, .load = pipe_load};

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
