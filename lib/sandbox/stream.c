/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/stream.h"

#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/state_codec.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct stream {
    struct vmk_file file;
    enum vmkit_stream stream;
    struct vmk_output *output;
    uint64_t limit;
    struct vmk_blob *input;
    size_t input_at;
    vmkit_input_callback read_callback;
    vmkit_output_callback write_callback;
    void *user_data;
};

size_t
vmk_stream_allow(const struct vmk_process *process, size_t size)
{
    uint64_t limit = process->limits.output_bytes;
    if (vmk_process_ended(process))
        return 0;
    uint64_t left = limit > process->output_bytes ? limit - process->output_bytes : 0;
    return size < left ? size : (size_t)left;
}

ssize_t
vmk_stream_account(struct vmk_process *process, size_t wanted, size_t allowed, ssize_t taken)
{
    if (taken > 0)
        process->output_bytes += (uint64_t)taken;
    if (allowed < wanted && taken == (ssize_t)allowed)
        vmk_process_end_limit(process, VMKIT_LIMIT_OUTPUT);
    return taken;
}

static int
stream_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    const struct stream *stream = (struct stream *)file;
    vmk_bytes_put_u8(writer->bytes, (uint8_t)stream->stream);
    /* The input is given anew, and read from its beginning. */
    if (writer->comparing)
        vmk_bytes_put_u64(writer->bytes, stream->input_at);
    return 0;
}

static int
stream_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
            struct vmk_file **ret_file)
{
    uint8_t stream = vmk_cursor_get_u8(&reader->in);
    if (stream > VMKIT_STREAM_STDERR)
        return vmk_state_bad(reader, "stream %u", stream);
    int r = vmk_stream_open(reader->files, stream, reader->files->given->streams, ret_file);
    return r == 0 ? 0
                  : vmk_error_set_known(reader->ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                        "cannot connect stream %u", stream);
}

const struct vmk_state_kind vmk_state_stream = {
    .number = VMK_STATE_STREAM, .save = stream_save, .load = stream_load};

/* Standard input that is empty: the guest sees /dev/null. */

static ssize_t
empty_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    return 0;
}

static int
empty_statx(struct vmk_file *file, struct statx *status)
{
    vmk_statx_init(status, S_IFCHR | 0666, file->number, 0, 0);
    status->stx_rdev_major = 1;
    status->stx_rdev_minor = 3;
    return 0;
}

static int64_t
empty_seek(struct vmk_file *file, int64_t offset, int whence)
{
    return 0;
}

static const struct vmk_file_ops empty_ops = {
    .kind = "null",
    .read = empty_read,
    .seek = empty_seek,
    .statx = empty_statx,
    .state = &vmk_state_stream,
};

/* All others look like one end of a pipe. */

static int
stream_statx(struct vmk_file *file, struct statx *status)
{
    vmk_statx_init(status, S_IFIFO | 0600, file->number, 0, 0);
    return 0;
}

static void
stream_destroy(struct vmk_file *file)
{
    vmk_blob_unref(((struct stream *)file)->input);
}

static ssize_t
input_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    struct stream *stream = (struct stream *)file;
    size_t size = vmk_iov_size(iov, count);
    size_t left = stream->input->size - stream->input_at;
    if (size > left)
        size = left;
    vmk_iov_fill(iov, count, 0, stream->input->data + stream->input_at, size);
    stream->input_at += size;
    return (ssize_t)size;
}

/* An errno from a callback, as the guest may see it: never one of Linux's internal ones. */
static ssize_t
callback_error(int64_t result)
{
    if (result >= 0 || result < -4095 || (result <= -512 && result >= -531))
        return -EIO;
    return (ssize_t)result;
}

/* A callback may run another guest on this thread, which takes the signals off it that were meant
 * for this one: what became due meanwhile is looked for after each call. */

static ssize_t
callback_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov,
              int count, uint64_t *offset)
{
    struct stream *stream = (struct stream *)file;
    int64_t got =
        stream->read_callback(stream->user_data, iov[0].iov_base, (uint64_t)iov[0].iov_len);
    vmk_process_check(process);
    if (got < 0 || (uint64_t)got > iov[0].iov_len)
        return callback_error(got);
    return (ssize_t)got;
}

static ssize_t
callback_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov,
               int count, uint64_t *offset)
{
    struct stream *stream = (struct stream *)file;
    struct iovec clipped[VMK_FILE_IOV_MAX];
    size_t wanted = vmk_iov_size(iov, count);
    size_t allowed = vmk_stream_allow(process, wanted);
    count = vmk_iov_clip(iov, count, allowed, clipped);

    size_t taken = 0;
    for (int i = 0; i < count;) {
        int64_t took = stream->write_callback(stream->user_data, clipped[i].iov_base,
                                              (uint64_t)clipped[i].iov_len);
        vmk_process_check(process);
        if (took <= 0 || (uint64_t)took > clipped[i].iov_len) {
            if (taken != 0)
                break;
            if (took == -EPIPE)
                vmk_signals_raise(process, SIGPIPE);
            return callback_error(took);
        }
        taken += (size_t)took;
        clipped[i].iov_base = (char *)clipped[i].iov_base + took;
        clipped[i].iov_len -= (size_t)took;
        i += clipped[i].iov_len == 0;
        if (vmk_process_ended(process))
            break;
    }
    return vmk_stream_account(process, wanted, allowed, (ssize_t)taken);
}

/* Make room for `size` more bytes; the buffer doubles up to its limit. */
static bool
output_reserve(struct vmk_output *output, size_t size, uint64_t limit)
{
    size_t needed = output->size + size;
    if (needed <= output->capacity)
        return true;
    size_t capacity = output->capacity == 0 ? 512 : output->capacity;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > limit)
        capacity = (size_t)limit;
    uint8_t *data = realloc(output->data, capacity);
    if (data == NULL)
        return false;
    output->data = data;
    output->capacity = capacity;
    return true;
}

static ssize_t
buffer_write(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
             uint64_t *offset)
{
    struct stream *stream = (struct stream *)file;
    size_t wanted = vmk_iov_size(iov, count);
    size_t allowed = vmk_stream_allow(process, wanted);
    if (allowed > stream->limit - stream->output->size)
        allowed = (size_t)(stream->limit - stream->output->size);
    if (!output_reserve(stream->output, allowed, stream->limit))
        return -EIO;
    vmk_iov_drain(iov, count, 0, stream->output->data + stream->output->size, allowed);
    stream->output->size += allowed;
    return vmk_stream_account(process, wanted, allowed, (ssize_t)allowed);
}

static short
input_poll(struct vmk_file *file)
{
    return POLLIN;
}

static short
output_poll(struct vmk_file *file)
{
    return POLLOUT;
}

static const struct vmk_file_ops input_ops = {
    .kind = "pipe",
    .read = input_read,
    .poll = input_poll,
    .statx = stream_statx,
    .state = &vmk_state_stream,
    .destroy = stream_destroy,
};

static const struct vmk_file_ops input_callback_ops = {
    .kind = "pipe",
    .read = callback_read,
    .poll = input_poll,
    .statx = stream_statx,
    .state = &vmk_state_stream,
};

static const struct vmk_file_ops buffer_ops = {
    .kind = "pipe",
    .write = buffer_write,
    .poll = output_poll,
    .statx = stream_statx,
    .state = &vmk_state_stream,
};

static const struct vmk_file_ops output_callback_ops = {
    .kind = "pipe",
    .write = callback_write,
    .poll = output_poll,
    .statx = stream_statx,
    .state = &vmk_state_stream,
};

static const struct vmk_file_ops *
find_ops(enum vmkit_stream stream, enum vmk_stream_kind kind)
{
    switch (kind) {
    case VMK_STREAM_INPUT:
        return &input_ops;
    case VMK_STREAM_BUFFER:
        return &buffer_ops;
    case VMK_STREAM_CALLBACK:
        return stream == VMKIT_STREAM_STDIN ? &input_callback_ops : &output_callback_ops;
    default:
        return &empty_ops;
    }
}

int
vmk_stream_open(struct vmk_files *files, enum vmkit_stream stream,
                const struct vmk_stream_config streams[3], struct vmk_file **ret_file)
{
    const struct vmk_stream_config *config = &streams[stream];
    if (config->kind == VMK_STREAM_FD)
        return vmk_stream_open_fd(files, stream, streams, ret_file);

    struct stream *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    vmk_file_init(&made->file, find_ops(stream, config->kind),
                  stream == VMKIT_STREAM_STDIN ? O_RDONLY : O_WRONLY, NULL);
    made->file.number = vmk_files_next_number(files);
    made->stream = stream;
    made->output = &files->outputs[stream];
    made->output->kept = config->kind == VMK_STREAM_BUFFER;
    made->limit = config->limit;
    made->input = config->input == NULL ? NULL : vmk_blob_ref(config->input);
    made->read_callback = config->read_callback;
    made->write_callback = config->write_callback;
    made->user_data = config->user_data;
    *ret_file = &made->file;
    return 0;
}
