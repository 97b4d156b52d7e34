/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing the memory of a VM back to the snapshot that it was made from. What the guest wrote to
 * is known from KVM's dirty log, which is read and not cleared, and what the library wrote from a
 * bitmap; mem/rollback.h tells what is done with these pages. What was written through a pointer
 * that was handed out nobody knows: unless the program has promised to tell, what the pointers
 * cover is brought back too, page by page when it is little, and else as a whole, by giving all of
 * it back to the snapshot. So is all memory by the first reset of a VM whose memory was not
 * followed up to then: VMs that are never reset pay for no log.
 *
 * The page tables of a guest lie in its memory, and KVM may keep translations of them that copying
 * does not take back (a host without VMX or SVM shadows them). A page that may have been such a
 * table, and maps something else when it is brought back, has KVM forget all translations.
 *
 * With the VM locked and its vCPUs held still.
 */
#ifndef VMK_VM_RESET_MEMORY_H
#define VMK_VM_RESET_MEMORY_H

#include "vm/vm.h"
#include "vm/vm_snapshot.h"

/* Note from now on what is written, of a VM whose memory is that of the snapshot, or is about to be
 * brought back as a whole. */
int
vmk_vm_follow(struct vmkit_vm *vm, vmkit_error **ret_error);

/* -ENOTSUP when the VM has not the regions any more that it was made with, and no others. */
int
vmk_vm_check_regions(const struct vmkit_vm *vm, vmkit_error **ret_error);

/* Find out what was written. A failure leaves all as it was. */
int
vmk_vm_prepare_memory_reset(struct vmkit_vm *vm, vmkit_error **ret_error);

/* Bring it back, after the former. A failure leaves some of it. */
int
vmk_vm_reset_memory(struct vmkit_vm *vm, const struct vmk_vm_reset_parts *parts,
                    const struct vmk_arch_tables *tables, vmkit_error **ret_error);

#endif
