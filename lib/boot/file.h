/* SPDX-License-Identifier: Apache-2.0 */
/* A file that something is loaded from: read at an offset, wherever it comes from. */
#ifndef VMK_BOOT_FILE_H
#define VMK_BOOT_FILE_H

#include <stdint.h>
#include <sys/types.h>

struct vmk_boot_file {
    /* Read up to `size` bytes at `offset`: how many were read, 0 at the end, or a negative errno.
     */
    ssize_t (*read)(void *user_data, void *buffer, size_t size, uint64_t offset);
    void *user_data;
    uint64_t size;    /* Of the whole file. */
    const char *name; /* For messages. */
};

/* Read exactly `size` bytes. 0, -ENODATA when the file ends before, or a negative errno. */
int
vmk_boot_file_read(const struct vmk_boot_file *file, void *buffer, size_t size, uint64_t offset);

#endif
