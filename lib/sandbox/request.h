/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a program that receives them (include/vmkit/call.h, include/vmkit/guest.h). A request
 * is the embedder's own memory, and goes to the guest and back by one copy each: at the guest's
 * system calls on the embedder's thread.
 */
#ifndef VMK_SANDBOX_REQUEST_H
#define VMK_SANDBOX_REQUEST_H

#include <vmkit/call.h>

#include <stdint.h>

enum vmk_request_stage {
    VMK_REQUEST_WAITS, /* The guest has not received it yet. */
    VMK_REQUEST_TAKEN,
    VMK_REQUEST_ANSWERED,
    VMK_REQUEST_TOO_LARGE,   /* The guest's buffer is smaller, */
    VMK_REQUEST_UNREACHABLE, /* or cannot be written. */
};

/* What of a request the guest's system calls use (guest_call.c). */
struct vmk_request {
    enum vmk_request_stage stage;
    const void *data;
    uint64_t size;
    void *reply;
    uint64_t reply_capacity;
    uint64_t reply_size;
    /* Where the guest receives it. */
    uint64_t buffer_va;
    uint64_t buffer_size;
};

/* As vmkit_sandbox_request(); `request` is a whole record. Fills all of `outcome` but its size. */
int
vmk_sandbox_request(vmkit_sandbox *sandbox, const struct vmkit_request *request,
                    uint64_t *ret_reply_size, struct vmkit_sandbox_outcome *outcome,
                    vmkit_error **ret_error);

#endif
