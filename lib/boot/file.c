/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/file.h"

#include <errno.h>

int
vmk_boot_file_read(const struct vmk_boot_file *file, void *buffer, size_t size, uint64_t offset)
{
    uint8_t *at = buffer;
    while (size > 0) {
        ssize_t n = file->read(file->user_data, at, size, offset);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -ENODATA;
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}
