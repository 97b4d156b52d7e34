/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole state of a vCPU as bytes, and what a VM keeps for all of its vCPUs: clock and interrupt
 * controllers. arch/<name>/ holds it; doc/processor-state.md describes the bytes.
 *
 * Saving reads a vCPU that stands between two instructions (vmk_vcpu_complete()). Loading goes into
 * a vCPU that was just made and never ran, in a VM whose memory is in place: some registers have
 * the kernel look at guest memory. The bytes may be a stranger's: they are checked, and what KVM
 * does not take is an error. -ENOTSUP on an architecture that cannot.
 */
#ifndef VMK_ARCH_VCPU_STATE_H
#define VMK_ARCH_VCPU_STATE_H

#include "kvm/vcpu.h"
#include "util/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which interrupt controllers the kernel has. */
enum vmk_arch_controllers {
    VMK_ARCH_CONTROLLERS_NONE = 0,
    VMK_ARCH_CONTROLLERS_LOCAL = 1,
    VMK_ARCH_CONTROLLERS_ALL = 2,
};

/* How the counters of several vCPUs stay as far apart as they were: all zero before the first vCPU
 * of a VM is loaded, and handed on to the next. */
struct vmk_vcpu_state_clock {
    bool known;
    uint64_t saved;
    uint64_t loaded;
};

/* Append the state of `vcpu`. */
int
vmk_vcpu_state_save(struct vmk_kvm_vcpu *vcpu, enum vmk_arch_controllers controllers,
                    struct vmk_bytes *bytes, vmkit_error **ret_error);

/* Whether a vCPU of this host can have that state, as far as can be told without one. -ENOTSUP,
 * naming the feature, when the host's processor or its KVM lacks something; -EINVAL for bytes that
 * are no state. */
int
vmk_vcpu_state_check(const struct vmk_kvm_system *system, const void *bytes, size_t size,
                     vmkit_error **ret_error);

/* vmk_vcpu_state_check(), and set all of it. After a failure the vCPU is good for nothing. */
int
vmk_vcpu_state_load(struct vmk_kvm_vcpu *vcpu, enum vmk_arch_controllers controllers,
                    const void *bytes, size_t size, struct vmk_vcpu_state_clock *clock,
                    vmkit_error **ret_error);

/* A state that was read, to be set as often as needed. It never changes: any thread may use it. */
struct vmk_vcpu_state;

/* The bytes outlive it, and were loaded into `vcpu`. */
int
vmk_vcpu_state_prepare(struct vmk_kvm_vcpu *vcpu, const void *bytes, size_t size,
                       struct vmk_vcpu_state **ret_state, vmkit_error **ret_error);

/* Accepts NULL. */
void
vmk_vcpu_state_free(struct vmk_vcpu_state *state);

/* Set all of it in a vCPU that was loaded with it and has run since, with the memory already what
 * it was. It stands between two instructions, and its CPUID is what it was. After a failure it is
 * good for nothing. */
int
vmk_vcpu_state_reset(struct vmk_kvm_vcpu *vcpu, const struct vmk_vcpu_state *state,
                     struct vmk_vcpu_state_clock *clock, vmkit_error **ret_error);

/* What page tables look like to the vCPUs of a VM. */
struct vmk_arch_tables {
    unsigned address_bits;
    bool narrow; /* Some have entries of 32 bits. */
};

/* Take in what a vCPU's are like now, and what they were like in the state. All zero before the
 * first one. */
int
vmk_vcpu_state_add_tables(struct vmk_kvm_vcpu *vcpu, const struct vmk_vcpu_state *state,
                          struct vmk_arch_tables *tables, vmkit_error **ret_error);

/* Whether a page that holds `now` may be a page table of which something was kept that is not true
 * any more when it holds `then`. `size` is that of whole entries. */
bool
vmk_arch_tables_differ(const struct vmk_arch_tables *tables, const void *now, const void *then,
                       size_t size);

/* The routes of interrupts that the kernel begins with: as many as there are, into `routes`, which
 * has room for VMK_ARCH_DEFAULT_ROUTES. */
#define VMK_ARCH_DEFAULT_ROUTES 64

uint32_t
vmk_arch_vm_list_default_routes(enum vmk_arch_controllers controllers,
                                struct vmk_kvm_route *routes);

/* Append what the VM keeps; before the vCPUs are saved, so that an interrupt that comes meanwhile
 * is saved twice rather than not at all. */
int
vmk_arch_vm_state_save(struct vmk_kvm_vm *vm, enum vmk_arch_controllers controllers,
                       struct vmk_bytes *bytes, vmkit_error **ret_error);

int
vmk_arch_vm_state_check(const void *bytes, size_t size, enum vmk_arch_controllers controllers,
                        vmkit_error **ret_error);

/* The clock, before the vCPUs are loaded: KVM derives from it what they show. */
int
vmk_arch_vm_state_load_clock(struct vmk_kvm_vm *vm, const void *bytes, size_t size,
                             vmkit_error **ret_error);

/* The interrupt controllers, after them: what waits there goes on to the local ones. */
int
vmk_arch_vm_state_load_controllers(struct vmk_kvm_vm *vm, enum vmk_arch_controllers controllers,
                                   const void *bytes, size_t size, vmkit_error **ret_error);

#endif
