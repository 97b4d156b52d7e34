/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/archive.h"

#include "archive/format.h"
#include "archive/hash.h"
#include "archive/index.h"
#include "archive/output.h"
#include "archive/store.h"
#include "archive/sum.h"
#include "archive/threads.h"
#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE VMK_ARCHIVE_PAGE_SIZE
#define MEMORY_SECTIONS 3
/* How far it goes before it tells of its progress. */
#define STRIDE_PAGES 256

struct vmk_archive_writer {
    struct vmk_archive_settings settings;
    struct vmk_archive_output output;
    struct vmk_archive_store *store;
    struct vmk_archive_index index;
    uint64_t pages;         /* of the whole memory */
    uint64_t next_page;     /* behind what was added */
    uint64_t pending_zeros; /* seen, and not in the index yet */
    bool has_parent;
    bool failed;
    uint32_t section_count;
    struct vmk_format_entry sections[VMK_ARCHIVE_MAX_SECTIONS];
    const void *data[VMK_ARCHIVE_MAX_SECTIONS];
    uint8_t header[VMK_FORMAT_HEADER_SIZE];
};

/* Hand a result on. After a failure nothing that was lent is needed any more. */
static int
settle(struct vmk_archive_writer *writer, int result)
{
    if (result < 0 && !writer->failed) {
        vmk_store_stop(writer->store);
        writer->failed = true;
    }
    return result;
}

static int
check_usable(const struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    if (!writer->failed)
        return 0;
    return vmk_error_set(ret_error, ENXIO, VMKIT_ERROR_WRONG_STATE,
                         "writing the snapshot has failed before");
}

static int
check_contents(const struct vmk_archive_contents *contents,
               const struct vmk_archive_settings *settings, vmkit_error **ret_error)
{
    if (!vmk_format_is_architecture(contents->architecture))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "\"%s\" is no name of an architecture", contents->architecture);
    if (contents->memory_size % PAGE != 0 || contents->memory_size > VMK_ARCHIVE_MAX_MEMORY)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "a snapshot's memory cannot have %" PRIu64 " bytes",
                             contents->memory_size);
    if (settings->level > VMK_ARCHIVE_MAX_LEVEL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "compression level %u is above %u", settings->level,
                             VMK_ARCHIVE_MAX_LEVEL);
    if (vmk_format_is_identity(&contents->parent) &&
        contents->parent_depth >= VMK_ARCHIVE_MAX_DEPTH)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the parent has %u parents before it, and a chain has %u at the most:"
                             " merge them",
                             contents->parent_depth, VMK_ARCHIVE_MAX_DEPTH);
    return 0;
}

static int
begin(struct vmk_archive_writer *writer, const struct vmk_archive_contents *contents,
      vmkit_error **ret_error)
{
    struct vmk_format_header header = {
        .storage = writer->settings.level > 0 ? VMK_FORMAT_ZLIB : VMK_FORMAT_RAW,
        .memory_size = contents->memory_size,
    };
    writer->pages = contents->memory_size / PAGE;
    writer->has_parent = vmk_format_is_identity(&contents->parent);
    if (writer->has_parent) {
        header.depth = contents->parent_depth + 1;
        header.parent = contents->parent;
    }
    memcpy(header.architecture, contents->architecture, strlen(contents->architecture));
    vmk_format_put_header(writer->header, &header);

    int result = vmk_store_new(&writer->output, &writer->settings, &writer->store, ret_error);
    if (result < 0)
        return result;
    return vmk_output_write(&writer->output, writer->header, sizeof writer->header, ret_error);
}

/* To a path, or to a descriptor. */
static int
writer_new(const struct vmk_archive_contents *contents, const char *path, int fd,
           const struct vmk_archive_settings *settings, struct vmk_archive_writer **ret_writer,
           vmkit_error **ret_error)
{
    int result = check_contents(contents, settings, ret_error);
    if (result < 0)
        return result;
    struct vmk_archive_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to write a snapshot");
    writer->settings = *settings;
    result = path != NULL
                 ? vmk_output_open_path(&writer->output, path, &writer->settings, ret_error)
                 : vmk_output_open_fd(&writer->output, fd, &writer->settings, ret_error);
    if (result == 0)
        result = begin(writer, contents, ret_error);
    if (result < 0) {
        vmk_archive_writer_free(writer);
        return result;
    }
    *ret_writer = writer;
    return 0;
}

int
vmk_archive_writer_new_path(const struct vmk_archive_contents *contents, const char *path,
                            const struct vmk_archive_settings *settings,
                            struct vmk_archive_writer **ret_writer, vmkit_error **ret_error)
{
    return writer_new(contents, path, -1, settings, ret_writer, ret_error);
}

int
vmk_archive_writer_new_fd(const struct vmk_archive_contents *contents, int fd,
                          const struct vmk_archive_settings *settings,
                          struct vmk_archive_writer **ret_writer, vmkit_error **ret_error)
{
    return writer_new(contents, NULL, fd, settings, ret_writer, ret_error);
}

void
vmk_archive_writer_free(struct vmk_archive_writer *writer)
{
    if (writer == NULL)
        return;
    vmk_store_free(writer->store);
    vmk_index_clear(&writer->index);
    vmk_output_clear(&writer->output);
    free(writer);
}

const struct vmk_archive_settings *
vmk_archive_writer_get_settings(const struct vmk_archive_writer *writer)
{
    return &writer->settings;
}

static void
set_section(struct vmk_archive_writer *writer, const char *name, uint32_t version, uint32_t flags,
            const void *data, uint64_t size)
{
    struct vmk_archive_section section = {
        .version = version,
        .flags = flags,
        .size = size,
        .checksum = vmk_archive_hash(data, (size_t)size, 0),
    };
    memcpy(section.name, name, strlen(name));
    writer->data[writer->section_count] = data;
    writer->sections[writer->section_count++].section = section;
}

int
vmk_archive_writer_add_section(struct vmk_archive_writer *writer, const char *name,
                               uint32_t version, uint32_t flags, const void *data, uint64_t size,
                               vmkit_error **ret_error)
{
    size_t length = strlen(name);
    if (length == 0 || length >= VMK_ARCHIVE_NAME_SIZE || !vmk_format_is_name(name) ||
        strchr(name, '.') != NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "\"%s\" is no name of a section", name);
    if ((flags & ~(uint32_t)VMK_ARCHIVE_REQUIRED) != 0 || version == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "section \"%s\" has the flags 0x%x and version %u", name, flags,
                             version);
    if (size > VMK_ARCHIVE_MAX_SECTION)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "section \"%s\" has %" PRIu64 " bytes, more than %" PRIu64, name, size,
                             VMK_ARCHIVE_MAX_SECTION);
    if (writer->section_count + MEMORY_SECTIONS >= VMK_ARCHIVE_MAX_SECTIONS)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "a snapshot has no more than %u sections", VMK_ARCHIVE_MAX_SECTIONS);
    for (uint32_t i = 0; i < writer->section_count; i++) {
        if (strcmp(writer->sections[i].section.name, name) == 0)
            return vmk_error_set(ret_error, EEXIST, VMKIT_ERROR_EXISTS,
                                 "section \"%s\" is there already", name);
    }
    set_section(writer, name, version, flags, data, size);
    return 0;
}

/* Zeros that turned out to be no short gap between data. */
static int
settle_zeros(struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    uint64_t count = writer->pending_zeros;
    writer->pending_zeros = 0;
    return vmk_index_append(&writer->index, VMK_ARCHIVE_ZERO, count, ret_error);
}

static bool
is_gap(const struct vmk_archive_writer *writer)
{
    const struct vmk_archive_index *index = &writer->index;
    return writer->pending_zeros <= VMK_FORMAT_GAP_PAGES && index->count > 0 &&
           index->extents[index->count - 1].state == VMK_ARCHIVE_DATA;
}

static int
add_data(struct vmk_archive_writer *writer, const void *pages, uint64_t count,
         const struct vmk_archive_sum *sums, vmkit_error **ret_error)
{
    int result = vmk_index_append(&writer->index, VMK_ARCHIVE_DATA, count, ret_error);
    return result < 0 ? result : vmk_store_add(writer->store, pages, count, sums, ret_error);
}

/* Data behind a short gap: each run is one that a reader maps, so a gap is cheaper stored. */
static int
close_gap(struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    uint64_t count = writer->pending_zeros;
    if (!is_gap(writer))
        return settle_zeros(writer, ret_error);
    writer->pending_zeros = 0;
    return count == 0 ? 0 : add_data(writer, NULL, count, NULL, ret_error);
}

/* What nobody added: as in the parent, or zero. */
static int
skip_to(struct vmk_archive_writer *writer, uint64_t page, vmkit_error **ret_error)
{
    uint64_t count = page - writer->next_page;
    writer->next_page = page;
    if (!writer->has_parent)
        writer->pending_zeros += count;
    if (!writer->has_parent || count == 0)
        return 0;
    int result = settle_zeros(writer, ret_error);
    return result < 0 ? result
                      : vmk_index_append(&writer->index, VMK_ARCHIVE_PARENT, count, ret_error);
}

static int
begin_range(struct vmk_archive_writer *writer, uint64_t gpa, uint64_t size, vmkit_error **ret_error)
{
    int result = check_usable(writer, ret_error);
    if (result < 0)
        return result;
    if (gpa % PAGE != 0 || size % PAGE != 0 || gpa / PAGE < writer->next_page ||
        !vmk_range_inside(gpa, size, 0, writer->pages * PAGE))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory [0x%" PRIx64 ", +0x%" PRIx64 ") does not follow 0x%" PRIx64
                             " in whole pages below 0x%" PRIx64,
                             gpa, size, writer->next_page * PAGE, writer->pages * PAGE);
    return settle(writer, skip_to(writer, gpa / PAGE, ret_error));
}

/* Whether page `i` is all zeros. */
static bool
is_zero(const uint8_t *at, const struct vmk_archive_sum *sums, uint64_t i)
{
    return sums != NULL ? sums[i].is_zero : vmk_sum_is_zero(at + i * PAGE);
}

static int
add_pages(struct vmk_archive_writer *writer, const uint8_t *at, uint64_t count,
          const struct vmk_archive_sum *sums, vmkit_error **ret_error)
{
    for (uint64_t i = 0; i < count;) {
        uint64_t first = i;
        while (i < count && is_zero(at, sums, i))
            i++;
        writer->pending_zeros += i - first;
        first = i;
        while (i < count && !is_zero(at, sums, i))
            i++;
        if (i == first)
            continue;
        int result = close_gap(writer, ret_error);
        if (result == 0)
            result = add_data(writer, at + first * PAGE, i - first,
                              sums == NULL ? NULL : sums + first, ret_error);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Piece by piece, and what was done told in between. */
static int
add_strides(struct vmk_archive_writer *writer, const uint8_t *at, uint64_t count,
            const struct vmk_archive_sum *sums, vmkit_error **ret_error)
{
    for (uint64_t done = 0; done < count;) {
        uint64_t part = count - done < STRIDE_PAGES ? count - done : STRIDE_PAGES;
        int result =
            add_pages(writer, at + done * PAGE, part, sums == NULL ? NULL : sums + done, ret_error);
        writer->next_page += part;
        if (result == 0)
            result = vmk_threads_report(&writer->settings, writer->next_page * PAGE,
                                        writer->pages * PAGE, ret_error);
        if (result < 0)
            return result;
        done += part;
    }
    return 0;
}

int
vmk_archive_writer_add_summed(struct vmk_archive_writer *writer, uint64_t gpa, const void *hva,
                              uint64_t size, const struct vmk_archive_sum *sums,
                              vmkit_error **ret_error)
{
    int result = begin_range(writer, gpa, size, ret_error);
    if (result < 0)
        return result;
    return settle(writer, add_strides(writer, hva, size / PAGE, sums, ret_error));
}

int
vmk_archive_writer_add_memory(struct vmk_archive_writer *writer, uint64_t gpa, const void *hva,
                              uint64_t size, vmkit_error **ret_error)
{
    return vmk_archive_writer_add_summed(writer, gpa, hva, size, NULL, ret_error);
}

int
vmk_archive_writer_add_zeros(struct vmk_archive_writer *writer, uint64_t gpa, uint64_t size,
                             vmkit_error **ret_error)
{
    int result = begin_range(writer, gpa, size, ret_error);
    if (result < 0)
        return result;
    writer->next_page += size / PAGE;
    writer->pending_zeros += size / PAGE;
    return 0;
}

void
vmk_archive_writer_abandon(struct vmk_archive_writer *writer)
{
    settle(writer, -ECANCELED);
}

int
vmk_archive_writer_flush(struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    int result = check_usable(writer, ret_error);
    return result < 0 ? result : settle(writer, vmk_store_flush(writer->store, ret_error));
}

uint64_t
vmk_archive_writer_get_added(const struct vmk_archive_writer *writer)
{
    return vmk_store_get_added(writer->store);
}

uint64_t
vmk_archive_writer_get_settled(const struct vmk_archive_writer *writer)
{
    return vmk_store_get_settled(writer->store);
}

int
vmk_archive_writer_settle(struct vmk_archive_writer *writer, uint64_t count,
                          vmkit_error **ret_error)
{
    int result = check_usable(writer, ret_error);
    return result < 0 ? result : settle(writer, vmk_store_settle(writer->store, count, ret_error));
}

static int
pad(struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    static const uint8_t zeros[VMK_FORMAT_ALIGNMENT];
    uint64_t size = vmk_format_align(writer->output.offset) - writer->output.offset;
    return vmk_output_write(&writer->output, zeros, (size_t)size, ret_error);
}

static int
write_sections(struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    int result = pad(writer, ret_error);
    for (uint32_t i = 0; i < writer->section_count && result == 0; i++) {
        writer->sections[i].offset = writer->output.offset;
        result = vmk_output_write(&writer->output, writer->data[i],
                                  (size_t)writer->sections[i].section.size, ret_error);
        if (result == 0)
            result = pad(writer, ret_error);
    }
    return result;
}

static int
write_table(struct vmk_archive_writer *writer, struct vmk_archive_identity *ret_identity,
            vmkit_error **ret_error)
{
    size_t size = (size_t)writer->section_count * VMK_FORMAT_ENTRY_SIZE;
    uint8_t table[VMK_ARCHIVE_MAX_SECTIONS * VMK_FORMAT_ENTRY_SIZE];
    uint8_t bytes[VMK_FORMAT_FOOTER_SIZE];
    for (uint32_t i = 0; i < writer->section_count; i++)
        vmk_format_put_entry(table + (size_t)i * VMK_FORMAT_ENTRY_SIZE, &writer->sections[i]);

    struct vmk_format_footer footer = {
        .file_size = writer->output.offset + size + VMK_FORMAT_FOOTER_SIZE,
        .table_offset = writer->output.offset,
        .section_count = writer->section_count,
        .table_checksum = vmk_archive_hash(table, size, 0),
    };
    int result = vmk_format_identify(writer->header, table, writer->section_count, &footer.identity,
                                     ret_error);
    if (result < 0)
        return result;
    vmk_format_put_footer(bytes, &footer);
    result = vmk_output_write(&writer->output, table, size, ret_error);
    if (result == 0)
        result = vmk_output_write(&writer->output, bytes, sizeof bytes, ret_error);
    if (result == 0 && ret_identity != NULL)
        *ret_identity = footer.identity;
    return result;
}

/* The sections of the memory itself. */
static int
set_memory_sections(struct vmk_archive_writer *writer, const uint8_t *index,
                    vmkit_error **ret_error)
{
    uint64_t sums_size, chunks_size;
    const void *sums = vmk_store_get_sums(writer->store, &sums_size);
    const void *chunks = vmk_store_get_chunks(writer->store, &chunks_size);
    if (sums_size > VMK_ARCHIVE_MAX_SECTION)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%" PRIu64 " pages are more than a snapshot can hold",
                             sums_size / sizeof(uint64_t));
    set_section(writer, VMK_FORMAT_INDEX, 1, VMK_ARCHIVE_REQUIRED, index,
                vmk_index_get_size(&writer->index));
    set_section(writer, VMK_FORMAT_SUMS, 1, VMK_ARCHIVE_REQUIRED, sums, sums_size);
    if (writer->settings.level > 0)
        set_section(writer, VMK_FORMAT_CHUNKS, 1, VMK_ARCHIVE_REQUIRED | VMK_FORMAT_STORAGE, chunks,
                    chunks_size);
    return 0;
}

static int
finish(struct vmk_archive_writer *writer, struct vmk_archive_identity *ret_identity,
       vmkit_error **ret_error)
{
    int result = skip_to(writer, writer->pages, ret_error);
    if (result == 0)
        result = settle_zeros(writer, ret_error);
    if (result == 0)
        result = vmk_store_finish(writer->store, ret_error);
    if (result < 0)
        return result;

    uint64_t size = vmk_index_get_size(&writer->index);
    uint8_t *index = malloc((size_t)size + 1);
    if (index == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for an index of %" PRIu64 " bytes", size);
    vmk_index_put(&writer->index, index);
    result = set_memory_sections(writer, index, ret_error);
    if (result == 0)
        result = write_sections(writer, ret_error);
    free(index);
    if (result == 0)
        result = write_table(writer, ret_identity, ret_error);
    return result < 0 ? result : vmk_output_commit(&writer->output, ret_error);
}

int
vmk_archive_writer_finish(struct vmk_archive_writer *writer,
                          struct vmk_archive_identity *ret_identity, vmkit_error **ret_error)
{
    int result = check_usable(writer, ret_error);
    if (result == 0)
        result = settle(writer, finish(writer, ret_identity, ret_error));
    writer->failed = true;
    return result;
}
