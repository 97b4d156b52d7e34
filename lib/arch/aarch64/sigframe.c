/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AArch64 programs do not run in a sandbox yet, so there is no frame of theirs (struct rt_sigframe
 * of arch/arm64/kernel/signal.c): packing and unpacking say so. What needs the registers alone is
 * here.
 */
#include "arch/sigframe.h"

#include <errno.h>
#include <string.h>

size_t
vmk_sigframe_get_capacity(size_t xstate_size)
{
    return xstate_size;
}

int
vmk_sigframe_pack(const struct vmk_sigframe *frame, const struct vmk_user_regs *regs, void *xstate,
                  size_t xstate_size, uint8_t *buffer, uint64_t *ret_va, size_t *ret_size)
{
    return -ENOTSUP;
}

void
vmk_sigframe_enter(const struct vmk_sigframe *frame, uint64_t va, struct vmk_user_regs *regs)
{
    regs->x[0] = (uint64_t)frame->info.signo;
    regs->x[30] = frame->restorer;
    regs->sp = va;
    regs->pc = frame->handler;
}

int
vmk_sigframe_unpack(struct vmk_user_regs *regs, vmk_sigframe_read_fn *read, void *user_data,
                    struct vmk_sigframe *ret_frame)
{
    return -ENOTSUP;
}

int
vmk_sigframe_unpack_xstate(const struct vmk_sigframe *frame, vmk_sigframe_read_fn *read,
                           void *user_data, void *xstate, size_t xstate_size)
{
    return -ENOTSUP;
}

void
vmk_sigframe_init_xstate(void *xstate, size_t xstate_size)
{
    memset(xstate, 0, xstate_size);
}

uint64_t
vmk_sigframe_get_stack_pointer(const struct vmk_user_regs *regs)
{
    return regs->sp;
}

void
vmk_sigframe_set_result(struct vmk_user_regs *regs, int64_t result)
{
    regs->x[0] = (uint64_t)result;
}

/* SVC is four bytes long; X8 and X0 to X5 still hold the call. */
void
vmk_sigframe_rewind(struct vmk_user_regs *regs)
{
    regs->pc -= 4;
}
