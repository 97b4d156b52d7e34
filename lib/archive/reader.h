/* SPDX-License-Identifier: Apache-2.0 */
/* An opened archive, as the files of this room see it. */
#ifndef VMK_ARCHIVE_READER_H
#define VMK_ARCHIVE_READER_H

#include "archive/format.h"
#include "archive/index.h"

#include <pthread.h>
#include <stdatomic.h>

struct vmk_archive {
    atomic_uint references;
    int fd;
    char *name;
    struct vmk_archive_info info;
    struct vmk_format_entry *sections;
    struct vmk_archive_index index;
    uint64_t data_size;      /* bytes of stored pages, behind the header */
    uint64_t *chunk_offsets; /* of each chunk and behind the last, in the file; NULL if raw */
    uint64_t chunk_count;
    struct vmk_archive *parent;
    pthread_mutex_t lock; /* of `sums` alone, which are read when they are first needed */
    uint64_t *sums;       /* of each data page */
};

/* Read exactly `size` bytes, which the file has had. */
int
vmk_reader_read(const struct vmk_archive *archive, void *buffer, uint64_t size, uint64_t offset,
                vmkit_error **ret_error);

/* A copy of a section's bytes, checked, which the caller frees. */
int
vmk_reader_read_entry(const struct vmk_archive *archive, const struct vmk_format_entry *entry,
                      uint8_t **ret_data, vmkit_error **ret_error);

const struct vmk_format_entry *
vmk_reader_find_entry(const struct vmk_archive *archive, const char *name);

/* Whether [gpa, gpa + size) is of whole pages of the memory. */
int
vmk_reader_check_range(const struct vmk_archive *archive, uint64_t gpa, uint64_t size,
                       vmkit_error **ret_error);

/* Most bytes that vmk_reader_read_pages() needs to work with. */
#define VMK_READER_SCRATCH_SIZE (2 * VMK_FORMAT_CHUNK_PAGES * (size_t)VMK_ARCHIVE_PAGE_SIZE)

/* Read data pages by rank, checked. `page` is the number of the first one, for messages. */
int
vmk_reader_read_pages(const struct vmk_archive *archive, uint64_t rank, uint64_t count,
                      uint64_t page, uint8_t *buffer, uint8_t *scratch, vmkit_error **ret_error);

/* The checksums of the data pages, lent. */
int
vmk_reader_get_sums(const struct vmk_archive *archive, const uint64_t **ret_sums,
                    vmkit_error **ret_error);

#endif
