/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling convention of x86-64 (System V ABI, AMD64 supplement, 3.2): six registers for
 * integers, eight for vectors, the rest on the stack, in 8 bytes each and in the arguments' order.
 * The stack pointer is 8 below a multiple of 16 at the first instruction, the return address there.
 */
#include "arch/callframe.h"

#include <string.h>

#define RED_ZONE 128
#define INTEGERS 6
#define FLAGS_AT_ENTRY UINT64_C(0x202) /* The direction flag is clear. */

uint64_t
vmk_callframe_get_top(const struct vmk_user_regs *regs)
{
    return regs->rsp - RED_ZONE;
}

void
vmk_callframe_enter(struct vmk_user_regs *regs, uint64_t function, uint64_t return_address,
                    uint64_t top, const struct vmk_callframe_argument *arguments, size_t count,
                    struct vmk_callframe *ret_frame)
{
    uint64_t integers[INTEGERS] = {0};
    size_t integer_count = 0;
    ret_frame->words[0] = return_address;
    ret_frame->word_count = 1;
    ret_frame->vector_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (arguments[i].is_vector && ret_frame->vector_count < VMK_CALLFRAME_VECTORS)
            ret_frame->vectors[ret_frame->vector_count++] = arguments[i].bits;
        else if (!arguments[i].is_vector && integer_count < INTEGERS)
            integers[integer_count++] = arguments[i].bits;
        else
            ret_frame->words[ret_frame->word_count++] = arguments[i].bits;
    }
    uint64_t arguments_at = (top - (ret_frame->word_count - 1) * sizeof(uint64_t)) & ~UINT64_C(15);
    ret_frame->return_stack_pointer = arguments_at;

    regs->rip = function;
    regs->rsp = arguments_at - sizeof(uint64_t);
    regs->rbp = 0; /* No frame above, for whoever unwinds. */
    regs->rflags = FLAGS_AT_ENTRY;
    /* How many vector registers are in use, for a function with variable arguments. */
    regs->rax = ret_frame->vector_count;
    regs->rdi = integers[0];
    regs->rsi = integers[1];
    regs->rdx = integers[2];
    regs->rcx = integers[3];
    regs->r8 = integers[4];
    regs->r9 = integers[5];
}

void
vmk_callframe_get_result(const struct vmk_user_regs *regs, uint64_t ret_result[2])
{
    ret_result[0] = regs->rax;
    ret_result[1] = regs->rdx;
}
