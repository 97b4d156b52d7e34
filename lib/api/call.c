/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/call.h"

#include "api/check.h"
#include "api/export.h"
#include "api/record.h"
#include "api/uncancelled.h"
#include "sandbox/request.h"
#include "sandbox/sandbox.h"

VMKIT_EXPORT int
vmkit_sandbox_call(vmkit_sandbox *sandbox, const struct vmkit_call *call,
                   struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_RECORD(call, wall_time_limit_ns);
    VMK_API_CHECK_RECORD(outcome, instruction_pointer);
    struct vmkit_call full_call;
    struct vmkit_sandbox_outcome full_outcome = {.size = sizeof full_outcome};
    vmk_record_load(&full_call, sizeof full_call, call, call->size);
    int r = vmk_sandbox_call(sandbox, &full_call, &full_outcome, ret_error);
    if (r == 0)
        vmk_record_store(outcome, outcome->size, &full_outcome, sizeof full_outcome);
    return r;
}

VMKIT_EXPORT int
vmkit_sandbox_request(vmkit_sandbox *sandbox, const struct vmkit_request *request,
                      uint64_t *ret_reply_size, struct vmkit_sandbox_outcome *outcome,
                      vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_RECORD(request, wall_time_limit_ns);
    VMK_API_CHECK_POINTER(ret_reply_size);
    VMK_API_CHECK_RECORD(outcome, instruction_pointer);
    struct vmkit_request full_request;
    struct vmkit_sandbox_outcome full_outcome = {.size = sizeof full_outcome};
    vmk_record_load(&full_request, sizeof full_request, request, request->size);
    int r = vmk_sandbox_request(sandbox, &full_request, ret_reply_size, &full_outcome, ret_error);
    if (r == 0)
        vmk_record_store(outcome, outcome->size, &full_outcome, sizeof full_outcome);
    return r;
}

VMKIT_EXPORT int
vmkit_sandbox_find_symbol(vmkit_sandbox *sandbox, const char *name, uint64_t *ret_address,
                          vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_POINTER(name);
    VMK_API_CHECK_POINTER(ret_address);
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0)
        return r;
    r = vmk_sandbox_find_symbol(sandbox, name, ret_address, ret_error);
    vmk_sandbox_unlock(sandbox);
    return r;
}

VMKIT_EXPORT int
vmkit_sandbox_read_memory(vmkit_sandbox *sandbox, uint64_t address, void *buffer, uint64_t size,
                          vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    if (size != 0)
        VMK_API_CHECK_POINTER(buffer);
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0)
        return r;
    r = vmk_sandbox_read_memory(sandbox, address, buffer, size, ret_error);
    vmk_sandbox_unlock(sandbox);
    return r;
}

VMKIT_EXPORT int
vmkit_sandbox_write_memory(vmkit_sandbox *sandbox, uint64_t address, const void *buffer,
                           uint64_t size, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    if (size != 0)
        VMK_API_CHECK_POINTER(buffer);
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0)
        return r;
    r = vmk_sandbox_write_memory(sandbox, address, buffer, size, ret_error);
    vmk_sandbox_unlock(sandbox);
    return r;
}
