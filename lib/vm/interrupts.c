/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts into a VM and doorbells out of it. With a controller in the kernel, KVM does the work;
 * without one, the vectors wait in the vCPU until the thread that runs it can inject them (KVM API
 * 4.16, and 5 on "request_interrupt_window").
 */
#include "arch/machine.h"
#include "util/checked.h"
#include "vm/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#define PORTS 0x10000

static int
check_eventfd(int fd, vmkit_error **ret_error)
{
    if (fcntl(fd, F_GETFD) >= 0)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "descriptor %d is not open", fd);
}

/* Linux has as many (KVM_MAX_IRQ_ROUTES), and takes others without a word. */
static int
check_line(uint32_t gsi, vmkit_error **ret_error)
{
    if (gsi < VMK_VM_LINES)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                         "interrupt line %" PRIu32 " is beyond the last one, %d", gsi,
                         VMK_VM_LINES - 1);
}

static int
check_irqchip(struct vmkit_vm *vm, enum vmk_vm_irqchip least, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0 || vm->irqchip >= least)
        return result;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         least == VMK_VM_IRQCHIP_KERNEL
                             ? "the VM was made without an interrupt controller in the kernel"
                             : "the VM was made without an interrupt controller");
}

/* KVM would take any, and never signal it. */
static int
check_port(const struct vmk_kvm_doorbell *doorbell, vmkit_error **ret_error)
{
    if (!doorbell->pio || vmk_range_inside(doorbell->address, doorbell->size, 0, PORTS))
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                         "an ioeventfd of %" PRIu32 " bytes at port 0x%" PRIx64
                         " ends beyond the last port, 0xffff",
                         doorbell->size, doorbell->address);
}

int
vmk_vm_set_ioeventfd(struct vmkit_vm *vm, const struct vmk_kvm_doorbell *doorbell, bool assign,
                     vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    if (result == 0)
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_IOEVENTFD, ret_error);
    if (result == 0)
        result = check_eventfd(doorbell->fd, ret_error);
    if (result == 0 && assign)
        result = check_port(doorbell, ret_error);
    if (result == 0)
        result = vmk_kvm_vm_set_ioeventfd(vm->kvm, doorbell, assign, ret_error);
    if (result == 0)
        atomic_fetch_add(&vm->doorbells, assign ? 1 : -1u);
    return result;
}

int
vmk_vm_set_irqfd(struct vmkit_vm *vm, int fd, uint32_t gsi, int resample_fd, bool assign,
                 vmkit_error **ret_error)
{
    int result = check_irqchip(vm, VMK_VM_IRQCHIP_SPLIT, ret_error);
    if (result == 0)
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_IRQFD, ret_error);
    if (result == 0)
        result = check_eventfd(fd, ret_error);
    if (result == 0)
        result = check_line(gsi, ret_error);
    if (result == 0 && resample_fd >= 0) {
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_IRQFD_RESAMPLE, ret_error);
        if (result == 0)
            result = check_eventfd(resample_fd, ret_error);
    }
    if (result == 0)
        result = vmk_kvm_vm_set_irqfd(vm->kvm, fd, gsi, resample_fd, assign, ret_error);
    if (result == 0 && assign)
        atomic_store(&vm->had_irqfd, true);
    return result;
}

static int
check_pin(const struct vmkit_route *route, vmkit_error **ret_error)
{
    uint32_t pins = vmk_arch_count_pins(route->chip);
    if (route->pin < pins)
        return 0;
    if (pins == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                             "interrupt line %" PRIu32 " leads to controller %" PRIu32
                             ", which is not there",
                             route->gsi, route->chip);
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                         "interrupt line %" PRIu32 " leads to pin %" PRIu32
                         " of controller %" PRIu32 ", whose last one is %" PRIu32,
                         route->gsi, route->pin, route->chip, pins - 1);
}

static int
route_from_public(const struct vmkit_route *from, struct vmk_kvm_route *to, vmkit_error **ret_error)
{
    if (from->kind != VMKIT_ROUTE_PIN && from->kind != VMKIT_ROUTE_MSI)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "interrupt line %u has a route of the unknown kind %u", from->gsi,
                             from->kind);
    int result = check_line(from->gsi, ret_error);
    if (result == 0 && from->kind == VMKIT_ROUTE_PIN)
        result = check_pin(from, ret_error);
    if (result < 0)
        return result;
    *to = (struct vmk_kvm_route){
        .gsi = from->gsi,
        .kind = from->kind == VMKIT_ROUTE_PIN ? VMK_KVM_ROUTE_PIN : VMK_KVM_ROUTE_MSI,
        .chip = from->chip,
        .pin = from->pin,
        .msi_address = from->msi_address,
        .msi_data = from->msi_data,
    };
    return 0;
}

int
vmk_vm_replace_routes(struct vmkit_vm *vm, struct vmk_kvm_route *routes, uint32_t count,
                      vmkit_error **ret_error)
{
    int result = vmk_kvm_vm_set_routes(vm->kvm, routes, count, ret_error);
    if (result < 0)
        return result;
    free(vm->routes);
    vm->has_routes = true;
    vm->routes = routes;
    vm->route_count = count;
    return 0;
}

int
vmk_vm_set_routes(struct vmkit_vm *vm, const struct vmkit_route *routes, uint32_t count,
                  vmkit_error **ret_error)
{
    int result = check_irqchip(vm, VMK_VM_IRQCHIP_SPLIT, ret_error);
    if (result == 0)
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_IRQ_ROUTING, ret_error);
    if (result < 0)
        return result;
    struct vmk_kvm_route *converted = calloc((size_t)count + 1, sizeof *converted);
    if (converted == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %u interrupt routes", count);
    for (uint32_t i = 0; result == 0 && i < count; i++)
        result = route_from_public(&routes[i], &converted[i], ret_error);
    if (result == 0) {
        pthread_mutex_lock(&vm->lock);
        result = vmk_vm_replace_routes(vm, converted, count, ret_error);
        vm->routes_changed |= result == 0;
        pthread_mutex_unlock(&vm->lock);
    }
    if (result < 0)
        free(converted);
    return result;
}

int
vmk_vm_set_irq_line(struct vmkit_vm *vm, uint32_t gsi, uint32_t level, vmkit_error **ret_error)
{
    int result = check_irqchip(vm, VMK_VM_IRQCHIP_KERNEL, ret_error);
    if (result == 0)
        result = check_line(gsi, ret_error);
    if (result == 0 && level != 0)
        atomic_fetch_or(&vm->raised[gsi / 64], UINT64_C(1) << gsi % 64);
    return result < 0 ? result : vmk_kvm_vm_set_irq_line(vm->kvm, gsi, level != 0, ret_error);
}

int
vmk_vm_signal_msi(struct vmkit_vm *vm, uint64_t address, uint32_t data, vmkit_error **ret_error)
{
    int result = check_irqchip(vm, VMK_VM_IRQCHIP_SPLIT, ret_error);
    if (result == 0)
        result = vmk_vm_check_capability(vm, VMKIT_CAPABILITY_SIGNAL_MSI, ret_error);
    return result < 0 ? result : vmk_kvm_vm_signal_msi(vm->kvm, address, data, ret_error);
}

int
vmk_vcpu_interrupt(struct vmkit_vcpu *vcpu, uint32_t vector, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vcpu->vm, ret_error);
    if (result < 0)
        return result;
    if (vector > 255)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_INVALID_ARGUMENT,
                             "interrupt vector %u is beyond the last one, 255", vector);
    if (vcpu->vm->irqchip != VMK_VM_IRQCHIP_NONE)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                             "the VM has an interrupt controller in the kernel: raise a line or "
                             "send a message");
    atomic_fetch_or(&vcpu->vectors[vector / 64], UINT64_C(1) << vector % 64);
    atomic_store(&vcpu->injections, true);
    vmk_vcpu_nudge(vcpu);
    return 0;
}

int
vmk_vcpu_nmi(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vcpu->vm, ret_error);
    if (result == 0)
        result = vmk_vm_check_capability(vcpu->vm, VMKIT_CAPABILITY_USER_NMI, ret_error);
    if (result < 0)
        return result;
    atomic_store(&vcpu->nmi, true);
    atomic_store(&vcpu->injections, true);
    vmk_vcpu_nudge(vcpu);
    return 0;
}

/* The highest vector that waits, or -1. */
static int
highest_vector(struct vmkit_vcpu *vcpu)
{
    for (int i = 3; i >= 0; i--) {
        uint64_t word = atomic_load(&vcpu->vectors[i]);
        if (word != 0)
            return i * 64 + 63 - __builtin_clzll(word);
    }
    return -1;
}

bool
vmk_vcpu_wakes_from_halt(struct vmkit_vcpu *vcpu)
{
    if (!atomic_load(&vcpu->injections))
        return false;
    return atomic_load(&vcpu->nmi) ||
           (highest_vector(vcpu) >= 0 && vmk_kvm_vcpu_has_interrupts_enabled(vcpu->kvm));
}

int
vmk_vcpu_inject(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = 0;
    atomic_store(&vcpu->injections, false);
    if (atomic_exchange(&vcpu->nmi, false))
        result = vmk_arch_vcpu_nmi(vcpu->kvm, ret_error);
    int vector = highest_vector(vcpu);
    /* Registers that were set since the guest left may have disabled interrupts. */
    if (result == 0 && vector >= 0 && !vcpu->state_is_set &&
        vmk_kvm_vcpu_can_take_interrupt(vcpu->kvm)) {
        atomic_fetch_and(&vcpu->vectors[vector / 64], ~(UINT64_C(1) << vector % 64));
        result = vmk_arch_vcpu_interrupt(vcpu->kvm, (uint8_t)vector, ret_error);
        vector = highest_vector(vcpu);
    }
    vmk_kvm_vcpu_request_irq_window(vcpu->kvm, vector >= 0);
    if (vector >= 0)
        atomic_store(&vcpu->injections, true);
    return result;
}
