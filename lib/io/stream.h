/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor of the embedder's, read and written without ever waiting in it. Its description, and
 * so O_NONBLOCK, is shared with the embedder and left alone: a socket is used with MSG_DONTWAIT;
 * a pipe and a terminal through a description of the library's own (a new open of
 * /proc/self/fd/N); what allows neither is asked by poll(2) first, and written to in pieces that a
 * pipe that is ready takes. To be used on threads that block all signals.
 */
#ifndef VMK_IO_STREAM_H
#define VMK_IO_STREAM_H

#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct vmk_stream {
    int fd; /* the library's own, to be watched too; -1: none */
    bool is_socket;
    bool is_polled;
    bool is_ready; /* always, as a file or a disk: it cannot be watched */
};

/* -EINVAL for a descriptor that is not open, -EMFILE, -ENOMEM. */
int
vmk_stream_init(struct vmk_stream *stream, int fd, vmkit_error **ret_error);

void
vmk_stream_clear(struct vmk_stream *stream);

/* How many bytes; 0 at the end; -EAGAIN when there is none now, or no room now; or what the call
 * said, negative. */
ssize_t
vmk_stream_read(const struct vmk_stream *stream, void *destination, size_t size);

ssize_t
vmk_stream_write(const struct vmk_stream *stream, const void *source, size_t size);

#endif
