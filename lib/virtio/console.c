/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/console_private.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

static struct console_port *
find_port(struct console *console, uint32_t index)
{
    return index < console->port_count ? &console->ports[index] : NULL;
}

static void
look_at_all_ports(void *data, uint32_t events)
{
    struct console *console = data;
    pthread_mutex_lock(&console->device.lock);
    vmk_virtio_console_control_send(console);
    for (uint32_t i = 0; i < console->port_count; i++) {
        struct console_port *port = &console->ports[i];
        bool more = console->device.active && vmk_virtio_console_port_receive(port);
        if (console->device.active && (vmk_virtio_console_port_send(port) || more))
            vmk_source_signal(console->wake);
    }
    pthread_mutex_unlock(&console->device.lock);
}

static void
activate(struct vmk_virtio_device *device)
{
}

static bool
handle_queue(struct vmk_virtio_device *device, uint32_t queue)
{
    struct console *console = (struct console *)device;
    if (queue == CONSOLE_CONTROL_OUT) {
        vmk_virtio_console_control_receive(console);
        return vmk_queue_has_chains(&device->queues[queue]);
    }
    if (queue == CONSOLE_CONTROL_IN) {
        vmk_virtio_console_control_send(console);
        return false;
    }
    struct console_port *port = find_port(console, queue < 2 ? 0 : (queue - 2) / 2);
    return queue % 2 == 0 ? vmk_virtio_console_port_receive(port)
                          : vmk_virtio_console_port_send(port);
}

static void
reset(struct vmk_virtio_device *device)
{
    struct console *console = (struct console *)device;
    for (uint32_t i = 0; i < console->port_count; i++)
        vmk_virtio_console_port_reset(&console->ports[i]);
}

static void
read_config(struct vmk_virtio_device *device, uint32_t offset, void *destination, uint32_t size)
{
    const struct console *console = (const struct console *)device;
    struct virtio_console_config config = {
        .cols = htole16(console->ports[0].columns),
        .rows = htole16(console->ports[0].rows),
        .max_nr_ports = htole32(console->port_count),
    };
    memcpy(destination, (const uint8_t *)&config + offset, size);
}

static void
console_free(struct vmk_virtio_device *device)
{
    struct console *console = (struct console *)device;
    vmk_source_remove(console->wake);
    for (uint32_t i = 0; i < console->port_count; i++)
        vmk_virtio_console_port_clear(&console->ports[i]);
    pthread_mutex_destroy(&device->lock);
    free(console->ports);
    free(console);
}

static const struct vmk_virtio_device_ops ops = {
    .activate = activate,
    .handle_queue = handle_queue,
    .reset = reset,
    .read_config = read_config,
    .free = console_free,
};

static int
init(struct console *console, struct vmk_loop *loop, const struct vmk_virtio_console_port *ports,
     vmkit_error **ret_error)
{
    struct vmk_loop_handler handler = {.callback = look_at_all_ports, .data = console};
    int result = vmk_loop_add_signal(loop, &handler, &console->wake, ret_error);
    for (uint32_t i = 0; result == 0 && i < console->port_count; i++)
        result = vmk_virtio_console_port_init(&console->ports[i], loop, &ports[i], ret_error);
    return result;
}

int
vmk_virtio_console_new(struct vmk_loop *loop, const struct vmk_virtio_console_port *ports,
                       uint32_t count, struct vmk_virtio_device **ret_device,
                       vmkit_error **ret_error)
{
    if (count == 0 || count > VMK_VIRTIO_CONSOLE_MAX_PORTS)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "a console of %u ports: 1 to %d there can be", count,
                             VMK_VIRTIO_CONSOLE_MAX_PORTS);
    struct console *console = calloc(1, sizeof *console);
    struct console_port *all = calloc(count, sizeof *all);
    if (console == NULL || all == NULL) {
        free(console);
        free(all);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a console of %u ports", count);
    }
    struct vmk_virtio_device *device = &console->device;
    device->ops = &ops;
    device->id = VIRTIO_ID_CONSOLE;
    device->features = VMK_VIRTIO_F(CONSOLE_FEATURE_SIZE);
    if (count > 1)
        device->features |= VMK_VIRTIO_F(CONSOLE_FEATURE_MULTIPORT);
    /* Without emergency writes, which come last. */
    device->config_size = 8;
    device->queue_count = count > 1 ? 2 * count + 2 : 2;
    for (uint32_t i = 0; i < device->queue_count; i++)
        device->queue_sizes[i] = CONSOLE_QUEUE_SIZE;
    pthread_mutex_init(&device->lock, NULL);
    console->control.chain.segments = console->control.segments;
    console->control.chain.capacity = CONSOLE_QUEUE_SIZE;
    console->port_count = count;
    console->ports = all;
    for (uint32_t i = 0; i < count; i++) {
        all[i].console = console;
        all[i].id = i;
        all[i].input.fd = all[i].output.fd = -1;
    }
    int result = init(console, loop, ports, ret_error);
    if (result < 0) {
        console_free(device);
        return result;
    }
    *ret_device = device;
    return 0;
}

void
vmk_virtio_console_resize(struct vmk_virtio_device *device, uint32_t index, uint16_t columns,
                          uint16_t rows)
{
    struct console *console = (struct console *)device;
    struct console_port *port = find_port(console, index);
    if (port == NULL)
        return;
    pthread_mutex_lock(&device->lock);
    port->columns = columns;
    port->rows = rows;
    /* §5.3.4: with several ports, each is told by a message. */
    if (vmk_virtio_device_has(device, CONSOLE_FEATURE_MULTIPORT))
        port->pending |= port->guest_ready ? 1u << CONSOLE_RESIZE : 0;
    else if (index == 0 && device->host.ops != NULL)
        device->host.ops->change_config(device->host.data);
    pthread_mutex_unlock(&device->lock);
    vmk_source_signal(console->wake);
}

size_t
vmk_virtio_console_write(struct vmk_virtio_device *device, uint32_t index, const void *bytes,
                         size_t size)
{
    struct console *console = (struct console *)device;
    struct console_port *port = find_port(console, index);
    if (port == NULL)
        return 0;
    pthread_mutex_lock(&device->lock);
    size_t taken = vmk_virtio_console_ring_put(&port->input_ring, bytes, size);
    pthread_mutex_unlock(&device->lock);
    vmk_source_signal(console->wake);
    return taken;
}

size_t
vmk_virtio_console_read(struct vmk_virtio_device *device, uint32_t index, void *bytes, size_t size)
{
    struct console *console = (struct console *)device;
    struct console_port *port = find_port(console, index);
    if (port == NULL)
        return 0;
    pthread_mutex_lock(&device->lock);
    size_t count = vmk_virtio_console_ring_get(&port->output_ring, bytes, size);
    pthread_mutex_unlock(&device->lock);
    vmk_source_signal(console->wake);
    return count;
}

void
vmk_virtio_console_resume(struct vmk_virtio_device *device, uint32_t index)
{
    struct console *console = (struct console *)device;
    if (find_port(console, index) != NULL)
        vmk_source_signal(console->wake);
}

void
vmk_virtio_console_get_stats(struct vmk_virtio_device *device, uint32_t index,
                             struct vmk_virtio_console_stats *ret_stats)
{
    struct console_port *port = find_port((struct console *)device, index);
    *ret_stats = (struct vmk_virtio_console_stats){0};
    if (port == NULL)
        return;
    pthread_mutex_lock(&device->lock);
    *ret_stats = port->stats;
    pthread_mutex_unlock(&device->lock);
}
