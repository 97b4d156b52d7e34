/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox with guests/call*.c that is ready, and calls of its functions. */
#ifndef VMK_TEST_CALL_GUEST_H
#define VMK_TEST_CALL_GUEST_H

#include "sandbox_guest.h"

#include <vmkit/call.h>

#define MILLISECOND UINT64_C(1000000)

extern vmkit_sandbox_config *call_config;
extern vmkit_sandbox *call_sandbox;

/* Of the last call or run. */
extern struct vmkit_sandbox_outcome call_outcome;

/* A configuration and no sandbox yet: for limits of its own. */
void
call_guest_configure(const struct guest_image *image, const char *how);

/* Make the sandbox and run it until it is ready. */
void
call_guest_start(void);

/* For a fixture: both at once, and the end of both. */
void
call_guest_set_up(void);

void
call_guest_tear_down(void);

#define INTEGER(value)                                               \
    {                                                                \
        .kind = VMKIT_ARGUMENT_INTEGER, .integer = (uint64_t)(value) \
    }
#define DOUBLE(value)                                  \
    {                                                  \
        .kind = VMKIT_ARGUMENT_DOUBLE, .real = (value) \
    }
#define FLOAT(value)                                  \
    {                                                 \
        .kind = VMKIT_ARGUMENT_FLOAT, .real = (value) \
    }
#define BUFFER(how, at, bytes)                                      \
    {                                                               \
        .kind = VMKIT_ARGUMENT_##how, .data = (at), .size = (bytes) \
    }

/* The call returns, with these arguments. Its integer result. */
#define CALL(symbol, ...)                                                                 \
    call_guest_call(symbol, VMKIT_RESULT_INTEGER, (struct vmkit_argument[]){__VA_ARGS__}, \
                    sizeof((struct vmkit_argument[]){__VA_ARGS__}) /                      \
                        sizeof(struct vmkit_argument))

uint64_t
call_guest_call(const char *symbol, uint32_t result_kind, const struct vmkit_argument *arguments,
                size_t count);

/* The call comes back otherwise. */
void
call_guest_end(const struct vmkit_call *call, enum vmkit_outcome_kind kind);

/* The call is refused so, with a sentence that has `word`, and nothing has changed. */
void
call_guest_refuse(const struct vmkit_call *call, int result, const char *word);

/* A run of the program, which comes back so. */
void
call_guest_run(enum vmkit_outcome_kind kind);

#endif
