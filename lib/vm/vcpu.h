/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU, its run on the calling thread, and the kick that ends the run from any other.
 *
 * The library installs no signal handler. One real-time signal is blocked in the thread while it
 * is between begin and end, and unblocked only inside KVM_RUN (KVM API 4.42, KVM_SET_SIGNAL_MASK);
 * a kick sets immediate_exit and sends that signal, which makes KVM_RUN return, and it is taken off
 * the thread before its mask is given back. So no handler ever runs for it, and none is lost or
 * left over. Every other signal of the application stays as it was: its handler runs, and the run
 * goes on.
 */
#ifndef VMK_VM_VCPU_H
#define VMK_VM_VCPU_H

#include "kvm/vcpu.h"
#include "vm/vm.h"

#include <vmkit/vcpu.h>

#include <stdbool.h>
#include <stdint.h>

struct vmkit_vcpu;

/* The signal that kicks use: SIGRTMAX - 2. */
int
vmk_vcpu_get_kick_signal(void);

/* A vCPU with the host's features, which keeps a reference to its VM. */
int
vmk_vcpu_new(struct vmkit_vm *vm, uint32_t id, struct vmkit_vcpu **ret_vcpu,
             vmkit_error **ret_error);

struct vmkit_vcpu *
vmk_vcpu_ref(struct vmkit_vcpu *vcpu);

void
vmk_vcpu_unref(struct vmkit_vcpu *vcpu);

struct vmk_kvm_vcpu *
vmk_vcpu_get_kvm(struct vmkit_vcpu *vcpu);

struct vmkit_vm *
vmk_vcpu_get_vm(const struct vmkit_vcpu *vcpu);

uint32_t
vmk_vcpu_get_id(const struct vmkit_vcpu *vcpu);

/* Bind the vCPU to the calling thread. -EBUSY when a thread, this one included, runs it. */
int
vmk_vcpu_begin(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

/* Run the guest until it leaves. 0: see vmk_kvm_vcpu_get_exit(). -EINTR: it was kicked, or a timer
 * (timer_create(2) with SIGEV_THREAD_ID and the kick's signal, aimed at this thread) expired since
 * the last return of -EINTR; see vmk_vcpu_was_kicked(). -EFAULT, -EHWPOISON and the rest: as
 * vmk_kvm_vcpu_run(). */
int
vmk_vcpu_enter(struct vmkit_vcpu *vcpu);

/* The same, but -ERESTART where vmk_vcpu_enter() would go round: nothing happened but a signal of
 * the application, or a nudge. */
int
vmk_vcpu_enter_once(struct vmkit_vcpu *vcpu);

/* The error of an entry that failed with `result`, neither -EINTR nor -EFAULT, and what of the VM
 * it ends. `what` begins the message. */
int
vmk_vcpu_fail_run(struct vmkit_vcpu *vcpu, int result, const char *what, vmkit_error **ret_error);

/* Whether the last -EINTR had a kick among its reasons. */
bool
vmk_vcpu_was_kicked(const struct vmkit_vcpu *vcpu);

/* Give the thread its signal mask back. What timers of the caller sent is taken off with the kicks;
 * they must have been stopped before. */
void
vmk_vcpu_end(struct vmkit_vcpu *vcpu);

/* Make the run, or the next one, return -EINTR from vmk_vcpu_enter() once. Any thread, with the
 * caller's locks or inside callbacks, but not a signal handler. */
void
vmk_vcpu_kick(struct vmkit_vcpu *vcpu);

/* Make KVM_RUN return without anyone noticing but vmk_vcpu_enter_once(). */
void
vmk_vcpu_nudge(struct vmkit_vcpu *vcpu);

/* Finish the access that the last exit began, without running further instructions, so that
 * registers can be set. 0; 1 when the instruction goes on to a further access, which is the vCPU's
 * exit now; -EFAULT and the rest as vmk_kvm_vcpu_run(). Between begin and end, or with the vCPU
 * locked. */
int
vmk_vcpu_complete(struct vmkit_vcpu *vcpu);

/* Hold the vCPU still for a call that reads or sets its state. -EBUSY when another thread runs it;
 * the thread that runs it may, inside of its own callbacks. */
int
vmk_vcpu_lock(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

void
vmk_vcpu_unlock(struct vmkit_vcpu *vcpu);

/* The same for a call that sets registers: the access of the last exit is finished first. */
int
vmk_vcpu_lock_to_set(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

/* As vmkit_vcpu_run(), set_exit_value(), complete(), interrupt() and nmi(); `exit` is a whole
 * record. */
int
vmk_vcpu_run(struct vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error);

int
vmk_vcpu_set_exit_value(struct vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error);

int
vmk_vcpu_finish_access(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

int
vmk_vcpu_interrupt(struct vmkit_vcpu *vcpu, uint32_t vector, vmkit_error **ret_error);

int
vmk_vcpu_nmi(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

#endif
