/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/snapshot.h"

#include "api/check.h"
#include "api/export.h"
#include "api/record.h"

VMKIT_EXPORT int
vmkit_sandbox_snapshot(vmkit_sandbox *sandbox, vmkit_snapshot **ret_snapshot,
                       vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_POINTER(ret_snapshot);
    return vmk_sandbox_snapshot(sandbox, ret_snapshot, ret_error);
}

VMKIT_EXPORT vmkit_snapshot *
vmkit_snapshot_ref(vmkit_snapshot *snapshot)
{
    return snapshot == NULL ? NULL : vmk_snapshot_ref(snapshot);
}

VMKIT_EXPORT void
vmkit_snapshot_unref(vmkit_snapshot *snapshot)
{
    vmk_snapshot_unref(snapshot);
}

VMKIT_EXPORT int
vmkit_snapshot_get_info(vmkit_snapshot *snapshot, struct vmkit_snapshot_info *info,
                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_RECORD(info, instruction_pointer);
    struct vmkit_snapshot_info full = {.size = sizeof full};
    vmk_snapshot_get_info(snapshot, &full);
    vmk_record_store(info, info->size, &full, sizeof full);
    return 0;
}

VMKIT_EXPORT int
vmkit_snapshot_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                    vmkit_sandbox **ret_sandbox, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_POINTER(ret_sandbox);
    return vmk_snapshot_fork(snapshot, config, NULL, ret_sandbox, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_reset(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(sandbox);
    return vmk_sandbox_reset(sandbox, ret_error);
}
