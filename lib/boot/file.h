/* SPDX-License-Identifier: Apache-2.0 */
/* A file that something is loaded from: read at an offset, wherever it comes from. */
#ifndef VMK_BOOT_FILE_H
#define VMK_BOOT_FILE_H

#include <vmkit/error.h>

#include <stdint.h>
#include <sys/types.h>

struct vmk_boot_file {
    /* Read up to `size` bytes at `offset`, which lie inside of the file: how many were read, 0 when
     * the file became shorter, or a negative errno. */
    ssize_t (*read)(void *user_data, void *buffer, size_t size, uint64_t offset);
    void *user_data;
    uint64_t size;    /* Of the whole file. */
    const char *name; /* For messages. */
};

/* Read exactly `size` bytes. 0, -ENODATA when the file ends before, or a negative errno. */
int
vmk_boot_file_read(const struct vmk_boot_file *file, void *buffer, size_t size, uint64_t offset);

/* A regular file of the host. `path`, or `name`, is lent for as long as the file is open; of `fd`
 * the file has a copy, which shares no position with anybody, since none is used. */
int
vmk_boot_file_open(const char *path, struct vmk_boot_file *ret_file, vmkit_error **ret_error);

int
vmk_boot_file_open_fd(int fd, const char *name, struct vmk_boot_file *ret_file,
                      vmkit_error **ret_error);

/* Bytes that the caller lends. */
void
vmk_boot_file_open_memory(const void *data, uint64_t size, const char *name,
                          struct vmk_boot_file *ret_file);

/* A file that is all zero is closed. */
void
vmk_boot_file_close(struct vmk_boot_file *file);

#endif
