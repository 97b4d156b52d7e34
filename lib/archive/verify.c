/* SPDX-License-Identifier: Apache-2.0 */
/* All of an archive, on all processors: loading its memory, and checking every byte of it. */
#include "archive/reader.h"

#include "archive/hash.h"
#include "archive/threads.h"
#include "util/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE VMK_ARCHIVE_PAGE_SIZE
/* A multiple of a chunk, so that each chunk of a long run is decompressed once. */
#define ITEM_PAGES (4 * (uint64_t)VMK_FORMAT_CHUNK_PAGES)

#define PIECE_SIZE ((size_t)1 << 20) /* of a section; a multiple of 32 */

/* A part of a run: at most ITEM_PAGES, that end where a chunk does. */
struct piece {
    struct vmk_archive_run run;
    uint8_t *to;
};

struct load {
    const struct vmk_archive *archive;
    struct piece *pieces;
    size_t count;
    size_t capacity;
    bool skip_zeros;
    bool only_own;
};

static int
add_piece(struct load *load, const struct vmk_archive_run *run, uint8_t *to,
          vmkit_error **ret_error)
{
    if (load->count == load->capacity) {
        size_t capacity = load->capacity * 2 + 64;
        struct piece *pieces = realloc(load->pieces, capacity * sizeof *pieces);
        if (pieces == NULL)
            return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "%s: no memory for %zu pieces of its memory", load->archive->name,
                                 capacity);
        load->pieces = pieces;
        load->capacity = capacity;
    }
    load->pieces[load->count++] = (struct piece){.run = *run, .to = to};
    return 0;
}

static int
add_target(struct load *load, const struct vmk_archive_target *target, vmkit_error **ret_error)
{
    int result = vmk_reader_check_range(load->archive, target->gpa, target->size, ret_error);
    uint64_t page = target->gpa / PAGE, end = page + target->size / PAGE;
    while (result == 0 && page < end) {
        struct vmk_archive_run run;
        vmk_archive_find(load->archive, page, &run);
        uint64_t limit = ITEM_PAGES - run.rank % ITEM_PAGES;
        /* What is skipped costs nothing, however much it is. */
        bool skipped =
            (run.state == VMK_ARCHIVE_ZERO && load->skip_zeros) ||
            (load->only_own && (run.state != VMK_ARCHIVE_DATA || run.owner != load->archive));
        if (run.count > limit && !skipped)
            run.count = limit;
        if (run.count > end - page)
            run.count = end - page;
        if (!skipped)
            result = add_piece(load, &run, (uint8_t *)target->hva + (page * PAGE - target->gpa),
                               ret_error);
        page += run.count;
    }
    return result;
}

static int
load_piece(void *context, uint64_t item, void *scratch, vmkit_error **ret_error)
{
    struct load *load = context;
    const struct piece *piece = &load->pieces[item];
    if (piece->run.state == VMK_ARCHIVE_DATA)
        return vmk_reader_read_pages(piece->run.owner, piece->run.rank, piece->run.count,
                                     piece->run.page, piece->to, scratch, ret_error);
    memset(piece->to, 0, piece->run.count * PAGE);
    return 0;
}

int
vmk_archive_load(const struct vmk_archive *archive, const struct vmk_archive_target *targets,
                 size_t count, uint32_t flags, const struct vmk_archive_settings *settings,
                 vmkit_error **ret_error)
{
    struct load load = {.archive = archive,
                        .skip_zeros = (flags & VMK_ARCHIVE_SKIP_ZEROS) != 0,
                        .only_own = (flags & VMK_ARCHIVE_ONLY_OWN) != 0};
    int result = load.only_own ? 0 : vmk_archive_check_complete(archive, ret_error);
    for (size_t i = 0; i < count && result == 0; i++)
        result = add_target(&load, &targets[i], ret_error);
    struct vmk_threads_job job = {
        .run = load_piece,
        .context = &load,
        .count = load.count,
        .scratch_size = VMK_READER_SCRATCH_SIZE,
        .total = load.count,
        .unit = ITEM_PAGES * PAGE,
    };
    if (result == 0)
        result = vmk_threads_run(&job, settings, ret_error);
    free(load.pieces);
    return result;
}

/* Data pages, ITEM_PAGES of them. The last bytes of the scratch are for what is read. */
static int
verify_item(void *context, uint64_t item, void *scratch, vmkit_error **ret_error)
{
    const struct vmk_archive *archive = context;
    uint8_t *buffer = (uint8_t *)scratch + VMK_READER_SCRATCH_SIZE;
    uint64_t rank = item * ITEM_PAGES, left = archive->info.data_pages - rank;
    return vmk_reader_read_pages(archive, rank, left < ITEM_PAGES ? left : ITEM_PAGES,
                                 vmk_index_find_rank(&archive->index, rank), buffer, scratch,
                                 ret_error);
}

/* The bytes between the end of a part and the begin of the next. */
static int
verify_padding(const struct vmk_archive *archive, uint64_t end, vmkit_error **ret_error)
{
    uint8_t padding[VMK_FORMAT_ALIGNMENT] = {0};
    static const uint8_t zeros[VMK_FORMAT_ALIGNMENT];
    size_t size = (size_t)(vmk_format_align(end) - end);
    int result = vmk_reader_read(archive, padding, size, end, ret_error);
    if (result == 0 && memcmp(padding, zeros, size) != 0)
        result = VMK_FORMAT_BAD(archive->name, "the bytes at %" PRIu64 " are not zero", end);
    return result;
}

/* However large it is, in pieces. */
static int
verify_section(const struct vmk_archive *archive, const struct vmk_format_entry *entry,
               uint8_t *buffer, vmkit_error **ret_error)
{
    uint64_t offset = entry->offset, left = entry->section.size;
    struct vmk_archive_hash hash;
    vmk_archive_hash_begin(&hash, 0);
    int result = 0;
    while (left > PIECE_SIZE && result == 0) {
        result = vmk_reader_read(archive, buffer, PIECE_SIZE, offset, ret_error);
        vmk_archive_hash_add(&hash, buffer, PIECE_SIZE);
        offset += PIECE_SIZE;
        left -= PIECE_SIZE;
    }
    if (result == 0)
        result = vmk_reader_read(archive, buffer, left, offset, ret_error);
    if (result == 0 && vmk_archive_hash_end(&hash, buffer, (size_t)left) != entry->section.checksum)
        result =
            VMK_FORMAT_BAD(archive->name, "its section \"%s\" is damaged", entry->section.name);
    return result < 0 ? result : verify_padding(archive, offset + left, ret_error);
}

static int
verify_sections(const struct vmk_archive *archive, vmkit_error **ret_error)
{
    uint8_t *buffer = malloc(PIECE_SIZE);
    if (buffer == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: no memory to verify it", archive->name);
    int result =
        verify_padding(archive, VMK_FORMAT_HEADER_SIZE + archive->info.stored_bytes, ret_error);
    for (uint32_t i = 0; i < archive->info.section_count && result == 0; i++)
        result = verify_section(archive, &archive->sections[i], buffer, ret_error);
    free(buffer);
    return result;
}

int
vmk_archive_verify(const struct vmk_archive *archive, const struct vmk_archive_settings *settings,
                   vmkit_error **ret_error)
{
    int result = verify_sections(archive, ret_error);
    if (result < 0)
        return result;
    uint64_t count =
        archive->info.data_pages / ITEM_PAGES + (archive->info.data_pages % ITEM_PAGES != 0);
    struct vmk_threads_job job = {
        .run = verify_item,
        /* It is only read. */
        .context = (void *)(uintptr_t)archive,
        .count = count,
        .scratch_size = VMK_READER_SCRATCH_SIZE + ITEM_PAGES * PAGE,
        .total = count,
        .unit = ITEM_PAGES * PAGE,
    };
    return vmk_threads_run(&job, settings, ret_error);
}
