/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file snapshot.h
 * @brief A sandbox that stands still, as a value: sandboxes are forked from it, and reset to it.
 *
 *     vmkit_sandbox_run(sandbox, &outcome, &error);
 *     if (outcome.kind == VMKIT_OUTCOME_READY)
 *         vmkit_sandbox_snapshot(sandbox, &snapshot, &error);
 *     vmkit_snapshot_fork(snapshot, NULL, &fork, &error);
 *     vmkit_sandbox_run(fork, &outcome, &error);
 *     vmkit_sandbox_reset(fork, &error);
 */
#ifndef VMKIT_SNAPSHOT_H
#define VMKIT_SNAPSHOT_H

#include <vmkit/error.h>
#include <vmkit/sandbox.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A snapshot. Opaque, immutable and reference-counted: any number of threads may use one at the
 * same time. */
typedef struct vmkit_snapshot vmkit_snapshot;

/** What a snapshot holds. Set `size` before the call; fields are only ever appended. */
struct vmkit_snapshot_info {
    /** sizeof(struct vmkit_snapshot_info) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Bytes of guest memory in use, page tables included; files in /tmp are not among them. */
    uint64_t memory_bytes;
    /** Those of them that are stored: pages that hold more than zeros. */
    uint64_t data_bytes;
    /** Bytes of all else: descriptors, signals, mappings, files in /tmp. */
    uint64_t process_bytes;
    /** The memory limit that the sandbox had, in bytes. */
    uint64_t memory_limit_bytes;
    /** Guest instruction pointer at which every fork begins. */
    uint64_t instruction_pointer;
};

/**
 * @brief Take a snapshot of a sandbox that stands still.
 * @param sandbox The sandbox: ready (VMKIT_OUTCOME_READY), or never run. It stays as it is and can
 *        go on afterwards.
 * @param ret_snapshot Receives the snapshot; the caller releases it with vmkit_snapshot_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -EBUSY while a thread runs the sandbox; -ENOTSUP when its program
 *         has ended or it has failed, or when it has open what a snapshot cannot hold, which the
 *         message names; -ENOENT when an open file of a host folder is no longer there; -E2BIG when
 *         the memory limit has no room for the files that it has mapped; -EIO when KVM or the host
 *         failed; -ENOMEM.
 *
 * Its memory is copied, once. Any thread.
 * @since 0.1
 */
int
vmkit_sandbox_snapshot(vmkit_sandbox *sandbox, vmkit_snapshot **ret_snapshot,
                       vmkit_error **ret_error);

/**
 * @brief Take a further reference to a snapshot.
 * @param snapshot The snapshot, or NULL.
 * @return The same, to be released with vmkit_snapshot_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_snapshot *
vmkit_snapshot_ref(vmkit_snapshot *snapshot);

/**
 * @brief Release a reference to a snapshot; the last one frees it.
 * @param snapshot The snapshot, or NULL, for which nothing is done.
 *
 * Each sandbox that was forked from it has a reference of its own. Any thread.
 * @since 0.1
 */
void
vmkit_snapshot_unref(vmkit_snapshot *snapshot);

/**
 * @brief Learn what a snapshot holds.
 * @param snapshot The snapshot.
 * @param info Receives it; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or a wrong `size`.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_get_info(vmkit_snapshot *snapshot, struct vmkit_snapshot_info *info,
                        vmkit_error **ret_error);

/**
 * @brief Make a sandbox that goes on where the snapshot was taken.
 * @param snapshot The snapshot.
 * @param config Gives the streams, the host folders and the limits; its program, arguments,
 *        environment, user and working directory are not looked at. NULL: default streams, no
 *        folders, and the limits of the sandbox that the snapshot was taken of. Copied.
 * @param ret_sandbox Receives the sandbox, which stands as that one stood; the caller releases it
 *        with vmkit_sandbox_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -ENOENT when the snapshot has a host folder open that the
 *         configuration does not give; -E2BIG when the configuration's limits do not hold what the
 *         snapshot has; -ENODEV and -EACCES without KVM; -EMFILE; -EIO when KVM failed; -ENOMEM.
 *
 * The sandboxes share the snapshot's memory until they write to it, and never see what another one
 * wrote. Each has new random bytes (AT_RANDOM), and its statistics begin at zero. Any thread, and
 * any number at the same time.
 * @since 0.1
 */
int
vmkit_snapshot_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                    vmkit_sandbox **ret_sandbox, vmkit_error **ret_error);

/**
 * @brief Bring a sandbox back to the snapshot that it was forked from.
 * @param sandbox The sandbox, whether it is ready, was never run, has ended in whichever way, or
 * has failed.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -EBUSY while a thread runs it; -ENOTSUP when it was not forked from
 * a snapshot; -EIO when KVM failed, -ENOMEM, or an error of vmkit_snapshot_fork(): then it is as it
 * was, or has failed and can be reset again or released.
 *
 * Nothing of what it did is left, and it has what the configuration of its fork gave; the random
 * bytes are new ones. Output that was kept is gone. A vmkit_sandbox_kill() before the reset returns
 * does not hold for a run after it. The time that it takes grows with the memory written to, not
 * with the memory there is. Any thread.
 * @since 0.1
 */
int
vmkit_sandbox_reset(vmkit_sandbox *sandbox, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
