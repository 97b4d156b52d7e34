/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sandbox.h"

#include "arch/usermode.h"
#include "mem/memory.h"
#include "sandbox/config.h"
#include "sandbox/files.h"
#include "sandbox/load.h"
#include "sandbox/maps.h"
#include "sandbox/signals.h"
#include "sandbox/snapshot.h"
#include "sandbox/symbol.h"
#include "sandbox/uaccess.h"
#include "util/descriptor.h"
#include "util/error.h"
#include "vm/vcpu.h"
#include "vm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The guest's process number, as that of a first program in a namespace of its own would not be 1:
 * programs that find themselves to be init behave differently. */
#define GUEST_PID 2

/* The vCPU is what a kill on another thread may be using. */
static void
set_vcpu(vmkit_sandbox *sandbox, struct vmkit_vcpu *vcpu)
{
    pthread_mutex_lock(&sandbox->vcpu_lock);
    struct vmkit_vcpu *old = sandbox->vcpu;
    sandbox->vcpu = vcpu;
    pthread_mutex_unlock(&sandbox->vcpu_lock);
    sandbox->process.vcpu = vcpu;
    vmk_vcpu_unref(old);
}

void
vmk_sandbox_drop_machine(vmkit_sandbox *sandbox)
{
    struct vmk_process *process = &sandbox->process;
    vmk_space_clear(&sandbox->space);
    vmk_usermode_free(process->usermode);
    /* The VM before the memory that it maps. */
    set_vcpu(sandbox, NULL);
    vmk_vm_unref(sandbox->vm);
    vmk_frames_free(sandbox->frames);
    vmk_error_unref(sandbox->memory_error);
    process->usermode = NULL;
    process->regs = NULL;
    sandbox->vm = NULL;
    sandbox->frames = NULL;
    sandbox->memory_error = NULL;
    sandbox->space = (struct vmk_space){0};
}

void
vmk_sandbox_free(vmkit_sandbox *sandbox)
{
    struct vmk_process *process = &sandbox->process;
    /* What is mapped of files, then the files, then what their memory is charged to. */
    vmk_sandbox_drop_machine(sandbox);
    vmk_process_clear(process);
    vmk_symbol_clear(process);
    vmk_files_free(process->files);
    vmk_signals_free(process->signals);
    if (sandbox->fork.snapshot != NULL)
        vmk_snapshot_unref(&sandbox->fork.snapshot->base);
    vmk_kvm_system_unref(sandbox->fork.system);
    if (process->wake_fd >= 0)
        close(process->wake_fd);
    pthread_mutex_destroy(&sandbox->lock);
    pthread_mutex_destroy(&sandbox->vcpu_lock);
    free(sandbox);
}

int
vmk_sandbox_alloc(const struct vmk_limits *limits, vmkit_sandbox **ret_sandbox,
                  vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (sandbox == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a sandbox");
    struct vmk_process *process = &sandbox->process;
    atomic_init(&sandbox->references, 1);
    pthread_mutex_init(&sandbox->lock, NULL);
    pthread_mutex_init(&sandbox->vcpu_lock, NULL);
    vmk_memory_account_init(&sandbox->account, limits->memory_bytes);
    process->memory = &sandbox->account;
    process->limits = *limits;
    process->wall_deadline_ns = process->cpu_deadline_ns = UINT64_MAX;
    process->wake_fd = vmk_descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (process->wake_fd < 0) {
        int r = vmk_error_set_known(ret_error, errno,
                                    VMK_ERRNO(ENOMEM) | VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE),
                                    VMKIT_ERROR_IO, "eventfd(2) for a sandbox");
        vmk_sandbox_free(sandbox);
        return r;
    }
    *ret_sandbox = sandbox;
    return 0;
}

static void
set_process(struct vmk_process *process, const vmkit_sandbox_config *config)
{
    process->pid = GUEST_PID;
    process->uid = config->uid;
    process->gid = config->gid;
    process->umask = 022;

    const char *name = vmk_config_get_program_name(config), *slash = strrchr(name, '/');
    strncpy(process->name, slash != NULL ? slash + 1 : name, sizeof process->name - 1);
}

/* KVM learns of a further piece of the arena. What a fork has of its snapshot is logged. */
int
vmk_sandbox_grow_memory(void *user_data, uint64_t gpa, uint64_t size, void *hva)
{
    vmkit_sandbox *sandbox = user_data;
    struct vmkit_memory *memory;
    int r = vmk_memory_new_user(hva, size, NULL, NULL, &memory, NULL);
    if (r < 0)
        return r;
    vmkit_error **ret_error = sandbox->memory_error == NULL ? &sandbox->memory_error : NULL;
    if (vmk_snapshot_holds(sandbox->fork.snapshot, gpa))
        r = vmk_vm_add_logged_memory(sandbox->vm, gpa, memory, 0, size, ret_error);
    else
        r = vmk_vm_add_memory(sandbox->vm, gpa, memory, 0, size, false, ret_error);
    vmk_memory_unref(memory);
    return r;
}

/* Memory was missing: tell of KVM's own error, if it was that. `error` is what else there is to
 * tell. */
static int
fail_memory(const vmkit_sandbox *sandbox, vmkit_error *error, vmkit_error **ret_error)
{
    if (sandbox->memory_error != NULL) {
        vmk_error_unref(error);
        error = vmk_error_ref(sandbox->memory_error);
    }
    return vmk_error_hand_over(error, ret_error);
}

int
vmk_sandbox_make_vm(vmkit_sandbox *sandbox, struct vmk_kvm_system *system, vmkit_error **ret_error)
{
    /* No interrupt ever comes. But a KVM whose last vCPU without a local controller goes, or whose
     * first one comes, patches its own code on all processors, which takes longer than making the
     * VM. */
    struct vmk_vm_options options = {.system = system, .irqchip = VMK_VM_IRQCHIP_SPLIT};
    return vmk_vm_new(&options, &sandbox->vm, ret_error);
}

int
vmk_sandbox_make_vcpu(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    struct vmkit_vcpu *vcpu = NULL;
    int r = vmk_vcpu_new(sandbox->vm, 0, &vcpu, ret_error);
    set_vcpu(sandbox, vcpu);
    sandbox->process.space = &sandbox->space;
    return r;
}

/* The VM, its memory, its vCPU in user mode. */
static int
make_machine(vmkit_sandbox *sandbox, struct vmk_kvm_system *system, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    uint64_t limit = process->limits.memory_bytes;
    int r = vmk_sandbox_make_vm(sandbox, system, ret_error);
    if (r == 0)
        r = vmk_frames_new(limit, &sandbox->account, vmk_sandbox_grow_memory, sandbox,
                           &sandbox->frames, ret_error);
    if (r == 0)
        r = vmk_sandbox_make_vcpu(sandbox, ret_error);
    if (r < 0)
        return r;
    vmkit_error *error = NULL;
    if (vmk_space_init(&sandbox->space, process, sandbox->frames, limit) < 0) {
        vmk_error_set(&error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                      "no memory for the guest's page tables");
        return fail_memory(sandbox, error, ret_error);
    }
    r = vmk_usermode_new(vmk_vcpu_get_kvm(sandbox->vcpu), &sandbox->space.paging,
                         &process->usermode, ret_error);
    if (r < 0)
        return r;
    process->regs = vmk_usermode_get_regs(process->usermode);
    return 0;
}

static int
make_process(vmkit_sandbox *sandbox, const vmkit_sandbox_config *config,
             struct vmk_kvm_system *system, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    process->signals = vmk_signals_new();
    if (process->signals == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the signals of a sandbox");

    int r = vmk_files_new(config, process, &sandbox->account, &process->files, ret_error);
    if (r < 0)
        return r;
    process->files->format_maps = vmk_maps_format;
    struct vmk_program program = {
        .file = vmk_files_get_program(process->files),
        .image = -1,
        .path = process->files->program_path,
        .arguments = process->files->arguments,
        .environment = process->files->environment,
    };
    r = vmk_load_check(process, &program, ret_error);
    if (r < 0)
        return r;
    r = make_machine(sandbox, system, ret_error);
    if (r < 0)
        return r;
    struct vmk_program_image *image =
        vmk_program_cache_get(config->program_cache, process, program.file);
    /* The file may have changed since its headers were read: nothing is mapped beyond the end. */
    if (image != NULL && vmk_elf_ends_within(&program.elf, image->source.stx_size))
        program.image = image->fd;
    vmkit_error *error = NULL;
    r = vmk_load(process, &program, &error);
    vmk_program_image_unref(image);
    return r < 0 ? fail_memory(sandbox, error, ret_error) : 0;
}

int
vmk_sandbox_new(const vmkit_sandbox_config *config, struct vmk_kvm_system *system,
                vmkit_sandbox **ret_sandbox, vmkit_error **ret_error)
{
    if (config->program.path == NULL && config->program.fd == NULL && config->program.image == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the configuration names no program");

    struct vmk_limits limits;
    vmk_config_get_limits(config, &limits);
    vmkit_sandbox *sandbox;
    int r = vmk_sandbox_alloc(&limits, &sandbox, ret_error);
    if (r < 0)
        return r;
    set_process(&sandbox->process, config);
    r = make_process(sandbox, config, system, ret_error);
    if (r < 0) {
        vmk_sandbox_free(sandbox);
        return r;
    }
    *ret_sandbox = sandbox;
    return 0;
}

vmkit_sandbox *
vmk_sandbox_ref(vmkit_sandbox *sandbox)
{
    atomic_fetch_add_explicit(&sandbox->references, 1, memory_order_relaxed);
    return sandbox;
}

void
vmk_sandbox_unref(vmkit_sandbox *sandbox)
{
    if (atomic_fetch_sub_explicit(&sandbox->references, 1, memory_order_acq_rel) == 1)
        vmk_sandbox_free(sandbox);
}

/* Of a sandbox that was claimed: a child of fork(2) shares its registers with its parent. */
static int
check_vm(vmkit_sandbox *sandbox, enum vmk_sandbox_state state, vmkit_error **ret_error)
{
    int r = vmk_vm_check(sandbox->vm, ret_error);
    if (r < 0)
        vmk_sandbox_finish(sandbox, state);
    return r;
}

int
vmk_sandbox_begin(vmkit_sandbox *sandbox, enum vmk_sandbox_state *ret_state,
                  vmkit_error **ret_error)
{
    pthread_mutex_lock(&sandbox->lock);
    enum vmk_sandbox_state state = sandbox->state;
    if (state == VMK_SANDBOX_NEW || state == VMK_SANDBOX_READY)
        sandbox->state = VMK_SANDBOX_RUNNING;
    pthread_mutex_unlock(&sandbox->lock);

    switch (state) {
    case VMK_SANDBOX_NEW:
    case VMK_SANDBOX_READY:
        *ret_state = state;
        return check_vm(sandbox, state, ret_error);
    case VMK_SANDBOX_RUNNING:
        return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY, "the sandbox is running already");
    case VMK_SANDBOX_ENDED:
    case VMK_SANDBOX_FAILED:
        break;
    }
    return vmk_error_set(
        ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
        state == VMK_SANDBOX_ENDED
            ? "the sandbox's program has ended; reset the sandbox, or make a new one"
            : "the sandbox has failed before; reset it, or make a new one");
}

void
vmk_sandbox_finish(vmkit_sandbox *sandbox, enum vmk_sandbox_state state)
{
    pthread_mutex_lock(&sandbox->lock);
    sandbox->state = state;
    pthread_mutex_unlock(&sandbox->lock);
}

static int
enter(vmkit_sandbox *sandbox, const struct vmk_time_limits *limits, enum vmk_sandbox_state *state,
      vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    int r = vmk_process_begin(process, limits);
    if (r == -EAGAIN)
        return vmk_error_set(ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
                             "the host has no timer left that would hold the limits of time "
                             "(RLIMIT_SIGPENDING)");
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "setting a timer that would hold the limits of time");
    enum vmk_pause stood = process->pause;
    uint64_t exits = process->exits;
    r = vmk_sandbox_run_guest(sandbox, ret_error);
    if (r == -EAGAIN) {
        /* It stands where it stood, unless something has been done for it. */
        bool same = process->exits == exits + 1 && stood != VMK_PAUSE_IN_SYSCALL;
        process->pause = same ? stood : VMK_PAUSE_STOPPED;
        return r;
    }
    if (r < 0)
        *state = VMK_SANDBOX_FAILED;
    else
        *state = vmk_process_ended(process) ? VMK_SANDBOX_ENDED : VMK_SANDBOX_READY;
    return r;
}

/* What reads zeros where its memory could not be decompressed is not to be believed. */
static int
check_memory(const vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    const struct vmk_process_snapshot *snapshot = sandbox->fork.snapshot;
    return snapshot == NULL ? 0 : vmk_frames_image_check(snapshot->image, ret_error);
}

int
vmk_sandbox_enter(vmkit_sandbox *sandbox, const struct vmk_time_limits *limits,
                  enum vmk_sandbox_state *state, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    int r = vmk_vcpu_begin(sandbox->vcpu, ret_error);
    if (r < 0)
        return r;
    uint64_t start = vmk_process_now_ns();
    r = enter(sandbox, limits, state, ret_error);
    if (r == 0) {
        r = check_memory(sandbox, ret_error);
        *state = r < 0 ? VMK_SANDBOX_FAILED : *state;
    }
    vmk_process_finish(process);
    process->wall_time_ns += vmk_process_now_ns() - start;
    vmk_vcpu_end(sandbox->vcpu);
    return r;
}

void
vmk_sandbox_fill_outcome(const vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome)
{
    const struct vmk_ending *ending = &sandbox->process.ending;
    enum vmkit_outcome_kind still =
        vmk_process_is_stopped(&sandbox->process) ? VMKIT_OUTCOME_PAUSED : VMKIT_OUTCOME_READY;
    outcome->kind = ending->kind != 0 ? ending->kind : still;
    outcome->exit_status = ending->exit_status;
    outcome->signal = ending->signal;
    outcome->signal_code = ending->signal_code;
    outcome->limit = ending->limit;
    outcome->fault_address = ending->fault_address;
    outcome->instruction_pointer = vmk_usermode_get_pc(sandbox->process.usermode);
}

/* A call that was paused has memory of the embedder to come back to, which a run has not. */
static int
check_suspended(const vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    if (sandbox->suspended.what == VMK_SUSPENDED_NONE)
        return 0;
    bool call = sandbox->suspended.what == VMK_SUSPENDED_CALL;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         "the sandbox is paused in a %s: that goes on with a further %s",
                         call ? "call" : "request",
                         call ? "vmkit_sandbox_call()" : "vmkit_sandbox_request()");
}

int
vmk_sandbox_run(vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome,
                vmkit_error **ret_error)
{
    enum vmk_sandbox_state state;
    int r = vmk_sandbox_begin(sandbox, &state, ret_error);
    if (r < 0)
        return r;
    vmk_sandbox_ref(sandbox);
    r = check_suspended(sandbox, ret_error);
    if (r == 0)
        r = vmk_sandbox_enter(sandbox, NULL, &state, ret_error);
    if (r == 0)
        vmk_sandbox_fill_outcome(sandbox, outcome);
    vmk_sandbox_finish(sandbox, state);
    vmk_sandbox_unref(sandbox);
    return r;
}

/* Have the guest and its waits notice what `flag` says. Under the lock, so that who takes a flag
 * back takes what was written for it back as well, and nothing else. */
static void
order(vmkit_sandbox *sandbox, atomic_bool *flag)
{
    pthread_mutex_lock(&sandbox->vcpu_lock);
    struct vmkit_vcpu *vcpu = sandbox->vcpu;
    /* A child of fork(2) shares the eventfd with its parent, whose waits it would end for good. */
    if (vcpu != NULL && vmk_vm_is_own(vmk_vcpu_get_vm(vcpu))) {
        eventfd_write(sandbox->process.wake_fd, 1);
        atomic_store(flag, true);
        vmk_vcpu_kick(vcpu);
    }
    pthread_mutex_unlock(&sandbox->vcpu_lock);
}

void
vmk_sandbox_kill(vmkit_sandbox *sandbox)
{
    order(sandbox, &sandbox->process.killed);
}

void
vmk_sandbox_pause(vmkit_sandbox *sandbox)
{
    order(sandbox, &sandbox->process.pause_asked);
}

void
vmk_sandbox_take_pause(vmkit_sandbox *sandbox)
{
    struct vmk_process *process = &sandbox->process;
    eventfd_t value;
    pthread_mutex_lock(&sandbox->vcpu_lock);
    if (atomic_exchange(&process->pause_asked, false) && !vmk_process_killed(process))
        eventfd_read(process->wake_fd, &value);
    pthread_mutex_unlock(&sandbox->vcpu_lock);
}

void
vmk_sandbox_forget_orders(vmkit_sandbox *sandbox)
{
    struct vmk_process *process = &sandbox->process;
    eventfd_t value;
    pthread_mutex_lock(&sandbox->vcpu_lock);
    bool killed = atomic_exchange(&process->killed, false);
    bool paused = atomic_exchange(&process->pause_asked, false);
    if (killed || paused)
        eventfd_read(process->wake_fd, &value);
    pthread_mutex_unlock(&sandbox->vcpu_lock);
}

int
vmk_sandbox_lock(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    pthread_mutex_lock(&sandbox->lock);
    bool running = sandbox->state == VMK_SANDBOX_RUNNING;
    if (!running && sandbox->frames != NULL)
        return 0;
    pthread_mutex_unlock(&sandbox->lock);
    if (running)
        return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY, "the sandbox is running");
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_WRONG_STATE,
                         "the sandbox is empty, since it could not be reset");
}

void
vmk_sandbox_unlock(vmkit_sandbox *sandbox)
{
    pthread_mutex_unlock(&sandbox->lock);
}

int
vmk_sandbox_get_output(vmkit_sandbox *sandbox, uint32_t stream, const void **ret_data,
                       uint64_t *ret_size, vmkit_error **ret_error)
{
    int r = vmk_files_get_output(sandbox->process.files, stream, ret_data, ret_size);
    if (r < 0)
        return vmk_error_set(ret_error, -r, VMKIT_ERROR_INVALID_ARGUMENT,
                             "stream %u is not an output that is kept in a buffer", stream);
    return 0;
}

int
vmk_sandbox_find_symbol(vmkit_sandbox *sandbox, const char *name, uint64_t *ret_address,
                        vmkit_error **ret_error)
{
    return vmk_symbol_find(&sandbox->process, name, false, ret_address, ret_error);
}

/* An access of the embedder to the guest's memory has ended with `result`. That it found the memory
 * limit reached does not end the program. */
static int
end_access(vmkit_sandbox *sandbox, const struct vmk_ending *before, int result, const char *what,
           uint64_t address, uint64_t size, vmkit_error **ret_error)
{
    if (result == 0)
        return check_memory(sandbox, ret_error);
    sandbox->process.ending = *before;
    return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                         "the program cannot %s %llu bytes at 0x%llx", what,
                         (unsigned long long)size, (unsigned long long)address);
}

int
vmk_sandbox_read_memory(vmkit_sandbox *sandbox, uint64_t address, void *buffer, uint64_t size,
                        vmkit_error **ret_error)
{
    const struct vmk_ending before = sandbox->process.ending;
    int r = check_memory(sandbox, ret_error);
    if (r < 0)
        return r;
    r = vmk_uaccess_read(&sandbox->space, address, buffer, size);
    return end_access(sandbox, &before, r, "read", address, size, ret_error);
}

int
vmk_sandbox_write_memory(vmkit_sandbox *sandbox, uint64_t address, const void *buffer,
                         uint64_t size, vmkit_error **ret_error)
{
    const struct vmk_ending before = sandbox->process.ending;
    int r = check_memory(sandbox, ret_error);
    if (r < 0)
        return r;
    r = vmk_uaccess_write(&sandbox->space, address, buffer, size);
    return end_access(sandbox, &before, r, "write", address, size, ret_error);
}

void
vmk_sandbox_get_stats(const vmkit_sandbox *sandbox, struct vmkit_sandbox_stats *stats)
{
    const struct vmk_process *process = &sandbox->process;
    stats->reserved = 0;
    stats->exits = process->exits;
    stats->syscalls = process->syscalls;
    stats->unknown_syscalls = process->unknown_syscalls;
    stats->page_faults = sandbox->space.faults;
    stats->signals = vmk_signals_get_delivered(process->signals);
    stats->cpu_time_ns = vmk_process_cpu_ns(process);
    stats->wall_time_ns = process->wall_time_ns;
    stats->memory_bytes = sandbox->account.used;
    stats->memory_peak_bytes = sandbox->account.peak;
    stats->output_bytes = process->output_bytes;
}

uint64_t
vmk_sandbox_get_syscall_count(const vmkit_sandbox *sandbox, uint32_t number)
{
    return sandbox->process.syscall_counts[number];
}
