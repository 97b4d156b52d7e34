/* SPDX-License-Identifier: Apache-2.0 */
/* The general registers of a stopped user-mode vCPU: struct vmk_user_regs. */
#ifndef VMK_ARCH_X86_64_USERMODE_REGS_H
#define VMK_ARCH_X86_64_USERMODE_REGS_H

#include "kvm/x86_64_regs.h"

/* EM_X86_64 */
#define VMK_ARCH_ELF_MACHINE 62

#endif
