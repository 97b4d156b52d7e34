/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/snapshot.h"

#include <errno.h>
#include <stddef.h>

void
vmk_snapshot_init(struct vmkit_snapshot *snapshot, const struct vmk_snapshot_kind *kind)
{
    atomic_init(&snapshot->references, 1);
    snapshot->kind = kind;
    pthread_mutex_init(&snapshot->lock, NULL);
    snapshot->file = (struct vmk_archive_info){0};
}

struct vmkit_snapshot *
vmk_snapshot_ref(struct vmkit_snapshot *snapshot)
{
    if (snapshot != NULL)
        atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void
vmk_snapshot_unref(struct vmkit_snapshot *snapshot)
{
    if (snapshot == NULL ||
        atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&snapshot->lock);
    snapshot->kind->free(snapshot);
}

int
vmk_snapshot_check_kind(const struct vmkit_snapshot *snapshot, const struct vmk_snapshot_kind *kind,
                        vmkit_error **ret_error)
{
    if (snapshot->kind == kind)
        return 0;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         "the snapshot is one of %s, not of %s", snapshot->kind->name, kind->name);
}
