/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of a function by the architecture's calling convention: which argument goes into which
 * register and what goes on the stack, and where the result is. Pure computation; the caller moves
 * registers and memory. arch/<name>/callframe.c has the convention.
 */
#ifndef VMK_ARCH_CALLFRAME_H
#define VMK_ARCH_CALLFRAME_H

#include "usermode_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMK_CALLFRAME_MAX_ARGUMENTS 64
#define VMK_CALLFRAME_VECTORS 8

/* An argument: an integer, or the bits of a double or of a float. */
struct vmk_callframe_argument {
    bool is_vector;
    uint64_t bits;
};

struct vmk_callframe {
    /* What belongs on the stack, from the stack pointer upwards. */
    uint64_t words[VMK_CALLFRAME_MAX_ARGUMENTS + 1];
    size_t word_count;
    /* The lower halves of the first vector registers. */
    uint64_t vectors[VMK_CALLFRAME_VECTORS];
    size_t vector_count;
    uint64_t return_stack_pointer; /* When the function has returned. */
};

/* The end of the stack that a function called from where the registers stand may use. */
uint64_t
vmk_callframe_get_top(const struct vmk_user_regs *regs);

/* Turn `regs` to the beginning of `function`, which is to return to `return_address`, with the
 * arguments, of which there are at most VMK_CALLFRAME_MAX_ARGUMENTS. The stack is used below `top`.
 */
void
vmk_callframe_enter(struct vmk_user_regs *regs, uint64_t function, uint64_t return_address,
                    uint64_t top, const struct vmk_callframe_argument *arguments, size_t count,
                    struct vmk_callframe *ret_frame);

/* What the function returned in the two registers for integers. */
void
vmk_callframe_get_result(const struct vmk_user_regs *regs, uint64_t ret_result[2]);

#endif
