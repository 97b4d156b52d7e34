/* SPDX-License-Identifier: Apache-2.0 */
/* The structures that the files of this room share. */
#ifndef VMK_KVM_PRIVATE_H
#define VMK_KVM_PRIVATE_H

#include "kvm/ops.h"
#include "kvm/system.h"
#include "kvm/uapi.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What a host's KVM says of itself and never changes while it runs. */
struct vmk_kvm_facts {
    int api_version;
    size_t run_size;
    uint64_t capabilities; /* bit n: enum vmkit_capability n */
    uint64_t sync_regs;
    uint32_t max_vcpus;
    uint32_t max_slots;
    size_t xsave_size;
    /* Of the architecture: on x86-64 the leaves that KVM_GET_SUPPORTED_CPUID returned. */
    void *arch;
};

struct vmk_kvm_system {
    atomic_uint references;
    struct vmk_kvm_ops ops;
    int fd;
    const struct vmk_kvm_facts *facts;
    struct vmk_kvm_facts *own_facts; /* NULL when `facts` are those of the process */
};

struct vmk_kvm_vm {
    struct vmk_kvm_system *system;
    int fd;
};

struct vmk_kvm_vcpu {
    struct vmk_kvm_vm *vm;
    struct kvm_run *run;
    int fd;
    uint32_t id;
    /* KVM_RUN failed since it could not reach the host's memory; `fault` holds where, if known. */
    bool faulted;
    struct vmk_uapi_memory_fault fault;
    bool was_started; /* the last KVM_RUN may have ended since another vCPU started this one */
};

static inline int
vmk_kvm_system_ioctl(const struct vmk_kvm_system *system, unsigned long request, uintptr_t argument)
{
    return system->ops.ioctl(system->ops.context, system->fd, request, argument);
}

static inline int
vmk_kvm_vm_ioctl(const struct vmk_kvm_vm *vm, unsigned long request, uintptr_t argument)
{
    return vm->system->ops.ioctl(vm->system->ops.context, vm->fd, request, argument);
}

static inline int
vmk_kvm_vcpu_ioctl(const struct vmk_kvm_vcpu *vcpu, unsigned long request, uintptr_t argument)
{
    const struct vmk_kvm_ops *ops = &vcpu->vm->system->ops;
    return ops->ioctl(ops->context, vcpu->fd, request, argument);
}

/* Turn a call's negative result into an error that names the call: ENOMEM, or EIO. */
int
vmk_kvm_fail(vmkit_error **ret_error, int result, const char *call);

/* The same for a call that tells its caller something by the errnos whose bits are in `known`. */
int
vmk_kvm_fail_known(vmkit_error **ret_error, int result, uint64_t known, const char *call);

/* One call that moves one structure. One that the kernel takes may be refused, with EINVAL. */
int
vmk_kvm_vm_call(const struct vmk_kvm_vm *vm, unsigned long request, const void *argument,
                const char *name, vmkit_error **ret_error);

int
vmk_kvm_vcpu_call(const struct vmk_kvm_vcpu *vcpu, unsigned long request, const void *argument,
                  const char *name, vmkit_error **ret_error);

/* What x86_64.c and aarch64.c each offer. */

/* Fill `facts->arch`, and free it. */
int
vmk_kvm_arch_facts(const struct vmk_kvm_system *system, struct vmk_kvm_facts *facts,
                   vmkit_error **ret_error);

void
vmk_kvm_arch_facts_free(struct vmk_kvm_facts *facts);

/* What of the calling thread's registers a KVM_RUN may leave changed, and bring it back. */
uint32_t
vmk_kvm_arch_save_thread(void);

void
vmk_kvm_arch_restore_thread(uint32_t saved);

#endif
