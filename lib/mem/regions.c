/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/regions.h"
#include "util/checked.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No processor has more bits of physical address (Intel SDM 4.1.4). */
#define GPA_LIMIT (UINT64_C(1) << 52)

static void
free_notes(struct vmk_region *region)
{
    free(region->written);
    free(region->changed);
    vmk_rollback_clear(&region->rollback);
}

void
vmk_regions_clear(struct vmk_regions *regions)
{
    for (uint32_t i = 0; i < regions->count; i++) {
        vmk_memory_unref(regions->entries[i].memory);
        free_notes(&regions->entries[i]);
    }
    free(regions->entries);
    *regions = (struct vmk_regions){0};
}

/* How many regions begin at or before `gpa`. */
static uint32_t
upper_bound(const struct vmk_regions *regions, uint64_t gpa)
{
    uint32_t low = 0;
    uint32_t high = regions->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (regions->entries[middle].gpa <= gpa)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int
check_form(const struct vmk_region *region, vmkit_error **ret_error)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end;
    if (region->size == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory region at 0x%" PRIx64 " is empty", region->gpa);
    if (region->gpa % page != 0 || region->size % page != 0 || region->offset % page != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory region at 0x%" PRIx64 " of 0x%" PRIx64
                             " bytes from offset 0x%" PRIx64
                             ": not all are multiples of the page size %" PRIu64,
                             region->gpa, region->size, region->offset, page);
    if (!vmk_add_u64(region->gpa, region->size, &end) || end > GPA_LIMIT)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "memory region [0x%" PRIx64 ", +0x%" PRIx64
                             ") goes beyond the last guest address 0x%" PRIx64,
                             region->gpa, region->size, GPA_LIMIT - 1);
    if (!vmk_range_inside(region->offset, region->size, 0, vmk_memory_get_size(region->memory)))
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "memory range [0x%" PRIx64 ", +0x%" PRIx64
                             ") goes beyond the memory's 0x%" PRIx64 " bytes",
                             region->offset, region->size, vmk_memory_get_size(region->memory));
    if (vmk_memory_is_read_only(region->memory) && !region->read_only)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory that is mapped for reading only needs a read-only region");
    return 0;
}

static int
check_overlap(const struct vmk_regions *regions, const struct vmk_region *region, uint32_t index,
              vmkit_error **ret_error)
{
    const struct vmk_region *other = NULL;
    if (index > 0 &&
        regions->entries[index - 1].gpa + regions->entries[index - 1].size > region->gpa)
        other = &regions->entries[index - 1];
    else if (index < regions->count && region->gpa + region->size > regions->entries[index].gpa)
        other = &regions->entries[index];
    if (other == NULL)
        return 0;
    return vmk_error_set(
        ret_error, EEXIST, VMKIT_ERROR_OVERLAP,
        "memory region [0x%" PRIx64 ", 0x%" PRIx64 ") overlaps [0x%" PRIx64 ", 0x%" PRIx64 ")",
        region->gpa, region->gpa + region->size, other->gpa, other->gpa + other->size);
}

static int
make_room(struct vmk_regions *regions, vmkit_error **ret_error)
{
    if (regions->count < regions->capacity)
        return 0;
    uint32_t capacity = regions->capacity == 0 ? 4 : regions->capacity * 2;
    struct vmk_region *entries = realloc(regions->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a table of %u memory regions", capacity);
    regions->entries = entries;
    regions->capacity = capacity;
    return 0;
}

int
vmk_regions_add(struct vmk_regions *regions, const struct vmk_region *region,
                vmkit_error **ret_error)
{
    int result = check_form(region, ret_error);
    if (result < 0)
        return result;
    uint32_t index = upper_bound(regions, region->gpa);
    result = check_overlap(regions, region, index, ret_error);
    if (result == 0)
        result = make_room(regions, ret_error);
    if (result < 0)
        return result;

    struct vmk_region *entry = &regions->entries[index];
    memmove(entry + 1, entry, (regions->count - index) * sizeof *entry);
    *entry = *region;
    entry->written = NULL;
    vmk_memory_ref(region->memory);
    entry->hva = (uint8_t *)vmk_memory_get_pointer(region->memory) + region->offset;
    regions->count++;
    return 0;
}

void
vmk_regions_remove(struct vmk_regions *regions, uint64_t gpa)
{
    uint32_t index = upper_bound(regions, gpa);
    if (index == 0 || regions->entries[index - 1].gpa != gpa)
        return;
    struct vmk_region *entry = &regions->entries[index - 1];
    struct vmkit_memory *memory = entry->memory;
    free_notes(entry);
    memmove(entry, entry + 1, (regions->count - index) * sizeof *entry);
    regions->count--;
    vmk_memory_unref(memory);
}

const struct vmk_region *
vmk_regions_find(const struct vmk_regions *regions, uint64_t gpa)
{
    uint32_t index = upper_bound(regions, gpa);
    if (index == 0)
        return NULL;
    const struct vmk_region *entry = &regions->entries[index - 1];
    return gpa - entry->gpa < entry->size ? entry : NULL;
}

size_t
vmk_region_count_words(const struct vmk_region *region)
{
    return (size_t)((region->size / VMK_REGION_PAGE + 63) / 64);
}

/* A bitmap of zeros. */
static int
make_notes(const struct vmk_region *region, uint64_t **notes, vmkit_error **ret_error)
{
    size_t words = vmk_region_count_words(region);
    if (*notes == NULL)
        *notes = malloc(words * sizeof **notes);
    if (*notes == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to note what is written to %" PRIu64 " bytes",
                             region->size);
    memset(*notes, 0, words * sizeof **notes);
    return 0;
}

int
vmk_region_track(struct vmk_region *region, vmkit_error **ret_error)
{
    return make_notes(region, &region->written, ret_error);
}

int
vmk_region_follow(struct vmk_region *region, vmkit_error **ret_error)
{
    return make_notes(region, &region->changed, ret_error);
}

static void
note_pages(uint64_t *notes, uint64_t start, uint64_t end)
{
    uint64_t last = (end - 1) / VMK_REGION_PAGE;
    for (uint64_t page = start / VMK_REGION_PAGE; notes != NULL && page <= last; page++)
        notes[page / 64] |= UINT64_C(1) << page % 64;
}

void
vmk_regions_note_write(struct vmk_regions *regions, uint64_t gpa, uint64_t size)
{
    uint32_t first = upper_bound(regions, gpa);
    for (uint32_t i = first == 0 ? 0 : first - 1; size > 0 && i < regions->count; i++) {
        struct vmk_region *region = &regions->entries[i];
        if (region->gpa >= gpa + size)
            return;
        uint64_t start = gpa > region->gpa ? gpa - region->gpa : 0;
        uint64_t end =
            gpa + size - region->gpa < region->size ? gpa + size - region->gpa : region->size;
        if (start >= end)
            continue;
        note_pages(region->written, start, end);
        note_pages(region->changed, start, end);
    }
}

static int
fail_missing(uint64_t gpa, uint64_t start, uint64_t size, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                         "no memory at guest address 0x%" PRIx64 " of [0x%" PRIx64 ", +0x%" PRIx64
                         ")",
                         gpa, start, size);
}

static int
fail_lost(int result, uint64_t gpa, uint64_t size, vmkit_error **ret_error)
{
    if (result != -EFAULT)
        return vmk_error_set_known(
            ret_error, -result, 0, VMKIT_ERROR_IO,
            "memory that others may take away, at guest addresses [0x%" PRIx64 ", +0x%" PRIx64
            "), is copied by process_vm_readv(2) and "
            "process_vm_writev(2)",
            gpa, size);
    return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_IO,
                         "the memory behind guest addresses [0x%" PRIx64 ", +0x%" PRIx64
                         ") is not accessible",
                         gpa, size);
}

/* `destination` or `source` is NULL, and says which way to copy. */
static int
copy(const struct vmk_regions *regions, uint64_t gpa, uint8_t *destination, const uint8_t *source,
     uint64_t size, vmkit_error **ret_error)
{
    for (uint64_t done = 0; done < size;) {
        const struct vmk_region *region =
            gpa + done < gpa ? NULL : vmk_regions_find(regions, gpa + done);
        if (region == NULL)
            return fail_missing(gpa + done, gpa, size, ret_error);
        if (source != NULL && vmk_memory_is_read_only(region->memory))
            return vmk_error_set(
                ret_error, EROFS, VMKIT_ERROR_INVALID_ARGUMENT,
                "the memory at guest address 0x%" PRIx64 " is mapped for reading only", gpa + done);

        uint64_t inside = gpa + done - region->gpa;
        uint64_t now = region->size - inside < size - done ? region->size - inside : size - done;
        int result =
            source != NULL
                ? vmk_memory_write(region->memory, region->offset + inside, source + done, now)
                : vmk_memory_read(region->memory, region->offset + inside, destination + done, now);
        if (result < 0)
            return fail_lost(result, gpa + done, now, ret_error);
        done += now;
    }
    return 0;
}

int
vmk_regions_read(const struct vmk_regions *regions, uint64_t gpa, void *destination, uint64_t size,
                 vmkit_error **ret_error)
{
    return copy(regions, gpa, destination, NULL, size, ret_error);
}

int
vmk_regions_write(const struct vmk_regions *regions, uint64_t gpa, const void *source,
                  uint64_t size, vmkit_error **ret_error)
{
    return copy(regions, gpa, NULL, source, size, ret_error);
}

static void
note_exposed(struct vmk_region *region, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    bool first = region->exposed_start == region->exposed_end;
    if (first || start < region->exposed_start)
        region->exposed_start = start;
    if (first || end > region->exposed_end)
        region->exposed_end = end;
}

int
vmk_regions_get_pointer(struct vmk_regions *regions, uint64_t gpa, uint64_t size,
                        void **ret_pointer, vmkit_error **ret_error)
{
    const struct vmk_region *region = vmk_regions_find(regions, gpa);
    if (region == NULL)
        return fail_missing(gpa, gpa, size, ret_error);
    if (!vmk_range_inside(gpa, size, region->gpa, region->size))
        return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                             "guest addresses [0x%" PRIx64 ", +0x%" PRIx64
                             ") go beyond the memory region [0x%" PRIx64 ", 0x%" PRIx64 ")",
                             gpa, size, region->gpa, region->gpa + region->size);
    uint64_t start = gpa - region->gpa;
    note_exposed(&regions->entries[region - regions->entries], start, start + size);
    *ret_pointer = region->hva + start;
    return 0;
}
