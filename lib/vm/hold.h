/* SPDX-License-Identifier: Apache-2.0 */
/* All vCPUs of a VM held still. */
#ifndef VMK_VM_HOLD_H
#define VMK_VM_HOLD_H

#include "vm/vcpu.h"

struct vmk_held_vcpus {
    struct vmkit_vcpu **vcpus; /* by number; each with a reference */
    uint32_t count;
    uint32_t still; /* how many of them are held */
};

/* Hold every vCPU still, with the access of its last exit finished. With the VM locked. -EBUSY when
 * one runs on another thread, or is in the middle of an instruction. Whatever it returns,
 * vmk_vm_let_go() has to follow. */
int
vmk_vm_hold_vcpus(struct vmkit_vm *vm, struct vmk_held_vcpus *held, vmkit_error **ret_error);

/* The vCPUs that there are, none of them held yet; and hold them for a reset, with whatever their
 * last exits began finished and forgotten. As vmk_vm_hold_vcpus(). */
int
vmk_vm_list_vcpus(struct vmkit_vm *vm, struct vmk_held_vcpus *held, vmkit_error **ret_error);

int
vmk_vm_hold_to_reset(struct vmk_held_vcpus *held, vmkit_error **ret_error);

/* With the VM not locked. */
void
vmk_vm_let_go(struct vmk_held_vcpus *held);

#endif
