/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's drivers/virtio/virtio_ring.c at work, in user space by tools/virtio. */
#include "link.h"

#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGN 4096
#define MOST 4
#define SLOTS 1024

struct slot {
    uint32_t out[MOST];
    uint32_t in[MOST];
    unsigned out_count;
    unsigned in_count;
};

/* What tools/virtio wants of its user. */
void *__kmalloc_fake, *__kfree_ignore_start, *__kfree_ignore_end;

static struct virtio_device device;
static struct virtqueue *queue;
static struct slot slots[SLOTS];
static struct slot *idle[SLOTS];
static unsigned idle_count;
static unsigned seed = 1;

static bool
on_notify(struct virtqueue *vq)
{
    struct link *link = vq->priv;
    uint64_t one = 1;
    link->kicks++;
    return write(link->kick, &one, sizeof one) == sizeof one;
}

static void
on_interrupt(struct virtqueue *vq)
{
}

void
linux_driver_init(struct link *link)
{
    struct vring ring;
    void *memory = NULL;
    if (posix_memalign(&memory, ALIGN, vring_size(link->size, ALIGN)) != 0)
        abort();
    memset(memory, 0, vring_size(link->size, ALIGN));
    memset(&device, 0, sizeof device);
    INIT_LIST_HEAD(&device.vqs);
    spin_lock_init(&device.vqs_list_lock);
    device.features = 1ULL << VIRTIO_F_VERSION_1;
    device.features |= (uint64_t)link->event_index << VIRTIO_RING_F_EVENT_IDX;
    device.features |= (uint64_t)link->indirect << VIRTIO_RING_F_INDIRECT_DESC;
    queue = vring_new_virtqueue(0, link->size, ALIGN, &device, true, false, memory, on_notify,
                                on_interrupt, "test");
    queue->priv = link;
    vring_init(&ring, link->size, memory, ALIGN);
    link->descriptors = ring.desc;
    link->available = ring.avail;
    link->used = ring.used;
    for (idle_count = 0; idle_count < SLOTS; idle_count++)
        idle[idle_count] = &slots[idle_count];
}

static bool
add(uint64_t number)
{
    struct slot *slot = idle[idle_count - 1];
    struct scatterlist lists[2 * MOST], *all[2 * MOST];
    slot->out_count = 1 + (unsigned)rand_r(&seed) % MOST;
    slot->in_count = (unsigned)rand_r(&seed) % (MOST + 1);
    for (unsigned i = 0; i < slot->out_count + slot->in_count; i++) {
        bool out = i < slot->out_count;
        uint32_t *word = out ? &slot->out[i] : &slot->in[i - slot->out_count];
        *word = out ? (uint32_t)number + i : 0;
        sg_init_one(&lists[i], word, sizeof *word);
        all[i] = &lists[i];
    }
    if (virtqueue_add_sgs(queue, all, slot->out_count, slot->in_count, slot, GFP_ATOMIC) != 0)
        return false;
    idle_count--;
    return true;
}

static const char *
check(struct slot *slot, unsigned length)
{
    if (length != slot->in_count * sizeof slot->in[0])
        return "a buffer came back with another length";
    for (unsigned i = 0; i < slot->in_count; i++)
        if (slot->in[i] != ~(slot->out[0] + i))
            return "a buffer came back with other bytes";
    idle[idle_count++] = slot;
    return NULL;
}

/* Sleep until the device calls, unless something came meanwhile. */
static void
wait_for_call(struct link *link)
{
    uint64_t count;
    bool quiet =
        rand_r(&seed) % 2 == 0 ? virtqueue_enable_cb(queue) : virtqueue_enable_cb_delayed(queue);
    if (quiet && read(link->call, &count, sizeof count) == sizeof count) {
        link->calls++;
        vring_interrupt(0, queue);
    }
    virtqueue_disable_cb(queue);
}

const char *
linux_driver_run(struct link *link)
{
    uint64_t started = 0, done = 0;
    const char *wrong = NULL;
    virtqueue_disable_cb(queue);
    while (done < link->total && wrong == NULL) {
        unsigned batch = 1 + (unsigned)rand_r(&seed) % link->size;
        uint64_t before = done;
        struct slot *slot;
        unsigned length;
        while (started < link->total && started - done < batch && idle_count > 0 && add(started))
            started++;
        virtqueue_kick(queue);
        while (wrong == NULL && (slot = virtqueue_get_buf(queue, &length)) != NULL) {
            wrong = check(slot, length);
            done++;
        }
        if (done == before)
            wait_for_call(link);
    }
    vring_del_virtqueue(queue);
    free(link->descriptors);
    return wrong;
}
