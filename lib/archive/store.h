/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data pages of an archive on their way to the file: each gets its checksum, and is written, in
 * the order in which it came.
 */
#ifndef VMK_ARCHIVE_STORE_H
#define VMK_ARCHIVE_STORE_H

#include "archive/archive.h"
#include "archive/output.h"

struct vmk_archive_store;

/* `output` and `settings` outlive the store. */
int
vmk_store_new(struct vmk_archive_output *output, const struct vmk_archive_settings *settings,
              struct vmk_archive_store **ret_store, vmkit_error **ret_error);

/* `count` pages, lent until they are settled or the store is flushed; NULL for pages of zeros. With
 * `sums` (and then with every call that has pages) they are written as they are. */
int
vmk_store_add(struct vmk_archive_store *store, const void *pages, uint64_t count,
              const struct vmk_archive_sum *sums, vmkit_error **ret_error);

/* Wait until no page that was added is needed any more. */
int
vmk_store_flush(struct vmk_archive_store *store, vmkit_error **ret_error);

/* Pages that were added, and how many of them, from the first one on, were written. */
uint64_t
vmk_store_get_added(const struct vmk_archive_store *store);

uint64_t
vmk_store_get_settled(const struct vmk_archive_store *store);

/* Wait until none of the first `count` pages is needed any more. */
int
vmk_store_settle(struct vmk_archive_store *store, uint64_t count, vmkit_error **ret_error);

/* Write the rest. */
int
vmk_store_finish(struct vmk_archive_store *store, vmkit_error **ret_error);

/* After a failure: no page is needed any more, and nothing but free() may follow. */
void
vmk_store_stop(struct vmk_archive_store *store);

/* The checksums of all pages, and the stored sizes of all chunks, as the file has them. Lent. */
const void *
vmk_store_get_sums(const struct vmk_archive_store *store, uint64_t *ret_size);

const void *
vmk_store_get_chunks(const struct vmk_archive_store *store, uint64_t *ret_size);

/* NULL is fine. */
void
vmk_store_free(struct vmk_archive_store *store);

#endif
