/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resetting a fork to its snapshot. What can fail without harm comes first; what fails later leaves
 * a sandbox that has failed, which a further reset may still bring back.
 */
#include "sandbox/snapshot.h"

#include "arch/usermode.h"
#include "sandbox/state.h"
#include "util/error.h"
#include "vm/vcpu.h"
#include "vm/vm.h"

#include <errno.h>
#include <string.h>

/* One instruction has no more of them than this. */
#define MAX_EXITS 8

static int
read_log(void *user_data, uint64_t start, uint64_t *bits, vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = user_data;
    return vmk_vm_get_dirty_log(sandbox->vm, start, bits, ret_error);
}

static int
clear_log(void *user_data, uint64_t start, const uint64_t *bits, vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = user_data;
    return vmk_vm_clear_dirty_log(sandbox->vm, start, bits, ret_error);
}

struct vmk_frames_log
vmk_sandbox_get_log(vmkit_sandbox *sandbox)
{
    return (struct vmk_frames_log){.read = read_log, .clear = clear_log, .user_data = sandbox};
}

int
vmk_sandbox_keep_log(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    struct vmk_frames_log log = vmk_sandbox_get_log(sandbox);
    return sandbox->fork.snapshot == NULL ? 0
                                          : vmk_frames_keep_log(sandbox->frames, &log, ret_error);
}

/* Claim the sandbox, whatever state it is in. */
static int
claim(vmkit_sandbox *sandbox, enum vmk_sandbox_state *ret_state, vmkit_error **ret_error)
{
    if (sandbox->fork.snapshot == NULL)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                             "the sandbox was not forked from a snapshot that it could go back to");
    pthread_mutex_lock(&sandbox->lock);
    *ret_state = sandbox->state;
    sandbox->state = VMK_SANDBOX_RUNNING;
    pthread_mutex_unlock(&sandbox->lock);
    if (*ret_state == VMK_SANDBOX_RUNNING)
        return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY, "the sandbox is running");
    /* One that has failed gets a VM of this process. */
    int r = *ret_state == VMK_SANDBOX_FAILED || vmk_vm_is_own(sandbox->vm)
                ? 0
                : vmk_vm_check(sandbox->vm, ret_error);
    if (r < 0)
        vmk_sandbox_finish(sandbox, *ret_state);
    return r;
}

/* Have KVM finish what the last exit began. */
static int
complete_exit(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    int r = vmk_vcpu_lock(sandbox->vcpu, ret_error);
    if (r < 0)
        return r;
    r = 1;
    for (int tries = 0; r == 1 && tries < MAX_EXITS; tries++) {
        vmk_usermode_cut_short(sandbox->process.usermode);
        r = vmk_vcpu_complete(sandbox->vcpu);
    }
    vmk_vcpu_unlock(sandbox->vcpu);
    if (r == 0)
        return 0;
    return vmk_error_set_errno(ret_error, r < 0 ? -r : EIO, VMKIT_ERROR_KVM_FAILED,
                               "completing the last exit of the sandbox");
}

/* The vCPU, wherever it was stopped. */
static int
restore_vcpu(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    struct vmk_usermode *usermode = sandbox->process.usermode;
    int r = vmk_usermode_is_settled(usermode) ? 0 : complete_exit(sandbox, ret_error);
    return r < 0 ? r : vmk_usermode_restore(usermode, sandbox->fork.snapshot->usermode, ret_error);
}

static void
clear_statistics(vmkit_sandbox *sandbox)
{
    struct vmk_process *process = &sandbox->process;
    if (process->syscalls != 0)
        memset(process->syscall_counts, 0, sizeof process->syscall_counts);
    process->exits = 0;
    process->syscalls = 0;
    process->unknown_syscalls = 0;
    process->wall_time_ns = 0;
    sandbox->account.peak = sandbox->account.used;
    sandbox->account.refused = sandbox->space.refused = false;
    vmk_error_unref(sandbox->memory_error);
    sandbox->memory_error = NULL;
    sandbox->space.faults = 0;
    sandbox->space.fault_next = sandbox->space.fault_before = sandbox->space.fault_window = 0;
}

/* The process, when its memory is already what it was and not yet charged for: files in memory that
 * come back may need what the guest's own pages had. */
static int
reset_process(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    const struct vmk_process_snapshot *snapshot = sandbox->fork.snapshot;
    struct vmk_process *process = &sandbox->process;
    process->ending = (struct vmk_ending){0};
    int r = 0;
    if (process->touched || snapshot->has_timers)
        r = vmk_state_reset(process, snapshot->process.data, snapshot->process.size, ret_error);
    if (r < 0)
        return r;
    process->cpu_before_ns = sandbox->fork.cpu_before_ns;
    if (vmk_frames_charge_image(sandbox->frames))
        return 0;
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_LIMIT,
                         "what the sandbox was forked from does not fit under its limit any more");
}

/* From here on a failure leaves the sandbox without use, but for a further reset. */
static int
reset_all(vmkit_sandbox *sandbox, const struct vmk_novelty *novelty, vmkit_error **ret_error)
{
    struct vmk_frames_log log = vmk_sandbox_get_log(sandbox);
    int r = restore_vcpu(sandbox, ret_error);
    if (r < 0)
        return r;
    vmk_sandbox_forget_orders(sandbox);
    vmk_frames_restore(sandbox->frames, &sandbox->space.paging, &log);
    r = reset_process(sandbox, ret_error);
    if (r < 0)
        return r;
    clear_statistics(sandbox);
    vmk_fork_begin(sandbox, novelty);
    return 0;
}

static int
reset(vmkit_sandbox *sandbox, const struct vmk_novelty *novelty, enum vmk_sandbox_state *state,
      vmkit_error **ret_error)
{
    struct vmk_frames_log log = vmk_sandbox_get_log(sandbox);
    int r = vmk_frames_read_log(sandbox->frames, &log, ret_error);
    if (r < 0)
        return r;
    r = reset_all(sandbox, novelty, ret_error);
    *state = r < 0 ? VMK_SANDBOX_FAILED : sandbox->fork.snapshot->state;
    return r;
}

/* What has failed is not trusted any more: it gets another VM. */
static int
make_anew(vmkit_sandbox *sandbox, const struct vmk_novelty *novelty, enum vmk_sandbox_state *state,
          vmkit_error **ret_error)
{
    vmk_sandbox_drop_machine(sandbox);
    vmk_sandbox_forget_orders(sandbox);
    int r = vmk_fork_make_machine(sandbox, ret_error);
    if (r < 0)
        return r;
    vmk_frames_uncharge_image(sandbox->frames);
    sandbox->process.touched = true;
    r = reset_process(sandbox, ret_error);
    if (r < 0)
        return r;
    clear_statistics(sandbox);
    vmk_fork_begin(sandbox, novelty);
    *state = sandbox->fork.snapshot->state;
    return 0;
}

int
vmk_sandbox_reset(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    enum vmk_sandbox_state state;
    struct vmk_novelty novelty;
    int r = claim(sandbox, &state, ret_error);
    if (r < 0)
        return r;
    r = vmk_novelty_make(&novelty, ret_error);
    if (r == 0)
        r = (state == VMK_SANDBOX_FAILED ? make_anew : reset)(sandbox, &novelty, &state, ret_error);
    vmk_sandbox_finish(sandbox, state);
    return r;
}
