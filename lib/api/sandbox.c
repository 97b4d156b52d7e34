/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox.h"

#include "api/export.h"
#include "api/record.h"
#include "api/uncancelled.h"
#include "sandbox/syscall.h"
#include "util/error.h"

#include <errno.h>

VMKIT_EXPORT int
vmkit_sandbox_new(const vmkit_sandbox_config *config, vmkit_sandbox **ret_sandbox,
                  vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(config);
    VMK_API_CHECK_POINTER(ret_sandbox);
    return vmk_sandbox_new(config, NULL, ret_sandbox, ret_error);
}

VMKIT_EXPORT vmkit_sandbox *
vmkit_sandbox_ref(vmkit_sandbox *sandbox)
{
    return sandbox == NULL ? NULL : vmk_sandbox_ref(sandbox);
}

VMKIT_EXPORT void
vmkit_sandbox_unref(vmkit_sandbox *sandbox)
{
    VMK_API_UNCANCELLED;
    if (sandbox != NULL)
        vmk_sandbox_unref(sandbox);
}

VMKIT_EXPORT int
vmkit_sandbox_run(vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome,
                  vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_RECORD(outcome, instruction_pointer);
    struct vmkit_sandbox_outcome full = {.size = sizeof full};
    int r = vmk_sandbox_run(sandbox, &full, ret_error);
    if (r == 0)
        vmk_record_store(outcome, outcome->size, &full, sizeof full);
    return r;
}

VMKIT_EXPORT void
vmkit_sandbox_kill(vmkit_sandbox *sandbox)
{
    VMK_API_UNCANCELLED;
    if (sandbox != NULL)
        vmk_sandbox_kill(sandbox);
}

VMKIT_EXPORT void
vmkit_sandbox_pause(vmkit_sandbox *sandbox)
{
    VMK_API_UNCANCELLED;
    if (sandbox != NULL)
        vmk_sandbox_pause(sandbox);
}

VMKIT_EXPORT int
vmkit_sandbox_get_output(vmkit_sandbox *sandbox, uint32_t stream, const void **ret_data,
                         uint64_t *ret_size, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_POINTER(ret_data);
    VMK_API_CHECK_POINTER(ret_size);
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0)
        return r;
    r = vmk_sandbox_get_output(sandbox, stream, ret_data, ret_size, ret_error);
    vmk_sandbox_unlock(sandbox);
    return r;
}

VMKIT_EXPORT int
vmkit_sandbox_get_stats(vmkit_sandbox *sandbox, struct vmkit_sandbox_stats *stats,
                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_RECORD(stats, output_bytes);
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0)
        return r;

    struct vmkit_sandbox_stats full = {.size = sizeof full};
    vmk_sandbox_get_stats(sandbox, &full);
    vmk_sandbox_unlock(sandbox);
    vmk_record_store(stats, stats->size, &full, sizeof full);
    return 0;
}

VMKIT_EXPORT int
vmkit_sandbox_get_syscall_count(vmkit_sandbox *sandbox, uint32_t number, uint64_t *ret_count,
                                vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_POINTER(ret_count);
    if (number >= VMK_SYSCALL_LIMIT)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "system call %u is above %u", number, VMK_SYSCALL_LIMIT - 1);
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0)
        return r;
    *ret_count = vmk_sandbox_get_syscall_count(sandbox, number);
    vmk_sandbox_unlock(sandbox);
    return 0;
}

VMKIT_EXPORT const char *
vmkit_syscall_get_name(uint32_t number)
{
    const struct vmk_syscall *call = vmk_syscall_find(number);
    return call == NULL ? NULL : call->name;
}
