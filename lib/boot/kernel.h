/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel in the memory of its guest, and what else its file says of how it is started; between
 * the files of this room. */
#ifndef VMK_BOOT_KERNEL_H
#define VMK_BOOT_KERNEL_H

#include "boot/elf.h"
#include "boot/memory.h"
#include "boot_regs.h"

#include <vmkit/error.h>

#include <stdint.h>

/* The setup header lies here, both in a bzImage and in boot_params, and ends before there. */
#define VMK_SETUP_HEADER 0x1f1
#define VMK_SETUP_HEADER_END 0x290

/* What Linux for x86-64 has room for, without the NUL. */
#define VMK_COMMAND_LINE_MAX 2047

struct vmk_boot_kernel {
    enum vmk_x86_boot_mode mode;
    uint64_t entry;
    uint64_t start;            /* The memory that it needs until it knows of all memory: */
    uint64_t end;              /* [start, end). */
    uint64_t initrd_end;       /* An initrd ends here or below. */
    uint32_t command_line_max; /* bytes, without the NUL */
    /* From VMK_SETUP_HEADER on, as the file has it; all zero where the file has none. */
    uint8_t setup_header[VMK_SETUP_HEADER_END - VMK_SETUP_HEADER];
};

/* Each checks the file, puts the kernel into memory and describes it. -ENOEXEC with a sentence for
 * a file that is not in order, -E2BIG for one that does not fit into the memory, an errno of
 * reading, -EFAULT, -ENOMEM. */
int
vmk_boot_load_bzimage(const struct vmk_boot_file *file, const struct vmk_boot_memory *memory,
                      struct vmk_boot_kernel *ret_kernel, vmkit_error **ret_error);

/* By PVH where the file has a note of such an entry point, else by the 64-bit one; the latter alone
 * if `is_64_bit`, and the former alone if `is_pvh`. */
int
vmk_boot_load_elf(const struct vmk_boot_file *file, bool is_pvh, bool is_64_bit,
                  const struct vmk_boot_memory *memory, struct vmk_boot_kernel *ret_kernel,
                  vmkit_error **ret_error);

/* Bytes that go to `address` and start there, in 64-bit mode. */
int
vmk_boot_load_raw(const struct vmk_boot_file *file, uint64_t address,
                  const struct vmk_boot_memory *memory, struct vmk_boot_kernel *ret_kernel,
                  vmkit_error **ret_error);

#endif
