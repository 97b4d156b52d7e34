/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says to the library itself: the system calls of include/vmkit/guest.h. */
#ifndef VMK_SANDBOX_GUEST_CALL_H
#define VMK_SANDBOX_GUEST_CALL_H

#include <stdbool.h>
#include <stdint.h>

struct vmk_process;
struct vmk_request;

/* Serve one of them, which may make the process stand still (`pause`). False for any other number.
 */
bool
vmk_guest_call(struct vmk_process *process, uint64_t number, const uint64_t args[6],
               int64_t *ret_result);

/* The process goes on with a request. If it stands where it receives one, it gets this, unless it
 * cannot. */
void
vmk_guest_call_resume(struct vmk_process *process, struct vmk_request *request);

#endif
