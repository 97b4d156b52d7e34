/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
vmk_kvm_vm_new(struct vmk_kvm_system *system, struct vmk_kvm_vm **ret_vm, vmkit_error **ret_error)
{
    struct vmk_kvm_vm *vm = calloc(1, sizeof *vm);
    if (vm == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a VM");

    /* A signal that comes while the kernel starts its helpers ends the call early. */
    do {
        vm->fd = vmk_kvm_system_ioctl(system, KVM_CREATE_VM, 0);
    } while (vm->fd == -EINTR);
    if (vm->fd < 0) {
        int result = vmk_kvm_fail_known(ret_error, vm->fd, VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE),
                                        "KVM_CREATE_VM");
        free(vm);
        return result;
    }
    vm->system = vmk_kvm_system_ref(system);
    *ret_vm = vm;
    return 0;
}

void
vmk_kvm_vm_free(struct vmk_kvm_vm *vm)
{
    if (vm == NULL)
        return;
    vm->system->ops.close(vm->system->ops.context, vm->fd);
    vmk_kvm_system_unref(vm->system);
    free(vm);
}

struct vmk_kvm_system *
vmk_kvm_vm_get_system(const struct vmk_kvm_vm *vm)
{
    return vm->system;
}

static int
set_slot(struct vmk_kvm_vm *vm, const struct kvm_userspace_memory_region *slot)
{
    return vmk_kvm_vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)slot);
}

int
vmk_kvm_vm_set_slot(struct vmk_kvm_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa,
                    uint64_t size, void *hva, vmkit_error **ret_error)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = ((flags & VMK_KVM_SLOT_READ_ONLY) != 0 ? KVM_MEM_READONLY : 0u) |
                 ((flags & VMK_KVM_SLOT_DIRTY_LOG) != 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0u),
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)hva,
    };
    int result = set_slot(vm, &region);
    return result < 0 ? vmk_kvm_fail_known(ret_error, result, VMK_ERRNO(EINVAL) | VMK_ERRNO(EEXIST),
                                           "KVM_SET_USER_MEMORY_REGION")
                      : 0;
}

int
vmk_kvm_vm_delete_slot(struct vmk_kvm_vm *vm, uint32_t slot, vmkit_error **ret_error)
{
    struct kvm_userspace_memory_region region = {.slot = slot};
    int result = set_slot(vm, &region);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_SET_USER_MEMORY_REGION") : 0;
}

int
vmk_kvm_vm_get_dirty_log(struct vmk_kvm_vm *vm, uint32_t slot, uint64_t *bitmap,
                         vmkit_error **ret_error)
{
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
    int result = vmk_kvm_vm_ioctl(vm, KVM_GET_DIRTY_LOG, (uintptr_t)&log);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_GET_DIRTY_LOG") : 0;
}

int
vmk_kvm_vm_keep_dirty_log(struct vmk_kvm_vm *vm, vmkit_error **ret_error)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                 .args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE}};
    int result = vmk_kvm_vm_ioctl(vm, KVM_ENABLE_CAP, (uintptr_t)&cap);
    if (result == -EINVAL)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                             "this host's KVM clears its dirty log whenever it is read");
    return result < 0 ? vmk_kvm_fail(ret_error, result,
                                     "KVM_ENABLE_CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)")
                      : 0;
}

int
vmk_kvm_vm_clear_dirty_log(struct vmk_kvm_vm *vm, uint32_t slot, uint64_t pages,
                           const uint64_t *bitmap, vmkit_error **ret_error)
{
    /* One call takes 32 bits of pages, in whole words but for the slot's end. */
    const uint64_t most = UINT64_C(1) << 30;
    for (uint64_t first = 0; first < pages; first += most) {
        struct kvm_clear_dirty_log log = {
            .slot = slot,
            .first_page = first,
            .num_pages = (uint32_t)(pages - first < most ? pages - first : most),
            .dirty_bitmap = (void *)(uintptr_t)(bitmap + first / 64),
        };
        int result = vmk_kvm_vm_ioctl(vm, KVM_CLEAR_DIRTY_LOG, (uintptr_t)&log);
        if (result < 0)
            return vmk_kvm_fail(ret_error, result, "KVM_CLEAR_DIRTY_LOG");
    }
    return 0;
}

int
vmk_kvm_vm_create_irqchip(struct vmk_kvm_vm *vm, vmkit_error **ret_error)
{
    int result = vmk_kvm_vm_ioctl(vm, KVM_CREATE_IRQCHIP, 0);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_CREATE_IRQCHIP") : 0;
}

int
vmk_kvm_vm_set_irqfd(struct vmk_kvm_vm *vm, int fd, uint32_t gsi, int resample_fd, bool assign,
                     vmkit_error **ret_error)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};
    if (!assign) {
        irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
    } else if (resample_fd >= 0) {
        irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
        irqfd.resamplefd = (uint32_t)resample_fd;
    }
    int result = vmk_kvm_vm_ioctl(vm, KVM_IRQFD, (uintptr_t)&irqfd);
    uint64_t known = VMK_ERRNO(EINVAL) | (assign ? VMK_ERRNO(EBUSY) : 0);
    if (result == 0)
        return 0;
    char what[64];
    snprintf(what, sizeof what, "KVM_IRQFD of descriptor %d for line %" PRIu32, fd, gsi);
    return vmk_kvm_fail_known(ret_error, result, known, what);
}

int
vmk_kvm_vm_set_ioeventfd(struct vmk_kvm_vm *vm, const struct vmk_kvm_doorbell *doorbell,
                         bool assign, vmkit_error **ret_error)
{
    struct kvm_ioeventfd ioeventfd = {
        .datamatch = doorbell->value,
        .addr = doorbell->address,
        .len = doorbell->size,
        .fd = doorbell->fd,
        .flags = (doorbell->pio ? 1u << kvm_ioeventfd_flag_nr_pio : 0u) |
                 (doorbell->match ? 1u << kvm_ioeventfd_flag_nr_datamatch : 0u) |
                 (assign ? 0u : 1u << kvm_ioeventfd_flag_nr_deassign),
    };
    int result = vmk_kvm_vm_ioctl(vm, KVM_IOEVENTFD, (uintptr_t)&ioeventfd);
    uint64_t known =
        VMK_ERRNO(EINVAL) | (assign ? VMK_ERRNO(EEXIST) | VMK_ERRNO(ENOSPC) : VMK_ERRNO(ENOENT));
    if (result == 0)
        return 0;
    char what[96];
    snprintf(what, sizeof what,
             "KVM_IOEVENTFD of descriptor %" PRId32 " at %s 0x%" PRIx64 ", %" PRIu32 " bytes",
             doorbell->fd, doorbell->pio ? "port" : "address", doorbell->address, doorbell->size);
    return vmk_kvm_fail_known(ret_error, result, known, what);
}

static void
route_to_uapi(const struct vmk_kvm_route *route, struct kvm_irq_routing_entry *entry)
{
    entry->gsi = route->gsi;
    if (route->kind == VMK_KVM_ROUTE_PIN) {
        entry->type = KVM_IRQ_ROUTING_IRQCHIP;
        entry->u.irqchip.irqchip = route->chip;
        entry->u.irqchip.pin = route->pin;
        return;
    }
    entry->type = KVM_IRQ_ROUTING_MSI;
    entry->u.msi.address_lo = (uint32_t)route->msi_address;
    entry->u.msi.address_hi = (uint32_t)(route->msi_address >> 32);
    entry->u.msi.data = route->msi_data;
}

int
vmk_kvm_vm_set_routes(struct vmk_kvm_vm *vm, const struct vmk_kvm_route *routes, uint32_t count,
                      vmkit_error **ret_error)
{
    struct kvm_irq_routing *table =
        calloc(1, sizeof *table + count * sizeof(struct kvm_irq_routing_entry));
    if (table == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %u interrupt routes", count);
    table->nr = count;
    for (uint32_t i = 0; i < count; i++)
        route_to_uapi(&routes[i], &table->entries[i]);
    int result = vmk_kvm_vm_ioctl(vm, KVM_SET_GSI_ROUTING, (uintptr_t)table);
    free(table);
    return result < 0
               ? vmk_kvm_fail_known(ret_error, result, VMK_ERRNO(EINVAL), "KVM_SET_GSI_ROUTING")
               : 0;
}

int
vmk_kvm_vm_set_irq_line(struct vmk_kvm_vm *vm, uint32_t gsi, bool level, vmkit_error **ret_error)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};
    int result = vmk_kvm_vm_ioctl(vm, KVM_IRQ_LINE, (uintptr_t)&line);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_IRQ_LINE") : 0;
}

int
vmk_kvm_vm_signal_msi(struct vmk_kvm_vm *vm, uint64_t address, uint32_t data,
                      vmkit_error **ret_error)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)address,
        .address_hi = (uint32_t)(address >> 32),
        .data = data,
    };
    int result = vmk_kvm_vm_ioctl(vm, KVM_SIGNAL_MSI, (uintptr_t)&msi);
    /* The kernel's -1, which is no errno: there is no vCPU that it is for. */
    if (result == -EPERM)
        return 0;
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_SIGNAL_MSI") : result > 0;
}
