/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling convention of AArch64 (AAPCS64, 6.8): eight registers for integers, eight for
 * vectors, the rest on the stack, in 8 bytes each and in the arguments' order. The return address
 * is in x30.
 */
#include "arch/callframe.h"

#define INTEGERS 8

uint64_t
vmk_callframe_get_top(const struct vmk_user_regs *regs)
{
    return regs->sp;
}

void
vmk_callframe_enter(struct vmk_user_regs *regs, uint64_t function, uint64_t return_address,
                    uint64_t top, const struct vmk_callframe_argument *arguments, size_t count,
                    struct vmk_callframe *ret_frame)
{
    size_t integer_count = 0;
    ret_frame->word_count = 0;
    ret_frame->vector_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (arguments[i].is_vector && ret_frame->vector_count < VMK_CALLFRAME_VECTORS)
            ret_frame->vectors[ret_frame->vector_count++] = arguments[i].bits;
        else if (!arguments[i].is_vector && integer_count < INTEGERS)
            regs->x[integer_count++] = arguments[i].bits;
        else
            ret_frame->words[ret_frame->word_count++] = arguments[i].bits;
    }
    regs->sp = (top - ret_frame->word_count * sizeof(uint64_t)) & ~UINT64_C(15);
    ret_frame->return_stack_pointer = regs->sp;
    regs->x[29] = 0; /* No frame above, for whoever unwinds. */
    regs->x[30] = return_address;
    regs->pc = function;
}

void
vmk_callframe_get_result(const struct vmk_user_regs *regs, uint64_t ret_result[2])
{
    ret_result[0] = regs->x[0];
    ret_result[1] = regs->x[1];
}
