/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages are zero, data, or the same as in the parent: the extents of a memory, one behind the
 * other without a gap, each with another state than the one before.
 */
#ifndef VMK_ARCHIVE_INDEX_H
#define VMK_ARCHIVE_INDEX_H

#include "archive/archive.h"

struct vmk_archive_extent {
    uint64_t page; /* the first one */
    uint64_t rank; /* data pages before it */
    enum vmk_archive_state state;
};

/* All zero: empty. The extent behind the last one is there too, and ends it. */
struct vmk_archive_index {
    struct vmk_archive_extent *extents;
    size_t count;
    size_t capacity;
    uint64_t pages;          /* in all */
    uint64_t state_pages[3]; /* by enum vmk_archive_state */
};

void
vmk_index_clear(struct vmk_archive_index *index);

/* Append `count` pages, which may be 0. -ENOMEM, or -E2BIG when there are too many extents. */
int
vmk_index_append(struct vmk_archive_index *index, enum vmk_archive_state state, uint64_t count,
                 vmkit_error **ret_error);

/* Bytes of the index in a file. */
uint64_t
vmk_index_get_size(const struct vmk_archive_index *index);

void
vmk_index_put(const struct vmk_archive_index *index, uint8_t *bytes);

/* Read the index of a memory of `pages` pages. `name` is the file's, for messages. On failure the
 * index is empty. */
int
vmk_index_get(struct vmk_archive_index *index, const uint8_t *bytes, uint64_t size, uint64_t pages,
              bool has_parent, const char *name, vmkit_error **ret_error);

/* The extent that holds a page of the memory. */
const struct vmk_archive_extent *
vmk_index_find(const struct vmk_archive_index *index, uint64_t page);

/* The page of the memory that is the data page of a rank. */
uint64_t
vmk_index_find_rank(const struct vmk_archive_index *index, uint64_t rank);

#endif
