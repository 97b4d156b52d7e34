/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"
#include "api/export.h"
#include "api/uncancelled.h"
#include "vm/vm.h"

#include <vmkit/vm.h>

VMKIT_EXPORT int
vmkit_vm_config_new(vmkit_vm_config **ret_config, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(ret_config);
    return vmk_vm_config_new(ret_config, ret_error);
}

VMKIT_EXPORT vmkit_vm_config *
vmkit_vm_config_ref(vmkit_vm_config *config)
{
    return vmk_vm_config_ref(config);
}

VMKIT_EXPORT void
vmkit_vm_config_unref(vmkit_vm_config *config)
{
    VMK_API_UNCANCELLED;
    vmk_vm_config_unref(config);
}

VMKIT_EXPORT int
vmkit_vm_config_set_kvm_path(vmkit_vm_config *config, const char *path, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(config);
    return vmk_vm_config_set_kvm_path(config, path, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_config_set_kvm_fd(vmkit_vm_config *config, int fd, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(config);
    return vmk_vm_config_set_kvm_fd(config, fd, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_config_set_interrupt_controller(vmkit_vm_config *config, uint32_t controller,
                                         uint32_t pins, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(config);
    return vmk_vm_config_set_irqchip(config, controller, pins, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_new(const vmkit_vm_config *config, vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(ret_vm);
    return vmk_vm_new_configured(config, ret_vm, ret_error);
}

VMKIT_EXPORT vmkit_vm *
vmkit_vm_ref(vmkit_vm *vm)
{
    return vmk_vm_ref(vm);
}

VMKIT_EXPORT void
vmkit_vm_unref(vmkit_vm *vm)
{
    VMK_API_UNCANCELLED;
    vmk_vm_unref(vm);
}

VMKIT_EXPORT int
vmkit_vm_add_memory(vmkit_vm *vm, uint64_t gpa, vmkit_memory *memory, uint64_t offset,
                    uint64_t size, uint64_t flags, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    VMK_API_CHECK_POINTER(memory);
    VMK_API_CHECK_FLAGS(flags, VMKIT_REGION_READ_ONLY);
    return vmk_vm_add_memory(vm, gpa, memory, offset, size, (flags & VMKIT_REGION_READ_ONLY) != 0,
                             ret_error);
}

VMKIT_EXPORT int
vmkit_vm_remove_memory(vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_remove_memory(vm, gpa, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_read(vmkit_vm *vm, uint64_t gpa, void *destination, uint64_t size, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    if (size != 0)
        VMK_API_CHECK_POINTER(destination);
    return vmk_vm_read(vm, gpa, destination, size, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_write(vmkit_vm *vm, uint64_t gpa, const void *source, uint64_t size,
               vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    if (size != 0)
        VMK_API_CHECK_POINTER(source);
    return vmk_vm_write(vm, gpa, source, size, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_get_pointer(vmkit_vm *vm, uint64_t gpa, uint64_t size, void **ret_pointer,
                     vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vm);
    VMK_API_CHECK_POINTER(ret_pointer);
    return vmk_vm_get_pointer(vm, gpa, size, ret_pointer, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_add_handler(vmkit_vm *vm, uint32_t space, uint64_t address, uint64_t size,
                     vmkit_access_callback callback, vmkit_handler_release_callback release,
                     void *user_data, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    VMK_API_CHECK_POINTER(callback);
    struct vmk_bus_handler handler = {callback, release, user_data};
    return vmk_vm_add_handler(vm, (enum vmkit_space)space, address, size, &handler, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_remove_handler(vmkit_vm *vm, uint32_t space, uint64_t address, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_remove_handler(vm, (enum vmkit_space)space, address, ret_error);
}

static int
check_doorbell(uint32_t space, uint32_t length, uint64_t flags, vmkit_error **ret_error)
{
    bool match = (flags & VMKIT_IOEVENTFD_MATCH) != 0;
    VMK_API_CHECK_FLAGS(flags, VMKIT_IOEVENTFD_MATCH);
    if (space != VMKIT_SPACE_PIO && space != VMKIT_SPACE_MMIO)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "address space %u is not known", space);
    bool fits = length == 1 || length == 2 || length == 4;
    if (space == VMKIT_SPACE_MMIO)
        fits = fits || length == 8 || (length == 0 && !match);
    if (!fits)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "an eventfd cannot wait for a write of %u bytes there", length);
    return 0;
}

static struct vmk_kvm_doorbell
doorbell_from_public(uint32_t space, uint64_t address, uint32_t length, uint64_t flags,
                     uint64_t value, int fd)
{
    return (struct vmk_kvm_doorbell){
        .address = address,
        .size = length,
        .pio = space == VMKIT_SPACE_PIO,
        .match = (flags & VMKIT_IOEVENTFD_MATCH) != 0,
        .value = value,
        .fd = fd,
    };
}

VMKIT_EXPORT int
vmkit_vm_add_ioeventfd(vmkit_vm *vm, uint32_t space, uint64_t address, uint32_t length,
                       uint64_t flags, uint64_t value, int fd, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    struct vmk_kvm_doorbell doorbell =
        doorbell_from_public(space, address, length, flags, value, fd);
    int result = check_doorbell(space, length, flags, ret_error);
    return result < 0 ? result : vmk_vm_set_ioeventfd(vm, &doorbell, true, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_remove_ioeventfd(vmkit_vm *vm, uint32_t space, uint64_t address, uint32_t length,
                          uint64_t flags, uint64_t value, int fd, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    struct vmk_kvm_doorbell doorbell =
        doorbell_from_public(space, address, length, flags, value, fd);
    int result = check_doorbell(space, length, flags, ret_error);
    return result < 0 ? result : vmk_vm_set_ioeventfd(vm, &doorbell, false, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_add_irqfd(vmkit_vm *vm, int fd, uint32_t gsi, int resample_fd, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_set_irqfd(vm, fd, gsi, resample_fd, true, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_remove_irqfd(vmkit_vm *vm, int fd, uint32_t gsi, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_set_irqfd(vm, fd, gsi, -1, false, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_set_routes(vmkit_vm *vm, const struct vmkit_route *routes, uint32_t count,
                    vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vm);
    if (count != 0)
        VMK_API_CHECK_POINTER(routes);
    if (count > VMK_VM_LINES)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%u interrupt routes are more than the %d that a VM may have", count,
                             VMK_VM_LINES);
    return vmk_vm_set_routes(vm, routes, count, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_set_irq_line(vmkit_vm *vm, uint32_t gsi, uint32_t level, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vm);
    if (level > 1)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the level of interrupt line %u is %u, neither 0 nor 1", gsi, level);
    return vmk_vm_set_irq_line(vm, gsi, level, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_signal_msi(vmkit_vm *vm, uint64_t address, uint32_t data, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_signal_msi(vm, address, data, ret_error);
}
