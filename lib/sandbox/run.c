/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop: enter the guest, find out why it left, serve that, deliver signals, enter again. A
 * round takes no lock, allocates nothing and makes no system call of its own but KVM_RUN.
 */
#include "sandbox/sandbox.h"

#include "arch/sigframe.h"
#include "arch/usermode.h"
#include "sandbox/guest_call.h"
#include "sandbox/signals.h"
#include "sandbox/snapshot.h"
#include "sandbox/syscall.h"
#include "util/error.h"
#include "vm/vcpu.h"
#include "vm/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

/* Faults in a row at one address that change nothing: the host does not do what it says. */
#define MAX_REPEATED_FAULTS 64

struct loop {
    vmkit_sandbox *sandbox;
    struct vmk_process *process;
    uint64_t last_fault;
    unsigned repeated_faults;
};

static bool
is_restart(int64_t result)
{
    return result == -VMK_ERESTARTSYS || result == -VMK_ERESTARTNOHAND ||
           result == -VMK_ERESTARTNOINTR;
}

/* The result of a system call that waited, and was paused: as if it had not been made yet. */
static bool
stand_in_syscall(struct loop *loop, int64_t result)
{
    struct vmk_process *process = loop->process;
    if (!process->wait_paused)
        return false;
    process->wait_paused = false;
    if (result >= 0)
        return false;
    vmk_signals_end_mask(process, false);
    process->pause = VMK_PAUSE_IN_SYSCALL;
    vmk_sandbox_take_pause(loop->sandbox);
    return true;
}

/* False in a child of fork(2), in which a callback of the embedder came back: the pages with the
 * registers are its parent's. */
static bool
answer_syscall(struct loop *loop, uint64_t number, const uint64_t args[6])
{
    struct vmk_process *process = loop->process;
    const struct vmk_syscall *call = vmk_syscall_find(number);
    int64_t result = -ENOSYS;
    process->touched |= call != NULL;
    if (call != NULL && call->serve != NULL)
        result = call->serve(process, args);
    else if (call != NULL || !vmk_guest_call(process, number, args, &result))
        process->unknown_syscalls++;
    if (!vmk_vm_is_own(loop->sandbox->vm))
        return false;
    process->wait_until_ns = 0;
    if (stand_in_syscall(loop, result))
        return true;
    process->wait_left_ns = 0;

    if (is_restart(result) || vmk_signals_pending(process))
        vmk_signals_deliver(process, true, &result);
    if (!process->regs_replaced)
        vmk_usermode_set_result(process->usermode, result);
    loop->repeated_faults = 0;
    return true;
}

static bool
serve_syscall(struct loop *loop)
{
    struct vmk_process *process = loop->process;
    uint64_t args[6];
    uint64_t number = vmk_usermode_get_syscall(process->usermode, args);
    process->syscalls++;
    process->syscall_counts[number < VMK_SYSCALL_LIMIT ? number : VMK_SYSCALL_LIMIT - 1]++;
    return answer_syscall(loop, number, args);
}

/* One that was paused: its registers are those of the call. */
static bool
resume_syscall(struct loop *loop)
{
    struct vmk_process *process = loop->process;
    uint64_t args[6];
    uint64_t number = vmk_usermode_get_syscall(process->usermode, args);
    if (__builtin_add_overflow(vmk_process_now_ns(), process->wait_left_ns,
                               &process->wait_until_ns))
        process->wait_until_ns = UINT64_MAX;
    process->regs_replaced = false;
    return answer_syscall(loop, number, args);
}

/* The host's side of a page fault. 0 when the guest can try again; otherwise the fault is the
 * guest's. */
static int
resolve_page_fault(struct loop *loop, struct vmk_usermode_fault *fault)
{
    int r = -EFAULT;
    if (fault->address < VMK_SPACE_HIGH)
        r = vmk_space_fault(loop->process->space, fault->address, fault->access);
    switch (r) {
    case 0:
        loop->repeated_faults = fault->address == loop->last_fault ? loop->repeated_faults + 1 : 0;
        loop->last_fault = fault->address;
        return 0;
    case -ENOMEM:
        vmk_process_end_limit(loop->process, VMKIT_LIMIT_MEMORY);
        break;
    case -EIO:
        fault->signal = SIGBUS;
        fault->code = BUS_ADRERR;
        break;
    case -EACCES:
        fault->code = SEGV_ACCERR;
        break;
    default:
        fault->code = SEGV_MAPERR;
        break;
    }
    return r;
}

static void
serve_fault(struct loop *loop, struct vmk_usermode_fault *fault)
{
    struct vmk_process *process = loop->process;
    if (fault->is_unfinished) {
        struct vmk_user_regs regs = *process->regs;
        vmk_vcpu_complete(loop->sandbox->vcpu);
        *process->regs = regs;
        process->regs_replaced = true;
    }
    if (!fault->is_page_fault || resolve_page_fault(loop, fault) < 0) {
        loop->repeated_faults = 0;
        vmk_signals_fault(process, fault->signal, fault->code, fault->address, fault->trap,
                          fault->error);
    }
    if (!vmk_process_ended(process) && vmk_signals_pending(process))
        vmk_signals_deliver(process, false, NULL);
}

/* A function that the embedder called has returned, or the guest pretends that one has. */
static void
serve_return(struct loop *loop)
{
    struct vmk_process *process = loop->process;
    if (process->call_return_sp != 0 &&
        vmk_sigframe_get_stack_pointer(process->regs) == process->call_return_sp) {
        process->pause = VMK_PAUSE_RETURNED;
        return;
    }
    vmk_signals_fault(process, SIGSEGV, SI_KERNEL, 0, 13, 0);
    if (!vmk_process_ended(process))
        vmk_signals_deliver(process, false, NULL);
}

/* KVM_RUN came back without an exit. True when the guest may go on as it is. */
static bool
serve_interrupt(struct loop *loop)
{
    struct vmk_process *process = loop->process;
    vmk_process_check(process);
    bool at_user = vmk_usermode_interrupt(process->usermode);
    if (vmk_process_ended(process)) {
        /* The outcome tells where the program stood, not where the stub did. */
        if (!at_user)
            vmk_usermode_abandon(process->usermode);
        return false;
    }
    if (!at_user)
        return false;
    if (vmk_signals_pending(process))
        vmk_signals_deliver(process, false, NULL);
    return true;
}

/* A change of structure in the page tables: KVM forgets all that it derived from them when a memory
 * slot goes. The first one is the smallest, but for that of a fork, which takes its log along. */
static int
forget_translations(struct loop *loop, vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = loop->sandbox;
    int r = vmk_sandbox_keep_log(sandbox, ret_error);
    if (r == 0)
        r = vmk_vm_refresh_memory(sandbox->vm, 0, ret_error);
    if (r == 0)
        sandbox->space.paging.structure_changed = false;
    return r;
}

static int
fail(struct loop *loop, int result, vmkit_error **ret_error)
{
    unsigned long long pc = vmk_usermode_get_pc(loop->process->usermode);
    struct vmk_kvm_exit exit;
    char what[64];
    vmk_kvm_vcpu_get_exit(vmk_vcpu_get_kvm(loop->sandbox->vcpu), &exit);
    if (result == 0)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED,
                             "KVM stopped the sandbox at 0x%llx with exit %u, code %u", pc,
                             exit.reason, exit.code);
    snprintf(what, sizeof what, "running the sandbox at 0x%llx", pc);
    return vmk_vcpu_fail_run(loop->sandbox->vcpu, result, what, ret_error);
}

/* The end of the guest, unless it is the host that had no page for it. */
static int
finish(struct loop *loop, vmkit_error **ret_error)
{
    const struct vmk_process *process = loop->process;
    if (process->ending.kind != VMKIT_OUTCOME_LIMIT ||
        process->ending.limit != VMKIT_LIMIT_MEMORY ||
        !vmk_frames_is_host_short(loop->sandbox->frames))
        return 0;
    if (loop->sandbox->memory_error != NULL)
        return vmk_error_hand_over(vmk_error_ref(loop->sandbox->memory_error), ret_error);
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "the host has no memory, or no mapping, left for the sandbox "
                         "(/proc/sys/vm/max_map_count)");
}

/* Make the guest's registers those of the vCPU. A program counter that is no address is a fault. */
static void
prepare(struct vmk_process *process)
{
    while (vmk_usermode_prepare(process->usermode, process->regs_replaced) < 0) {
        vmk_signals_fault(process, SIGSEGV, SI_KERNEL, 0, 13, 0);
        /* A handler that is no address either comes back here until its stack is full. */
        vmk_process_check(process);
        if (!vmk_process_ended(process))
            vmk_signals_deliver(process, false, NULL);
        if (vmk_process_ended(process))
            return;
    }
    process->regs_replaced = false;
}

/* Go on where the guest stood still. Signals may have become due meanwhile. */
static bool
begin(struct loop *loop)
{
    struct vmk_process *process = loop->process;
    enum vmk_pause stood = process->pause;
    process->pause = VMK_PAUSE_NONE;
    vmk_process_check(process);
    if (vmk_process_ended(process))
        return true;
    if (stood == VMK_PAUSE_IN_SYSCALL)
        return resume_syscall(loop);
    if (vmk_signals_pending(process))
        vmk_signals_deliver(process, false, NULL);
    return true;
}

static void
pause_if_asked(struct loop *loop)
{
    struct vmk_process *process = loop->process;
    if (!vmk_process_pause_asked(process) || vmk_process_killed(process) ||
        vmk_process_ended(process) || process->pause != VMK_PAUSE_NONE)
        return;
    process->pause = VMK_PAUSE_STOPPED;
    vmk_sandbox_take_pause(loop->sandbox);
}

int
vmk_sandbox_run_guest(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    struct loop loop = {.sandbox = sandbox, .process = process};
    struct vmk_usermode_fault fault;
    bool changed = true;

    if (!begin(&loop))
        return vmk_vm_check(sandbox->vm, ret_error);
    for (;;) {
        /* On its way out of user mode it is nowhere yet. */
        if (changed)
            pause_if_asked(&loop);
        if (vmk_process_ended(process) || process->pause != VMK_PAUSE_NONE)
            return finish(&loop, ret_error);
        if (changed)
            prepare(process);
        if (vmk_process_ended(process))
            return finish(&loop, ret_error);
        if (sandbox->space.paging.structure_changed) {
            int r = forget_translations(&loop, ret_error);
            if (r < 0)
                return r;
        }

        int r = vmk_vcpu_enter(sandbox->vcpu);
        process->exits++;
        changed = true;
        if (r == -EINTR) {
            changed = serve_interrupt(&loop);
            continue;
        }
        if (r < 0)
            return fail(&loop, r, ret_error);
        switch (vmk_usermode_take(process->usermode, &fault)) {
        case VMK_USERMODE_SYSCALL:
            if (!serve_syscall(&loop))
                return vmk_vm_check(sandbox->vm, ret_error);
            break;
        case VMK_USERMODE_FAULT:
            serve_fault(&loop, &fault);
            break;
        case VMK_USERMODE_RETURN:
            serve_return(&loop);
            break;
        case VMK_USERMODE_BROKEN:
            return fail(&loop, 0, ret_error);
        }
        if (loop.repeated_faults > MAX_REPEATED_FAULTS)
            return fail(&loop, -EFAULT, ret_error);
    }
}
