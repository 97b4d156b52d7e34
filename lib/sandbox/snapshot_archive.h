/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's snapshot in a file: the sections that it consists of besides the memory, as its kind
 * is asked for them (vm/snapshot.h). doc/snapshots.md says why the file is made this way,
 * doc/snapshot-format.md what is in it.
 */
#ifndef VMK_SANDBOX_SNAPSHOT_ARCHIVE_H
#define VMK_SANDBOX_SNAPSHOT_ARCHIVE_H

#include "archive/archive.h"
#include "util/bytes.h"
#include "vm/snapshot.h"

#define VMK_PROCESS_SECTIONS 6

extern const struct vmk_archive_known vmk_process_sections[VMK_PROCESS_SECTIONS];

uint64_t
vmk_process_get_memory_size(const struct vmkit_snapshot *base);

bool
vmk_process_lies_in(const struct vmkit_snapshot *base, int fd);

int
vmk_process_save(const struct vmkit_snapshot *base, const struct vmkit_snapshot *parent,
                 struct vmk_archive_writer *writer, struct vmk_bytes *bytes,
                 vmkit_error **ret_error);

int
vmk_process_open(struct vmk_archive *archive, struct vmkit_snapshot *parent, uint64_t memory_limit,
                 const struct vmk_archive_settings *settings, struct vmkit_snapshot **ret_snapshot,
                 vmkit_error **ret_error);

#endif
