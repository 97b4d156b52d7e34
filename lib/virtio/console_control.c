/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue of a console with several ports (VIRTIO 1.2 §5.3.6). What the guest has to be
 * told is a bit of its port until there is a buffer for it, so that nothing piles up however slow
 * the guest is, or however often it asks.
 */
#include "virtio/console_private.h"

#include <endian.h>
#include <string.h>

#define MESSAGE(kind) (1u << (kind))

struct message {
    struct virtio_console_control head;
    union {
        char name[VMK_VIRTIO_CONSOLE_NAME_SIZE];
        uint16_t size[2];
    };
};

/* Put a message together; its length. */
static size_t
compose(const struct console_port *port, enum console_message kind, struct message *message)
{
    static const uint16_t events[] = {
        [CONSOLE_ADD] = VIRTIO_CONSOLE_PORT_ADD,
        [CONSOLE_IS_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
        [CONSOLE_NAME] = VIRTIO_CONSOLE_PORT_NAME,
        [CONSOLE_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
        [CONSOLE_RESIZE] = VIRTIO_CONSOLE_RESIZE,
    };
    message->head = (struct virtio_console_control){
        .id = htole32(port->id),
        .event = htole16(events[kind]),
        .value = htole16(1),
    };
    if (kind == CONSOLE_NAME) {
        memcpy(message->name, port->name, sizeof message->name);
        return sizeof message->head + strlen(port->name);
    }
    if (kind != CONSOLE_RESIZE)
        return sizeof message->head;
    message->size[0] = htole16(port->columns);
    message->size[1] = htole16(port->rows);
    return sizeof message->head + sizeof message->size;
}

static bool
send_one(struct console *console, const struct console_port *port, enum console_message kind)
{
    struct vmk_queue *queue = &console->device.queues[CONSOLE_CONTROL_IN];
    struct console_slot *slot = &console->control;
    struct message message;
    if (vmk_queue_pop(queue, &slot->chain) <= 0)
        return false;
    size_t size = compose(port, kind, &message);
    uint32_t written = (uint32_t)vmk_chain_write(&slot->chain, 0, &message, size);
    vmk_queue_push(queue, &slot->chain, written);
    return true;
}

void
vmk_virtio_console_control_send(struct console *console)
{
    struct vmk_virtio_device *device = &console->device;
    bool room = device->active && vmk_virtio_device_has(device, CONSOLE_FEATURE_MULTIPORT);
    if (!room)
        return;
    for (uint32_t i = 0; room && i < console->port_count; i++) {
        struct console_port *port = &console->ports[i];
        for (int kind = 0; room && kind < CONSOLE_MESSAGES; kind++) {
            if ((port->pending & MESSAGE(kind)) == 0)
                continue;
            room = send_one(console, port, (enum console_message)kind);
            if (room)
                port->pending &= ~MESSAGE(kind);
        }
    }
    device->host.ops->notify(device->host.data, CONSOLE_CONTROL_IN);
}

static void
take(struct console *console, const struct virtio_console_control *message)
{
    uint32_t id = le32toh(message->id);
    bool value = le16toh(message->value) != 0;
    if (le16toh(message->event) == VIRTIO_CONSOLE_DEVICE_READY) {
        for (uint32_t i = 0; value && i < console->port_count; i++)
            console->ports[i].pending |= MESSAGE(CONSOLE_ADD);
        return;
    }
    if (id >= console->port_count)
        return;
    struct console_port *port = &console->ports[id];
    if (le16toh(message->event) == VIRTIO_CONSOLE_PORT_OPEN) {
        port->guest_open = value;
        vmk_source_signal(console->wake);
    } else if (le16toh(message->event) == VIRTIO_CONSOLE_PORT_READY && value) {
        port->guest_ready = true;
        port->pending |= MESSAGE(CONSOLE_OPEN);
        if (port->is_console)
            port->pending |= MESSAGE(CONSOLE_IS_CONSOLE);
        if (port->is_console && port->columns != 0)
            port->pending |= MESSAGE(CONSOLE_RESIZE);
        if (port->name[0] != '\0')
            port->pending |= MESSAGE(CONSOLE_NAME);
    }
}

void
vmk_virtio_console_control_receive(struct console *console)
{
    struct vmk_virtio_device *device = &console->device;
    struct vmk_queue *queue = &device->queues[CONSOLE_CONTROL_OUT];
    struct console_slot *slot = &console->control;
    /* More than a queue of them waits until others had their turn. */
    for (uint32_t i = 0; i < CONSOLE_QUEUE_SIZE && vmk_queue_pop(queue, &slot->chain) > 0; i++) {
        struct virtio_console_control message;
        if (vmk_chain_read(&slot->chain, 0, &message, sizeof message) == sizeof message)
            take(console, &message);
        vmk_queue_push(queue, &slot->chain, 0);
    }
    device->host.ops->notify(device->host.data, CONSOLE_CONTROL_OUT);
    vmk_virtio_console_control_send(console);
}
