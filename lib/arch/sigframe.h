/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal frame of an architecture: what Linux puts on a program's stack before it enters a
 * handler, and reads back at rt_sigreturn. Here it is packed into a buffer and taken out of one;
 * the caller moves it to and from the guest. arch/<name>/sigframe.c has the layout.
 */
#ifndef VMK_ARCH_SIGFRAME_H
#define VMK_ARCH_SIGFRAME_H

#include "usermode_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel's struct siginfo (include/uapi/asm-generic/siginfo.h) as far as anything is in it; the
 * 80 bytes that follow for the guest are zeros. */
struct vmk_siginfo {
    int32_t signo;
    int32_t err;
    int32_t code;
    uint32_t padding;
    union {
        struct {
            uint32_t pid;
            uint32_t uid;
            uint64_t value;
        } sender;
        struct {
            int32_t id;
            int32_t overrun;
            uint64_t value;
        } timer;
        struct {
            uint64_t address;
        } fault;
        uint8_t bytes[32];
    };
};
_Static_assert(sizeof(struct vmk_siginfo) == 48, "struct kernel_siginfo");

/* Bytes of a siginfo in the guest. */
#define VMK_SIGINFO_SIZE 128

struct vmk_sigframe {
    struct vmk_siginfo info;
    uint64_t mask; /* what the return puts back */
    uint64_t altstack_sp;
    uint64_t altstack_size;
    uint32_t altstack_flags;
    uint64_t trap, error, fault_address; /* of the last fault */
    uint64_t handler;
    uint64_t restorer; /* 0: none */
    /* Where the stack is to start: the top of the alternate stack, or 0 to go on below the
     * program's own. */
    uint64_t stack_top;
    uint64_t xstate_va; /* of a frame that was taken apart; 0: it has none */
};

/* Room that a frame needs at most, with an extended state of `xstate_size` bytes. */
size_t
vmk_sigframe_get_capacity(size_t xstate_size);

/* Pack a frame for the program that stands at `regs`. `xstate` is its extended state, which is
 * changed to the form that goes on the stack. Stores where the frame belongs in the guest and its
 * size. 0; -EFAULT for a frame that Linux cannot push either: no restorer, or a stack that ends
 * below it; -ENOTSUP on an architecture without it. */
int
vmk_sigframe_pack(const struct vmk_sigframe *frame, const struct vmk_user_regs *regs, void *xstate,
                  size_t xstate_size, uint8_t *buffer, uint64_t *ret_va, size_t *ret_size);

/* Turn the registers to the handler of the frame that was written at `va`. */
void
vmk_sigframe_enter(const struct vmk_sigframe *frame, uint64_t va, struct vmk_user_regs *regs);

/* Reads guest memory: 0 or -EFAULT. */
typedef int
vmk_sigframe_read_fn(void *user_data, uint64_t va, void *destination, size_t size);

/* Take apart the frame that rt_sigreturn was called on. All of it is the guest's word: only what
 * user mode may choose gets into `regs`. The mask, the alternate stack and the place of the
 * extended state come back in `ret_frame`. 0; -EFAULT for a frame that costs the program a SIGSEGV,
 * with `regs` unchanged; -ENOTSUP. */
int
vmk_sigframe_unpack(struct vmk_user_regs *regs, vmk_sigframe_read_fn *read, void *user_data,
                    struct vmk_sigframe *ret_frame);

/* The extended state of a frame that was taken apart: `xstate`, of `xstate_size` bytes, becomes the
 * state to set. 0; -EFAULT or -EINVAL for one that costs the program a SIGSEGV; -ENOTSUP. */
int
vmk_sigframe_unpack_xstate(const struct vmk_sigframe *frame, vmk_sigframe_read_fn *read,
                           void *user_data, void *xstate, size_t xstate_size);

/* Make `xstate` the state that a handler starts with. */
void
vmk_sigframe_init_xstate(void *xstate, size_t xstate_size);

uint64_t
vmk_sigframe_get_stack_pointer(const struct vmk_user_regs *regs);

/* Put a system call's result where the program looks for it. */
void
vmk_sigframe_set_result(struct vmk_user_regs *regs, int64_t result);

/* From behind a system call, whose number and arguments are still in their registers, back to it.
 */
void
vmk_sigframe_rewind(struct vmk_user_regs *regs);

#endif
