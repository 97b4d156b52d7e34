/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox: one guest process, the VM that it runs in and what both need
 * (include/vmkit/sandbox.h).
 */
#ifndef VMK_SANDBOX_SANDBOX_H
#define VMK_SANDBOX_SANDBOX_H

#include "arch/usermode.h"
#include "kvm/system.h"
#include "sandbox/account.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/suspended.h"
#include "vm/pool.h"

#include <vmkit/sandbox.h>

#include <pthread.h>
#include <stdatomic.h>

struct vmkit_vcpu;
struct vmkit_vm;

enum vmk_sandbox_state {
    VMK_SANDBOX_NEW,     /* Loaded, and never run. */
    VMK_SANDBOX_READY,   /* It stands still, and `process.pause` says where. */
    VMK_SANDBOX_RUNNING, /* On whichever thread; also while a call or a request is prepared. */
    VMK_SANDBOX_ENDED,   /* The program has ended, and `process.ending` says how. */
    VMK_SANDBOX_FAILED,  /* KVM failed: what the vCPU's registers are, nobody knows. */
};

/* Where a sandbox was forked from, and goes back to. */
struct vmk_fork {
    struct vmk_process_snapshot *snapshot; /* NULL: it was not forked. */
    struct vmk_kvm_system *system;         /* NULL: the host's own. */
    uint64_t cpu_before_ns;                /* Of the process, when it was forked. */
};

struct vmkit_sandbox {
    atomic_uint references;
    pthread_mutex_t lock;      /* `state` */
    pthread_mutex_t vcpu_lock; /* which vCPU it is; never held for long */
    enum vmk_sandbox_state state;

    struct vmk_process process;
    struct vmk_memory_account account;
    struct vmk_space space;
    struct vmk_frames *frames;
    vmkit_error *memory_error; /* the first time that KVM took no further piece of memory */
    struct vmkit_vm *vm;
    struct vmkit_vcpu *vcpu;
    struct vmk_fork fork;
    struct vmk_suspended suspended;
    struct vmk_pool_place pool;
};

/* `system` is NULL for the host's own KVM. */
int
vmk_sandbox_new(const vmkit_sandbox_config *config, struct vmk_kvm_system *system,
                vmkit_sandbox **ret_sandbox, vmkit_error **ret_error);

/* The parts of vmk_sandbox_new(): an empty one, with the limits, and without a process; a VM for
 * it; what is common to every vCPU of one. On failure the sandbox is to be freed. */
int
vmk_sandbox_alloc(const struct vmk_limits *limits, vmkit_sandbox **ret_sandbox,
                  vmkit_error **ret_error);

void
vmk_sandbox_free(vmkit_sandbox *sandbox);

/* Free the VM, its memory and its vCPU: what is left is the process without its mappings. */
void
vmk_sandbox_drop_machine(vmkit_sandbox *sandbox);

int
vmk_sandbox_make_vm(vmkit_sandbox *sandbox, struct vmk_kvm_system *system, vmkit_error **ret_error);

int
vmk_sandbox_make_vcpu(vmkit_sandbox *sandbox, vmkit_error **ret_error);

/* The callback of its frames. */
int
vmk_sandbox_grow_memory(void *user_data, uint64_t gpa, uint64_t size, void *hva);

vmkit_sandbox *
vmk_sandbox_ref(vmkit_sandbox *sandbox);

void
vmk_sandbox_unref(vmkit_sandbox *sandbox);

/* Fills all of `outcome` but its size. */
int
vmk_sandbox_run(vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome,
                vmkit_error **ret_error);

/* How the guest stands after vmk_sandbox_enter(). Fills all of `outcome` but its size. */
void
vmk_sandbox_fill_outcome(const vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome);

void
vmk_sandbox_kill(vmkit_sandbox *sandbox);

void
vmk_sandbox_pause(vmkit_sandbox *sandbox);

/* The sandbox stands still: take the pause back that asked for it. */
void
vmk_sandbox_take_pause(vmkit_sandbox *sandbox);

/* Take back whatever was asked for from outside. */
void
vmk_sandbox_forget_orders(vmkit_sandbox *sandbox);

/* Keep a run from beginning while its results are read. -EBUSY while another thread runs it. */
int
vmk_sandbox_lock(vmkit_sandbox *sandbox, vmkit_error **ret_error);

void
vmk_sandbox_unlock(vmkit_sandbox *sandbox);

int
vmk_sandbox_get_output(vmkit_sandbox *sandbox, uint32_t stream, const void **ret_data,
                       uint64_t *ret_size, vmkit_error **ret_error);

/* As the public functions of vmkit/call.h, on a sandbox that is locked. */
int
vmk_sandbox_find_symbol(vmkit_sandbox *sandbox, const char *name, uint64_t *ret_address,
                        vmkit_error **ret_error);

int
vmk_sandbox_read_memory(vmkit_sandbox *sandbox, uint64_t address, void *buffer, uint64_t size,
                        vmkit_error **ret_error);

int
vmk_sandbox_write_memory(vmkit_sandbox *sandbox, uint64_t address, const void *buffer,
                         uint64_t size, vmkit_error **ret_error);

/* Fills all of `stats` but its size. */
void
vmk_sandbox_get_stats(const vmkit_sandbox *sandbox, struct vmkit_sandbox_stats *stats);

uint64_t
vmk_sandbox_get_syscall_count(const vmkit_sandbox *sandbox, uint32_t number);

/* Claim the sandbox for a run: its state becomes RUNNING. -EBUSY, or -ENOTSUP when it has ended or
 * failed. `ret_state` receives the state before, for vmk_sandbox_finish(). */
int
vmk_sandbox_begin(vmkit_sandbox *sandbox, enum vmk_sandbox_state *ret_state,
                  vmkit_error **ret_error);

/* Give the claim back. */
void
vmk_sandbox_finish(vmkit_sandbox *sandbox, enum vmk_sandbox_state state);

/* Let the guest of a claimed sandbox go on, on the calling thread, until it ends or stands still,
 * within `limits` and those of its configuration. On success and on failure `*state` becomes the
 * state that the sandbox is in from then on: unchanged when the guest could not be entered. */
int
vmk_sandbox_enter(vmkit_sandbox *sandbox, const struct vmk_time_limits *limits,
                  enum vmk_sandbox_state *state, vmkit_error **ret_error);

/* run.c: run the guest until its process has ended or stands still. 0, or an error of the host. */
int
vmk_sandbox_run_guest(vmkit_sandbox *sandbox, vmkit_error **ret_error);

#endif
