/* SPDX-License-Identifier: Apache-2.0 */
#include "uapi_frame.h"

#include <asm/sigcontext.h>
#include <linux/signal.h>
#include <asm/ucontext.h>

/* struct rt_sigframe is not among the headers for user space; it is these three. */
struct frame {
    char *return_address;
    struct ucontext uc;
    struct siginfo info;
};

#define CONTEXT(field) offsetof(struct frame, uc.uc_mcontext.field)

const struct uapi_frame uapi_frame = {
    .uc_flags = offsetof(struct frame, uc.uc_flags),
    .stack_sp = offsetof(struct frame, uc.uc_stack.ss_sp),
    .stack_flags = offsetof(struct frame, uc.uc_stack.ss_flags),
    .stack_size = offsetof(struct frame, uc.uc_stack.ss_size),
    .mask = offsetof(struct frame, uc.uc_sigmask),
    .info = offsetof(struct frame, info),
    .size = sizeof(struct frame),
    .r8 = CONTEXT(r8),
    .r15 = CONTEXT(r15),
    .rdi = CONTEXT(rdi),
    .rsi = CONTEXT(rsi),
    .rbp = CONTEXT(rbp),
    .rbx = CONTEXT(rbx),
    .rdx = CONTEXT(rdx),
    .rax = CONTEXT(rax),
    .rcx = CONTEXT(rcx),
    .rsp = CONTEXT(rsp),
    .rip = CONTEXT(rip),
    .rflags = CONTEXT(eflags),
    .cs = CONTEXT(cs),
    .ss = CONTEXT(ss),
    .error = CONTEXT(err),
    .trap = CONTEXT(trapno),
    .old_mask = CONTEXT(oldmask),
    .cr2 = CONTEXT(cr2),
    .fpstate = CONTEXT(fpstate),
    .software_bytes = offsetof(struct _xstate, fpstate.sw_reserved),
    .xstate_bv = offsetof(struct _xstate, xstate_hdr.xfeatures),
    .info_code = offsetof(struct frame, info.si_code),
    .info_pid = offsetof(struct frame, info._sifields._rt._pid),
    .info_value = offsetof(struct frame, info._sifields._rt._sigval),
    .info_timer_id = offsetof(struct frame, info._sifields._timer._tid),
    .info_overrun = offsetof(struct frame, info._sifields._timer._overrun),
    .info_address = offsetof(struct frame, info._sifields._sigfault._addr),
    .magic_start = FP_XSTATE_MAGIC1,
    .magic_end = FP_XSTATE_MAGIC2,
};
