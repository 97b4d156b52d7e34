/* SPDX-License-Identifier: Apache-2.0 */
/* A driver's side of a split queue, as simple as can be: the model that the device's side is held
 * against. It keeps what it handed in, so that what comes back can be checked. */
#ifndef VMK_TEST_DRIVER_H
#define VMK_TEST_DRIVER_H

#include "board.h"

#include <linux/virtio_ring.h>

#define DRIVER_SEGMENTS 8

struct driver_segment {
    uint64_t gpa;
    uint32_t size;
    bool writable;
};

struct driver_request {
    struct driver_segment segments[DRIVER_SEGMENTS];
    uint32_t count;
    bool indirect;
    bool in_use;
};

struct driver {
    struct test_board *board;
    uint32_t size;
    uint64_t descriptors; /* guest-physical */
    uint64_t available;
    uint64_t used;
    uint64_t tables; /* of indirect descriptors: DRIVER_SEGMENTS for each head */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used_ring;
    uint16_t *device_event;          /* behind which request the device wants to be told */
    struct driver_request *requests; /* by head */
    uint16_t *free;                  /* descriptors that are free, as a stack */
    uint32_t free_count;
    uint16_t next_avail;
    uint16_t next_used;
    uint16_t kicked; /* next_avail when the device was last asked about */
    bool event_index;
};

/* Rings of `size` descriptors from `gpa` on. */
void
driver_init(struct driver *driver, struct test_board *board, uint64_t gpa, uint32_t size,
            bool event_index);

void
driver_clear(struct driver *driver);

/* The bytes that driver_init() takes. */
uint64_t
driver_get_room(uint32_t size);

/* Hand in a request. Its head, or -1 without descriptors for it. */
int
driver_add(struct driver *driver, const struct driver_request *request);

/* Whether the device wants to hear of what was added since the last call. */
bool
driver_must_kick(struct driver *driver);

/* The next request that came back: its head, and how much was written; -1 without one. Its
 * descriptors are free then. */
int
driver_take(struct driver *driver, uint32_t *ret_written);

/* Ask for an interrupt for the next one; whether one came meanwhile. */
bool
driver_listen(struct driver *driver);

/* Ask for none. */
void
driver_ignore(struct driver *driver);

#endif
