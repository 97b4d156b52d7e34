/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the console device share: its ports and its control queue. */
#ifndef VMK_VIRTIO_CONSOLE_PRIVATE_H
#define VMK_VIRTIO_CONSOLE_PRIVATE_H

#include "io/stream.h"
#include "virtio/console.h"

#include <linux/virtio_console.h>

#define CONSOLE_QUEUE_SIZE 128
#define CONSOLE_INPUT_SIZE 16384
#define CONSOLE_CONTROL_IN 2
#define CONSOLE_CONTROL_OUT 3
#define CONSOLE_FEATURE_SIZE 0
#define CONSOLE_FEATURE_MULTIPORT 1

/* Bytes between two sides of different speed. */
struct console_ring {
    uint8_t *bytes;
    uint32_t size;
    uint32_t start;
    uint32_t used;
};

/* A chain that may stay out while a side is waited for. */
struct console_slot {
    struct vmk_chain chain;
    struct vmk_segment segments[CONSOLE_QUEUE_SIZE];
    bool is_out;
    uint32_t done; /* bytes of it */
};

/* What the guest has to be told of a port, in this order (§5.3.6). */
enum console_message {
    CONSOLE_ADD,
    CONSOLE_IS_CONSOLE,
    CONSOLE_NAME,
    CONSOLE_OPEN,
    CONSOLE_RESIZE,
    CONSOLE_MESSAGES,
};

struct console_port {
    struct console *console;
    uint32_t id;
    bool is_console;
    char name[VMK_VIRTIO_CONSOLE_NAME_SIZE];
    uint16_t columns;
    uint16_t rows;

    uint32_t pending; /* bits of enum console_message */
    bool guest_ready; /* the driver knows the port */
    bool guest_open;  /* somebody in the guest has it open */

    struct console_slot input_slot;
    struct vmk_stream input;
    struct vmk_source *input_source; /* NULL for a file that is always ready */
    struct console_ring input_ring;
    bool input_ended;

    struct console_slot output_slot;
    struct vmk_stream output;
    struct vmk_source *output_source;
    vmk_virtio_console_output_callback callback;
    void *callback_data;
    struct console_ring output_ring;
    bool keep_latest;
    bool output_failed;

    struct vmk_virtio_console_stats stats;
};

struct console {
    struct vmk_virtio_device device;
    struct vmk_source *wake; /* all ports are looked at */
    struct console_slot control;
    uint32_t port_count;
    struct console_port *ports;
};

/* Take out, or put in, what fits. How many bytes. */
size_t
vmk_virtio_console_ring_get(struct console_ring *ring, void *bytes, size_t size);

size_t
vmk_virtio_console_ring_put(struct console_ring *ring, const void *bytes, size_t size);

/* Move bytes of a port until a side has to be waited for. True: there is more, and others had their
 * turn. */
bool
vmk_virtio_console_port_send(struct console_port *port);

bool
vmk_virtio_console_port_receive(struct console_port *port);

/* Forget the guest's side of a port. */
void
vmk_virtio_console_port_reset(struct console_port *port);

int
vmk_virtio_console_port_init(struct console_port *port, struct vmk_loop *loop,
                             const struct vmk_virtio_console_port *from, vmkit_error **ret_error);

void
vmk_virtio_console_port_clear(struct console_port *port);

/* The control queue: what the guest has to be told, and what it said. */
void
vmk_virtio_console_control_send(struct console *console);

void
vmk_virtio_console_control_receive(struct console *console);

#endif
