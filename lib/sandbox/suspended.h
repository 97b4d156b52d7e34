/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call or a request that vmkit_sandbox_pause() stopped. It alone can go on, with what it was made
 * with: the guest has its arguments, and its results go to where these are. Of the embedder's
 * memory nothing is kept but digests, which find a mistake; nobody gains from forging them.
 */
#ifndef VMK_SANDBOX_SUSPENDED_H
#define VMK_SANDBOX_SUSPENDED_H

#include "arch/usermode.h"
#include "sandbox/process.h"

#include <vmkit/call.h>

#include <stdint.h>

enum vmk_suspension { VMK_SUSPENDED_NONE, VMK_SUSPENDED_CALL, VMK_SUSPENDED_REQUEST };

struct vmk_suspended {
    enum vmk_suspension what;

    /* Of a call: where the program stood before it, and what it was made with. */
    struct vmk_user_regs ready;
    enum vmk_pause pause;
    uint64_t function;
    uint32_t result_kind;
    uint32_t argument_count;
    uint64_t arguments[VMKIT_CALL_MAX_ARGUMENTS];

    /* Of a request. */
    unsigned stage;
    uint64_t data_size;
    uint64_t data;
};

/* Note the call of `function`, or the request. Who notes it fills in the rest. */
void
vmk_suspended_note_call(struct vmk_suspended *suspended, const struct vmkit_call *call,
                        uint64_t function);

void
vmk_suspended_note_request(struct vmk_suspended *suspended, const void *data, uint64_t size);

/* Whether this is what was noted. 0 or -EINVAL. */
int
vmk_suspended_check_call(const struct vmk_suspended *suspended, const struct vmkit_call *call,
                         uint64_t function, vmkit_error **ret_error);

int
vmk_suspended_check_request(const struct vmk_suspended *suspended, const void *data, uint64_t size,
                            vmkit_error **ret_error);

#endif
