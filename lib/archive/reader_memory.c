/* SPDX-License-Identifier: Apache-2.0 */
/* The memory and the sections of an opened archive. */
#include "archive/reader.h"

#include "archive/deflate.h"
#include "archive/hash.h"
#include "util/checked.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE VMK_ARCHIVE_PAGE_SIZE
#define CHUNK_PAGES VMK_FORMAT_CHUNK_PAGES

const struct vmk_archive_section *
vmk_archive_get_section(const struct vmk_archive *archive, uint32_t number)
{
    return &archive->sections[number].section;
}

const struct vmk_archive_section *
vmk_archive_find_section(const struct vmk_archive *archive, const char *name)
{
    const struct vmk_format_entry *entry = vmk_reader_find_entry(archive, name);
    return entry == NULL ? NULL : &entry->section;
}

int
vmk_archive_read_section(const struct vmk_archive *archive, const char *name, uint64_t limit,
                         void **ret_data, uint64_t *ret_size, vmkit_error **ret_error)
{
    const struct vmk_format_entry *entry = vmk_reader_find_entry(archive, name);
    if (entry == NULL)
        return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "%s: it has no section \"%s\"", archive->name, name);
    if (entry->section.size > limit)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%s: its section \"%s\" has %" PRIu64
                             " bytes, and the limit is %" PRIu64,
                             archive->name, name, entry->section.size, limit);
    uint8_t *data = NULL;
    int result = vmk_reader_read_entry(archive, entry, &data, ret_error);
    if (result < 0)
        return result;
    *ret_data = data;
    *ret_size = entry->section.size;
    return 0;
}

static const struct vmk_archive_known *
find_known(const struct vmk_archive_known *known, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    }
    return NULL;
}

int
vmk_archive_check_sections(const struct vmk_archive *archive, const struct vmk_archive_known *known,
                           size_t count, vmkit_error **ret_error)
{
    for (uint32_t i = 0; i < archive->info.section_count; i++) {
        const struct vmk_archive_section *section = &archive->sections[i].section;
        const struct vmk_archive_known *found = find_known(known, count, section->name);
        if (strchr(section->name, '.') != NULL)
            continue;
        if (found == NULL && (section->flags & VMK_ARCHIVE_REQUIRED) != 0)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                                 "%s: its section \"%s\" is needed, and this library does not know"
                                 " it",
                                 archive->name, section->name);
        if (found != NULL && section->version > found->version)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                                 "%s: its section \"%s\" is of version %u, and this library reads"
                                 " up to %u",
                                 archive->name, section->name, section->version, found->version);
    }
    return 0;
}

int
vmk_archive_check_parent(const struct vmk_archive *archive, const struct vmk_archive_info *parent,
                         const char *name, vmkit_error **ret_error)
{
    char wanted[VMK_FORMAT_IDENTITY_TEXT], found[VMK_FORMAT_IDENTITY_TEXT];
    if (archive->info.depth == 0 || archive->parent != NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "%s: it %s a parent",
                             archive->name,
                             archive->info.depth == 0 ? "does not need" : "already has");
    if (!vmk_format_same_identity(&archive->info.parent, &parent->identity))
        return VMK_FORMAT_BAD(archive->name, "its parent is %s, and %s is %s",
                              vmk_format_identity_text(&archive->info.parent, wanted), name,
                              vmk_format_identity_text(&parent->identity, found));
    /* What is one less each time comes to an end. */
    if (parent->depth + 1 != archive->info.depth ||
        strcmp(parent->architecture, archive->info.architecture) != 0)
        return VMK_FORMAT_BAD(archive->name,
                              "it is number %u of a chain with memory of %s, and its parent %s"
                              " number %u with memory of %s",
                              archive->info.depth, archive->info.architecture, name, parent->depth,
                              parent->architecture);
    return 0;
}

int
vmk_archive_set_parent(struct vmk_archive *archive, struct vmk_archive *parent,
                       vmkit_error **ret_error)
{
    int result = vmk_archive_check_parent(archive, &parent->info, parent->name, ret_error);
    if (result == 0)
        archive->parent = vmk_archive_ref(parent);
    return result;
}

int
vmk_archive_check_complete(const struct vmk_archive *archive, vmkit_error **ret_error)
{
    char text[VMK_FORMAT_IDENTITY_TEXT];
    for (; archive->info.depth > 0; archive = archive->parent) {
        if (archive->parent == NULL)
            return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                                 "%s: it needs its parent, the snapshot %s", archive->name,
                                 vmk_format_identity_text(&archive->info.parent, text));
    }
    return 0;
}

void
vmk_archive_find(const struct vmk_archive *archive, uint64_t page, struct vmk_archive_run *ret_run)
{
    uint64_t count = UINT64_MAX;
    const struct vmk_archive_extent *extent;
    for (;; archive = archive->parent) {
        /* A parent whose memory ends before its child's. */
        if (page >= archive->index.pages) {
            *ret_run = (struct vmk_archive_run){.page = page,
                                                .count = count,
                                                .state = VMK_ARCHIVE_ZERO,
                                                .fd = -1,
                                                .owner = archive};
            return;
        }
        extent = vmk_index_find(&archive->index, page);
        uint64_t left = extent[1].page - page;
        count = left < count ? left : count;
        if (extent->state != VMK_ARCHIVE_PARENT || archive->parent == NULL)
            break;
    }
    struct vmk_archive_run run = {
        .page = page, .count = count, .state = extent->state, .fd = -1, .owner = archive};
    if (run.state == VMK_ARCHIVE_DATA) {
        run.rank = extent->rank + (page - extent->page);
        run.compressed = archive->info.compressed;
        run.fd = run.compressed ? -1 : archive->fd;
        run.offset = run.compressed ? 0 : VMK_FORMAT_HEADER_SIZE + run.rank * PAGE;
    }
    *ret_run = run;
}

/* The checksums are read once, by whoever needs them first. */
int
vmk_reader_get_sums(const struct vmk_archive *archive, const uint64_t **ret_sums,
                    vmkit_error **ret_error)
{
    /* What is lazy is not part of the value. */
    struct vmk_archive *lazy = (struct vmk_archive *)(uintptr_t)archive;
    uint8_t *bytes = NULL;
    int result = 0;
    pthread_mutex_lock(&lazy->lock);
    if (lazy->sums == NULL)
        result = vmk_reader_read_entry(archive, vmk_reader_find_entry(archive, VMK_FORMAT_SUMS),
                                       &bytes, ret_error);
    if (bytes != NULL) {
        lazy->sums = (uint64_t *)(void *)bytes;
        for (uint64_t i = 0; i < archive->info.data_pages; i++)
            lazy->sums[i] = le64toh(lazy->sums[i]);
    }
    if (result == 0)
        *ret_sums = lazy->sums;
    pthread_mutex_unlock(&lazy->lock);
    return result;
}

/* Inflate a chunk, all of it, to `to`. `scratch` has room for what is stored. */
static int
read_chunk(const struct vmk_archive *archive, uint64_t chunk, size_t size, uint8_t *to,
           uint8_t *scratch, vmkit_error **ret_error)
{
    uint64_t offset = archive->chunk_offsets[chunk];
    uint64_t stored = archive->chunk_offsets[chunk + 1] - offset;
    if (stored == size)
        return vmk_reader_read(archive, to, size, offset, ret_error);
    int result = vmk_reader_read(archive, scratch, stored, offset, ret_error);
    if (result < 0)
        return result;
    result = vmk_inflate_run(scratch, (size_t)stored, to, size);
    if (result == -ENOMEM)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: no memory to decompress it", archive->name);
    if (result < 0)
        return VMK_FORMAT_BAD(archive->name, "its compressed pages at %" PRIu64 " are damaged",
                              offset);
    return 0;
}

static int
read_compressed(const struct vmk_archive *archive, uint64_t rank, uint64_t count, uint8_t *buffer,
                uint8_t *scratch, vmkit_error **ret_error)
{
    uint8_t *stored = scratch + CHUNK_PAGES * PAGE;
    while (count > 0) {
        uint64_t chunk = rank / CHUNK_PAGES, first = chunk * CHUNK_PAGES;
        uint64_t pages = archive->info.data_pages - first;
        pages = pages < CHUNK_PAGES ? pages : CHUNK_PAGES;
        uint64_t part = first + pages - rank < count ? first + pages - rank : count;
        /* A whole chunk needs no second copy. */
        uint8_t *to = part == pages ? buffer : scratch;
        int result = read_chunk(archive, chunk, pages * PAGE, to, stored, ret_error);
        if (result < 0)
            return result;
        if (to == scratch)
            memcpy(buffer, scratch + (rank - first) * PAGE, part * PAGE);
        buffer += part * PAGE;
        rank += part;
        count -= part;
    }
    return 0;
}

int
vmk_reader_read_pages(const struct vmk_archive *archive, uint64_t rank, uint64_t count,
                      uint64_t page, uint8_t *buffer, uint8_t *scratch, vmkit_error **ret_error)
{
    const uint64_t *sums = NULL;
    int result = vmk_reader_get_sums(archive, &sums, ret_error);
    if (result < 0)
        return result;
    if (archive->info.compressed)
        result = read_compressed(archive, rank, count, buffer, scratch, ret_error);
    else
        result = vmk_reader_read(archive, buffer, count * PAGE,
                                 VMK_FORMAT_HEADER_SIZE + rank * PAGE, ret_error);
    for (uint64_t i = 0; i < count && result == 0; i++) {
        if (vmk_archive_hash(buffer + i * PAGE, PAGE, 0) != sums[rank + i])
            result = VMK_FORMAT_BAD(archive->name, "its memory at 0x%" PRIx64 " is damaged",
                                    (page + i) * PAGE);
    }
    return result;
}

static int
copy_memory(const struct vmk_archive *archive, uint64_t page, uint64_t left, uint8_t *at,
            uint8_t *scratch, vmkit_error **ret_error)
{
    int result = 0;
    while (left > 0 && result == 0) {
        struct vmk_archive_run run;
        vmk_archive_find(archive, page, &run);
        uint64_t count = run.count < left ? run.count : left;
        if (run.state == VMK_ARCHIVE_ZERO)
            memset(at, 0, count * PAGE);
        else
            result =
                vmk_reader_read_pages(run.owner, run.rank, count, page, at, scratch, ret_error);
        at += count * PAGE;
        page += count;
        left -= count;
    }
    return result;
}

int
vmk_reader_check_range(const struct vmk_archive *archive, uint64_t gpa, uint64_t size,
                       vmkit_error **ret_error)
{
    if (gpa % PAGE == 0 && size % PAGE == 0 &&
        vmk_range_inside(gpa, size, 0, archive->info.memory_size))
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "%s: memory [0x%" PRIx64 ", +0x%" PRIx64 ") is not in whole pages"
                         " below 0x%" PRIx64,
                         archive->name, gpa, size, archive->info.memory_size);
}

int
vmk_archive_read_memory(const struct vmk_archive *archive, uint64_t gpa, void *buffer,
                        uint64_t size, vmkit_error **ret_error)
{
    int result = vmk_reader_check_range(archive, gpa, size, ret_error);
    if (result == 0)
        result = vmk_archive_check_complete(archive, ret_error);
    if (result < 0)
        return result;
    uint8_t *scratch = malloc(VMK_READER_SCRATCH_SIZE);
    if (scratch == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: no memory to read its memory", archive->name);
    result = copy_memory(archive, gpa / PAGE, size / PAGE, buffer, scratch, ret_error);
    free(scratch);
    return result;
}
