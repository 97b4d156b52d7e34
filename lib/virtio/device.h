/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device as its transport sees it: a table of operations that knows no transport (VIRTIO
 * 1.2 §2). The transport holds the device's lock when it calls one, on a vCPU's thread or on the
 * loop's; a device that is called by something else (a timer, a descriptor, its embedder) takes the
 * lock by itself before it touches a queue or its host.
 */
#ifndef VMK_VIRTIO_DEVICE_H
#define VMK_VIRTIO_DEVICE_H

#include "virtio/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define VMK_VIRTIO_MAX_QUEUES 64

#define VMK_VIRTIO_F(bit) (UINT64_C(1) << (bit))

/* What a device may ask of its transport, with the device's lock held. */
struct vmk_virtio_host_ops {
    /* Chains were pushed: interrupt the driver, if it wants that. */
    void (*notify)(void *host, uint32_t queue);
    /* The configuration changed. */
    void (*change_config)(void *host);
    /* The device cannot go on before it is reset: with a queue that is broken, or for a reason that
     * is given. */
    void (*fail)(void *host, const char *reason);
};

struct vmk_virtio_host {
    const struct vmk_virtio_host_ops *ops;
    void *data;
};

struct vmk_virtio_device;

struct vmk_virtio_device_ops {
    /* The driver is ready, and so are the queues that it set up. */
    void (*activate)(struct vmk_virtio_device *device);
    /* There may be chains in a queue; only while active, on the loop's thread. True: it shall be
     * called again when others had their turn, since a driver that is fast enough could keep the
     * loop here for ever. */
    bool (*handle_queue)(struct vmk_virtio_device *device, uint32_t queue);
    /* Forget what the driver asked for. When it returns, the device touches no memory of the guest
     * any more. Also when it was not active. */
    void (*reset)(struct vmk_virtio_device *device);
    /* Bytes [offset, offset + size) of the configuration, which lie inside of it. */
    void (*read_config)(struct vmk_virtio_device *device, uint32_t offset, void *destination,
                        uint32_t size);
    /* NULL: the driver writes nothing. */
    void (*write_config)(struct vmk_virtio_device *device, uint32_t offset, const void *source,
                         uint32_t size);
    /* Free it; the loop does not run any more. */
    void (*free)(struct vmk_virtio_device *device);
};

/* What every device begins with. */
struct vmk_virtio_device {
    const struct vmk_virtio_device_ops *ops;
    pthread_mutex_t lock;
    uint32_t id;       /* §5 */
    uint64_t features; /* offered, beyond those that the transport adds by itself */
    uint32_t config_size;
    uint32_t queue_count;
    uint16_t queue_sizes[VMK_VIRTIO_MAX_QUEUES]; /* the largest of each */

    /* The transport's, for the device to use while it is active. */
    struct vmk_virtio_host host;
    struct vmk_queue *queues;
    uint64_t driver_features;
    bool active;
};

/* Whether the driver took a feature. */
static inline bool
vmk_virtio_device_has(const struct vmk_virtio_device *device, uint32_t bit)
{
    return (device->driver_features & VMK_VIRTIO_F(bit)) != 0;
}

#endif
