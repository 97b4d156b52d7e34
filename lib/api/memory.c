/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"
#include "api/export.h"
#include "api/uncancelled.h"
#include "mem/memory.h"

VMKIT_EXPORT int
vmkit_memory_new_anonymous(uint64_t size, uint64_t flags, vmkit_memory **ret_memory,
                           vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(ret_memory);
    return vmk_memory_new_anonymous(size, flags, ret_memory, ret_error);
}

VMKIT_EXPORT int
vmkit_memory_new_memfd(const char *name, uint64_t size, uint64_t flags, vmkit_memory **ret_memory,
                       vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(ret_memory);
    return vmk_memory_new_memfd(name, size, flags, ret_memory, ret_error);
}

VMKIT_EXPORT int
vmkit_memory_new_fd(int fd, uint64_t offset, uint64_t size, uint64_t flags,
                    vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(ret_memory);
    return vmk_memory_new_fd(fd, offset, size, flags, ret_memory, ret_error);
}

VMKIT_EXPORT int
vmkit_memory_new_user(void *address, uint64_t size, vmkit_memory_release_callback release,
                      void *user_data, vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(ret_memory);
    return vmk_memory_new_user(address, size, release, user_data, ret_memory, ret_error);
}

VMKIT_EXPORT vmkit_memory *
vmkit_memory_ref(vmkit_memory *memory)
{
    return vmk_memory_ref(memory);
}

VMKIT_EXPORT void
vmkit_memory_unref(vmkit_memory *memory)
{
    VMK_API_UNCANCELLED;
    vmk_memory_unref(memory);
}

VMKIT_EXPORT void *
vmkit_memory_get_pointer(const vmkit_memory *memory)
{
    return memory == NULL ? NULL : vmk_memory_get_pointer(memory);
}

VMKIT_EXPORT uint64_t
vmkit_memory_get_size(const vmkit_memory *memory)
{
    return memory == NULL ? 0 : vmk_memory_get_size(memory);
}

VMKIT_EXPORT int
vmkit_memory_get_fd(const vmkit_memory *memory)
{
    return memory == NULL ? -1 : vmk_memory_get_fd(memory);
}
