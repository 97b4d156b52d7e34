/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/suspended.h"

#include "archive/hash.h"
#include "util/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* What tells an argument from others: its kind, its value or its size, and the bytes that go in.
 * Where a buffer is matters to nobody. */
static uint64_t
digest(const struct vmkit_argument *argument)
{
    uint64_t value = argument->integer;
    switch (argument->kind) {
    case VMKIT_ARGUMENT_INTEGER:
        break;
    case VMKIT_ARGUMENT_DOUBLE:
    case VMKIT_ARGUMENT_FLOAT:
        memcpy(&value, &argument->real, sizeof value);
        break;
    default:
        value = argument->size;
        break;
    }
    uint64_t hash = vmk_archive_hash(&value, sizeof value, argument->kind);
    if (argument->kind == VMKIT_ARGUMENT_IN || argument->kind == VMKIT_ARGUMENT_IN_OUT)
        hash = vmk_archive_hash(argument->data, argument->size, hash);
    return hash;
}

void
vmk_suspended_note_call(struct vmk_suspended *suspended, const struct vmkit_call *call,
                        uint64_t function)
{
    suspended->what = VMK_SUSPENDED_CALL;
    suspended->function = function;
    suspended->result_kind = call->result_kind;
    suspended->argument_count = call->argument_count;
    for (unsigned i = 0; i < call->argument_count; i++)
        suspended->arguments[i] = digest(&call->arguments[i]);
}

void
vmk_suspended_note_request(struct vmk_suspended *suspended, const void *data, uint64_t size)
{
    suspended->what = VMK_SUSPENDED_REQUEST;
    suspended->data_size = size;
    suspended->data = vmk_archive_hash(data, size, 0);
}

int
vmk_suspended_check_call(const struct vmk_suspended *suspended, const struct vmkit_call *call,
                         uint64_t function, vmkit_error **ret_error)
{
    if (function != suspended->function || call->argument_count != suspended->argument_count ||
        call->result_kind != suspended->result_kind)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the sandbox is paused in another call, of the function at 0x%" PRIx64
                             " with %u arguments and a result of kind %u",
                             suspended->function, suspended->argument_count,
                             suspended->result_kind);
    for (unsigned i = 0; i < call->argument_count; i++) {
        if (digest(&call->arguments[i]) != suspended->arguments[i])
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                                 "argument %u is not that of the call that the sandbox is paused "
                                 "in, of the function at 0x%" PRIx64,
                                 i, suspended->function);
    }
    return 0;
}

int
vmk_suspended_check_request(const struct vmk_suspended *suspended, const void *data, uint64_t size,
                            vmkit_error **ret_error)
{
    if (size == suspended->data_size && vmk_archive_hash(data, size, 0) == suspended->data)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the sandbox is paused in a request of %" PRIu64
                         " bytes, and these %" PRIu64 " are others",
                         suspended->data_size, size);
}
