/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define QUEUE_SIZE 16
#define SEGMENTS 64
#define SECOND UINT64_C(1000000000)
/* Of one buffer no more is filled: a driver takes what it gets. It bounds how long the loop is
 * here. */
#define MOST 16384
/* The limit is looked at so often, at the most. */
#define PAUSE (10 * UINT64_C(1000000))

struct rng {
    struct vmk_virtio_device device;
    struct vmk_source *timer;
    uint64_t rate;
    uint64_t allowed; /* bytes at this moment */
    uint64_t counted; /* up to when time was turned into bytes */
    struct vmk_chain chain;
    struct vmk_segment segments[SEGMENTS];
};

static uint64_t
get_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* Turn the time that went by into bytes; what is left of it stays for the next time. */
static void
count_time(struct rng *rng)
{
    uint64_t now = get_time();
    uint64_t passed = now - rng->counted;
    if (passed >= SECOND) {
        rng->allowed = rng->rate;
        rng->counted = now;
        return;
    }
    __uint128_t product = (__uint128_t)passed * rng->rate;
    uint64_t bytes = (uint64_t)(product / SECOND);
    if (bytes == 0)
        return;
    rng->counted = now - (uint64_t)(product % SECOND) / rng->rate;
    rng->allowed = bytes > rng->rate - rng->allowed ? rng->rate : rng->allowed + bytes;
}

/* Fill the chain's first `size` bytes. False when the host has none. */
static bool
fill(struct rng *rng, uint32_t size)
{
    uint8_t bytes[256];
    for (uint32_t done = 0; done < size;) {
        size_t step = size - done < sizeof bytes ? size - done : sizeof bytes;
        if (getrandom(bytes, step, 0) != (ssize_t)step)
            return false;
        vmk_chain_write(&rng->chain, done, bytes, step);
        done += (uint32_t)step;
    }
    return true;
}

static bool
serve(struct rng *rng)
{
    struct vmk_virtio_device *device = &rng->device;
    struct vmk_queue *queue = &device->queues[0];
    bool more = false;
    for (uint32_t i = 0; !more; i++) {
        more = i == QUEUE_SIZE;
        if (rng->rate != 0)
            count_time(rng);
        if (rng->rate != 0 && rng->allowed == 0 && vmk_queue_has_chains(queue)) {
            uint64_t one = SECOND / rng->rate + 1;
            vmk_source_set_timer(rng->timer, one > PAUSE ? one : PAUSE);
            break;
        }
        if (vmk_queue_pop(queue, &rng->chain) <= 0)
            break;
        uint32_t size = rng->chain.writable_size;
        size = size > MOST ? MOST : size;
        /* A buffer may have come just now: it gets a byte, since none is no answer (§5.4.6). */
        if (rng->rate != 0 && size > rng->allowed)
            size = rng->allowed == 0 ? 1 : (uint32_t)rng->allowed;
        if (!fill(rng, size)) {
            device->host.ops->fail(device->host.data, "the host has no random numbers");
            return false;
        }
        rng->allowed -= size < rng->allowed ? size : rng->allowed;
        vmk_queue_push(queue, &rng->chain, size);
    }
    device->host.ops->notify(device->host.data, 0);
    return more;
}

static void
on_timer(void *data, uint32_t events)
{
    struct rng *rng = data;
    pthread_mutex_lock(&rng->device.lock);
    if (rng->device.active && serve(rng))
        vmk_source_set_timer(rng->timer, 1);
    pthread_mutex_unlock(&rng->device.lock);
}

static void
activate(struct vmk_virtio_device *device)
{
}

static bool
handle_queue(struct vmk_virtio_device *device, uint32_t queue)
{
    return serve((struct rng *)device);
}

static void
reset(struct vmk_virtio_device *device)
{
    /* The limit goes on: a driver cannot reset it away. */
    vmk_source_set_timer(((struct rng *)device)->timer, 0);
}

static void
read_config(struct vmk_virtio_device *device, uint32_t offset, void *destination, uint32_t size)
{
}

static void
rng_free(struct vmk_virtio_device *device)
{
    struct rng *rng = (struct rng *)device;
    vmk_source_remove(rng->timer);
    pthread_mutex_destroy(&device->lock);
    free(rng);
}

static const struct vmk_virtio_device_ops ops = {
    .activate = activate,
    .handle_queue = handle_queue,
    .reset = reset,
    .read_config = read_config,
    .free = rng_free,
};

int
vmk_virtio_rng_new(struct vmk_loop *loop, uint64_t rate, struct vmk_virtio_device **ret_device,
                   vmkit_error **ret_error)
{
    struct rng *rng = calloc(1, sizeof *rng);
    if (rng == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for an entropy device");
    rng->device.ops = &ops;
    rng->device.id = VIRTIO_ID_RNG;
    rng->device.queue_count = 1;
    rng->device.queue_sizes[0] = QUEUE_SIZE;
    rng->rate = rate;
    rng->allowed = rate;
    rng->counted = get_time();
    rng->chain.segments = rng->segments;
    rng->chain.capacity = SEGMENTS;
    pthread_mutex_init(&rng->device.lock, NULL);
    struct vmk_loop_handler handler = {.callback = on_timer, .data = rng};
    int result = vmk_loop_add_timer(loop, &handler, &rng->timer, ret_error);
    if (result < 0) {
        rng_free(&rng->device);
        return result;
    }
    *ret_device = &rng->device;
    return 0;
}
