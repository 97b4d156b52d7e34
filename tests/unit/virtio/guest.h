/* SPDX-License-Identifier: Apache-2.0 */
/* A guest with one device: a board, a loop that runs, the device's registers, and what a driver
 * does to bring it up. */
#ifndef VMK_TEST_GUEST_H
#define VMK_TEST_GUEST_H

#include "driver.h"
#include "io/loop.h"
#include "virtio/mmio.h"

#include <stdatomic.h>

#define GUEST_ADDRESS UINT64_C(0xd0000000)
#define GUEST_GSI 5
#define GUEST_QUEUES 16

struct guest {
    struct test_board board;
    struct vmk_loop *loop;
    struct vmk_virtio_mmio *mmio;
    struct driver drivers[GUEST_QUEUES];
    uint32_t queue_count;
    atomic_uint failures;
    char reason[160];  /* of the last failure */
    uint64_t free_gpa; /* memory from here on is unused */
};

/* Board and loop. */
void
guest_init(struct guest *guest);

/* Put the device into the guest; it is the guest's then. */
void
guest_attach(struct guest *guest, struct vmk_virtio_device *device);

void
guest_clear(struct guest *guest);

uint32_t
guest_read(struct guest *guest, uint32_t offset);

void
guest_write(struct guest *guest, uint32_t offset, uint32_t value);

/* Select and set up a queue of `size`, and make it ready. */
void
guest_set_up_queue(struct guest *guest, uint32_t queue, uint32_t size, bool event_index);

/* As a driver does it: features that are in `wanted` and offered, `count` queues of `size`. The
 * features that were taken. */
uint64_t
guest_bring_up(struct guest *guest, uint64_t wanted, uint32_t count, uint32_t size);

/* Hand in a buffer of `size` bytes at `gpa`, and tell the device if it wants that. The head. */
int
guest_give(struct guest *guest, uint32_t queue, uint64_t gpa, uint32_t size, bool writable);

/* Wait for a buffer to come back; fails the test after 30 s. The head. */
int
guest_await(struct guest *guest, uint32_t queue, uint32_t *ret_written);

/* Wait until the loop has seen all that was done to it before. */
void
guest_settle(struct guest *guest);

#endif
