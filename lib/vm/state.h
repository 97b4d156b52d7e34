/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a raw VM is besides what its memory holds, as bytes (doc/processor-state.md, "A raw VM"):
 * how it was made, where its memory is, its interrupt routes, what KVM keeps for it, and its vCPUs.
 */
#ifndef VMK_VM_STATE_H
#define VMK_VM_STATE_H

#include "util/bytes.h"
#include "vm/vm.h"

#define VMK_VM_STATE_VERSION 1

struct vmk_vm_state_region {
    uint64_t gpa;
    uint64_t size;
    bool read_only;
    uint64_t image; /* address in the image; that of another region for the same memory again */
};

struct vmk_vm_state_vcpu {
    uint32_t id;
    bool nmi;
    uint64_t vectors[4];  /* that wait to be injected */
    const uint8_t *bytes; /* of arch/vcpu_state.h, lent */
    size_t size;
};

struct vmk_vm_state {
    enum vmk_vm_irqchip irqchip;
    uint32_t split_pins;
    bool real_mode;
    bool has_routes;
    struct vmk_kvm_route *routes;
    uint32_t route_count;
    struct vmk_vm_state_region *regions; /* by address */
    uint32_t region_count;
    const uint8_t *bytes; /* of arch/vcpu_state.h for the VM, lent */
    size_t size;
    struct vmk_vm_state_vcpu *vcpus; /* by number */
    uint32_t vcpu_count;
};

/* Free the tables. */
void
vmk_vm_state_clear(struct vmk_vm_state *state);

int
vmk_vm_state_encode(const struct vmk_vm_state *state, struct vmk_bytes *bytes,
                    vmkit_error **ret_error);

/* `state` is all zero before, and has to be cleared, whatever is returned; it lends from the bytes.
 * -EINVAL for bytes that are no state. */
int
vmk_vm_state_decode(struct vmk_vm_state *state, const void *bytes, size_t size,
                    vmkit_error **ret_error);

#endif
