/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AArch64 programs do not run in a sandbox yet, so that none is called (AAPCS64, 6.8): this fills
 * no argument in. What needs the registers alone is here.
 */
#include "arch/callframe.h"

uint64_t
vmk_callframe_get_top(const struct vmk_user_regs *regs)
{
    return regs->sp;
}

void
vmk_callframe_enter(struct vmk_user_regs *regs, const struct vmk_usermode_stubs *stubs,
                    const struct vmk_callframe_request *request, struct vmk_callframe *ret_frame)
{
    ret_frame->word_count = 0;
    regs->sp = ret_frame->return_stack_pointer = request->top & ~UINT64_C(15);
    regs->x[30] = stubs->to_return;
    regs->pc = request->function;
}

void
vmk_callframe_get_result(const struct vmk_user_regs *regs, uint64_t ret_result[2])
{
    ret_result[0] = regs->x[0];
    ret_result[1] = regs->x[1];
}
