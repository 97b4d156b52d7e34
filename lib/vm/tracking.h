/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was written to a VM's memory since a snapshot: KVM's dirty log for what the guest writes,
 * and a note of what goes through the library. All with the VM locked.
 */
#ifndef VMK_VM_TRACKING_H
#define VMK_VM_TRACKING_H

#include "mem/image.h"
#include "vm/vm.h"

/* Have KVM note what the guest writes to a region that it may write to. */
int
vmk_vm_log_region(struct vmkit_vm *vm, struct vmk_region *region, vmkit_error **ret_error);

/* Note from now on what is written; `image` is what the memory holds at this moment. With no vCPU
 * running. After a failure nothing is noted any more. */
int
vmk_vm_track(struct vmkit_vm *vm, struct vmk_image *image, vmkit_error **ret_error);

/* Take what KVM noted over into the regions' own notes. */
int
vmk_vm_harvest(struct vmkit_vm *vm, vmkit_error **ret_error);

#endif
