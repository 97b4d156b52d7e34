/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/guest_call.h"

#include "sandbox/process.h"
#include "sandbox/signals.h"

#include <vmkit/guest.h>

#include <errno.h>

static int64_t
ready(struct vmk_process *process)
{
    if (process->call_return_sp != 0)
        return -EBUSY;
    /* Handlers run first, and then it is ready: no call finds itself on top of a handler. */
    if (vmk_signals_pending(process))
        return -VMK_ERESTARTNOINTR;
    process->pause = VMK_PAUSE_READY;
    return 0;
}

bool
vmk_guest_call(struct vmk_process *process, uint64_t number, const uint64_t args[6],
               int64_t *ret_result)
{
    switch (number) {
    case VMKIT_GUEST_NR_READY:
        *ret_result = ready(process);
        return true;
    default:
        return false;
    }
}
