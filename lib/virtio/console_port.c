/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's two directions. The guest's chains are copied through a small buffer: what was taken of
 * a chain is remembered, and the chain stays out while the other side is slow. A descriptor is
 * watched only while there is something to move, so that one that is always ready, or that hung up,
 * does not keep the loop busy.
 */
#include "virtio/console_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define PIECE 4096
/* So many pieces of a port, and others have their turn. */
#define TURN 64

size_t
vmk_virtio_console_ring_get(struct console_ring *ring, void *bytes, size_t size)
{
    size_t count = size < ring->used ? size : ring->used;
    size_t first = ring->size - ring->start;
    if (count == 0)
        return 0;
    first = first < count ? first : count;
    memcpy(bytes, ring->bytes + ring->start, first);
    memcpy((uint8_t *)bytes + first, ring->bytes, count - first);
    ring->start = (uint32_t)((ring->start + count) % ring->size);
    ring->used -= (uint32_t)count;
    return count;
}

size_t
vmk_virtio_console_ring_put(struct console_ring *ring, const void *bytes, size_t size)
{
    size_t room = ring->size - ring->used;
    size_t count = size < room ? size : room;
    if (count == 0)
        return 0;
    size_t end = ((size_t)ring->start + ring->used) % ring->size;
    size_t first = ring->size - end;
    first = first < count ? first : count;
    memcpy(ring->bytes + end, bytes, first);
    memcpy(ring->bytes, (const uint8_t *)bytes + first, count - first);
    ring->used += (uint32_t)count;
    return count;
}

static void
set_events(struct vmk_source *source, uint32_t events)
{
    if (source != NULL)
        vmk_source_set_events(source, events);
}

static uint32_t
queue_of(const struct console_port *port, bool output)
{
    return (port->id == 0 ? 0 : 2 * port->id + 2) + output;
}

static struct vmk_queue *
get_queue(const struct console_port *port, bool output)
{
    return &port->console->device.queues[queue_of(port, output)];
}

static void
notify(const struct console_port *port, bool output)
{
    struct vmk_virtio_device *device = &port->console->device;
    device->host.ops->notify(device->host.data, queue_of(port, output));
}

/* The port's chain of that direction, or false without one. */
static bool
hold(struct console_port *port, bool output)
{
    struct console_slot *slot = output ? &port->output_slot : &port->input_slot;
    if (slot->is_out)
        return true;
    slot->is_out = vmk_queue_pop(get_queue(port, output), &slot->chain) > 0;
    slot->done = 0;
    return slot->is_out;
}

static void
give_back(struct console_port *port, bool output, uint32_t written)
{
    struct console_slot *slot = output ? &port->output_slot : &port->input_slot;
    slot->is_out = false;
    vmk_queue_push(get_queue(port, output), &slot->chain, written);
}

static size_t
put_into_buffer(struct console_port *port, const uint8_t *bytes, size_t size)
{
    struct console_ring *ring = &port->output_ring;
    uint8_t oldest[PIECE];
    if (ring->size == 0) {
        port->stats.dropped += size;
        return size;
    }
    if (!port->keep_latest)
        return vmk_virtio_console_ring_put(ring, bytes, size);
    size_t room = ring->size - ring->used;
    size_t kept = size < ring->size ? size : ring->size;
    if (room < kept)
        port->stats.dropped += vmk_virtio_console_ring_get(ring, oldest, kept - room);
    port->stats.dropped += size - kept;
    vmk_virtio_console_ring_put(ring, bytes + (size - kept), kept);
    return size;
}

static size_t
put_into_descriptor(struct console_port *port, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    ssize_t result = port->output_failed ? -EPIPE : 1;
    for (; done < size && result > 0; done += result > 0 ? (size_t)result : 0)
        result = vmk_stream_write(&port->output, bytes + done, size - done);
    if (done == size)
        return size;
    if (result == -EAGAIN) {
        set_events(port->output_source, EPOLLOUT);
        return done;
    }
    /* Nobody will ever read it: the guest goes on, as with a terminal that was unplugged. */
    port->output_failed = true;
    port->stats.dropped += size - done;
    return size;
}

/* How many of the bytes were taken. The callback runs without the lock, and when it is back the
 * guest may have reset the device: then the chain is nobody's. */
static size_t
put(struct console_port *port, const uint8_t *bytes, size_t size)
{
    pthread_mutex_t *lock = &port->console->device.lock;
    size_t taken;
    if (port->output.fd >= 0) {
        taken = put_into_descriptor(port, bytes, size);
    } else if (port->callback != NULL) {
        pthread_mutex_unlock(lock);
        taken = port->callback(port->callback_data, bytes, size);
        pthread_mutex_lock(lock);
        taken = taken < size ? taken : size;
    } else {
        taken = put_into_buffer(port, bytes, size);
    }
    port->stats.output += taken;
    return taken;
}

bool
vmk_virtio_console_port_send(struct console_port *port)
{
    struct console_slot *slot = &port->output_slot;
    uint8_t bytes[PIECE];
    bool more = false;
    set_events(port->output_source, 0);
    for (uint32_t turn = 0; port->console->device.active && hold(port, true); turn++) {
        more = turn == TURN;
        if (more)
            break;
        size_t size = vmk_chain_read(&slot->chain, slot->done, bytes, sizeof bytes);
        size_t taken = size == 0 ? 0 : put(port, bytes, size);
        if (!slot->is_out)
            continue;
        slot->done += (uint32_t)taken;
        if (taken < size)
            break;
        if (slot->done == slot->chain.readable_size)
            give_back(port, true, 0);
    }
    if (port->console->device.active)
        notify(port, true);
    return more;
}

/* Up to `size` bytes for the guest; 0 when there are none now. */
static size_t
get(struct console_port *port, uint8_t *bytes, size_t size)
{
    size_t count = vmk_virtio_console_ring_get(&port->input_ring, bytes, size);
    if (count > 0 || port->input.fd < 0 || port->input_ended)
        return count;
    ssize_t result = vmk_stream_read(&port->input, bytes, size);
    if (result > 0)
        return (size_t)result;
    port->input_ended = result != -EAGAIN;
    if (!port->input_ended)
        set_events(port->input_source, EPOLLIN);
    return 0;
}

bool
vmk_virtio_console_port_receive(struct console_port *port)
{
    struct console_slot *slot = &port->input_slot;
    bool multiport = vmk_virtio_device_has(&port->console->device, CONSOLE_FEATURE_MULTIPORT);
    uint8_t bytes[PIECE];
    bool more = false;
    set_events(port->input_source, 0);
    if (multiport && !port->guest_open)
        return false;
    for (uint32_t turn = 0; hold(port, false); turn++) {
        more = turn == TURN;
        size_t room = slot->chain.writable_size;
        size_t size = more ? 0 : get(port, bytes, room < sizeof bytes ? room : sizeof bytes);
        /* A buffer without room comes back as it is. */
        if (size == 0 && (more || room > 0))
            break;
        vmk_chain_write(&slot->chain, 0, bytes, size);
        port->stats.input += size;
        give_back(port, false, (uint32_t)size);
    }
    notify(port, false);
    return more;
}

void
vmk_virtio_console_port_reset(struct console_port *port)
{
    set_events(port->input_source, 0);
    set_events(port->output_source, 0);
    port->input_slot.is_out = port->output_slot.is_out = false;
    port->guest_ready = port->guest_open = false;
    port->pending = 0;
}

static void
on_stream(void *data, uint32_t events)
{
    struct console_port *port = data;
    struct vmk_virtio_device *device = &port->console->device;
    pthread_mutex_lock(&device->lock);
    if (device->active) {
        bool more = vmk_virtio_console_port_receive(port);
        if (vmk_virtio_console_port_send(port) || more)
            vmk_source_signal(port->console->wake);
    } else {
        set_events(port->input_source, 0);
        set_events(port->output_source, 0);
    }
    pthread_mutex_unlock(&device->lock);
}

static int
init_stream(struct console_port *port, struct vmk_loop *loop, int fd, struct vmk_stream *stream,
            struct vmk_source **ret_source, vmkit_error **ret_error)
{
    struct vmk_loop_handler handler = {.callback = on_stream, .data = port};
    int result = fd < 0 ? 0 : vmk_stream_init(stream, fd, ret_error);
    if (result == 0 && fd >= 0 && !stream->is_ready)
        result = vmk_loop_add_fd(loop, stream->fd, 0, &handler, ret_source, ret_error);
    return result;
}

static int
init_ring(struct console_ring *ring, uint32_t size, vmkit_error **ret_error)
{
    ring->size = size;
    ring->bytes = size == 0 ? NULL : malloc(size);
    if (size == 0 || ring->bytes != NULL)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for %u bytes of a console", size);
}

int
vmk_virtio_console_port_init(struct console_port *port, struct vmk_loop *loop,
                             const struct vmk_virtio_console_port *from, vmkit_error **ret_error)
{
    port->input_slot.chain.segments = port->input_slot.segments;
    port->output_slot.chain.segments = port->output_slot.segments;
    port->input_slot.chain.capacity = port->output_slot.chain.capacity = CONSOLE_QUEUE_SIZE;
    port->is_console = from->is_console || port->id == 0;
    port->callback = from->output;
    port->callback_data = from->output_data;
    port->keep_latest = from->keep_latest;
    if (from->name != NULL && strlen(from->name) >= sizeof port->name)
        return vmk_error_set(ret_error, ENAMETOOLONG, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the name of port %u has %zu bytes, and %zu are the most", port->id,
                             strlen(from->name), sizeof port->name - 1);
    if (from->name != NULL)
        memcpy(port->name, from->name, strlen(from->name));
    int result = init_ring(&port->input_ring, CONSOLE_INPUT_SIZE, ret_error);
    if (result == 0)
        result = init_ring(&port->output_ring, from->buffer_size, ret_error);
    if (result == 0)
        result =
            init_stream(port, loop, from->input_fd, &port->input, &port->input_source, ret_error);
    if (result == 0)
        result = init_stream(port, loop, from->output_fd, &port->output, &port->output_source,
                             ret_error);
    return result;
}

void
vmk_virtio_console_port_clear(struct console_port *port)
{
    vmk_source_remove(port->input_source);
    vmk_source_remove(port->output_source);
    vmk_stream_clear(&port->input);
    vmk_stream_clear(&port->output);
    free(port->input_ring.bytes);
    free(port->output_ring.bytes);
}
