/* SPDX-License-Identifier: Apache-2.0 */
/* Calls into a program that has declared itself ready (include/vmkit/call.h). */
#ifndef VMK_SANDBOX_CALL_H
#define VMK_SANDBOX_CALL_H

#include <vmkit/call.h>

/* As vmkit_sandbox_call(); `call` is a whole record. Fills all of `outcome` but its size. */
int
vmk_sandbox_call(vmkit_sandbox *sandbox, const struct vmkit_call *call,
                 struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error);

#endif
