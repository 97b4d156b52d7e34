/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of sandboxes that are forked from one snapshot (include/vmkit/pool.h).
 *
 * The pool knows all of its sandboxes by their places: one that is idle has its reference here, one
 * that is taken has it at the caller's. A place that is empty may be forked into, so that there are
 * never more sandboxes than places. Threads that wait form a queue, and who gives back, or gives a
 * place up, hands it to the first of them: nobody who comes later can be faster.
 */
#ifndef VMK_SANDBOX_POOL_H
#define VMK_SANDBOX_POOL_H

#include "kvm/system.h"

#include <vmkit/pool.h>

#define VMK_POOL_LIMIT_MAX 65536

/* As the public functions of the same names; `system` is NULL for the host's own KVM. */
int
vmk_pool_new(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
             struct vmk_kvm_system *system, uint32_t warm, uint32_t limit, vmkit_pool **ret_pool,
             vmkit_error **ret_error);

vmkit_pool *
vmk_pool_ref(vmkit_pool *pool);

void
vmk_pool_unref(vmkit_pool *pool);

int
vmk_pool_take(vmkit_pool *pool, uint64_t timeout_ns, vmkit_sandbox **ret_sandbox,
              vmkit_error **ret_error);

int
vmk_pool_give_back(vmkit_pool *pool, vmkit_sandbox *sandbox, vmkit_error **ret_error);

/* Fills all of `stats` but its size. */
void
vmk_pool_get_stats(vmkit_pool *pool, struct vmkit_pool_stats *stats);

#endif
