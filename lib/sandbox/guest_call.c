/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/guest_call.h"

#include "arch/usermode.h"
#include "sandbox/process.h"
#include "sandbox/request.h"
#include "sandbox/signals.h"
#include "sandbox/uaccess.h"

#include <vmkit/guest.h>

#include <errno.h>

/* Whether the process may not stand still now: `*ret_result` says why. Handlers run first, and then
 * it is ready: no call finds itself on top of a handler. */
static bool
must_go_on(const struct vmk_process *process, int64_t *ret_result)
{
    *ret_result = process->call_return_sp != 0 ? -EBUSY : -VMK_ERESTARTNOINTR;
    return process->call_return_sp != 0 || vmk_signals_pending(process);
}

static int64_t
ready(struct vmk_process *process)
{
    int64_t result;
    if (must_go_on(process, &result))
        return result;
    if (process->request != NULL)
        return -EBUSY;
    process->pause = VMK_PAUSE_READY;
    return 0;
}

/* Copy the request to where the guest receives it. */
static void
hand_over(struct vmk_process *process, struct vmk_request *request, uint64_t va, uint64_t size)
{
    request->buffer_va = va;
    request->buffer_size = size;
    if (request->size > size)
        request->stage = VMK_REQUEST_TOO_LARGE;
    else if (vmk_uaccess_write(process->space, va, request->data, request->size) < 0)
        request->stage = VMK_REQUEST_UNREACHABLE;
    else
        request->stage = VMK_REQUEST_TAKEN;
}

/* Take the request that waits, or stand still until there is one. */
static int64_t
receive(struct vmk_process *process, uint64_t va, uint64_t size, enum vmk_pause pause)
{
    struct vmk_request *request = process->request;
    if (request != NULL && request->stage == VMK_REQUEST_WAITS) {
        hand_over(process, request, va, size);
        /* One that is killed, or that its memory limit ends, does not get as far as its result. */
        if (request->stage == VMK_REQUEST_TAKEN || vmk_process_killed(process))
            return (int64_t)request->size;
    }
    process->pause = pause;
    /* What it is told when it goes on without a request. */
    return -ESHUTDOWN;
}

static int64_t
reply(struct vmk_process *process, uint64_t va, uint64_t size)
{
    struct vmk_request *request = process->request;
    if (request == NULL || request->stage != VMK_REQUEST_TAKEN)
        return -EPROTO;
    if (size > request->reply_capacity)
        return -EMSGSIZE;
    if (vmk_uaccess_read(process->space, va, request->reply, size) < 0)
        return -EFAULT;
    request->reply_size = size;
    request->stage = VMK_REQUEST_ANSWERED;
    process->pause = VMK_PAUSE_REPLIED;
    return 0;
}

static int64_t
exchange(struct vmk_process *process, uint64_t number, const uint64_t args[6])
{
    int64_t result;
    if (must_go_on(process, &result))
        return result;
    if (number == VMKIT_GUEST_NR_RECEIVE)
        return receive(process, args[0], args[1], VMK_PAUSE_RECEIVE);
    result = reply(process, args[0], args[1]);
    if (number == VMKIT_GUEST_NR_REPLY_RECEIVE && result == 0)
        return receive(process, args[2], args[3], VMK_PAUSE_REPLY_RECEIVE);
    return result;
}

bool
vmk_guest_call(struct vmk_process *process, uint64_t number, const uint64_t args[6],
               int64_t *ret_result)
{
    switch (number) {
    case VMKIT_GUEST_NR_READY:
        *ret_result = ready(process);
        return true;
    case VMKIT_GUEST_NR_GENERATION:
        *ret_result = (int64_t)vmk_usermode_get_generation_address(process->usermode);
        return true;
    case VMKIT_GUEST_NR_RECEIVE:
    case VMKIT_GUEST_NR_REPLY:
    case VMKIT_GUEST_NR_REPLY_RECEIVE:
        *ret_result = exchange(process, number, args);
        return true;
    default:
        return false;
    }
}

void
vmk_guest_call_resume(struct vmk_process *process, struct vmk_request *request)
{
    uint64_t args[6];
    if (process->pause != VMK_PAUSE_RECEIVE && process->pause != VMK_PAUSE_REPLY_RECEIVE)
        return;
    vmk_usermode_get_syscall(process->usermode, args);
    unsigned first = process->pause == VMK_PAUSE_RECEIVE ? 0 : 2;
    hand_over(process, request, args[first], args[first + 1]);
    if (request->stage == VMK_REQUEST_TAKEN)
        vmk_usermode_set_result(process->usermode, (int64_t)request->size);
}
