/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots in files. What is the same for every kind is here: the file, its parent, which kind a
 * file is one of, and what a snapshot remembers of it. What is in a file, the kind says
 * (vm/snapshot.h).
 *
 * A snapshot is a child of another one's file, not of the other one itself: who opens the child's
 * file needs a snapshot of that very file, by its identity.
 */
#ifndef VMK_VM_SNAPSHOT_ARCHIVE_H
#define VMK_VM_SNAPSHOT_ARCHIVE_H

#include "vm/snapshot.h"

#include <vmkit/snapshot_file.h>

#include <stdbool.h>

/* A file: a path, or a descriptor where the path is NULL. */
struct vmk_snapshot_place {
    const char *path;
    int fd;
};

/* As vmkit_snapshot_save_path() and vmkit_snapshot_save_fd(). `options` may be NULL. */
int
vmk_snapshot_save(struct vmkit_snapshot *snapshot, const struct vmk_snapshot_place *place,
                  const vmkit_snapshot_options *options, vmkit_error **ret_error);

/* As vmkit_snapshot_open_path() and vmkit_snapshot_open_fd(), of one of the `count` kinds. */
int
vmk_snapshot_open(const struct vmk_snapshot_place *place, bool copy,
                  const vmkit_snapshot_options *options,
                  const struct vmk_snapshot_kind *const *kinds, size_t count,
                  struct vmkit_snapshot **ret_snapshot, vmkit_error **ret_error);

#endif
