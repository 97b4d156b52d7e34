/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of machines that are made from one snapshot (include/vmkit/pool.h), whatever they are: a
 * kind knows how to make, renew and release one. vm/vm_pool.h has the raw VM's.
 *
 * The pool knows all of its machines by their places: one that is idle has its reference here, one
 * that is taken has it at the caller's. Into a place that is empty one may be made, so that there
 * are never more machines than places. Threads that wait form a queue, and who gives back, or gives
 * a place up, hands it to the first of them: nobody who comes later can be faster.
 */
#ifndef VMK_VM_POOL_H
#define VMK_VM_POOL_H

#include <vmkit/pool.h>

#include <stdbool.h>
#include <stdint.h>

#define VMK_POOL_LIMIT_MAX 65536

/* Where a machine stands in the pool that made it; never changes. */
struct vmk_pool_place {
    struct vmkit_pool *pool; /* NULL: in none */
    uint32_t place;
};

/* What a pool has to know of its machines. `source` is what they are made from; a machine is what
 * make() makes of it. No lock of the pool is held, but by get_handle(). */
struct vmk_pool_kind {
    const char *name; /* "sandbox" */
    const char *plural;
    /* The machine knows from then on that it stands at `place`. */
    int (*make)(void *source, const struct vmk_pool_place *place, void **ret_machine,
                vmkit_error **ret_error);
    /* What the caller knows it by. */
    const void *(*get_handle)(const void *machine);
    /* -EBUSY while a thread runs it. */
    int (*check_still)(void *machine, vmkit_error **ret_error);
    /* Make it as good as new. False when that cannot be, and it is good for nothing else. One to
     * which somebody else has a reference never is: who has it could look at what the next one
     * gets. */
    bool (*renew)(void *machine);
    /* Let go of one that the pool has; and of one that is taken, when the pool goes: NULL where the
     * caller has all of it. */
    void (*release)(void *machine);
    void (*leave)(void *machine);
    void (*free_source)(void *source);
};

/* Takes the source over, whatever it returns. */
int
vmk_pool_new(const struct vmk_pool_kind *kind, void *source, uint32_t warm, uint32_t limit,
             vmkit_pool **ret_pool, vmkit_error **ret_error);

vmkit_pool *
vmk_pool_ref(vmkit_pool *pool);

void
vmk_pool_unref(vmkit_pool *pool);

/* -ENOTSUP, with a sentence, for a pool of another kind. */
int
vmk_pool_check_kind(const vmkit_pool *pool, const struct vmk_pool_kind *kind,
                    vmkit_error **ret_error);

/* Lent. */
void *
vmk_pool_get_source(const vmkit_pool *pool);

/* As the public functions of the same names, of a machine of whichever kind. */
int
vmk_pool_take(vmkit_pool *pool, uint64_t timeout_ns, void **ret_machine, vmkit_error **ret_error);

/* `place` and `handle` are of what is given back. */
int
vmk_pool_give_back(vmkit_pool *pool, const struct vmk_pool_place *place, const void *handle,
                   vmkit_error **ret_error);

/* Fills all of `stats` but its size. */
void
vmk_pool_get_stats(vmkit_pool *pool, struct vmkit_pool_stats *stats);

#endif
