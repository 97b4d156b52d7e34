/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/index.h"

#include "archive/format.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_EACH 8
#define STATE_BITS 2

void
vmk_index_clear(struct vmk_archive_index *index)
{
    free(index->extents);
    *index = (struct vmk_archive_index){0};
}

/* Room for one more, and for the one behind the last. */
static int
reserve(struct vmk_archive_index *index, vmkit_error **ret_error)
{
    if (index->count + 1 < index->capacity)
        return 0;
    if (index->count >= VMK_FORMAT_MAX_EXTENTS)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the memory is in more than %" PRIu64 " pieces",
                             (uint64_t)VMK_FORMAT_MAX_EXTENTS);

    size_t capacity = index->capacity == 0 ? 64 : index->capacity * 2;
    struct vmk_archive_extent *extents = realloc(index->extents, capacity * sizeof *extents);
    if (extents == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %zu pieces of a memory", capacity);
    index->extents = extents;
    index->capacity = capacity;
    return 0;
}

int
vmk_index_append(struct vmk_archive_index *index, enum vmk_archive_state state, uint64_t count,
                 vmkit_error **ret_error)
{
    if (count == 0)
        return 0;
    if (index->count == 0 || index->extents[index->count - 1].state != state) {
        int result = reserve(index, ret_error);
        if (result < 0)
            return result;
        index->extents[index->count++] = (struct vmk_archive_extent){
            .page = index->pages, .rank = index->state_pages[VMK_ARCHIVE_DATA], .state = state};
    }
    index->pages += count;
    index->state_pages[state] += count;
    index->extents[index->count] = (struct vmk_archive_extent){
        .page = index->pages, .rank = index->state_pages[VMK_ARCHIVE_DATA]};
    return 0;
}

uint64_t
vmk_index_get_size(const struct vmk_archive_index *index)
{
    return (uint64_t)index->count * BYTES_EACH;
}

void
vmk_index_put(const struct vmk_archive_index *index, uint8_t *bytes)
{
    for (size_t i = 0; i < index->count; i++) {
        const struct vmk_archive_extent *extent = &index->extents[i];
        uint64_t value = (extent[1].page - extent->page) << STATE_BITS | (uint64_t)extent->state;
        value = htole64(value);
        memcpy(bytes + i * BYTES_EACH, &value, sizeof value);
    }
}

static int
get_extent(struct vmk_archive_index *index, uint64_t value, uint64_t pages, bool has_parent,
           const char *name, vmkit_error **ret_error)
{
    uint64_t count = value >> STATE_BITS;
    unsigned state = value & ((1 << STATE_BITS) - 1);
    if (state > (has_parent ? VMK_ARCHIVE_PARENT : VMK_ARCHIVE_DATA))
        return VMK_FORMAT_BAD(name, "page %" PRIu64 " has the impossible state %u", index->pages,
                              state);
    if (count == 0 || count > pages - index->pages)
        return VMK_FORMAT_BAD(
            name, "%" PRIu64 " pages from page %" PRIu64 " on are not in a memory of %" PRIu64,
            count, index->pages, pages);
    if (index->count > 0 && index->extents[index->count - 1].state == state)
        return VMK_FORMAT_BAD(name, "the index has two pieces for one at page %" PRIu64,
                              index->pages);
    return vmk_index_append(index, (enum vmk_archive_state)state, count, ret_error);
}

int
vmk_index_get(struct vmk_archive_index *index, const uint8_t *bytes, uint64_t size, uint64_t pages,
              bool has_parent, const char *name, vmkit_error **ret_error)
{
    *index = (struct vmk_archive_index){0};
    int result = 0;
    if (size % BYTES_EACH != 0)
        result = VMK_FORMAT_BAD(name, "its index of %" PRIu64 " bytes is cut", size);
    for (uint64_t i = 0; i < size / BYTES_EACH && result == 0; i++) {
        uint64_t value;
        memcpy(&value, bytes + i * BYTES_EACH, sizeof value);
        result = get_extent(index, le64toh(value), pages, has_parent, name, ret_error);
    }
    if (result == 0 && index->pages != pages)
        result = VMK_FORMAT_BAD(name, "its index has %" PRIu64 " pages of %" PRIu64, index->pages,
                                pages);
    if (result < 0)
        vmk_index_clear(index);
    return result;
}

const struct vmk_archive_extent *
vmk_index_find(const struct vmk_archive_index *index, uint64_t page)
{
    size_t low = 0, high = index->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (index->extents[middle].page <= page)
            low = middle;
        else
            high = middle;
    }
    return &index->extents[low];
}

uint64_t
vmk_index_find_rank(const struct vmk_archive_index *index, uint64_t rank)
{
    size_t low = 0, high = index->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (index->extents[middle].rank <= rank)
            low = middle;
        else
            high = middle;
    }
    return index->extents[low].page + (rank - index->extents[low].rank);
}
