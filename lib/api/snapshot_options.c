/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"
#include "api/export.h"
#include "archive/options.h"
#include "vm/snapshot.h"

VMKIT_EXPORT int
vmkit_snapshot_options_new(vmkit_snapshot_options **ret_options, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(ret_options);
    return vmk_snapshot_options_new(ret_options, ret_error);
}

VMKIT_EXPORT vmkit_snapshot_options *
vmkit_snapshot_options_ref(vmkit_snapshot_options *options)
{
    return vmk_snapshot_options_ref(options);
}

VMKIT_EXPORT void
vmkit_snapshot_options_unref(vmkit_snapshot_options *options)
{
    vmk_snapshot_options_unref(options);
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_compression(vmkit_snapshot_options *options, uint32_t level,
                                       vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    return vmk_snapshot_options_set_compression(options, level, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_sync(vmkit_snapshot_options *options, uint32_t sync,
                                vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    return vmk_snapshot_options_set_sync(options, sync, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_lazy(vmkit_snapshot_options *options, uint32_t lazy,
                                vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    return vmk_snapshot_options_set_lazy(options, lazy, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_threads(vmkit_snapshot_options *options, uint32_t count,
                                   vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    return vmk_snapshot_options_set_threads(options, count, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_memory_limit(vmkit_snapshot_options *options, uint64_t bytes,
                                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    vmk_snapshot_options_set_memory_limit(options, bytes);
    return 0;
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_parent(vmkit_snapshot_options *options, vmkit_snapshot *parent,
                                  vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    vmk_snapshot_options_set_parent(options, vmk_snapshot_ref(parent), vmk_snapshot_unref);
    return 0;
}

VMKIT_EXPORT int
vmkit_snapshot_options_set_progress(vmkit_snapshot_options *options,
                                    vmkit_progress_callback callback, void *user_data,
                                    vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(options);
    vmk_snapshot_options_set_progress(options, callback, user_data);
    return 0;
}
