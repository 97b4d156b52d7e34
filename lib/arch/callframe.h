/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of a function by the architecture's calling convention: which argument goes into which
 * register and what goes on the stack, and where the result is. Pure computation; the caller moves
 * registers and memory. arch/<name>/callframe.c has the convention.
 *
 * Vector registers are not the caller's to set. Their values lie on the stack too, and stubs
 * (usermode.h) load them on the way in and store them on the way out.
 */
#ifndef VMK_ARCH_CALLFRAME_H
#define VMK_ARCH_CALLFRAME_H

#include "arch/usermode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMK_CALLFRAME_MAX_ARGUMENTS 64
#define VMK_CALLFRAME_VECTORS 8
/* The return address, the arguments with what aligns them, the vectors. */
#define VMK_CALLFRAME_MAX_WORDS (1 + VMK_CALLFRAME_MAX_ARGUMENTS + 1 + VMK_CALLFRAME_VECTORS)

/* An argument: an integer, or the bits of a double or of a float. */
struct vmk_callframe_argument {
    bool is_vector;
    uint64_t bits;
};

struct vmk_callframe_request {
    uint64_t function;
    uint64_t top; /* The stack is used below. */
    const struct vmk_callframe_argument *arguments;
    size_t count; /* At most VMK_CALLFRAME_MAX_ARGUMENTS. */
    bool returns_vector;
};

struct vmk_callframe {
    /* What belongs on the stack, from the stack pointer upwards. */
    uint64_t words[VMK_CALLFRAME_MAX_WORDS];
    size_t word_count;
    /* The stack pointer when the function has returned; there, the first two vector registers. */
    uint64_t return_stack_pointer;
};

/* The end of the stack that a function called from where the registers stand may use. */
uint64_t
vmk_callframe_get_top(const struct vmk_user_regs *regs);

/* Turn `regs` to the beginning of the function, with its arguments. */
void
vmk_callframe_enter(struct vmk_user_regs *regs, const struct vmk_usermode_stubs *stubs,
                    const struct vmk_callframe_request *request, struct vmk_callframe *ret_frame);

/* What the function returned in the two registers for integers. */
void
vmk_callframe_get_result(const struct vmk_user_regs *regs, uint64_t ret_result[2]);

#endif
