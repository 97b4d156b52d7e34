/* SPDX-License-Identifier: Apache-2.0 */
/* Where the kernel's own headers put the fields of a signal frame. They cannot be included together
 * with the libc's <signal.h>. */
#ifndef VMK_TEST_SANDBOX_UAPI_FRAME_H
#define VMK_TEST_SANDBOX_UAPI_FRAME_H

#include <stddef.h>

/* Offsets from the frame's start; the return address comes first. */
struct uapi_frame {
    size_t uc_flags, stack_sp, stack_flags, stack_size, mask, info, size;
    size_t r8, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    size_t cs, ss, error, trap, old_mask, cr2, fpstate;
    size_t software_bytes, xstate_bv;
    size_t info_code, info_pid, info_value, info_timer_id, info_overrun, info_address;
    unsigned magic_start, magic_end;
};

extern const struct uapi_frame uapi_frame;

#endif
