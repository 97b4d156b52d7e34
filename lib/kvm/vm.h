/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM as KVM sees it: memory slots, and the ways in which interrupts come in and doorbells go out
 * (KVM API 4.2, 4.35, 4.25, 4.59, 4.75, 4.52, 4.71). Not locked; the caller serialises.
 */
#ifndef VMK_KVM_VM_H
#define VMK_KVM_VM_H

#include "kvm/system.h"

#include <stdbool.h>
#include <stdint.h>

struct vmk_kvm_vm;

int
vmk_kvm_vm_new(struct vmk_kvm_system *system, struct vmk_kvm_vm **ret_vm, vmkit_error **ret_error);

void
vmk_kvm_vm_free(struct vmk_kvm_vm *vm);

struct vmk_kvm_system *
vmk_kvm_vm_get_system(const struct vmk_kvm_vm *vm);

enum vmk_kvm_slot_flags { VMK_KVM_SLOT_READ_ONLY = 1, VMK_KVM_SLOT_DIRTY_LOG = 2 };

/* Give the guest `size` bytes of the host's memory at `hva` as [gpa, gpa + size). All three are
 * multiples of the page size. */
int
vmk_kvm_vm_set_slot(struct vmk_kvm_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa,
                    uint64_t size, void *hva, vmkit_error **ret_error);

int
vmk_kvm_vm_delete_slot(struct vmk_kvm_vm *vm, uint32_t slot, vmkit_error **ret_error);

/* From now on the dirty log is kept until it is cleared, and a page that was written once stays
 * writable for as long: reading the log then costs the guest nothing (KVM API 4.117, and 8.21 for
 * the capability). -ENOTSUP on Linux before 5.2, where reading clears it. */
int
vmk_kvm_vm_keep_dirty_log(struct vmk_kvm_vm *vm, vmkit_error **ret_error);

/* One bit a page, in whole 64-bit words: pages written since the slot was set, or since they were
 * cleared; without vmk_kvm_vm_keep_dirty_log(), since the last call. */
int
vmk_kvm_vm_get_dirty_log(struct vmk_kvm_vm *vm, uint32_t slot, uint64_t *bitmap,
                         vmkit_error **ret_error);

/* Take the pages whose bit is set out of the log of a slot of `pages` pages; the next write to one
 * is noticed again. Only after vmk_kvm_vm_keep_dirty_log(). */
int
vmk_kvm_vm_clear_dirty_log(struct vmk_kvm_vm *vm, uint32_t slot, uint64_t pages,
                           const uint64_t *bitmap, vmkit_error **ret_error);

/* The whole interrupt controller in the kernel; before the first vCPU. */
int
vmk_kvm_vm_create_irqchip(struct vmk_kvm_vm *vm, vmkit_error **ret_error);

/* Connect or disconnect (`assign` false) an eventfd with an interrupt line. With a resample fd, the
 * line is level-triggered, and that eventfd is signalled when the guest acknowledges it. Without
 * one, `resample_fd` is -1. */
int
vmk_kvm_vm_set_irqfd(struct vmk_kvm_vm *vm, int fd, uint32_t gsi, int resample_fd, bool assign,
                     vmkit_error **ret_error);

/* A write of the guest to an address that signals an eventfd instead of leaving KVM_RUN. */
struct vmk_kvm_doorbell {
    uint64_t address;
    uint32_t size; /* 1, 2, 4 or 8; 0 with MMIO: any */
    bool pio;
    bool match; /* only when the guest writes `value` */
    uint64_t value;
    int fd;
};

int
vmk_kvm_vm_set_ioeventfd(struct vmk_kvm_vm *vm, const struct vmk_kvm_doorbell *doorbell,
                         bool assign, vmkit_error **ret_error);

enum vmk_kvm_route_kind { VMK_KVM_ROUTE_PIN = 1, VMK_KVM_ROUTE_MSI = 2 };

/* Where an interrupt line leads: to a pin of a controller in the kernel, or to a message. */
struct vmk_kvm_route {
    uint32_t gsi;
    uint32_t kind;
    uint32_t chip;
    uint32_t pin;
    uint64_t msi_address;
    uint32_t msi_data;
};

/* Replace the whole routing table. */
int
vmk_kvm_vm_set_routes(struct vmk_kvm_vm *vm, const struct vmk_kvm_route *routes, uint32_t count,
                      vmkit_error **ret_error);

int
vmk_kvm_vm_set_irq_line(struct vmk_kvm_vm *vm, uint32_t gsi, bool level, vmkit_error **ret_error);

/* 1 when the message was delivered, 0 when the guest blocked it. */
int
vmk_kvm_vm_signal_msi(struct vmk_kvm_vm *vm, uint64_t address, uint32_t data,
                      vmkit_error **ret_error);

#endif
