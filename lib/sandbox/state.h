/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a guest's process as bytes: what struct vmk_process and all behind it hold, but for
 * the registers and the memory. A process that stands still is saved; a fresh one is loaded from
 * the bytes, and goes on as if it was the first one.
 *
 * The bytes are little-endian and the same on every architecture, and whoever loads them need not
 * trust them: every field is checked, counts are held against the limits before anything is
 * allocated for them, and a refusal says what was wrong. Two saves of a process that did nothing in
 * between give the same bytes, but for the time that is left of its timers.
 *
 * What belongs to the host is named, not carried, and the configuration gives it again:
 * - Streams, by their number. Where a descriptor of the host stands is the embedder's affair, and
 *   input is read from its beginning. What a stream kept in a buffer is carried.
 * - Host folders, by their path in the guest. Their open files are opened again by their names.
 * - The program, for /proc/self/exe. Without one in the configuration it can no longer be executed
 *   again; what is mapped of it is memory and stays.
 *
 * Statistics are not carried: they count what one sandbox did. The CPU time that the guest sees
 * goes on, and so does what its output counts against the limit.
 */
#ifndef VMK_SANDBOX_STATE_H
#define VMK_SANDBOX_STATE_H

#include <vmkit/sandbox.h>

#include <stddef.h>
#include <stdint.h>

struct vmk_bytes;
struct vmk_limits;
struct vmk_process;

/* Append the state of a process that is stopped and has not ended. Mappings of files are populated,
 * so that they become memory: the memory is to be saved after this. 0; or, with an error, -ENOTSUP
 * and -ENOENT for what cannot be carried, -E2BIG when the memory limit has no room for a mapped
 * file, -ENOMEM. */
int
vmk_state_save(struct vmk_process *process, struct vmk_bytes *ret_bytes, vmkit_error **ret_error);

/* Fill a process from the bytes. It has its limits, its memory account, wake_fd, vcpu and usermode,
 * and an empty space over frames that hold the memory already; it has no files and no signals yet.
 * `config` gives the resources and may be NULL: no folders, and the streams of a fresh
 * configuration. Its limits, user, arguments and their like are not looked at. The bytes stay, as
 * they are, for as long as the process has its files, which share with them what files in memory
 * contain; and so does the configuration, to which they hold a reference. 0, or a negative errno
 * with an error, and then all that was made is freed again. */
int
vmk_state_load(struct vmk_process *process, vmkit_sandbox_config *config, const void *bytes,
               size_t size, vmkit_error **ret_error);

/* Bring a process that was loaded from these bytes back to where they have it: what did not change
 * stays, and what the configuration gave is used again. `killed` and wake_fd are the caller's. 0,
 * or a negative errno with an error, when what the host had is gone or it has no memory, and then
 * the process can only be reset once more or freed. */
int
vmk_state_reset(struct vmk_process *process, const void *bytes, size_t size,
                vmkit_error **ret_error);

/* The limits that the process had when it was saved. 0, or a negative errno with an error. */
int
vmk_state_get_limits(const void *bytes, size_t size, struct vmk_limits *ret_limits,
                     vmkit_error **ret_error);

#endif
