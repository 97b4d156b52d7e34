/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
vmk_ring_init(struct vmk_ring *ring, size_t size)
{
    *ring = (struct vmk_ring){.bytes = malloc(size), .size = size};
    return ring->bytes == NULL ? -ENOMEM : 0;
}

void
vmk_ring_clear(struct vmk_ring *ring)
{
    free(ring->bytes);
    *ring = (struct vmk_ring){0};
}

size_t
vmk_ring_get_used(const struct vmk_ring *ring)
{
    return ring->written - ring->read;
}

size_t
vmk_ring_get_room(const struct vmk_ring *ring)
{
    return ring->size - vmk_ring_get_used(ring);
}

/* How much of `size` bytes lies before the place at which the ring goes round. */
static size_t
cut(const struct vmk_ring *ring, size_t position, size_t size)
{
    size_t end = ring->size - (position & (ring->size - 1));
    return size < end ? size : end;
}

size_t
vmk_ring_put(struct vmk_ring *ring, const void *bytes, size_t size)
{
    size_t room = vmk_ring_get_room(ring);
    size = size < room ? size : room;
    size_t first = cut(ring, ring->written, size);
    memcpy(ring->bytes + (ring->written & (ring->size - 1)), bytes, first);
    memcpy(ring->bytes, (const uint8_t *)bytes + first, size - first);
    ring->written += size;
    return size;
}

size_t
vmk_ring_take(struct vmk_ring *ring, void *bytes, size_t size)
{
    size_t used = vmk_ring_get_used(ring);
    size = size < used ? size : used;
    size_t first = cut(ring, ring->read, size);
    memcpy(bytes, ring->bytes + (ring->read & (ring->size - 1)), first);
    memcpy((uint8_t *)bytes + first, ring->bytes, size - first);
    ring->read += size;
    return size;
}
