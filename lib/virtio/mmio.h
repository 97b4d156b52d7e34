/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device behind a page of registers (VIRTIO 1.2 §4.2, version 2). Notifications of the
 * driver come by a doorbell for each queue, and interrupts go by an irqfd, where the board has
 * them; without, through the registers and by pulses of the line. The line is edge-triggered.
 *
 * The status goes forward step by step (§3.1.1): what a driver writes at a wrong moment is not
 * taken. Queues are set up between FEATURES_OK and DRIVER_OK; one that cannot be, or that breaks
 * later, leaves the device in DEVICE_NEEDS_RESET.
 */
#ifndef VMK_VIRTIO_MMIO_H
#define VMK_VIRTIO_MMIO_H

#include "io/loop.h"
#include "virtio/device.h"

/* The registers' size: a page. */
#define VMK_VIRTIO_MMIO_SIZE 0x1000

/* The device needs a reset, for the reason that is lent. Once until it is reset. On the loop's
 * thread or a vCPU's, with the device's lock held. */
typedef void (*vmk_virtio_failed_callback)(void *data, const char *reason);

struct vmk_virtio_mmio_options {
    uint64_t address; /* guest-physical */
    uint32_t gsi;
    vmk_virtio_failed_callback failed; /* or NULL */
    void *failed_data;
};

struct vmk_virtio_mmio;

/* Put a device onto a board. Board and loop outlive it; the loop may run already. The device is
 * taken over, on failure too. What the board refuses; -EMFILE, -ENFILE, -ENOMEM, -EINVAL. */
int
vmk_virtio_mmio_new(const struct vmk_board *board, struct vmk_loop *loop,
                    struct vmk_virtio_device *device, const struct vmk_virtio_mmio_options *options,
                    struct vmk_virtio_mmio **ret_mmio, vmkit_error **ret_error);

/* Take it off and free it, with its device. The loop was joined (vmk_loop_join()) and no vCPU runs.
 * NULL is nothing.
 */
void
vmk_virtio_mmio_free(struct vmk_virtio_mmio *mmio);

#endif
