/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/shared.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vmk_host_fd *
vmk_host_fd_new(int fd)
{
    struct vmk_host_fd *host_fd = malloc(sizeof *host_fd);
    if (host_fd == NULL) {
        close(fd);
        return NULL;
    }
    atomic_init(&host_fd->references, 1);
    host_fd->fd = fd;
    return host_fd;
}

struct vmk_host_fd *
vmk_host_fd_ref(struct vmk_host_fd *host_fd)
{
    atomic_fetch_add_explicit(&host_fd->references, 1, memory_order_relaxed);
    return host_fd;
}

void
vmk_host_fd_unref(struct vmk_host_fd *host_fd)
{
    if (host_fd == NULL)
        return;
    if (atomic_fetch_sub_explicit(&host_fd->references, 1, memory_order_acq_rel) != 1)
        return;
    close(host_fd->fd);
    free(host_fd);
}

struct vmk_blob *
vmk_blob_new(const void *data, size_t size)
{
    if (size > SIZE_MAX - sizeof(struct vmk_blob))
        return NULL;
    struct vmk_blob *blob = malloc(sizeof *blob + size);
    if (blob == NULL)
        return NULL;
    atomic_init(&blob->references, 1);
    blob->size = size;
    if (data != NULL && size != 0)
        memcpy(blob->data, data, size);
    return blob;
}

struct vmk_blob *
vmk_blob_ref(struct vmk_blob *blob)
{
    atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void
vmk_blob_unref(struct vmk_blob *blob)
{
    if (blob == NULL)
        return;
    if (atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) == 1)
        free(blob);
}
