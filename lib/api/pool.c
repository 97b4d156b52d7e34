/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool.h"

#include "api/check.h"
#include "api/export.h"
#include "api/record.h"
#include "api/uncancelled.h"
#include "vm/vm_pool.h"

VMKIT_EXPORT int
vmkit_pool_new(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config, uint32_t warm,
               uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_POINTER(ret_pool);
    return vmk_sandbox_pool_new(snapshot, config, NULL, warm, limit, ret_pool, ret_error);
}

VMKIT_EXPORT vmkit_pool *
vmkit_pool_ref(vmkit_pool *pool)
{
    return pool == NULL ? NULL : vmk_pool_ref(pool);
}

VMKIT_EXPORT void
vmkit_pool_unref(vmkit_pool *pool)
{
    VMK_API_UNCANCELLED;
    if (pool != NULL)
        vmk_pool_unref(pool);
}

VMKIT_EXPORT int
vmkit_pool_take(vmkit_pool *pool, uint64_t timeout_ns, vmkit_sandbox **ret_sandbox,
                vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(pool);
    VMK_API_CHECK_POINTER(ret_sandbox);
    return vmk_sandbox_pool_take(pool, timeout_ns, ret_sandbox, ret_error);
}

VMKIT_EXPORT int
vmkit_pool_give_back(vmkit_pool *pool, vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(pool);
    VMK_API_CHECK_POINTER(sandbox);
    return vmk_sandbox_pool_give_back(pool, sandbox, ret_error);
}

VMKIT_EXPORT int
vmkit_pool_new_vms(vmkit_snapshot *snapshot, const vmkit_vm_config *config, uint32_t warm,
                   uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_POINTER(ret_pool);
    return vmk_vm_pool_new_configured(snapshot, config, warm, limit, ret_pool, ret_error);
}

VMKIT_EXPORT int
vmkit_pool_take_vm(vmkit_pool *pool, uint64_t timeout_ns, vmkit_vcpu **ret_vcpus, uint32_t capacity,
                   uint32_t *ret_count, vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(pool);
    if (capacity > 0)
        VMK_API_CHECK_POINTER(ret_vcpus);
    VMK_API_CHECK_POINTER(ret_vm);
    const struct vmk_vm_room room = {.vcpus = ret_vcpus, .capacity = capacity, .count = ret_count};
    return vmk_vm_pool_take(pool, timeout_ns, &room, ret_vm, ret_error);
}

VMKIT_EXPORT int
vmkit_pool_give_back_vm(vmkit_pool *pool, vmkit_vm *vm, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(pool);
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_pool_give_back(pool, vm, ret_error);
}

VMKIT_EXPORT int
vmkit_pool_get_stats(vmkit_pool *pool, struct vmkit_pool_stats *stats, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(pool);
    VMK_API_CHECK_RECORD(stats, discarded);
    struct vmkit_pool_stats full = {.size = sizeof full};
    vmk_pool_get_stats(pool, &full);
    vmk_record_store(stats, stats->size, &full, sizeof full);
    return 0;
}
