/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that a configuration and the sandboxes made from it hold together, so that making a
 * sandbox neither duplicates descriptors nor copies input: a host descriptor and a piece of bytes,
 * each counted. Both are immutable once made and may be counted from any thread.
 */
#ifndef VMK_SANDBOX_SHARED_H
#define VMK_SANDBOX_SHARED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_host_fd {
    atomic_uint references;
    int fd;
};

/* Take `fd` over; it is closed when NULL is returned, for want of memory, too. */
struct vmk_host_fd *
vmk_host_fd_new(int fd);

struct vmk_host_fd *
vmk_host_fd_ref(struct vmk_host_fd *host_fd);

/* Accepts NULL. The last one closes the descriptor. */
void
vmk_host_fd_unref(struct vmk_host_fd *host_fd);

struct vmk_blob {
    atomic_uint references;
    size_t size;
    uint8_t data[];
};

/* Room for `size` bytes, not filled if `data` is NULL. NULL without memory. */
struct vmk_blob *
vmk_blob_new(const void *data, size_t size);

struct vmk_blob *
vmk_blob_ref(struct vmk_blob *blob);

/* Accepts NULL. */
void
vmk_blob_unref(struct vmk_blob *blob);

#endif
