/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of a raw VM: an image of its memory and the rest as bytes (state.h). A VM is made anew
 * from it, with memory that is shared with the snapshot page by page until it is written to.
 */
#ifndef VMK_VM_VM_SNAPSHOT_H
#define VMK_VM_VM_SNAPSHOT_H

#include "arch/vcpu_state.h"
#include "mem/image.h"
#include "util/bytes.h"
#include "vm/snapshot.h"
#include "vm/state.h"
#include "vm/vcpu.h"

#include <stdbool.h>
#include <stdint.h>

extern const struct vmk_snapshot_kind vmk_snapshot_of_vm;

/* As vmkit_vm_snapshot(): `parent` may be NULL. */
int
vmk_vm_snapshot(struct vmkit_vm *vm, struct vmkit_snapshot *parent, bool track,
                struct vmkit_snapshot **ret_snapshot, vmkit_error **ret_error);

/* Where the vCPUs of a new VM go: room for some of them, and how many there are, which may be NULL.
 */
struct vmk_vm_room {
    struct vmkit_vcpu **vcpus;
    uint32_t capacity;
    uint32_t *count;
};

/* As vmkit_vm_new_from_snapshot(); the device is the one that is open. */
int
vmk_vm_new_from_snapshot(struct vmkit_snapshot *snapshot, struct vmk_kvm_system *system, bool track,
                         const struct vmk_vm_room *room, struct vmkit_vm **ret_vm,
                         vmkit_error **ret_error);

int
vmk_vm_new_from_snapshot_configured(struct vmkit_snapshot *snapshot,
                                    const struct vmkit_vm_config *config, bool track,
                                    const struct vmk_vm_room *room, struct vmkit_vm **ret_vm,
                                    vmkit_error **ret_error);

/* The same of one that is going to be reset often, without a promise that the program tells what it
 * writes through pointers. */
int
vmk_vm_new_to_reset(struct vmkit_snapshot *snapshot, struct vmk_kvm_system *system,
                    const struct vmk_vm_room *room, struct vmkit_vm **ret_vm,
                    vmkit_error **ret_error);

/* Say how many vCPUs there are; -E2BIG when there is not room for them. */
int
vmk_vm_check_room(const struct vmk_vm_state *state, const struct vmk_vm_room *room,
                  vmkit_error **ret_error);

/* The parts of one, lent: what the memory holds, and the rest, as bytes and read. */
struct vmk_image *
vmk_vm_snapshot_get_image(const struct vmkit_snapshot *snapshot);

const struct vmk_bytes *
vmk_vm_snapshot_get_bytes(const struct vmkit_snapshot *snapshot);

const struct vmk_vm_state *
vmk_vm_snapshot_get_state(const struct vmkit_snapshot *snapshot);

/* What the resets of all VMs that were made from one share: for each region that lies in its own
 * place its contents to be read, or NULL when they are not to be mapped; the state of each vCPU. */
struct vmk_vm_reset_parts {
    struct vmkit_memory **views;
    struct vmk_vcpu_state **vcpus;
};

/* Lent. `vcpus` are those of such a VM, in their order. */
int
vmk_vm_snapshot_get_reset_parts(struct vmkit_snapshot *snapshot, struct vmkit_vcpu *const *vcpus,
                                const struct vmk_vm_reset_parts **ret_parts,
                                vmkit_error **ret_error);

/* As vmkit_vm_reset(). */
int
vmk_vm_reset(struct vmkit_vm *vm, vmkit_error **ret_error);

/* A snapshot of parts that were read, which may be a stranger's. It takes the reference to the
 * image, and the bytes, over when it is made. -EINVAL for bytes that are none. */
int
vmk_vm_snapshot_new(struct vmk_image *image, struct vmk_bytes *bytes,
                    struct vmkit_snapshot **ret_snapshot, vmkit_error **ret_error);

enum vmk_arch_controllers
vmk_vm_get_controllers(enum vmk_vm_irqchip irqchip);

#endif
