/* SPDX-License-Identifier: Apache-2.0 */
/* What include/vmkit/snapshot_file.h promises of vmkit_snapshot_options. */
#ifndef VMK_ARCHIVE_OPTIONS_H
#define VMK_ARCHIVE_OPTIONS_H

#include "archive/settings.h"

#include <vmkit/snapshot.h>
#include <vmkit/snapshot_file.h>

int
vmk_snapshot_options_new(vmkit_snapshot_options **ret_options, vmkit_error **ret_error);

vmkit_snapshot_options *
vmk_snapshot_options_ref(vmkit_snapshot_options *options);

void
vmk_snapshot_options_unref(vmkit_snapshot_options *options);

int
vmk_snapshot_options_set_compression(vmkit_snapshot_options *options, uint32_t level,
                                     vmkit_error **ret_error);

int
vmk_snapshot_options_set_sync(vmkit_snapshot_options *options, uint32_t sync,
                              vmkit_error **ret_error);

int
vmk_snapshot_options_set_lazy(vmkit_snapshot_options *options, uint32_t lazy,
                              vmkit_error **ret_error);

int
vmk_snapshot_options_set_threads(vmkit_snapshot_options *options, uint32_t count,
                                 vmkit_error **ret_error);

void
vmk_snapshot_options_set_progress(vmkit_snapshot_options *options, vmkit_progress_callback callback,
                                  void *user_data);

void
vmk_snapshot_options_set_memory_limit(vmkit_snapshot_options *options, uint64_t bytes);

/* The reference to the parent, which may be NULL, goes to the options; `unref` releases it. This
 * room knows no snapshots but their files. */
void
vmk_snapshot_options_set_parent(vmkit_snapshot_options *options, vmkit_snapshot *parent,
                                void (*unref)(vmkit_snapshot *parent));

/* Lent. NULL without one, or without options. */
vmkit_snapshot *
vmk_snapshot_options_get_parent(const vmkit_snapshot_options *options);

/* Bytes; without options, or with 0, those that the host has. */
uint64_t
vmk_snapshot_options_get_memory_limit(const vmkit_snapshot_options *options);

/* What they say; the defaults for NULL. */
struct vmk_archive_settings
vmk_snapshot_options_get_settings(const vmkit_snapshot_options *options);

#endif
