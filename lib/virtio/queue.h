/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (VIRTIO 1.2 §2.7), with indirect descriptors and the event
 * index. This is the one place that believes nothing of what a driver writes: rings lie wholly in
 * RAM, each descriptor is copied out once and then checked, and what pop hands out are segments of
 * this process's memory. A queue that breaks the rules is broken until it is set up anew: it keeps
 * a sentence that says why, gives no more chains and takes none.
 *
 * The device asks for notifications by itself: a pop that finds something turns them off, and one
 * that finds nothing turns them on and looks again, so that none is lost. No call allocates.
 *
 * Not locked: the device's lock serialises (virtio/device.h).
 */
#ifndef VMK_VIRTIO_QUEUE_H
#define VMK_VIRTIO_QUEUE_H

#include "bus/board.h"
#include "util/error.h"

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* §2.7: the largest there can be. */
#define VMK_QUEUE_MAX 32768

struct vmk_segment {
    uint8_t *data;
    uint64_t gpa;
    uint32_t size; /* never 0 */
};

/* A request. Its owner gives the room for segments, and so the length of the longest chain that it
 * takes: at least the size of the queue. */
struct vmk_chain {
    struct vmk_segment *segments; /* those that the device reads, then those that it writes */
    uint32_t capacity;
    uint32_t readable; /* how many segments */
    uint32_t writable;
    uint32_t readable_size; /* bytes */
    uint32_t writable_size;
    uint32_t generation;
    uint16_t head;
};

struct vmk_queue {
    const struct vmk_board *board;
    struct vring_desc *descriptors;
    struct vring_avail *available;
    struct vring_used *used;
    uint64_t used_gpa;
    struct vmk_board_memory recent; /* where the last segment lay */
    uint32_t size;
    uint32_t generation; /* a chain of an earlier one is forgotten */
    uint32_t in_flight;
    uint16_t next_available;
    uint16_t next_used;
    uint16_t signalled; /* `next_used` when the driver was last notified */
    bool ready;
    bool event_index;
    bool indirect;
    bool listening;   /* the driver is asked to notify */
    char broken[160]; /* why it is; empty while it is not */
};

/* Where the driver put a queue. */
struct vmk_queue_place {
    uint32_t size; /* descriptors: a power of two */
    uint32_t maximum;
    uint64_t descriptors; /* guest-physical */
    uint64_t available;
    uint64_t used;
};

/* Begin with empty rings. -EINVAL for a size that is none, for an address that is not aligned, and
 * for rings that are not wholly in RAM; the queue is not ready then. */
int
vmk_queue_set_up(struct vmk_queue *queue, const struct vmk_board *board,
                 const struct vmk_queue_place *place, bool event_index, bool indirect,
                 vmkit_error **ret_error);

/* Take the queue out of use. Chains that are out are forgotten: pushing one does nothing. */
void
vmk_queue_tear_down(struct vmk_queue *queue);

/* The next chain: 1; 0 when there is none, or the queue is not ready; -EIO when it is broken. */
int
vmk_queue_pop(struct vmk_queue *queue, struct vmk_chain *chain);

/* Whether pop would find something, without a change of what the driver notifies of. */
bool
vmk_queue_has_chains(const struct vmk_queue *queue);

/* Hand a chain back, of which the device wrote the first `written` bytes. */
void
vmk_queue_push(struct vmk_queue *queue, struct vmk_chain *chain, uint32_t written);

/* Whether the driver wants to hear of what was pushed since this was last asked. */
bool
vmk_queue_must_notify(struct vmk_queue *queue);

/* Give a queue up, with a sentence, for what only its device can see. The first one stays. */
void
vmk_queue_break(struct vmk_queue *queue, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Copy out of the readable bytes, or into the writable ones, from `offset` on. How many there were
 * of the `size` that was asked for. */
size_t
vmk_chain_read(const struct vmk_chain *chain, uint64_t offset, void *destination, size_t size);

size_t
vmk_chain_write(struct vmk_chain *chain, uint64_t offset, const void *source, size_t size);

#endif
