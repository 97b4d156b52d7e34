/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/format.h"

#include "archive/hash.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first byte is not ASCII and the last two are changed by whatever takes the file for text. */
static const uint8_t header_magic[8] = {0x89, 'V', 'M', 'K', 'I', 'T', '\r', '\n'};
static const uint8_t footer_magic[8] = {0x89, 'V', 'M', 'K', 'E', 'N', 'D', '\n'};

/* Where fields stand. */
enum {
    HEADER_VERSION = 8,
    HEADER_SIZE = 12,
    HEADER_PAGE_SIZE = 16,
    HEADER_STORAGE = 20,
    HEADER_MEMORY_SIZE = 24,
    HEADER_CHUNK_PAGES = 32,
    HEADER_DEPTH = 36,
    HEADER_PARENT = 40,
    HEADER_ARCHITECTURE = 56,
    HEADER_CHECKSUM = VMK_FORMAT_HEADER_SIZE - 8,

    FOOTER_FILE_SIZE = 8,
    FOOTER_TABLE_OFFSET = 16,
    FOOTER_SECTION_COUNT = 24,
    FOOTER_RESERVED = 28,
    FOOTER_IDENTITY = 32,
    FOOTER_TABLE_CHECKSUM = 48,
    FOOTER_CHECKSUM = VMK_FORMAT_FOOTER_SIZE - 8,

    ENTRY_VERSION = 24,
    ENTRY_FLAGS = 28,
    ENTRY_OFFSET = 32,
    ENTRY_SIZE = 40,
    ENTRY_CHECKSUM = 48,
    ENTRY_RESERVED = 56,
};

static void
put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void
put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static uint32_t
get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t
get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

/* A text that fills `size` bytes with NULs, at least one of them. */
static bool
is_padded(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    for (size_t i = length; i < size; i++) {
        if (text[i] != '\0')
            return false;
    }
    return length > 0 && length < size;
}

bool
vmk_format_is_name(const char *name)
{
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(name);
}

bool
vmk_format_is_architecture(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < VMK_ARCHIVE_ARCHITECTURE_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

void
vmk_format_put_header(uint8_t *bytes, const struct vmk_format_header *header)
{
    memset(bytes, 0, VMK_FORMAT_HEADER_SIZE);
    memcpy(bytes, header_magic, sizeof header_magic);
    put32(bytes + HEADER_VERSION, VMK_FORMAT_VERSION);
    put32(bytes + HEADER_SIZE, VMK_FORMAT_HEADER_SIZE);
    put32(bytes + HEADER_PAGE_SIZE, (uint32_t)VMK_ARCHIVE_PAGE_SIZE);
    put32(bytes + HEADER_STORAGE, header->storage);
    put64(bytes + HEADER_MEMORY_SIZE, header->memory_size);
    put32(bytes + HEADER_CHUNK_PAGES,
          header->storage == VMK_FORMAT_ZLIB ? VMK_FORMAT_CHUNK_PAGES : 0);
    put32(bytes + HEADER_DEPTH, header->depth);
    memcpy(bytes + HEADER_PARENT, header->parent.bytes, sizeof header->parent.bytes);
    memcpy(bytes + HEADER_ARCHITECTURE, header->architecture, sizeof header->architecture);
    put64(bytes + HEADER_CHECKSUM, vmk_archive_hash(bytes, HEADER_CHECKSUM, 0));
}

/* What makes no sense in a header whose checksum is right. */
static int
check_header(const uint8_t *bytes, const char *name, const struct vmk_format_header *header,
             vmkit_error **ret_error)
{
    uint32_t chunk_pages = header->storage == VMK_FORMAT_ZLIB ? VMK_FORMAT_CHUNK_PAGES : 0;
    if (get32(bytes + HEADER_SIZE) != VMK_FORMAT_HEADER_SIZE)
        return VMK_FORMAT_BAD(name, "its header says that it has %u bytes, not %u",
                              get32(bytes + HEADER_SIZE), VMK_FORMAT_HEADER_SIZE);
    if (get32(bytes + HEADER_PAGE_SIZE) != VMK_ARCHIVE_PAGE_SIZE)
        return VMK_FORMAT_BAD(name, "its pages have %u bytes, not %u",
                              get32(bytes + HEADER_PAGE_SIZE), (unsigned)VMK_ARCHIVE_PAGE_SIZE);
    if (header->storage != VMK_FORMAT_RAW && header->storage != VMK_FORMAT_ZLIB)
        return VMK_FORMAT_BAD(name, "its memory is stored in the unknown way %u", header->storage);
    if (get32(bytes + HEADER_CHUNK_PAGES) != chunk_pages)
        return VMK_FORMAT_BAD(name, "its chunks have %u pages, not %u",
                              get32(bytes + HEADER_CHUNK_PAGES), chunk_pages);
    if (header->memory_size % VMK_ARCHIVE_PAGE_SIZE != 0 ||
        header->memory_size > VMK_ARCHIVE_MAX_MEMORY)
        return VMK_FORMAT_BAD(name, "its memory of %" PRIu64 " bytes is no possible size",
                              header->memory_size);
    if (header->depth > VMK_ARCHIVE_MAX_DEPTH)
        return VMK_FORMAT_BAD(name, "it is number %u of a chain, and %u is the last one possible",
                              header->depth, VMK_ARCHIVE_MAX_DEPTH);
    if (vmk_format_is_identity(&header->parent) != (header->depth > 0))
        return VMK_FORMAT_BAD(name, "it is number %u of a chain and %s a parent", header->depth,
                              header->depth > 0 ? "does not name" : "names");
    return 0;
}

int
vmk_format_get_header(const uint8_t *bytes, const char *name, struct vmk_format_header *ret_header,
                      vmkit_error **ret_error)
{
    struct vmk_format_header header = {
        .storage = get32(bytes + HEADER_STORAGE),
        .memory_size = get64(bytes + HEADER_MEMORY_SIZE),
        .depth = get32(bytes + HEADER_DEPTH),
    };
    memcpy(header.parent.bytes, bytes + HEADER_PARENT, sizeof header.parent.bytes);
    memcpy(header.architecture, bytes + HEADER_ARCHITECTURE, sizeof header.architecture);

    /* A later version's header may be another one, but for its first 12 bytes. */
    if (memcmp(bytes, header_magic, sizeof header_magic) != 0)
        return VMK_FORMAT_BAD(name, "it is no snapshot of libvmkit");
    uint64_t checksum = vmk_archive_hash(bytes, HEADER_CHECKSUM, 0);
    uint32_t version = get32(bytes + HEADER_VERSION);
    if (version > VMK_FORMAT_VERSION)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "%s: it is a snapshot of version %u, and this library reads up to %u",
                             name, version, VMK_FORMAT_VERSION);
    if (checksum != get64(bytes + HEADER_CHECKSUM) || version == 0)
        return VMK_FORMAT_BAD(name, "its header is damaged");
    if (!is_padded(header.architecture, sizeof header.architecture) ||
        !vmk_format_is_architecture(header.architecture))
        return VMK_FORMAT_BAD(name, "it does not name its architecture");

    int result = check_header(bytes, name, &header, ret_error);
    if (result == 0)
        *ret_header = header;
    return result;
}

void
vmk_format_put_footer(uint8_t *bytes, const struct vmk_format_footer *footer)
{
    memset(bytes, 0, VMK_FORMAT_FOOTER_SIZE);
    memcpy(bytes, footer_magic, sizeof footer_magic);
    put64(bytes + FOOTER_FILE_SIZE, footer->file_size);
    put64(bytes + FOOTER_TABLE_OFFSET, footer->table_offset);
    put32(bytes + FOOTER_SECTION_COUNT, footer->section_count);
    memcpy(bytes + FOOTER_IDENTITY, footer->identity.bytes, sizeof footer->identity.bytes);
    put64(bytes + FOOTER_TABLE_CHECKSUM, footer->table_checksum);
    put64(bytes + FOOTER_CHECKSUM, vmk_archive_hash(bytes, FOOTER_CHECKSUM, 0));
}

int
vmk_format_get_footer(const uint8_t *bytes, const char *name, struct vmk_format_footer *ret_footer,
                      vmkit_error **ret_error)
{
    struct vmk_format_footer footer = {
        .file_size = get64(bytes + FOOTER_FILE_SIZE),
        .table_offset = get64(bytes + FOOTER_TABLE_OFFSET),
        .section_count = get32(bytes + FOOTER_SECTION_COUNT),
        .table_checksum = get64(bytes + FOOTER_TABLE_CHECKSUM),
    };
    memcpy(footer.identity.bytes, bytes + FOOTER_IDENTITY, sizeof footer.identity.bytes);

    if (memcmp(bytes, footer_magic, sizeof footer_magic) != 0)
        return VMK_FORMAT_BAD(name,
                              "it does not end as a snapshot does: it was cut, or more follows");
    if (vmk_archive_hash(bytes, FOOTER_CHECKSUM, 0) != get64(bytes + FOOTER_CHECKSUM) ||
        get32(bytes + FOOTER_RESERVED) != 0)
        return VMK_FORMAT_BAD(name, "its last %u bytes are damaged", VMK_FORMAT_FOOTER_SIZE);
    if (footer.section_count > VMK_ARCHIVE_MAX_SECTIONS)
        return VMK_FORMAT_BAD(name, "it has %u sections, more than %u", footer.section_count,
                              VMK_ARCHIVE_MAX_SECTIONS);
    *ret_footer = footer;
    return 0;
}

void
vmk_format_put_entry(uint8_t *bytes, const struct vmk_format_entry *entry)
{
    memset(bytes, 0, VMK_FORMAT_ENTRY_SIZE);
    memcpy(bytes, entry->section.name, sizeof entry->section.name);
    put32(bytes + ENTRY_VERSION, entry->section.version);
    put32(bytes + ENTRY_FLAGS, entry->section.flags);
    put64(bytes + ENTRY_OFFSET, entry->offset);
    put64(bytes + ENTRY_SIZE, entry->section.size);
    put64(bytes + ENTRY_CHECKSUM, entry->section.checksum);
}

int
vmk_format_get_entry(const uint8_t *bytes, const char *name, struct vmk_format_entry *ret_entry,
                     vmkit_error **ret_error)
{
    struct vmk_format_entry entry = {
        .section = {.version = get32(bytes + ENTRY_VERSION),
                    .flags = get32(bytes + ENTRY_FLAGS),
                    .size = get64(bytes + ENTRY_SIZE),
                    .checksum = get64(bytes + ENTRY_CHECKSUM)},
        .offset = get64(bytes + ENTRY_OFFSET),
    };
    memcpy(entry.section.name, bytes, sizeof entry.section.name);

    if (!is_padded(entry.section.name, sizeof entry.section.name) ||
        !vmk_format_is_name(entry.section.name))
        return VMK_FORMAT_BAD(name, "a section has no proper name");
    if ((entry.section.flags & ~(uint32_t)(VMK_ARCHIVE_REQUIRED | VMK_FORMAT_STORAGE)) != 0 ||
        get64(bytes + ENTRY_RESERVED) != 0)
        return VMK_FORMAT_BAD(name, "its section \"%s\" has unknown flags", entry.section.name);
    if (entry.section.size > VMK_ARCHIVE_MAX_SECTION)
        return VMK_FORMAT_BAD(name, "its section \"%s\" has %" PRIu64 " bytes, more than %" PRIu64,
                              entry.section.name, entry.section.size, VMK_ARCHIVE_MAX_SECTION);
    *ret_entry = entry;
    return 0;
}

int
vmk_format_identify(const uint8_t *header, const uint8_t *table, uint32_t section_count,
                    struct vmk_archive_identity *ret_identity, vmkit_error **ret_error)
{
    size_t size = HEADER_CHECKSUM;
    uint8_t *bytes = malloc(size + (size_t)section_count * VMK_FORMAT_ENTRY_SIZE);
    if (bytes == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %u sections", section_count);

    memcpy(bytes, header, size);
    put32(bytes + HEADER_STORAGE, 0);
    put32(bytes + HEADER_CHUNK_PAGES, 0);
    for (uint32_t i = 0; i < section_count; i++) {
        const uint8_t *entry = table + (size_t)i * VMK_FORMAT_ENTRY_SIZE;
        if ((get32(entry + ENTRY_FLAGS) & VMK_FORMAT_STORAGE) != 0)
            continue;
        memcpy(bytes + size, entry, VMK_FORMAT_ENTRY_SIZE);
        put64(bytes + size + ENTRY_OFFSET, 0);
        size += VMK_FORMAT_ENTRY_SIZE;
    }
    put64(ret_identity->bytes, vmk_archive_hash(bytes, size, 0));
    put64(ret_identity->bytes + 8, vmk_archive_hash(bytes, size, 1));
    free(bytes);
    return 0;
}

const char *
vmk_format_identity_text(const struct vmk_archive_identity *identity, char *buffer)
{
    for (size_t i = 0; i < sizeof identity->bytes; i++)
        snprintf(buffer + 2 * i, 3, "%02x", identity->bytes[i]);
    return buffer;
}

bool
vmk_format_same_identity(const struct vmk_archive_identity *a, const struct vmk_archive_identity *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool
vmk_format_is_identity(const struct vmk_archive_identity *identity)
{
    return !vmk_format_same_identity(identity, &(struct vmk_archive_identity){{0}});
}
