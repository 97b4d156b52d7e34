/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of bytes of a fixed size. Not locked. */
#ifndef VMK_DEV_RING_H
#define VMK_DEV_RING_H

#include <stddef.h>
#include <stdint.h>

struct vmk_ring {
    uint8_t *bytes;
    size_t size; /* a power of two */
    size_t read; /* counted on and on */
    size_t written;
};

/* 0 or -ENOMEM. */
int
vmk_ring_init(struct vmk_ring *ring, size_t size);

void
vmk_ring_clear(struct vmk_ring *ring);

size_t
vmk_ring_get_used(const struct vmk_ring *ring);

size_t
vmk_ring_get_room(const struct vmk_ring *ring);

/* As many as fit, or as there are. */
size_t
vmk_ring_put(struct vmk_ring *ring, const void *bytes, size_t size);

size_t
vmk_ring_take(struct vmk_ring *ring, void *bytes, size_t size);

#endif
