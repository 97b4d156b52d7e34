/* SPDX-License-Identifier: Apache-2.0 */
/* The general registers of a vCPU. The order is that of struct kvm_regs (KVM API 4.11), which
 * x86_64.c asserts, so that a run loop reads and writes them in the shared kvm_run page without a
 * copy. */
#ifndef VMK_KVM_X86_64_REGS_H
#define VMK_KVM_X86_64_REGS_H

#include <stdint.h>

struct vmk_user_regs {
    uint64_t rax, rbx, rcx, rdx;
    uint64_t rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11;
    uint64_t r12, r13, r14, r15;
    uint64_t rip, rflags;
};

#endif
