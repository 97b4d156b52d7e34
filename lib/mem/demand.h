/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memfd whose contents are made when somebody first touches them: memory that is stored
 * compressed and is not to be read as a whole. userfaultfd(2) tells a thread of the file's own of
 * each page that is missing in a mapping that is watched; the thread makes the piece that the page
 * lies in, writes it to the memfd, and wakes who waits. A piece is made once, for all mappings.
 *
 * What nobody watches is not made: each mapping of the memfd is watched from before it is first
 * touched, and who reads the descriptor makes the pages first.
 *
 * A piece that cannot be made is zeros from then on, so that nobody waits for ever, and the file is
 * broken: vmk_demand_check() tells why. Pages are VMK_DEMAND_PAGE bytes.
 */
#ifndef VMK_MEM_DEMAND_H
#define VMK_MEM_DEMAND_H

#include <vmkit/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMK_DEMAND_PAGE 4096

struct vmk_demand;

/* Where the contents come from. */
struct vmk_demand_source {
    /* Fill `to` with `size` bytes at `offset`: a piece, of which the last one may be shorter. 0, or
     * a negative errno with an error. One call at a time, on any thread. */
    int (*make)(void *user_data, uint64_t offset, uint8_t *to, size_t size,
                vmkit_error **ret_error);
    /* Nobody needs it any more. */
    void (*release)(void *user_data);
    void *user_data;
};

/* A file of `size` bytes in pieces of `piece`, whole pages both. The source is the file's when it
 * is made. -EPERM where the host does not let this process handle its faults. */
int
vmk_demand_new(uint64_t size, uint64_t piece, const struct vmk_demand_source *source,
               struct vmk_demand **ret_demand, vmkit_error **ret_error);

/* Accepts NULL. No mapping is watched any more. */
void
vmk_demand_free(struct vmk_demand *demand);

/* The memfd, lent. */
int
vmk_demand_get_fd(const struct vmk_demand *demand);

/* Whether this process made it. A child of fork(2) does not have the thread, and its faults would
 * leave zeros in the memfd, which is the parent's too: it does not have the mappings either. */
bool
vmk_demand_is_here(const struct vmk_demand *demand);

/* Watch a private mapping of [offset, offset + size) of the memfd. -EIO in a child of fork(2). */
int
vmk_demand_watch(struct vmk_demand *demand, void *address, uint64_t size, uint64_t offset,
                 vmkit_error **ret_error);

/* All mappings in [address, address + size) are about to go. */
void
vmk_demand_forget(struct vmk_demand *demand, const void *address, uint64_t size);

/* Make what lies at [offset, offset + size), for who reads the memfd. As vmk_demand_check(). */
int
vmk_demand_make(struct vmk_demand *demand, uint64_t offset, uint64_t size, vmkit_error **ret_error);

/* 0, or the error of the first piece that could not be made; in a child of fork(2), -EIO. Costs a
 * load or two while there is none. */
int
vmk_demand_check(struct vmk_demand *demand, vmkit_error **ret_error);

#endif
