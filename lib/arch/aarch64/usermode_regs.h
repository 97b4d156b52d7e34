/* SPDX-License-Identifier: Apache-2.0 */
/* The general registers of a stopped user-mode vCPU, in the order of struct user_pt_regs
 * (arch/arm64/include/uapi/asm/ptrace.h). */
#ifndef VMK_ARCH_AARCH64_USERMODE_REGS_H
#define VMK_ARCH_AARCH64_USERMODE_REGS_H

#include <stdint.h>

/* EM_AARCH64 */
#define VMK_ARCH_ELF_MACHINE 183

struct vmk_user_regs {
    uint64_t x[31];
    uint64_t sp;
    uint64_t pc;
    uint64_t pstate;
};

#endif
