/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening an archive: header, footer, table and index are read, checked, and held against each
 * other and the file's size, before anything is believed. Where each part stands follows from the
 * ones before it, so that a part that stands elsewhere is a refusal.
 */
#include "archive/reader.h"

#include "archive/hash.h"
#include "archive/input.h"
#include "util/checked.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
no_memory(const struct vmk_archive *archive, uint64_t size, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "%s: no memory for %" PRIu64 " bytes of it", archive->name, size);
}

int
vmk_reader_read(const struct vmk_archive *archive, void *buffer, uint64_t size, uint64_t offset,
                vmkit_error **ret_error)
{
    return vmk_input_read(archive->fd, archive->name, buffer, size, offset, ret_error);
}

int
vmk_reader_read_entry(const struct vmk_archive *archive, const struct vmk_format_entry *entry,
                      uint8_t **ret_data, vmkit_error **ret_error)
{
    uint64_t size = entry->section.size;
    uint8_t *data = malloc((size_t)size + 1);
    if (data == NULL)
        return no_memory(archive, size, ret_error);
    int result = vmk_reader_read(archive, data, size, entry->offset, ret_error);
    if (result == 0 && vmk_archive_hash(data, (size_t)size, 0) != entry->section.checksum)
        result =
            VMK_FORMAT_BAD(archive->name, "its section \"%s\" is damaged", entry->section.name);
    if (result < 0) {
        free(data);
        return result;
    }
    data[size] = '\0';
    *ret_data = data;
    return 0;
}

const struct vmk_format_entry *
vmk_reader_find_entry(const struct vmk_archive *archive, const char *name)
{
    for (uint32_t i = 0; i < archive->info.section_count; i++) {
        if (strcmp(archive->sections[i].section.name, name) == 0)
            return &archive->sections[i];
    }
    return NULL;
}

static bool
is_of_memory(const char *name)
{
    return strncmp(name, VMK_FORMAT_MEMORY_PREFIX, strlen(VMK_FORMAT_MEMORY_PREFIX)) == 0;
}

/* The names of a table, each once, the memory's sections last. */
static int
check_names(const struct vmk_archive *archive, vmkit_error **ret_error)
{
    static const char *const known[] = {VMK_FORMAT_INDEX, VMK_FORMAT_SUMS, VMK_FORMAT_CHUNKS};
    uint32_t known_count = archive->info.compressed ? 3 : 2;
    uint32_t count = archive->info.section_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct vmk_archive_section *section = &archive->sections[i].section;
        bool is_last = i + known_count >= count;
        const char *wanted = is_last ? known[i + known_count - count] : NULL;
        if (count < known_count || is_of_memory(section->name) != is_last ||
            (is_last && strcmp(section->name, wanted) != 0))
            return VMK_FORMAT_BAD(archive->name, "its section \"%s\" is in the wrong place",
                                  section->name);
        if (!is_last && (strchr(section->name, '.') != NULL || section->version == 0 ||
                         (section->flags & VMK_FORMAT_STORAGE) != 0))
            return VMK_FORMAT_BAD(archive->name, "its section \"%s\" is no proper one",
                                  section->name);
        if (vmk_reader_find_entry(archive, section->name) != &archive->sections[i])
            return VMK_FORMAT_BAD(archive->name, "it has two sections \"%s\"", section->name);
    }
    return 0;
}

static int
check_memory_sections(const struct vmk_archive *archive, vmkit_error **ret_error)
{
    static const struct {
        const char *name;
        uint32_t flags;
    } known[] = {
        {VMK_FORMAT_INDEX, VMK_ARCHIVE_REQUIRED},
        {VMK_FORMAT_SUMS, VMK_ARCHIVE_REQUIRED},
        {VMK_FORMAT_CHUNKS, VMK_ARCHIVE_REQUIRED | VMK_FORMAT_STORAGE},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct vmk_format_entry *entry = vmk_reader_find_entry(archive, known[i].name);
        if (entry == NULL && (i < 2 || archive->info.compressed))
            return VMK_FORMAT_BAD(archive->name, "it has no section \"%s\"", known[i].name);
        if (entry != NULL &&
            (entry->section.version != 1 || entry->section.flags != known[i].flags))
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                                 "%s: its section \"%s\" is of version %u, flags 0x%x, which this"
                                 " library does not read",
                                 archive->name, known[i].name, entry->section.version,
                                 entry->section.flags);
    }
    return 0;
}

/* Each section stands behind the one before it, the first one behind the data, and the table behind
 * the last one. Sets the size of the data. */
static int
check_places(struct vmk_archive *archive, uint64_t table_offset, vmkit_error **ret_error)
{
    uint64_t next = archive->info.section_count > 0 ? archive->sections[0].offset : 0;
    if (next < VMK_FORMAT_HEADER_SIZE || next % VMK_FORMAT_ALIGNMENT != 0)
        return VMK_FORMAT_BAD(archive->name, "its sections begin at %" PRIu64, next);
    archive->data_size = next - VMK_FORMAT_HEADER_SIZE;
    for (uint32_t i = 0; i < archive->info.section_count; i++) {
        const struct vmk_format_entry *entry = &archive->sections[i];
        if (entry->offset != next ||
            !vmk_range_inside(entry->offset, entry->section.size, 0, table_offset))
            return VMK_FORMAT_BAD(
                archive->name,
                "its section \"%s\" of %" PRIu64 " bytes is said to be at %" PRIu64
                ", and must be at %" PRIu64 " before %" PRIu64,
                entry->section.name, entry->section.size, entry->offset, next, table_offset);
        next = vmk_format_align(entry->offset + entry->section.size);
    }
    if (next != table_offset)
        return VMK_FORMAT_BAD(archive->name,
                              "its table is at %" PRIu64 ", and its sections end at %" PRIu64,
                              table_offset, next);
    return 0;
}

static int
get_entries(struct vmk_archive *archive, const uint8_t *table, vmkit_error **ret_error)
{
    for (uint32_t i = 0; i < archive->info.section_count; i++) {
        int result = vmk_format_get_entry(table + (size_t)i * VMK_FORMAT_ENTRY_SIZE, archive->name,
                                          &archive->sections[i], ret_error);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The table's bytes, and whether the identity is the one that they and the header have. */
static int
read_table(struct vmk_archive *archive, const struct vmk_format_footer *footer,
           const uint8_t *header, vmkit_error **ret_error)
{
    uint8_t table[VMK_ARCHIVE_MAX_SECTIONS * VMK_FORMAT_ENTRY_SIZE];
    size_t size = (size_t)footer->section_count * VMK_FORMAT_ENTRY_SIZE;
    uint64_t end = archive->info.file_size - VMK_FORMAT_FOOTER_SIZE;
    struct vmk_archive_identity identity;
    if (footer->table_offset % VMK_FORMAT_ALIGNMENT != 0 ||
        !vmk_range_inside(footer->table_offset, size, VMK_FORMAT_HEADER_SIZE,
                          end - VMK_FORMAT_HEADER_SIZE) ||
        footer->table_offset + size != end)
        return VMK_FORMAT_BAD(archive->name, "its table of %u sections is said to be at %" PRIu64,
                              footer->section_count, footer->table_offset);

    int result = vmk_reader_read(archive, table, size, footer->table_offset, ret_error);
    if (result == 0 && vmk_archive_hash(table, size, 0) != footer->table_checksum)
        result = VMK_FORMAT_BAD(archive->name, "its table of sections is damaged");
    if (result == 0)
        result = vmk_format_identify(header, table, footer->section_count, &identity, ret_error);
    if (result == 0 && !vmk_format_same_identity(&identity, &footer->identity))
        result = VMK_FORMAT_BAD(archive->name, "its identity is not that of its contents");
    if (result < 0)
        return result;

    archive->info.identity = identity;
    archive->info.section_count = footer->section_count;
    archive->sections = calloc(footer->section_count + 1, sizeof *archive->sections);
    if (archive->sections == NULL)
        return no_memory(archive, size, ret_error);
    result = get_entries(archive, table, ret_error);
    if (result == 0)
        result = check_names(archive, ret_error);
    if (result == 0)
        result = check_memory_sections(archive, ret_error);
    return result < 0 ? result : check_places(archive, footer->table_offset, ret_error);
}

static int
read_index(struct vmk_archive *archive, vmkit_error **ret_error)
{
    const struct vmk_format_entry *entry = vmk_reader_find_entry(archive, VMK_FORMAT_INDEX);
    uint64_t size = entry->section.size, pages = archive->info.memory_size / VMK_ARCHIVE_PAGE_SIZE;
    uint64_t limit = (pages < VMK_FORMAT_MAX_EXTENTS ? pages : VMK_FORMAT_MAX_EXTENTS) * 8;
    uint8_t *bytes = NULL;
    if (size > limit)
        return VMK_FORMAT_BAD(archive->name,
                              "its index has %" PRIu64 " bytes, and its memory needs %" PRIu64
                              " at the most",
                              size, limit);
    int result = vmk_reader_read_entry(archive, entry, &bytes, ret_error);
    if (result == 0)
        result = vmk_index_get(&archive->index, bytes, size, pages, archive->info.depth > 0,
                               archive->name, ret_error);
    free(bytes);
    if (result < 0)
        return result;

    const uint64_t *counts = archive->index.state_pages;
    archive->info.zero_pages = counts[VMK_ARCHIVE_ZERO];
    archive->info.data_pages = counts[VMK_ARCHIVE_DATA];
    archive->info.parent_pages = counts[VMK_ARCHIVE_PARENT];
    uint64_t sums = vmk_reader_find_entry(archive, VMK_FORMAT_SUMS)->section.size;
    if (sums != archive->info.data_pages * sizeof *archive->sums)
        return VMK_FORMAT_BAD(archive->name,
                              "it has %" PRIu64 " bytes of checksums for %" PRIu64 " pages", sums,
                              archive->info.data_pages);
    return 0;
}

/* Where each chunk begins, from their sizes. */
static int
get_chunks(struct vmk_archive *archive, const uint8_t *sizes, vmkit_error **ret_error)
{
    uint64_t offset = VMK_FORMAT_HEADER_SIZE, pages = archive->info.data_pages;
    for (uint64_t i = 0; i < archive->chunk_count; i++) {
        uint32_t size;
        memcpy(&size, sizes + i * sizeof size, sizeof size);
        size = le32toh(size);
        uint64_t most = pages < VMK_FORMAT_CHUNK_PAGES ? pages : VMK_FORMAT_CHUNK_PAGES;
        if (size == 0 || size > most * VMK_ARCHIVE_PAGE_SIZE)
            return VMK_FORMAT_BAD(archive->name, "%u bytes cannot be %" PRIu64 " pages", size,
                                  most);
        archive->chunk_offsets[i] = offset;
        offset += size;
        pages -= most;
    }
    archive->chunk_offsets[archive->chunk_count] = offset;
    archive->info.stored_bytes = offset - VMK_FORMAT_HEADER_SIZE;
    if (vmk_format_align(archive->info.stored_bytes) != archive->data_size)
        return VMK_FORMAT_BAD(archive->name,
                              "it has %" PRIu64 " bytes of memory, and its chunks %" PRIu64,
                              archive->data_size, archive->info.stored_bytes);
    return 0;
}

static int
read_chunks(struct vmk_archive *archive, vmkit_error **ret_error)
{
    const struct vmk_format_entry *entry = vmk_reader_find_entry(archive, VMK_FORMAT_CHUNKS);
    uint64_t count = archive->info.data_pages / VMK_FORMAT_CHUNK_PAGES +
                     (archive->info.data_pages % VMK_FORMAT_CHUNK_PAGES != 0);
    uint8_t *sizes = NULL;
    if (entry->section.size != count * sizeof(uint32_t))
        return VMK_FORMAT_BAD(archive->name,
                              "it has %" PRIu64 " bytes of sizes for %" PRIu64 " chunks",
                              entry->section.size, count);
    int result = vmk_reader_read_entry(archive, entry, &sizes, ret_error);
    if (result < 0)
        return result;
    archive->chunk_count = count;
    archive->chunk_offsets = malloc((size_t)(count + 1) * sizeof *archive->chunk_offsets);
    if (archive->chunk_offsets == NULL)
        result = no_memory(archive, count, ret_error);
    else
        result = get_chunks(archive, sizes, ret_error);
    free(sizes);
    return result;
}

/* What the data takes has to be what the index needs. */
static int
check_raw_data(struct vmk_archive *archive, vmkit_error **ret_error)
{
    uint64_t size = archive->info.data_pages * VMK_ARCHIVE_PAGE_SIZE;
    if (archive->data_size != size)
        return VMK_FORMAT_BAD(archive->name,
                              "it has %" PRIu64 " bytes of memory, and its index needs %" PRIu64,
                              archive->data_size, size);
    archive->info.stored_bytes = size;
    return 0;
}

static int
check_expectation(const struct vmk_archive *archive,
                  const struct vmk_archive_expectation *expectation, vmkit_error **ret_error)
{
    if (expectation == NULL)
        return 0;
    if (expectation->architecture != NULL &&
        strcmp(archive->info.architecture, expectation->architecture) != 0)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "%s: it is a snapshot of a machine of %s, and this one is of %s",
                             archive->name, archive->info.architecture, expectation->architecture);
    if (expectation->memory_limit != 0 && archive->info.memory_size > expectation->memory_limit)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%s: its memory has %" PRIu64 " bytes, and the limit is %" PRIu64,
                             archive->name, archive->info.memory_size, expectation->memory_limit);
    return 0;
}

static int
read_header(struct vmk_archive *archive, uint8_t *bytes, vmkit_error **ret_error)
{
    struct vmk_format_header header;
    /* A file of something else is better called that than cut. */
    uint64_t size = archive->info.file_size;
    memset(bytes, 0, VMK_FORMAT_HEADER_SIZE);
    int result = vmk_reader_read(archive, bytes,
                                 size < VMK_FORMAT_HEADER_SIZE ? size : VMK_FORMAT_HEADER_SIZE, 0,
                                 ret_error);
    if (result == 0)
        result = vmk_format_get_header(bytes, archive->name, &header, ret_error);
    if (result < 0)
        return result;
    archive->info.version = VMK_FORMAT_VERSION;
    archive->info.memory_size = header.memory_size;
    archive->info.depth = header.depth;
    archive->info.compressed = header.storage == VMK_FORMAT_ZLIB;
    archive->info.parent = header.parent;
    memcpy(archive->info.architecture, header.architecture, sizeof header.architecture);
    return 0;
}

static int
read_footer(struct vmk_archive *archive, struct vmk_format_footer *footer, vmkit_error **ret_error)
{
    uint8_t bytes[VMK_FORMAT_FOOTER_SIZE];
    uint64_t size = archive->info.file_size;
    if (size < VMK_FORMAT_HEADER_SIZE + VMK_FORMAT_FOOTER_SIZE)
        return VMK_FORMAT_BAD(archive->name, "it has %" PRIu64 " bytes, and was cut", size);
    int result = vmk_reader_read(archive, bytes, sizeof bytes, size - sizeof bytes, ret_error);
    if (result == 0)
        result = vmk_format_get_footer(bytes, archive->name, footer, ret_error);
    if (result == 0 && footer->file_size != size)
        result =
            VMK_FORMAT_BAD(archive->name, "it has %" PRIu64 " bytes, and says that it has %" PRIu64,
                           size, footer->file_size);
    return result;
}

static int
read_archive(struct vmk_archive *archive, const struct vmk_archive_expectation *expectation,
             vmkit_error **ret_error)
{
    uint8_t header[VMK_FORMAT_HEADER_SIZE];
    struct vmk_format_footer footer;
    int result = read_header(archive, header, ret_error);
    if (result == 0)
        result = check_expectation(archive, expectation, ret_error);
    if (result == 0)
        result = read_footer(archive, &footer, ret_error);
    if (result == 0)
        result = read_table(archive, &footer, header, ret_error);
    if (result == 0)
        result = read_index(archive, ret_error);
    if (result < 0)
        return result;
    return archive->info.compressed ? read_chunks(archive, ret_error)
                                    : check_raw_data(archive, ret_error);
}

/* Takes the descriptor over, also on failure. */
static int
open_taken(int fd, const char *name, const struct vmk_archive_expectation *expectation,
           struct vmk_archive **ret_archive, vmkit_error **ret_error)
{
    struct vmk_archive *archive = calloc(1, sizeof *archive);
    char *copy = strdup(name);
    if (archive == NULL || copy == NULL) {
        close(fd);
        free(archive);
        free(copy);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to open a snapshot");
    }
    atomic_init(&archive->references, 1);
    pthread_mutex_init(&archive->lock, NULL);
    archive->fd = fd;
    archive->name = copy;
    int result = vmk_input_get_size(fd, name, &archive->info.file_size, ret_error);
    if (result == 0)
        result = read_archive(archive, expectation, ret_error);
    if (result < 0) {
        vmk_archive_unref(archive);
        return result;
    }
    *ret_archive = archive;
    return 0;
}

static struct vmk_input_copy
get_copy(const struct vmk_archive_expectation *expectation)
{
    if (expectation == NULL)
        return (struct vmk_input_copy){.limit = 0};
    return (struct vmk_input_copy){.limit = expectation->file_limit,
                                   .settings = expectation->settings};
}

int
vmk_archive_open_path(const char *path, const struct vmk_archive_expectation *expectation,
                      uint32_t flags, struct vmk_archive **ret_archive, vmkit_error **ret_error)
{
    const struct vmk_input_copy copy = get_copy(expectation);
    int fd = vmk_input_open_path(path, (flags & VMK_ARCHIVE_COPY) != 0 ? &copy : NULL, ret_error);
    return fd < 0 ? fd : open_taken(fd, path, expectation, ret_archive, ret_error);
}

int
vmk_archive_open_fd(int fd, const char *name, const struct vmk_archive_expectation *expectation,
                    uint32_t flags, struct vmk_archive **ret_archive, vmkit_error **ret_error)
{
    const struct vmk_input_copy copy = get_copy(expectation);
    int own =
        vmk_input_open_fd(fd, name, (flags & VMK_ARCHIVE_COPY) != 0 ? &copy : NULL, ret_error);
    return own < 0 ? own : open_taken(own, name, expectation, ret_archive, ret_error);
}

struct vmk_archive *
vmk_archive_ref(struct vmk_archive *archive)
{
    if (archive != NULL)
        atomic_fetch_add_explicit(&archive->references, 1, memory_order_relaxed);
    return archive;
}

/* A chain may be long, and its parents go one after the other. */
void
vmk_archive_unref(struct vmk_archive *archive)
{
    while (archive != NULL &&
           atomic_fetch_sub_explicit(&archive->references, 1, memory_order_acq_rel) == 1) {
        struct vmk_archive *parent = archive->parent;
        close(archive->fd);
        pthread_mutex_destroy(&archive->lock);
        vmk_index_clear(&archive->index);
        free(archive->chunk_offsets);
        free(archive->sections);
        free(archive->sums);
        free(archive->name);
        free(archive);
        archive = parent;
    }
}

const struct vmk_archive_info *
vmk_archive_get_info(const struct vmk_archive *archive)
{
    return &archive->info;
}

const char *
vmk_archive_get_name(const struct vmk_archive *archive)
{
    return archive->name;
}
