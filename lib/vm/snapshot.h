/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every snapshot is, whether of a raw VM or of a sandbox: an immutable value that counts its
 * references, and whose kind knows the rest. A kind's own structure begins with this one.
 */
#ifndef VMK_VM_SNAPSHOT_H
#define VMK_VM_SNAPSHOT_H

#include "util/error.h"

#include <vmkit/snapshot.h>

#include <stdatomic.h>

struct vmk_snapshot_kind {
    const char *name; /* for messages, with its article: "a raw VM" */
    void (*free)(struct vmkit_snapshot *snapshot);
    /* `info` is all zero but for its size. */
    void (*get_info)(const struct vmkit_snapshot *snapshot, struct vmkit_snapshot_info *info);
};

struct vmkit_snapshot {
    atomic_uint references;
    const struct vmk_snapshot_kind *kind;
};

/* One reference. */
void
vmk_snapshot_init(struct vmkit_snapshot *snapshot, const struct vmk_snapshot_kind *kind);

struct vmkit_snapshot *
vmk_snapshot_ref(struct vmkit_snapshot *snapshot);

/* Accepts NULL. */
void
vmk_snapshot_unref(struct vmkit_snapshot *snapshot);

/* -ENOTSUP, with a sentence, for a snapshot of another kind. */
int
vmk_snapshot_check_kind(const struct vmkit_snapshot *snapshot, const struct vmk_snapshot_kind *kind,
                        vmkit_error **ret_error);

#endif
