/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of the Linux ABI that differ between architectures. */
#ifndef VMK_ARCH_AARCH64_ABI_H
#define VMK_ARCH_AARCH64_ABI_H

/* What uname(2) calls the machine. */
#define VMK_ABI_MACHINE "aarch64"

/* MINSIGSTKSZ of the kernel's uapi: the smallest alternate signal stack. */
#define VMK_ABI_MIN_SIGNAL_STACK 5120

#endif
