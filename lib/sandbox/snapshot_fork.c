/* SPDX-License-Identifier: Apache-2.0 */
/* Forking: a sandbox with a VM of its own over a copy of the snapshot's memory. */
#include "sandbox/snapshot.h"

#include "arch/usermode.h"
#include "sandbox/clock.h"
#include "sandbox/config.h"
#include "sandbox/state.h"
#include "util/error.h"
#include "vm/vcpu.h"
#include "vm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int
vmk_novelty_make(struct vmk_novelty *novelty, vmkit_error **ret_error)
{
    if (getrandom(novelty, sizeof *novelty, GRND_NONBLOCK) != sizeof *novelty)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_IO,
                             "the host has no random numbers for the sandbox");
    /* Zero is for who was never forked. */
    novelty->generation |= novelty->generation == 0;
    return 0;
}

/* The program finds its random bytes where they were, if it still has the page. */
static void
renew_random(vmkit_sandbox *sandbox, const struct vmk_novelty *novelty)
{
    const struct vmk_paging *paging = &sandbox->space.paging;
    uint64_t va = sandbox->process.random_va;
    if (va >= VMK_SPACE_HIGH || va % sizeof novelty->random != 0)
        return;
    struct vmk_leaf leaf = vmk_paging_find(paging, va);
    if (va == 0 || !leaf.used)
        return;
    uint64_t gpa = leaf.gpa + (va & (leaf.size - 1));
    memcpy(paging->memory + gpa, novelty->random, sizeof novelty->random);
    vmk_paging_note_write(paging, gpa, sizeof novelty->random);
}

void
vmk_fork_begin(vmkit_sandbox *sandbox, const struct vmk_novelty *novelty)
{
    const struct vmk_process_snapshot *snapshot = sandbox->fork.snapshot;
    struct vmk_process *process = &sandbox->process;
    sandbox->suspended.what = VMK_SUSPENDED_NONE;
    process->ending = (struct vmk_ending){0};
    process->pause = snapshot->pause;
    vmk_clock_continue(process, snapshot->has_clocks ? snapshot->clocks : NULL);
    process->call_return_sp = 0;
    process->wait_paused = false;
    process->wait_until_ns = 0;
    process->regs_replaced = true;
    process->touched = false;
    process->program_replaced = false;
    process->generation = novelty->generation;
    vmk_usermode_set_generation(process->usermode, novelty->generation);
    renew_random(sandbox, novelty);
}

static int
make_memory(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    const struct vmk_process_snapshot *snapshot = sandbox->fork.snapshot;
    struct vmk_process *process = &sandbox->process;
    struct vmk_space *space = &sandbox->space;
    process->space = space;
    space->process = process;
    space->commit_limit = process->limits.memory_bytes;
    /* A host that clears the log when it is read forks as well, and resets more slowly. */
    int r = vmk_vm_keep_dirty_log(sandbox->vm, NULL);
    if (r < 0 && r != -ENOTSUP)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED,
                             "KVM does not keep its dirty log");
    r = vmk_frames_new_copy(snapshot->image, process->limits.memory_bytes, &sandbox->account,
                            vmk_sandbox_grow_memory, sandbox, &space->paging, &sandbox->frames,
                            ret_error);
    space->frames = sandbox->frames;
    return r;
}

static int
make_vcpu(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    int r = vmk_sandbox_make_vcpu(sandbox, ret_error);
    if (r == 0)
        r = vmk_usermode_new_copy(vmk_vcpu_get_kvm(sandbox->vcpu), &sandbox->space.paging,
                                  sandbox->fork.snapshot->usermode, &process->usermode, ret_error);
    if (r == 0)
        process->regs = vmk_usermode_get_regs(process->usermode);
    return r;
}

int
vmk_fork_make_machine(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    int r = vmk_sandbox_make_vm(sandbox, sandbox->fork.system, ret_error);
    if (r == 0)
        r = make_memory(sandbox, ret_error);
    return r < 0 ? r : make_vcpu(sandbox, ret_error);
}

/* The process, with what the configuration gives. The program is the one that ran, whatever the
 * configuration names. */
static int
load_process(vmkit_sandbox *sandbox, const vmkit_sandbox_config *config, vmkit_error **ret_error)
{
    const struct vmk_process_snapshot *snapshot = sandbox->fork.snapshot;
    vmkit_sandbox_config *own = NULL;
    int r = 0;
    if (config != NULL)
        r = vmk_config_copy_resources(config, &snapshot->config->program, &own, ret_error);
    if (r == 0)
        r = vmk_state_load(&sandbox->process, own != NULL ? own : snapshot->config,
                           snapshot->process.data, snapshot->process.size, ret_error);
    vmk_config_unref(own);
    return r;
}

static int
make_fork(vmkit_sandbox *sandbox, const vmkit_sandbox_config *config, vmkit_error **ret_error)
{
    struct vmk_novelty novelty;
    int r = vmk_novelty_make(&novelty, ret_error);
    if (r == 0)
        r = vmk_fork_make_machine(sandbox, ret_error);
    if (r == 0)
        r = load_process(sandbox, config, ret_error);
    if (r < 0)
        return r;
    sandbox->fork.cpu_before_ns = sandbox->process.cpu_before_ns;
    sandbox->state = sandbox->fork.snapshot->state;
    vmk_fork_begin(sandbox, &novelty);
    return 0;
}

int
vmk_snapshot_fork(vmkit_snapshot *base, const vmkit_sandbox_config *config,
                  struct vmk_kvm_system *system, vmkit_sandbox **ret_sandbox,
                  vmkit_error **ret_error)
{
    struct vmk_process_snapshot *snapshot;
    vmkit_sandbox *sandbox;
    int r = vmk_snapshot_get_process(base, &snapshot, ret_error);
    if (r < 0)
        return r;
    struct vmk_limits limits = snapshot->limits;
    if (config != NULL)
        vmk_config_get_limits(config, &limits);
    r = vmk_sandbox_alloc(&limits, &sandbox, ret_error);
    if (r < 0)
        return r;
    vmk_snapshot_ref(base);
    sandbox->fork.snapshot = snapshot;
    sandbox->fork.system = vmk_kvm_system_ref(system);
    r = make_fork(sandbox, config, ret_error);
    if (r < 0)
        vmk_sandbox_free(sandbox);
    else
        *ret_sandbox = sandbox;
    return r;
}
