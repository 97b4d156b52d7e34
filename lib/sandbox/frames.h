/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical frames of a sandbox: an arena of host memory, reserved at its greatest size and
 * handed out page by page from the bottom. Blocks of 2 MiB are the unit of growth: memory becomes
 * known to KVM as it is needed, in slots that double, since KVM keeps several bytes for each page
 * of a slot. A frame that is handed out is always zero.
 */
#ifndef VMK_SANDBOX_FRAMES_H
#define VMK_SANDBOX_FRAMES_H

#include "sandbox/account.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stdint.h>

struct vmk_frames;

/* Make guest memory [gpa, gpa + size) at `hva` known to the VM. 0 or a negative errno. */
typedef int
vmk_frames_grow_fn(void *user_data, uint64_t gpa, uint64_t size, void *hva);

/* Reserve an arena that holds `limit` bytes. Frames are charged to `account`. */
int
vmk_frames_new(uint64_t limit, struct vmk_memory_account *account, vmk_frames_grow_fn *grow,
               void *user_data, struct vmk_frames **ret_frames, vmkit_error **ret_error);

/* All frames go, and what they were charged. The VM no longer uses the memory. */
void
vmk_frames_free(struct vmk_frames *frames);

/* Host address of gpa 0; the arena is contiguous. */
uint8_t *
vmk_frames_get_memory(const struct vmk_frames *frames);

/* Bytes of the arena. */
uint64_t
vmk_frames_get_size(const struct vmk_frames *frames);

/* Whether the last frame that was not to be had was missing at the host, not under the limit. */
bool
vmk_frames_is_host_short(const struct vmk_frames *frames);

/* The gpa of a zeroed frame of 4 KiB, or 0 when the limit is reached. gpa 0 is never handed out. */
uint64_t
vmk_frames_alloc(struct vmk_frames *frames);

/* The gpa of 2 MiB, aligned, backed by a transparent huge page where the host has one; or 0. */
uint64_t
vmk_frames_alloc_large(struct vmk_frames *frames);

/* Whether `size` bytes could be handed out and a quarter of the limit would still be left. */
bool
vmk_frames_has_plenty(const struct vmk_frames *frames, uint64_t size);

/* Give back [gpa, gpa + size), whole pages that were handed out. The host's pages go with it, which
 * also makes KVM drop its translations of them. */
void
vmk_frames_release(struct vmk_frames *frames, uint64_t gpa, uint64_t size);

/* Make KVM drop its translations of [gpa, gpa + size) without a change of what is there. 0, or
 * -ENOMEM when the host has no mapping left for it, or limits writable memory (RLIMIT_DATA). */
int
vmk_frames_drop_translations(struct vmk_frames *frames, uint64_t gpa, uint64_t size);

/* Put the bytes of a file that nobody can shorten under [gpa, gpa + size), copy-on-write. 0 or
 * -ENOMEM. */
int
vmk_frames_map_file(struct vmk_frames *frames, uint64_t gpa, uint64_t size, int fd,
                    uint64_t offset);

/* Have the host's pages of [gpa, gpa + size) there before the guest touches them. */
void
vmk_frames_populate(struct vmk_frames *frames, uint64_t gpa, uint64_t size);

#endif
