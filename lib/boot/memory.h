/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a guest that is not running yet, as its loader writes it. What is not written is
 * left as it was, so that a fresh machine's pages stay untouched; what a kernel expects to be zero
 * is cleared, since a machine that starts again has its old memory.
 */
#ifndef VMK_BOOT_MEMORY_H
#define VMK_BOOT_MEMORY_H

#include "boot/file.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_boot_memory {
    /* Where the library has [gpa, gpa + size), or NULL when not all of it is memory that can be
     * written to. */
    void *(*map)(void *user_data, uint64_t gpa, uint64_t size);
    void *user_data;
    uint64_t low_size;  /* RAM from 0 on, below the hole */
    uint64_t high_size; /* RAM from 4 GiB on */
};

/* Whether [gpa, gpa + size) lies in the RAM below the hole and not in the first MiB, which is the
 * loader's own. */
bool
vmk_boot_memory_is_free(const struct vmk_boot_memory *memory, uint64_t gpa, uint64_t size);

/* Each is 0, or -EFAULT where the guest has no memory; `what` is for the message. */
int
vmk_boot_memory_write(const struct vmk_boot_memory *memory, uint64_t gpa, const void *data,
                      size_t size, const char *what, vmkit_error **ret_error);

int
vmk_boot_memory_clear(const struct vmk_boot_memory *memory, uint64_t gpa, uint64_t size,
                      const char *what, vmkit_error **ret_error);

/* Read a part of a file to there. Also -ENOEXEC when the file ends before, or an errno of reading.
 */
int
vmk_boot_memory_load(const struct vmk_boot_memory *memory, uint64_t gpa,
                     const struct vmk_boot_file *file, uint64_t offset, uint64_t size,
                     vmkit_error **ret_error);

#endif
