/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of raw VMs that are made from one snapshot: what vm/pool.h has to know of them. The pool
 * has a reference to each vCPU as long as it has the VM, taken or not: the taker's are lent.
 */
#ifndef VMK_VM_VM_POOL_H
#define VMK_VM_VM_POOL_H

#include "kvm/system.h"
#include "vm/pool.h"
#include "vm/vm_snapshot.h"

/* As vmkit_pool_new_vms(), vmkit_pool_take_vm() and vmkit_pool_give_back_vm(); with the device that
 * is open, or the one of a configuration. */
int
vmk_vm_pool_new(vmkit_snapshot *snapshot, struct vmk_kvm_system *system, uint32_t warm,
                uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error);

int
vmk_vm_pool_new_configured(vmkit_snapshot *snapshot, const struct vmkit_vm_config *config,
                           uint32_t warm, uint32_t limit, vmkit_pool **ret_pool,
                           vmkit_error **ret_error);

int
vmk_vm_pool_take(vmkit_pool *pool, uint64_t timeout_ns, const struct vmk_vm_room *room,
                 struct vmkit_vm **ret_vm, vmkit_error **ret_error);

int
vmk_vm_pool_give_back(vmkit_pool *pool, struct vmkit_vm *vm, vmkit_error **ret_error);

#endif
