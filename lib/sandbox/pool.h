/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of sandboxes that are forked from one snapshot: what vm/pool.h has to know of them. */
#ifndef VMK_SANDBOX_POOL_H
#define VMK_SANDBOX_POOL_H

#include "kvm/system.h"
#include "vm/pool.h"

/* As vmkit_pool_new(), vmkit_pool_take() and vmkit_pool_give_back(); `system` is NULL for the
 * host's own KVM. */
int
vmk_sandbox_pool_new(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                     struct vmk_kvm_system *system, uint32_t warm, uint32_t limit,
                     vmkit_pool **ret_pool, vmkit_error **ret_error);

int
vmk_sandbox_pool_take(vmkit_pool *pool, uint64_t timeout_ns, vmkit_sandbox **ret_sandbox,
                      vmkit_error **ret_error);

int
vmk_sandbox_pool_give_back(vmkit_pool *pool, vmkit_sandbox *sandbox, vmkit_error **ret_error);

#endif
