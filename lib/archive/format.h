/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed parts of a snapshot file as bytes, see doc/snapshot-format.md: the header at its
 * beginning, the footer at its end, and the table of sections before that. All numbers are
 * little-endian. Where something stands follows from what stands before it, so that nothing can
 * overlap, and a reader compares.
 */
#ifndef VMK_ARCHIVE_FORMAT_H
#define VMK_ARCHIVE_FORMAT_H

#include "archive/archive.h"

#define VMK_FORMAT_VERSION 1
#define VMK_FORMAT_HEADER_SIZE 4096
#define VMK_FORMAT_FOOTER_SIZE 64
#define VMK_FORMAT_ENTRY_SIZE 64
#define VMK_FORMAT_ALIGNMENT 8    /* of sections, table and footer */
#define VMK_FORMAT_CHUNK_PAGES 32 /* what is compressed together */
#define VMK_FORMAT_GAP_PAGES 15   /* zero pages between data that are stored as data */
#define VMK_FORMAT_MAX_EXTENTS (UINT64_C(1) << 24)

/* A section flag that only the memory's sections have: it says how the file stores something, and
 * is no part of the identity. */
#define VMK_FORMAT_STORAGE 2

#define VMK_FORMAT_INDEX "memory.index"
#define VMK_FORMAT_SUMS "memory.sums"
#define VMK_FORMAT_CHUNKS "memory.chunks"
#define VMK_FORMAT_MEMORY_PREFIX "memory."

enum vmk_format_storage { VMK_FORMAT_RAW = 0, VMK_FORMAT_ZLIB = 1 };

struct vmk_format_header {
    uint32_t storage;
    uint32_t depth;
    uint64_t memory_size;
    struct vmk_archive_identity parent;
    char architecture[VMK_ARCHIVE_ARCHITECTURE_SIZE];
};

struct vmk_format_footer {
    uint64_t file_size;
    uint64_t table_offset;
    uint32_t section_count;
    struct vmk_archive_identity identity;
    uint64_t table_checksum;
};

struct vmk_format_entry {
    struct vmk_archive_section section;
    uint64_t offset;
};

void
vmk_format_put_header(uint8_t *bytes, const struct vmk_format_header *header);

/* `name` is the file's, for the message. */
int
vmk_format_get_header(const uint8_t *bytes, const char *name, struct vmk_format_header *ret_header,
                      vmkit_error **ret_error);

void
vmk_format_put_footer(uint8_t *bytes, const struct vmk_format_footer *footer);

int
vmk_format_get_footer(const uint8_t *bytes, const char *name, struct vmk_format_footer *ret_footer,
                      vmkit_error **ret_error);

void
vmk_format_put_entry(uint8_t *bytes, const struct vmk_format_entry *entry);

int
vmk_format_get_entry(const uint8_t *bytes, const char *name, struct vmk_format_entry *ret_entry,
                     vmkit_error **ret_error);

/* Whether a section may have the name, which ends within its size. */
bool
vmk_format_is_name(const char *name);

bool
vmk_format_is_architecture(const char *name);

/* The identity of a file with these bytes of header and table. -ENOMEM. */
int
vmk_format_identify(const uint8_t *header, const uint8_t *table, uint32_t section_count,
                    struct vmk_archive_identity *ret_identity, vmkit_error **ret_error);

/* 32 digits and a NUL. */
#define VMK_FORMAT_IDENTITY_TEXT 33

const char *
vmk_format_identity_text(const struct vmk_archive_identity *identity, char *buffer);

bool
vmk_format_same_identity(const struct vmk_archive_identity *a,
                         const struct vmk_archive_identity *b);

bool
vmk_format_is_identity(const struct vmk_archive_identity *identity);

static inline uint64_t
vmk_format_align(uint64_t offset)
{
    return (offset + VMK_FORMAT_ALIGNMENT - 1) & ~(uint64_t)(VMK_FORMAT_ALIGNMENT - 1);
}

/* A refusal of a file that is damaged, cut or hostile. */
#define VMK_FORMAT_BAD(name, format, ...) \
    vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "%s: " format, name, ##__VA_ARGS__)

#endif
