/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every snapshot is, whether of a raw VM or of a sandbox: an immutable value that counts its
 * references, and whose kind knows the rest. A kind's own structure begins with this one.
 */
#ifndef VMK_VM_SNAPSHOT_H
#define VMK_VM_SNAPSHOT_H

#include "archive/archive.h"
#include "util/bytes.h"
#include "util/error.h"

#include <vmkit/snapshot.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct vmk_snapshot_kind {
    const char *name; /* for messages, with its article: "a raw VM" */
    void (*free)(struct vmkit_snapshot *snapshot);
    /* `info` is all zero but for its size. */
    void (*get_info)(const struct vmkit_snapshot *snapshot, struct vmkit_snapshot_info *info);

    /* What follows is for its files (vm/snapshot_archive.h). The sections that a file of this kind
     * may have: the first one is in all of them, and in no other kind's. A kind without a list has
     * no files. */
    const struct vmk_archive_known *sections;
    size_t section_count;
    /* Where its guest-physical addresses end, a multiple of the page size. */
    uint64_t (*get_memory_size)(const struct vmkit_snapshot *snapshot);
    /* Whether its memory is mapped from the file of this descriptor. */
    bool (*lies_in)(const struct vmkit_snapshot *snapshot, int fd);
    /* Add all sections, and memory in ascending order, to a file that was begun: all of it, or what
     * differs from `parent`, a snapshot of the same kind that has a file. What is added is lent to
     * the writer until it has finished, with the writer's flush() for memory that goes before:
     * what is not the snapshot's own goes into `bytes`, which outlives the writer. */
    int (*save)(const struct vmkit_snapshot *snapshot, const struct vmkit_snapshot *parent,
                struct vmk_archive_writer *writer, struct vmk_bytes *bytes,
                vmkit_error **ret_error);
    /* Make a snapshot of a file, which may be a stranger's: its sections are of known versions, its
     * parent is the one that it names, of the same kind, or NULL for a full file, and what it
     * stores compressed is not above `memory_limit`; nor may be what it has made for it besides.
     * Takes a reference to the archive if it needs it longer, as for memory that it maps. */
    int (*open)(struct vmk_archive *archive, struct vmkit_snapshot *parent, uint64_t memory_limit,
                const struct vmk_archive_settings *settings, struct vmkit_snapshot **ret_snapshot,
                vmkit_error **ret_error);
};

struct vmkit_snapshot {
    atomic_uint references;
    const struct vmk_snapshot_kind *kind;
    pthread_mutex_t lock; /* of `file` */
    /* What the file is that it was opened from, or saved to last: a child names that as its parent.
     * An identity of zeros without one. */
    struct vmk_archive_info file;
};

/* One reference, and no file. */
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
