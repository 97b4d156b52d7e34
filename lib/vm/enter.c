/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run of a vCPU on a thread and the kick that ends it; vcpu.h tells the scheme.
 *
 * No kick is lost: kick_pending is set before immediate_exit, and the running thread clears
 * immediate_exit before it looks at kick_pending. So either it sees the kick, or immediate_exit is
 * set after it was cleared and the next KVM_RUN returns at once. A kick that is seen early leaves
 * an immediate_exit or a signal behind that means nothing; the run goes round once and goes on.
 */
#include "vm/private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int
vmk_vcpu_get_kick_signal(void)
{
    return SIGRTMAX - 2;
}

static sigset_t
kick_set(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, vmk_vcpu_get_kick_signal());
    return set;
}

/* The signals that KVM_RUN leaves blocked: the thread's own, without the kick. Setting it costs a
 * system call, so it is set again only when the thread's mask is another one than last time. */
static int
set_run_mask(struct vmkit_vcpu *vcpu, const sigset_t *old, vmkit_error **ret_error)
{
    sigset_t inside = *old;
    uint64_t mask;
    sigdelset(&inside, vmk_vcpu_get_kick_signal());
    memcpy(&mask, &inside, sizeof mask);
    if (vcpu->mask_known && vcpu->mask == mask)
        return 0;
    int result = vmk_kvm_vcpu_set_signal_mask(vcpu->kvm, &inside, ret_error);
    vcpu->mask_known = result == 0;
    vcpu->mask = mask;
    return result;
}

/* Without the signal there is no way to stop the guest. */
static int
fail_signal(const struct vmkit_vcpu *vcpu, int err, const char *call, vmkit_error **ret_error)
{
    uint32_t id = vmk_kvm_vcpu_get_id(vcpu->kvm);
    if (err == EAGAIN)
        return vmk_error_set(ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
                             "the host has no place left for the signal that stops vCPU %u "
                             "(RLIMIT_SIGPENDING)",
                             id);
    return vmk_error_set_known(ret_error, err, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                               "the signal that stops vCPU %u needs %s", id, call);
}

/* Take the kick's signal off the thread. 1 when a timer was among those that sent it, 0 when none
 * was, or a negative errno when the process may not. */
static int
drain(void)
{
    static const struct timespec now;
    sigset_t kick = kick_set();
    siginfo_t info;
    int timer = 0;
    while (sigtimedwait(&kick, &info, &now) > 0)
        timer |= info.si_code == SI_TIMER;
    return errno == EAGAIN ? timer : -errno;
}

/* Have a timer that kicks this thread, should the signal itself find no place. */
static int
make_timer(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    pthread_mutex_lock(&vcpu->lock);
    int result = vmk_kick_timer_make(&vcpu->timer, CLOCK_MONOTONIC);
    pthread_mutex_unlock(&vcpu->lock);
    if (result == 0)
        return 0;
    if (result < 0)
        return fail_signal(vcpu, -result, "timer_create(2)", ret_error);
    /* What cannot be taken off again would end the process. */
    result = drain();
    if (result < 0) {
        vmk_kick_timer_delete(&vcpu->timer);
        return fail_signal(vcpu, -result, "rt_sigtimedwait(2)", ret_error);
    }
    return 0;
}

static int
claim(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    pthread_mutex_lock(&vcpu->lock);
    bool held = vcpu->held;
    bool busy = vcpu->running;
    bool here = busy && pthread_equal(vcpu->thread, pthread_self());
    if (!busy && !held) {
        vcpu->running = true;
        vcpu->signal_sent = false;
        vcpu->thread = pthread_self();
    }
    pthread_mutex_unlock(&vcpu->lock);
    if (!busy && !held)
        return 0;
    if (held)
        return vmk_vcpu_fail_held(vcpu, ret_error);
    return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                         here ? "vCPU %u is running on this thread: it cannot run inside of a "
                                "callback of its own run"
                              : "vCPU %u is running on another thread",
                         vmk_kvm_vcpu_get_id(vcpu->kvm));
}

int
vmk_vcpu_begin(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vcpu->vm, ret_error);
    if (result < 0)
        return result;
    sigset_t kick = kick_set();
    sigset_t old;
    /* Blocked before the vCPU is claimed, so that no kick finds the thread without protection. */
    int err = pthread_sigmask(SIG_BLOCK, &kick, &old);
    if (err != 0)
        return fail_signal(vcpu, err, "rt_sigprocmask(2)", ret_error);
    bool was_blocked = sigismember(&old, vmk_vcpu_get_kick_signal()) == 1;
    result = claim(vcpu, ret_error);
    if (result < 0) {
        if (!was_blocked)
            pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
        return result;
    }
    vcpu->kick_was_blocked = was_blocked;
    vcpu->kicked = false;
    result = make_timer(vcpu, ret_error);
    if (result == 0)
        result = set_run_mask(vcpu, &old, ret_error);
    if (result < 0)
        vmk_vcpu_end(vcpu);
    return result;
}

void
vmk_vcpu_end(struct vmkit_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu->running = false;
    vmk_kick_timer_stop(&vcpu->timer);
    pthread_mutex_unlock(&vcpu->lock);
    /* From here on no kick aims at this thread; what has arrived is taken off. What could not be
     * must stay blocked. */
    if (drain() >= 0 && !vcpu->kick_was_blocked) {
        sigset_t kick = kick_set();
        pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
    }
}

/* KVM_RUN was interrupted: find out whether by something that the caller wants to know. */
static int
interrupted(struct vmkit_vcpu *vcpu)
{
    vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, false);
    pthread_mutex_lock(&vcpu->lock);
    int timer = drain();
    vcpu->signal_sent = false;
    pthread_mutex_unlock(&vcpu->lock);
    vcpu->kicked = atomic_exchange(&vcpu->kick_pending, false);
    if (timer < 0)
        return timer;
    return vcpu->kicked || timer > 0 ? -EINTR : -ERESTART;
}

int
vmk_vcpu_enter_once(struct vmkit_vcpu *vcpu)
{
    int result = vmk_kvm_vcpu_run(vcpu->kvm);
    return result == -EINTR ? interrupted(vcpu) : result;
}

int
vmk_vcpu_enter(struct vmkit_vcpu *vcpu)
{
    int result;
    do {
        result = vmk_vcpu_enter_once(vcpu);
    } while (result == -ERESTART);
    return result;
}

int
vmk_vcpu_fail_run(struct vmkit_vcpu *vcpu, int result, const char *what, vmkit_error **ret_error)
{
    if (result == -EAGAIN)
        return vmk_error_set(
            ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
            "%s: the host makes no further task, and its KVM needs one for each VM "
            "(RLIMIT_NPROC, or pids.max of the control group)",
            what);
    /* KVM's word for a child of fork(2) too. */
    if (result == -EIO && !vmk_vm_is_own(vcpu->vm))
        return vmk_vm_check(vcpu->vm, ret_error);
    /* And for a VM that it has given up. */
    if (result == -EIO)
        vmk_vm_fail(vcpu->vm, what);
    return vmk_error_set_known(ret_error, -result, VMK_ERRNO(ENOMEM), VMKIT_ERROR_KVM_FAILED, "%s",
                               what);
}

bool
vmk_vcpu_was_kicked(const struct vmkit_vcpu *vcpu)
{
    return vcpu->kicked;
}

/* A real-time signal is refused with EAGAIN while the user's queue is full (RLIMIT_SIGPENDING). The
 * timer's own has had its place in the queue since the timer was made. */
static bool
send_kick(struct vmkit_vcpu *vcpu)
{
    if (pthread_kill(vcpu->thread, vmk_vcpu_get_kick_signal()) == 0)
        return true;
    return vmk_kick_timer_set(&vcpu->timer, 0) == 0;
}

void
vmk_vcpu_nudge(struct vmkit_vcpu *vcpu)
{
    vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, true);
    pthread_mutex_lock(&vcpu->lock);
    /* The thread itself is not inside of KVM_RUN, and immediate_exit stops the next one. */
    if (vcpu->running && !vcpu->signal_sent && !pthread_equal(vcpu->thread, pthread_self()))
        vcpu->signal_sent = send_kick(vcpu);
    pthread_mutex_unlock(&vcpu->lock);
}

void
vmk_vcpu_kick(struct vmkit_vcpu *vcpu)
{
    if (!vmk_vm_is_own(vcpu->vm))
        return;
    atomic_store(&vcpu->kick_pending, true);
    vmk_vcpu_nudge(vcpu);
}

int
vmk_vcpu_complete(struct vmkit_vcpu *vcpu)
{
    vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, true);
    int result = vmk_kvm_vcpu_run(vcpu->kvm);
    vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, false);
    /* A kick that came meanwhile set the flag that was just cleared. */
    if (atomic_load(&vcpu->kick_pending))
        vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, true);
    if (result == -EINTR)
        return 0;
    return result == 0 ? 1 : result;
}
