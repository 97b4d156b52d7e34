/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the guest's buffers and the operations of a file: a range of guest addresses becomes
 * pieces of host memory, a few at a time, and the file reads into them or writes from them without
 * a copy.
 */
#ifndef VMK_SANDBOX_TRANSFER_H
#define VMK_SANDBOX_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vmk_file;
struct vmk_process;

/* struct iovec of the guest. */
struct vmk_guest_iovec {
    uint64_t base;
    uint64_t size;
};

#define VMK_GUEST_IOV_MAX 1024

/* The most bytes of one call, as Linux has it: MAX_RW_COUNT. */
#define VMK_TRANSFER_MAX 0x7ffff000u

/* Read into the buffers, or write from them. `offset` is an explicit position that the call leaves
 * to the file (pread); NULL stands for the file's own, which moves. The count or a negative errno.
 */
int64_t
vmk_transfer(struct vmk_process *process, struct vmk_file *file, bool write,
             const struct vmk_guest_iovec *buffers, unsigned count, uint64_t *offset);

#endif
