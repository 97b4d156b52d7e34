/* SPDX-License-Identifier: Apache-2.0 */
/* The structures that image.c, image_builder.c and image_copy.c share. */
#ifndef VMK_MEM_IMAGE_PRIVATE_H
#define VMK_MEM_IMAGE_PRIVATE_H

#include "mem/demand.h"
#include "mem/image.h"

#include <stdatomic.h>
#include <string.h>

struct vmk_image_store {
    atomic_uint references;
    int fd;
    void (*release)(void *user_data); /* NULL: the descriptor is the store's own */
    void *user_data;
    struct vmk_demand *demand; /* whose the descriptor is; NULL: all of it is there */
};

/* Runs are sorted, apart from each other or in different places, and none is of zeros; each has a
 * reference to its store. */
struct vmk_image {
    atomic_uint references;
    struct vmk_image_run *runs;
    size_t count;
    size_t capacity;
    /* One of these stores, or NULL: between two runs of it that are as far from each other as they
     * are in the store, and without another run in between, the store is zeros too. */
    const struct vmk_image_store *sparse;
};

struct vmk_image_store *
vmk_image_store_ref(struct vmk_image_store *store);

#endif
