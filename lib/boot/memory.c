/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/memory.h"

#include "layout.h"
#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>

bool
vmk_boot_memory_is_free(const struct vmk_boot_memory *memory, uint64_t gpa, uint64_t size)
{
    return memory->low_size > VMK_X86_HIGH_START &&
           vmk_range_inside(gpa, size, VMK_X86_HIGH_START, memory->low_size - VMK_X86_HIGH_START);
}

static int
map(const struct vmk_boot_memory *memory, uint64_t gpa, uint64_t size, const char *what,
    void **ret_address, vmkit_error **ret_error)
{
    *ret_address = memory->map(memory->user_data, gpa, size);
    if (*ret_address != NULL)
        return 0;
    return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                         "the guest has no memory for the %llu bytes of %s at 0x%llx",
                         (unsigned long long)size, what, (unsigned long long)gpa);
}

int
vmk_boot_memory_write(const struct vmk_boot_memory *memory, uint64_t gpa, const void *data,
                      size_t size, const char *what, vmkit_error **ret_error)
{
    void *address;
    if (size == 0)
        return 0;
    int r = map(memory, gpa, size, what, &address, ret_error);
    if (r == 0)
        memcpy(address, data, size);
    return r;
}

int
vmk_boot_memory_clear(const struct vmk_boot_memory *memory, uint64_t gpa, uint64_t size,
                      const char *what, vmkit_error **ret_error)
{
    void *address;
    if (size == 0)
        return 0;
    int r = map(memory, gpa, size, what, &address, ret_error);
    if (r == 0)
        memset(address, 0, (size_t)size);
    return r;
}

int
vmk_boot_memory_load(const struct vmk_boot_memory *memory, uint64_t gpa,
                     const struct vmk_boot_file *file, uint64_t offset, uint64_t size,
                     vmkit_error **ret_error)
{
    void *address;
    if (size == 0)
        return 0;
    int r = map(memory, gpa, size, file->name, &address, ret_error);
    if (r < 0)
        return r;
    r = vmk_boot_file_read(file, address, (size_t)size, offset);
    if (r == -ENODATA)
        return vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                             "%s: the file ends before the %llu bytes at offset %llu", file->name,
                             (unsigned long long)size, (unsigned long long)offset);
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "%s: reading %llu bytes at offset %llu", file->name,
                                   (unsigned long long)size, (unsigned long long)offset);
    return 0;
}
