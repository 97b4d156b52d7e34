/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device (VIRTIO 1.2 §5.4): one queue of buffers to fill from getrandom(2), with a
 * limit of bytes a second. */
#ifndef VMK_VIRTIO_RNG_H
#define VMK_VIRTIO_RNG_H

#include "io/loop.h"
#include "virtio/device.h"

/* `rate` in bytes a second, 0 for no limit. What was not taken in one second is not saved up for
 * another. -EMFILE, -ENFILE, -ENOMEM. */
int
vmk_virtio_rng_new(struct vmk_loop *loop, uint64_t rate, struct vmk_virtio_device **ret_device,
                   vmkit_error **ret_error);

#endif
