/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: a sandbox that stands still, as a value (include/vmkit/snapshot.h). It consists of the
 * image of its frames (frames_image.h), the state of its vCPU (arch/usermode.h) and the state of
 * its process as bytes (state.h). Nothing of it changes after it was made, so that any thread may
 * fork sandboxes from it.
 */
#ifndef VMK_SANDBOX_SNAPSHOT_H
#define VMK_SANDBOX_SNAPSHOT_H

#include "sandbox/frames_image.h"
#include "sandbox/sandbox.h"
#include "util/bytes.h"
#include "vm/snapshot.h"

struct vmk_usermode_state;

struct vmk_process_snapshot {
    struct vmkit_snapshot base;
    struct vmk_frames_image *image;
    struct vmk_usermode_state *usermode;
    struct vmk_bytes process;
    struct vmk_limits limits;
    /* The program, and default streams: for a fork without a configuration. */
    vmkit_sandbox_config *config;
    enum vmk_sandbox_state state;
    enum vmk_pause pause;
    uint64_t instruction_pointer;
    bool has_timers; /* Its process changes by itself. */
    bool has_clocks; /* A file of before may have none, and goes on by the host's. */
    uint64_t clocks[VMK_CLOCK_KEPT];
};

/* As the public functions of the same names. */
int
vmk_sandbox_snapshot(vmkit_sandbox *sandbox, vmkit_snapshot **ret_snapshot,
                     vmkit_error **ret_error);

extern const struct vmk_snapshot_kind vmk_snapshot_of_sandbox;

/* What it is of a sandbox. -ENOTSUP for one of a raw VM. */
int
vmk_snapshot_get_process(struct vmkit_snapshot *snapshot,
                         struct vmk_process_snapshot **ret_process_snapshot,
                         vmkit_error **ret_error);

/* `config` may be NULL; `system` is NULL for the host's own KVM. */
int
vmk_snapshot_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                  struct vmk_kvm_system *system, vmkit_sandbox **ret_sandbox,
                  vmkit_error **ret_error);

int
vmk_sandbox_reset(vmkit_sandbox *sandbox, vmkit_error **ret_error);

/* Whether the frame at `gpa` is one of the snapshot's, which may be NULL. */
bool
vmk_snapshot_holds(const struct vmk_process_snapshot *snapshot, uint64_t gpa);

/* Where KVM's dirty log of a fork is. */
struct vmk_frames_log
vmk_sandbox_get_log(vmkit_sandbox *sandbox);

/* KVM's dirty log of a fork is about to be lost. 0 or a negative errno. */
int
vmk_sandbox_keep_log(vmkit_sandbox *sandbox, vmkit_error **ret_error);

/* What a fork gets that no other one has: random bytes and a number. */
struct vmk_novelty {
    uint8_t random[16];
    uint64_t generation;
};

/* 0, or -EIO where the host has no random numbers yet. */
int
vmk_novelty_make(struct vmk_novelty *novelty, vmkit_error **ret_error);

/* The VM, the memory and the vCPU of a fork that has none. */
int
vmk_fork_make_machine(vmkit_sandbox *sandbox, vmkit_error **ret_error);

/* What is common to a fork that was just made and one that was reset: all that the process has
 * outside of its saved state. */
void
vmk_fork_begin(vmkit_sandbox *sandbox, const struct vmk_novelty *novelty);

#endif
