/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty log of a region of guest memory (KVM API 4.8 KVM_GET_DIRTY_LOG, 4.117
 * KVM_CLEAR_DIRTY_LOG).
 */
#include "vm/private.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

int
vmk_vm_keep_dirty_log(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    return result < 0 ? result : vmk_kvm_vm_keep_dirty_log(vm->kvm, ret_error);
}

/* With the VM locked. */
static int
find_logged(struct vmkit_vm *vm, uint64_t gpa, const struct vmk_region **ret_region,
            vmkit_error **ret_error)
{
    const struct vmk_region *region = vmk_regions_find(&vm->regions, gpa);
    if (region == NULL || region->gpa != gpa || !region->logged)
        return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "no memory region with a dirty log begins at 0x%" PRIx64, gpa);
    *ret_region = region;
    return 0;
}

int
vmk_vm_get_dirty_log(struct vmkit_vm *vm, uint64_t gpa, uint64_t *bitmap, vmkit_error **ret_error)
{
    const struct vmk_region *region = NULL;
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    result = find_logged(vm, gpa, &region, ret_error);
    if (result == 0)
        result = vmk_kvm_vm_get_dirty_log(vm->kvm, region->slot, bitmap, ret_error);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

int
vmk_vm_clear_dirty_log(struct vmkit_vm *vm, uint64_t gpa, const uint64_t *bitmap,
                       vmkit_error **ret_error)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const struct vmk_region *region = NULL;
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vm->lock);
    result = find_logged(vm, gpa, &region, ret_error);
    if (result == 0)
        result = vmk_kvm_vm_clear_dirty_log(vm->kvm, region->slot, region->size / page, bitmap,
                                            ret_error);
    pthread_mutex_unlock(&vm->lock);
    return result;
}
