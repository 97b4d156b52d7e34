/* SPDX-License-Identifier: Apache-2.0 */
/* What the calls of the *at family have in common: a path, a descriptor that it starts from, flags.
 */
#ifndef VMK_SANDBOX_AT_H
#define VMK_SANDBOX_AT_H

#include "sandbox/path.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct statx;
struct vmk_process;

/* What a call is about: something in the tree, or an open file without a place there. With a
 * descriptor of a file that has a place, both. */
struct vmk_target {
    struct vmk_node *node;
    struct vmk_file *file;
};

/* Copy a path. 0, -EFAULT, -ENAMETOOLONG. */
int
vmk_at_read_path(struct vmk_process *process, uint64_t va, char path[VMK_PATH_MAX]);

/* Find what (dirfd, path, flags) names, with AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH among the flags;
 * others are the caller's to check. A path of NULL counts as empty. 0, and the caller clears. */
int
vmk_at_find(struct vmk_process *process, uint64_t dirfd, uint64_t path, uint32_t flags,
            struct vmk_target *ret_target);

/* What a descriptor names, O_PATH ones if `allow_path`. 0 or -EBADF. */
int
vmk_at_find_fd(struct vmk_process *process, uint64_t fd, bool allow_path,
               struct vmk_target *ret_target);

void
vmk_target_clear(struct vmk_target *target);

int
vmk_target_statx(const struct vmk_target *target, struct statx *status);

/* Walk to a name that may not be there; it is not followed. */
int
vmk_at_lookup_name(struct vmk_process *process, uint64_t dirfd, uint64_t path,
                   struct vmk_lookup *ret_lookup);

/* -EROFS or -EACCES, for a folder that no call can change. */
int
vmk_at_denied(struct vmk_node *folder);

/* utimensat(2) with the times already here; `times` NULL for now. */
int64_t
vmk_at_set_times(struct vmk_process *process, uint64_t dirfd, uint64_t path,
                 const struct timespec times[2], uint32_t flags);

/* Copy struct stat, of the host's layout, which is the guest's. */
int64_t
vmk_at_put_stat(struct vmk_process *process, const struct vmk_target *target, uint64_t va);

#endif
