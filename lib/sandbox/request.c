/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/request.h"

#include "arch/usermode.h"
#include "sandbox/guest_call.h"
#include "sandbox/sandbox.h"
#include "util/error.h"

#include <errno.h>
#include <inttypes.h>

static int
check(const struct vmkit_request *request, vmkit_error **ret_error)
{
    if (request->reserved != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the request has %u in its reserved field", request->reserved);
    if ((request->data == NULL && request->data_size != 0) ||
        (request->reply == NULL && request->reply_capacity != 0))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the request has %" PRIu64 " bytes and room for %" PRIu64
                             ", and one of them is at NULL",
                             request->data_size, request->reply_capacity);
    return 0;
}

/* Whether the guest received the request, or may still do so. That it does not since it comes to
 * its end is no error. */
static int
check_stage(const struct vmk_process *process, const struct vmk_request *request,
            vmkit_error **ret_error)
{
    if (vmk_process_killed(process) || vmk_process_ended(process))
        return 0;
    if (request->stage == VMK_REQUEST_TOO_LARGE)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the request has %" PRIu64
                             " bytes, and the program receives at most %" PRIu64,
                             request->size, request->buffer_size);
    if (request->stage == VMK_REQUEST_UNREACHABLE)
        return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                             "the program cannot write %" PRIu64 " bytes at 0x%" PRIx64
                             ", where it receives the request",
                             request->size, request->buffer_va);
    return 0;
}

/* The program is where it can receive a request, or where one was paused. */
static int
check_standing(const vmkit_sandbox *sandbox, enum vmk_sandbox_state state, vmkit_error **ret_error)
{
    if (state != VMK_SANDBOX_READY)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                             "the program is not ready: run it until it waits for a request");
    if (!vmk_process_is_stopped(&sandbox->process) ||
        sandbox->suspended.what == VMK_SUSPENDED_REQUEST)
        return 0;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         "the program is paused, and not where it is ready: let it go on first");
}

/* Note a request that goes on another time, or that it does not. */
static void
suspend(vmkit_sandbox *sandbox, const struct vmk_request *request, enum vmk_sandbox_state state)
{
    sandbox->suspended.what = VMK_SUSPENDED_NONE;
    if (state != VMK_SANDBOX_READY || !vmk_process_is_stopped(&sandbox->process))
        return;
    vmk_suspended_note_request(&sandbox->suspended, request->data, request->size);
    sandbox->suspended.stage = request->stage;
}

/* Take up the one that was paused, if there is one. */
static int
resume(const vmkit_sandbox *sandbox, struct vmk_request *request, vmkit_error **ret_error)
{
    const struct vmk_suspended *suspended = &sandbox->suspended;
    if (suspended->what != VMK_SUSPENDED_REQUEST)
        return 0;
    request->stage = (enum vmk_request_stage)suspended->stage;
    return vmk_suspended_check_request(suspended, request->data, request->size, ret_error);
}

static int
make_request(vmkit_sandbox *sandbox, struct vmk_request *request,
             const struct vmk_time_limits *limits, enum vmk_sandbox_state *state,
             struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    int r = resume(sandbox, request, ret_error);
    if (r < 0)
        return r;
    vmk_guest_call_resume(process, request);
    r = check_stage(process, request, ret_error);
    if (r < 0)
        return r;
    process->request = request;
    r = vmk_sandbox_enter(sandbox, limits, state, ret_error);
    process->request = NULL;
    suspend(sandbox, request, *state);
    if (r == 0)
        r = check_stage(process, request, ret_error);
    if (r < 0)
        return r;
    vmk_sandbox_fill_outcome(sandbox, outcome);
    if (*state == VMK_SANDBOX_READY && request->stage == VMK_REQUEST_ANSWERED)
        outcome->kind = VMKIT_OUTCOME_REPLIED;
    return 0;
}

int
vmk_sandbox_request(vmkit_sandbox *sandbox, const struct vmkit_request *request,
                    uint64_t *ret_reply_size, struct vmkit_sandbox_outcome *outcome,
                    vmkit_error **ret_error)
{
    const struct vmk_time_limits limits = {.cpu_ns = request->cpu_time_limit_ns,
                                           .wall_ns = request->wall_time_limit_ns};
    struct vmk_request own = {.data = request->data,
                              .size = request->data_size,
                              .reply = request->reply,
                              .reply_capacity = request->reply_capacity};
    enum vmk_sandbox_state state;
    int r = check(request, ret_error);
    if (r == 0)
        r = vmk_sandbox_begin(sandbox, &state, ret_error);
    if (r < 0)
        return r;
    vmk_sandbox_ref(sandbox);
    r = check_standing(sandbox, state, ret_error);
    if (r == 0)
        r = make_request(sandbox, &own, &limits, &state, outcome, ret_error);
    if (r == 0)
        *ret_reply_size = outcome->kind == VMKIT_OUTCOME_REPLIED ? own.reply_size : 0;
    vmk_sandbox_finish(sandbox, state);
    vmk_sandbox_unref(sandbox);
    return r;
}
