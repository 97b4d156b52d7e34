/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU as KVM sees it: one KVM_RUN at a time, and what it returned (KVM API 4.10, section 5).
 * The registers of an architecture are in x86_64.h and its likes. Used by one thread at a time;
 * only vmk_kvm_vcpu_set_immediate_exit() may be called from another.
 */
#ifndef VMK_KVM_VCPU_H
#define VMK_KVM_VCPU_H

#include "kvm/vm.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct vmk_kvm_vcpu;

enum vmk_kvm_exit_reason {
    VMK_KVM_EXIT_UNKNOWN = 0, /* `code` holds the kernel's number */
    VMK_KVM_EXIT_PIO = 1,
    VMK_KVM_EXIT_MMIO = 2,
    VMK_KVM_EXIT_HLT = 3,
    VMK_KVM_EXIT_SHUTDOWN = 4,
    VMK_KVM_EXIT_FAIL_ENTRY = 5,
    VMK_KVM_EXIT_INTERNAL_ERROR = 6,
    VMK_KVM_EXIT_MEMORY_FAULT = 7,
    VMK_KVM_EXIT_IRQ_WINDOW = 8,
    VMK_KVM_EXIT_DEBUG = 9,
    VMK_KVM_EXIT_SYSTEM_EVENT = 10,
    VMK_KVM_EXIT_EOI = 11,
};

/* A view of the last exit; the pointers lead into the vCPU's shared pages and hold until it runs
 * again. Only the member of `reason` is filled. */
struct vmk_kvm_exit {
    enum vmk_kvm_exit_reason reason;
    uint32_t code;
    union {
        struct {
            uint16_t port;
            bool is_write;
            uint8_t size;   /* 1, 2 or 4 */
            uint32_t count; /* a string instruction moves several at once */
            void *data;     /* size * count bytes */
        } pio;
        struct {
            uint64_t gpa;
            bool is_write;
            uint32_t size; /* 1 to 8 */
            void *data;
        } mmio;
        struct {
            uint64_t hardware_reason;
            uint32_t cpu;
        } fail_entry;
        struct {
            uint32_t suberror;
            uint32_t count;
            const uint64_t *data;
        } internal;
        struct {
            bool known; /* whether the kernel says where */
            bool is_private;
            uint64_t gpa;
            uint64_t size;
        } memory_fault;
        struct {
            uint32_t type;
            uint64_t data;
        } system_event;
        uint8_t eoi_vector;
    };
};

int
vmk_kvm_vcpu_new(struct vmk_kvm_vm *vm, uint32_t id, struct vmk_kvm_vcpu **ret_vcpu,
                 vmkit_error **ret_error);

void
vmk_kvm_vcpu_free(struct vmk_kvm_vcpu *vcpu);

struct vmk_kvm_vm *
vmk_kvm_vcpu_get_vm(const struct vmk_kvm_vcpu *vcpu);

uint32_t
vmk_kvm_vcpu_get_id(const struct vmk_kvm_vcpu *vcpu);

/* One KVM_RUN. 0: the guest left, see vmk_kvm_vcpu_get_exit(). -EINTR: a signal came, or
 * immediate_exit was set; an access that an earlier exit began is finished all the same. -ERESTART:
 * the vCPU was woken by another one's start-up message; enter again. -EAGAIN: the kernel has no
 * task left, of which some kernels make one for each VM. -EFAULT and -EHWPOISON: KVM could not
 * reach the host's memory, and get_exit() tells what is known; the same instruction is tried again
 * by the next run. Anything else is a KVM that gave up. */
int
vmk_kvm_vcpu_run(struct vmk_kvm_vcpu *vcpu);

void
vmk_kvm_vcpu_get_exit(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit);

/* Make this or the next KVM_RUN return -EINTR before the guest is entered. From any thread; a run
 * that is already inside the guest needs a signal too. */
void
vmk_kvm_vcpu_set_immediate_exit(struct vmk_kvm_vcpu *vcpu, bool on);

/* The signals that are blocked while the thread is inside KVM_RUN, in place of its own mask. */
int
vmk_kvm_vcpu_set_signal_mask(struct vmk_kvm_vcpu *vcpu, const sigset_t *mask,
                             vmkit_error **ret_error);

/* Ask for an exit as soon as the guest can take an interrupt (x86, no controller in the kernel). */
void
vmk_kvm_vcpu_request_irq_window(struct vmk_kvm_vcpu *vcpu, bool on);

bool
vmk_kvm_vcpu_can_take_interrupt(const struct vmk_kvm_vcpu *vcpu);

/* Whether the guest had interrupts enabled when it left (x86). */
bool
vmk_kvm_vcpu_has_interrupts_enabled(const struct vmk_kvm_vcpu *vcpu);

#endif
