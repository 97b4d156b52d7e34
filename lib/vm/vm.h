/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw VM: guest memory and vCPUs over one KVM VM (include/vmkit/vm.h). Calls lock the VM
 * themselves and may come from any thread; no lock is held when the caller's code runs.
 */
#ifndef VMK_VM_VM_H
#define VMK_VM_VM_H

#include "bus/bus.h"
#include "kvm/vm.h"
#include "mem/regions.h"

#include <stdbool.h>
#include <stdint.h>

/* Interrupt lines of a VM, and routes: Linux's KVM_MAX_IRQ_ROUTES. */
#define VMK_VM_LINES 4096

struct vmkit_vm;

/* Where the guest's interrupt controller is. */
enum vmk_vm_irqchip {
    VMK_VM_IRQCHIP_NONE = 0,
    VMK_VM_IRQCHIP_SPLIT = 1, /* the local ones in the kernel, the outer one at the caller's */
    VMK_VM_IRQCHIP_KERNEL = 2,
};

struct vmk_vm_options {
    struct vmk_kvm_system *system; /* NULL: the host's own; a reference is taken */
    enum vmk_vm_irqchip irqchip;
    uint32_t split_pins;
    bool real_mode; /* the guest may start in real mode, which old hosts have to be told */
};

/* How the public calls make one: which device, and the options. */
struct vmkit_vm_config;

int
vmk_vm_config_new(struct vmkit_vm_config **ret_config, vmkit_error **ret_error);

struct vmkit_vm_config *
vmk_vm_config_ref(struct vmkit_vm_config *config);

void
vmk_vm_config_unref(struct vmkit_vm_config *config);

int
vmk_vm_config_set_kvm_path(struct vmkit_vm_config *config, const char *path,
                           vmkit_error **ret_error);

int
vmk_vm_config_set_kvm_fd(struct vmkit_vm_config *config, int fd, vmkit_error **ret_error);

int
vmk_vm_config_set_irqchip(struct vmkit_vm_config *config, uint32_t controller, uint32_t pins,
                          vmkit_error **ret_error);

/* The KVM device that it names; NULL config: the defaults. */
int
vmk_vm_config_open(const struct vmkit_vm_config *config, struct vmk_kvm_system **ret_system,
                   vmkit_error **ret_error);

int
vmk_vm_new_configured(const struct vmkit_vm_config *config, struct vmkit_vm **ret_vm,
                      vmkit_error **ret_error);

/* NULL options: all zero. The VM has one reference. */
int
vmk_vm_new(const struct vmk_vm_options *options, struct vmkit_vm **ret_vm, vmkit_error **ret_error);

struct vmkit_vm *
vmk_vm_ref(struct vmkit_vm *vm);

void
vmk_vm_unref(struct vmkit_vm *vm);

struct vmk_kvm_vm *
vmk_vm_get_kvm(struct vmkit_vm *vm);

/* Whether this process made the VM. A child of fork(2) has a copy of what the library knows of it,
 * and shares the pages and descriptors that belong to the vCPUs of the parent. */
bool
vmk_vm_is_own(const struct vmkit_vm *vm);

/* 0, or the error of a VM that has failed for good, -EIO, or is another process's: -EIO. */
int
vmk_vm_check(struct vmkit_vm *vm, vmkit_error **ret_error);

/* -ENOTSUP when the host's KVM lacks it. */
int
vmk_vm_check_capability(struct vmkit_vm *vm, enum vmkit_capability capability,
                        vmkit_error **ret_error);

/* The VM cannot go on; every later call on it answers with this reason. Only the first counts. */
void
vmk_vm_fail(struct vmkit_vm *vm, const char *reason);

/* Give the guest [offset, offset + size) of `memory` at `gpa`. */
int
vmk_vm_add_memory(struct vmkit_vm *vm, uint64_t gpa, struct vmkit_memory *memory, uint64_t offset,
                  uint64_t size, bool read_only, vmkit_error **ret_error);

/* The same of memory whose pages are noted in the dirty log when the guest writes to them. */
int
vmk_vm_add_logged_memory(struct vmkit_vm *vm, uint64_t gpa, struct vmkit_memory *memory,
                         uint64_t offset, uint64_t size, vmkit_error **ret_error);

/* Have reading leave the dirty log as it is, see vmk_kvm_vm_keep_dirty_log(). Before memory is
 * added. -ENOTSUP on a host that cannot. */
int
vmk_vm_keep_dirty_log(struct vmkit_vm *vm, vmkit_error **ret_error);

/* Set the bits of pages that the guest wrote to in `bitmap`, one bit a page of the region that
 * begins at `gpa`, in whole words, all of which are written. -ENOENT without such a region. */
int
vmk_vm_get_dirty_log(struct vmkit_vm *vm, uint64_t gpa, uint64_t *bitmap, vmkit_error **ret_error);

/* Take the pages whose bit is set out of the log. */
int
vmk_vm_clear_dirty_log(struct vmkit_vm *vm, uint64_t gpa, const uint64_t *bitmap,
                       vmkit_error **ret_error);

/* Take the region that begins at `gpa` away again, with a vCPU running or not. */
int
vmk_vm_remove_memory(struct vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error);

/* Take the region that holds `gpa` away from KVM and give it back at once: KVM forgets every
 * translation that it derived from the guest's page tables. A dirty log of that region begins anew.
 * With no vCPU running. */
int
vmk_vm_refresh_memory(struct vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error);

/* As vmk_regions_read() and its likes, under the VM's lock. */
int
vmk_vm_read(struct vmkit_vm *vm, uint64_t gpa, void *destination, uint64_t size,
            vmkit_error **ret_error);

int
vmk_vm_write(struct vmkit_vm *vm, uint64_t gpa, const void *source, uint64_t size,
             vmkit_error **ret_error);

/* As vmkit_vm_note_write(). */
int
vmk_vm_note_write(struct vmkit_vm *vm, uint64_t gpa, uint64_t size, vmkit_error **ret_error);

int
vmk_vm_get_pointer(struct vmkit_vm *vm, uint64_t gpa, uint64_t size, void **ret_pointer,
                   vmkit_error **ret_error);

/* As vmkit_vm_add_handler() and vmkit_vm_remove_handler(). */
int
vmk_vm_add_handler(struct vmkit_vm *vm, enum vmkit_space space, uint64_t address, uint64_t size,
                   const struct vmk_bus_handler *handler, vmkit_error **ret_error);

int
vmk_vm_remove_handler(struct vmkit_vm *vm, enum vmkit_space space, uint64_t address,
                      vmkit_error **ret_error);

/* Remove all handlers. */
int
vmk_vm_remove_handlers(struct vmkit_vm *vm, vmkit_error **ret_error);

/* Doorbells and interrupts, as the public calls of the same names. */
int
vmk_vm_set_ioeventfd(struct vmkit_vm *vm, const struct vmk_kvm_doorbell *doorbell, bool assign,
                     vmkit_error **ret_error);

int
vmk_vm_set_irqfd(struct vmkit_vm *vm, int fd, uint32_t gsi, int resample_fd, bool assign,
                 vmkit_error **ret_error);

int
vmk_vm_set_routes(struct vmkit_vm *vm, const struct vmkit_route *routes, uint32_t count,
                  vmkit_error **ret_error);

int
vmk_vm_set_irq_line(struct vmkit_vm *vm, uint32_t gsi, uint32_t level, vmkit_error **ret_error);

int
vmk_vm_signal_msi(struct vmkit_vm *vm, uint64_t address, uint32_t data, vmkit_error **ret_error);

#endif
