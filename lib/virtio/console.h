/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device (VIRTIO 1.2 §5.3): one port, or several with names and a control queue. What a
 * port's guest writes goes to a descriptor, a callback or a bounded buffer; what it reads comes
 * from a descriptor or from vmk_virtio_console_write(). Nothing blocks the loop: a side that is
 * slow is waited for, and the other side's bytes stay where they are.
 */
#ifndef VMK_VIRTIO_CONSOLE_H
#define VMK_VIRTIO_CONSOLE_H

#include "io/loop.h"
#include "virtio/device.h"

#include <stddef.h>

#define VMK_VIRTIO_CONSOLE_MAX_PORTS 16
/* With its NUL. */
#define VMK_VIRTIO_CONSOLE_NAME_SIZE 64

/* The guest wrote bytes, which are lent. How many were taken; fewer than all: the rest comes again
 * after vmk_virtio_console_resume(). On the loop's thread, no lock held. */
typedef size_t (*vmk_virtio_console_output_callback)(void *data, const void *bytes, size_t size);

struct vmk_virtio_console_port {
    const char *name; /* copied; NULL: none */
    bool is_console;  /* port 0 always is */
    int input_fd;     /* lent for the call to new; -1: vmk_virtio_console_write() */
    int output_fd;    /* likewise; -1: the callback, or without one the buffer */
    vmk_virtio_console_output_callback output;
    void *output_data;
    uint32_t buffer_size; /* of a buffer for output, which is bytes; 0 and nothing else: dropped */
    bool keep_latest;     /* a full buffer drops its oldest bytes, and the guest never waits */
};

struct vmk_virtio_console_stats {
    uint64_t input;   /* bytes that the guest got */
    uint64_t output;  /* bytes that were taken of the guest */
    uint64_t dropped; /* bytes of the output that went nowhere, or were overwritten */
};

/* -EINVAL for no port, more than there can be, or a descriptor that is not open, -ENAMETOOLONG,
 * -EMFILE, -ENFILE, -ENOMEM. */
int
vmk_virtio_console_new(struct vmk_loop *loop, const struct vmk_virtio_console_port *ports,
                       uint32_t count, struct vmk_virtio_device **ret_device,
                       vmkit_error **ret_error);

/* The rest is for any thread, and a `port` that is not there is nothing. */

/* Tell the guest of a terminal's size. */
void
vmk_virtio_console_resize(struct vmk_virtio_device *device, uint32_t port, uint16_t columns,
                          uint16_t rows);

/* Have the guest read bytes. How many were taken: there is room for 16 KiB that the guest has not
 * taken. */
size_t
vmk_virtio_console_write(struct vmk_virtio_device *device, uint32_t port, const void *bytes,
                         size_t size);

/* Take up to `size` bytes out of the buffer for output. */
size_t
vmk_virtio_console_read(struct vmk_virtio_device *device, uint32_t port, void *bytes, size_t size);

/* The callback takes bytes again. */
void
vmk_virtio_console_resume(struct vmk_virtio_device *device, uint32_t port);

void
vmk_virtio_console_get_stats(struct vmk_virtio_device *device, uint32_t port,
                             struct vmk_virtio_console_stats *ret_stats);

#endif
