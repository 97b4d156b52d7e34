/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that stands still: what a guest's memory held at one time, as an immutable value that any
 * number of VMs map copy-on-write. Reference-counted; any thread may use it.
 *
 * An image is a sorted list of runs; each says in what store, and where in it, a range of addresses
 * lies. Between the runs it is zero. A store is a file: a memfd that a builder fills, or a snapshot
 * file that was opened. An image that was made on top of another one names that one's stores for
 * what did not change, so that nothing is copied twice, and the two can be compared by where their
 * pages are.
 *
 * Addresses are multiples of VMK_IMAGE_PAGE, below VMK_IMAGE_LIMIT.
 */
#ifndef VMK_MEM_IMAGE_H
#define VMK_MEM_IMAGE_H

#include "mem/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMK_IMAGE_PAGE 4096
#define VMK_IMAGE_LIMIT (UINT64_C(1) << 52)

struct vmk_demand;
struct vmk_image_store;
struct vmk_image;
struct vmk_image_builder;

/* A range that lies in one place. */
struct vmk_image_run {
    uint64_t address;
    uint64_t size;
    struct vmk_image_store *store; /* NULL: zeros */
    uint64_t offset;               /* in the store, a multiple of the page size */
};

/* A store of a file that somebody else keeps open: `release` is called with `user_data` when nobody
 * needs it any more. -ENOMEM, and then it is not called. */
int
vmk_image_store_new(int fd, void (*release)(void *user_data), void *user_data,
                    struct vmk_image_store **ret_store, vmkit_error **ret_error);

/* A store of a file that is made where it is touched (demand.h), which is the store's then.
 * -ENOMEM, and then it is not. */
int
vmk_image_store_new_demand(struct vmk_demand *demand, struct vmk_image_store **ret_store,
                           vmkit_error **ret_error);

void
vmk_image_store_unref(struct vmk_image_store *store);

int
vmk_image_store_get_fd(const struct vmk_image_store *store);

/* Begin an image, which is all zeros but for what is added. With a base, pages that are added and
 * that the base has already are the base's; without, NULL. */
int
vmk_image_builder_new(struct vmk_image *base, struct vmk_image_builder **ret_builder,
                      vmkit_error **ret_error);

/* Accepts NULL. */
void
vmk_image_builder_free(struct vmk_image_builder *builder);

/* Add what [offset, offset + size) of `memory` holds as [address, address + size), above all that
 * was added before. Pages of zeros take no place. -EFAULT when a part of the memory is not
 * accessible. */
int
vmk_image_builder_add(struct vmk_image_builder *builder, uint64_t address,
                      const struct vmkit_memory *memory, uint64_t offset, uint64_t size,
                      vmkit_error **ret_error);

/* The same of bytes that are there as long as the call lasts. */
int
vmk_image_builder_add_bytes(struct vmk_image_builder *builder, uint64_t address,
                            const uint8_t *bytes, uint64_t size, vmkit_error **ret_error);

/* Before anything is added: what is copied lies in its store where it lies in the image, below
 * `size`, so that one mapping shows all of it, whatever zeros are in between. */
int
vmk_image_builder_set_in_place(struct vmk_image_builder *builder, uint64_t size,
                               vmkit_error **ret_error);

/* The same of a store whose runs are added: it is zeros wherever the image has no run of it. NULL:
 * the one that the base has, all of which is added. */
void
vmk_image_builder_set_sparse(struct vmk_image_builder *builder,
                             const struct vmk_image_store *store);

/* Add what another image has below `size`, as long as nothing was added before. What lies in the
 * same place as in the base is not looked at; of the rest, pages that hold the same are the base's.
 * -EIO when a part cannot be read. */
int
vmk_image_builder_add_image(struct vmk_image_builder *builder, const struct vmk_image *image,
                            uint64_t size, vmkit_error **ret_error);

/* Add [address, address + size) as it is in the base, above all that was added before. */
int
vmk_image_builder_add_base(struct vmk_image_builder *builder, uint64_t address, uint64_t size,
                           vmkit_error **ret_error);

/* Add a run of a store, above all that was added before. */
int
vmk_image_builder_add_run(struct vmk_image_builder *builder, const struct vmk_image_run *run,
                          vmkit_error **ret_error);

/* The image; only vmk_image_builder_free() may follow. */
int
vmk_image_builder_finish(struct vmk_image_builder *builder, struct vmk_image **ret_image,
                         vmkit_error **ret_error);

struct vmk_image *
vmk_image_ref(struct vmk_image *image);

/* Accepts NULL. */
void
vmk_image_unref(struct vmk_image *image);

/* What lies at `address`, and how far from there on in the same place; up to VMK_IMAGE_LIMIT. The
 * run begins at `address`. A NULL image is all zeros. */
void
vmk_image_find(const struct vmk_image *image, uint64_t address, struct vmk_image_run *ret_run);

/* The next range from `address` on, below `end`, that lies in another place than in the other
 * image, and where it lies in the first one. False when there is none. Either image may be NULL. */
bool
vmk_image_find_changed(const struct vmk_image *image, const struct vmk_image *other,
                       uint64_t address, uint64_t end, struct vmk_image_run *ret_run);

/* Whether a store of it is the file of this descriptor. */
bool
vmk_image_lies_in(const struct vmk_image *image, int fd);

/* Bytes that lie in stores. */
uint64_t
vmk_image_get_data_size(const struct vmk_image *image);

/* 0, or -EIO when a part that was touched could not be made, or, in a child of fork(2), cannot be
 * (demand.h). Accepts NULL. */
int
vmk_image_check(const struct vmk_image *image, vmkit_error **ret_error);

/* Whether there is anything to check. */
bool
vmk_image_is_lazy(const struct vmk_image *image);

/* Whether mappings of it are this process's: what is made where it is touched is in no mapping of a
 * child of fork(2), and what is there instead is none of ours. NULL is everybody's. */
bool
vmk_image_is_here(const struct vmk_image *image);

/* Copy whole pages out. -EFAULT when the file behind them has become shorter. */
int
vmk_image_read(const struct vmk_image *image, uint64_t address, void *buffer, size_t size);

/* Where mappings have to be for a copy of the image below `end`: up to `room` of them, in ascending
 * order. Returns how many there are. */
size_t
vmk_image_list_mappings(const struct vmk_image *image, uint64_t end, struct vmk_image_run *ret_runs,
                        size_t room);

/* Map one of them at `to`, copy-on-write. What is made where it is touched is until
 * vmk_image_forget() says that the mappings in a range are about to go. */
int
vmk_image_map(const struct vmk_image_run *run, void *to, vmkit_error **ret_error);

void
vmk_image_forget(const struct vmk_image *image, const void *address, uint64_t size);

/* Whether all of it lies in memory that is the library's own and that nobody can take away: it may
 * be read through a mapping. */
bool
vmk_image_is_steady(const struct vmk_image *image);

/* Make [offset, offset + size) of memory that is a copy of the image the image's own again: it was
 * made by vmk_memory_new_copy(), from `address` on. -EIO, -EFAULT or -ENOMEM when the image's
 * contents have to be read, and cannot be. */
int
vmk_memory_revert(const struct vmkit_memory *memory, const struct vmk_image *image,
                  uint64_t address, uint64_t offset, uint64_t size);

/* Memory of `size` bytes that is a copy of the image from `address` on, made page by page as it is
 * written to. */
int
vmk_memory_new_copy(struct vmk_image *image, uint64_t address, uint64_t size,
                    struct vmkit_memory **ret_memory, vmkit_error **ret_error);

#endif
