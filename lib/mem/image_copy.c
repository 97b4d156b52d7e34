/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that begins as a copy of an image. Every run is mapped copy-on-write, so that what it
 * costs is a mapping a run, however large. A process has only so many mappings (vm.max_map_count,
 * 65,530): where an image lies in very many places, the small ones are read instead.
 */
#include "mem/image_private.h"
#include "util/checked.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>

#define MANY_RUNS 4096
#define SMALL_RUN (UINT64_C(64) << 10)

struct mapping {
    uint8_t *address;
    uint64_t size;
    struct vmk_image *watched; /* one that is made where the mapping is touched; else NULL */
};

void
vmk_image_forget(const struct vmk_image *image, const void *address, uint64_t size)
{
    const struct vmk_image_store *before = NULL;
    for (size_t i = 0; image != NULL && i < image->count; i++) {
        const struct vmk_image_store *store = image->runs[i].store;
        if (store->demand != NULL && store != before)
            vmk_demand_forget(store->demand, address, size);
        before = store;
    }
}

static void
unmap(void *user_data)
{
    struct mapping *mapping = user_data;
    vmk_image_forget(mapping->watched, mapping->address, mapping->size);
    if (vmk_image_is_here(mapping->watched))
        munmap(mapping->address, mapping->size);
    vmk_image_unref(mapping->watched);
    free(mapping);
}

/* What lies at `address`, below `end`, as far as one mapping shows it. */
static void
find_mapping(const struct vmk_image *image, uint64_t address, uint64_t end,
             struct vmk_image_run *ret_run)
{
    struct vmk_image_run next;
    vmk_image_find(image, address, ret_run);
    while (ret_run->store != NULL && ret_run->store == image->sparse) {
        vmk_image_find(image, ret_run->address + ret_run->size, &next);
        if (next.store == NULL)
            vmk_image_find(image, next.address + next.size, &next);
        if (next.store != ret_run->store || next.address >= end ||
            next.offset - ret_run->offset != next.address - ret_run->address)
            break;
        ret_run->size = next.address + next.size - ret_run->address;
    }
    if (ret_run->size > end - address)
        ret_run->size = end - address;
}

size_t
vmk_image_list_mappings(const struct vmk_image *image, uint64_t end, struct vmk_image_run *ret_runs,
                        size_t room)
{
    size_t count = 0;
    struct vmk_image_run run;
    for (uint64_t at = 0; at < end; at += run.size) {
        find_mapping(image, at, end, &run);
        if (run.store == NULL)
            continue;
        if (count < room)
            ret_runs[count] = run;
        count++;
    }
    return count;
}

static int
fail_map(const struct vmk_image_run *run, vmkit_error **ret_error)
{
    return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_OUT_OF_MEMORY,
                               "mapping a snapshot's memory of %" PRIu64 " bytes at 0x%" PRIx64,
                               run->size, run->address);
}

/* Nobody may touch it before it is watched; a process whose memory is locked touches all of a
 * mapping as soon as it may. */
static int
watch(const struct vmk_image_run *run, void *to, vmkit_error **ret_error)
{
    int result = vmk_demand_watch(run->store->demand, to, run->size, run->offset, ret_error);
    if (result == 0 && mprotect(to, run->size, PROT_READ | PROT_WRITE) < 0)
        return fail_map(run, ret_error);
    return result;
}

int
vmk_image_map(const struct vmk_image_run *run, void *to, vmkit_error **ret_error)
{
    bool watched = run->store->demand != NULL;
    void *at = mmap(to, run->size, watched ? PROT_NONE : PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, run->store->fd, (off_t)run->offset);
    if (at == MAP_FAILED)
        return fail_map(run, ret_error);
    return watched ? watch(run, to, ret_error) : 0;
}

static bool
has_many(const struct vmk_image *image)
{
    return image != NULL && image->count > MANY_RUNS;
}

static int
place_run(const struct vmk_image *image, const struct vmk_image_run *run, uint8_t *to, bool many,
          vmkit_error **ret_error)
{
    if (many && run->size < SMALL_RUN)
        return vmk_image_read(image, run->address, to, (size_t)run->size);
    return vmk_image_map(run, to, ret_error);
}

static int
place_all(const struct vmk_image *image, uint64_t address, const struct mapping *mapping,
          vmkit_error **ret_error)
{
    bool many = has_many(image);
    for (uint64_t done = 0; done < mapping->size;) {
        struct vmk_image_run run;
        find_mapping(image, address + done, address + mapping->size, &run);
        int result = 0;
        if (run.store != NULL)
            result = place_run(image, &run, mapping->address + done, many, ret_error);
        if (result < 0)
            return result;
        done += run.size;
    }
    return 0;
}

int
vmk_memory_new_copy(struct vmk_image *image, uint64_t address, uint64_t size,
                    struct vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    struct mapping *mapping = malloc(sizeof *mapping);
    if (mapping == NULL || size > PTRDIFF_MAX ||
        !vmk_range_inside(address, size, 0, VMK_IMAGE_LIMIT)) {
        free(mapping);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no address space for %" PRIu64 " bytes of memory", size);
    }
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    *mapping = (struct mapping){.address = at, .size = size};
    if (at == MAP_FAILED) {
        free(mapping);
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_OUT_OF_MEMORY,
                                   "mapping %" PRIu64 " bytes of memory", size);
    }
    if (vmk_image_is_lazy(image))
        mapping->watched = vmk_image_ref(image);
    vmkit_error *error = NULL;
    int result = place_all(image, address, mapping, &error);
    if (error != NULL)
        vmk_error_hand_over(error, ret_error);
    else if (result < 0)
        vmk_error_set(ret_error, -result, VMKIT_ERROR_IO,
                      "mapping a snapshot's memory of %" PRIu64 " bytes at 0x%" PRIx64, size,
                      address);
    else
        result = vmk_memory_new_user(at, size, unmap, mapping, ret_memory, ret_error);
    if (result < 0)
        unmap(mapping);
    return result;
}

/* What of a copy is not mapped, or with `all`, everything. */
static int
read_again(const struct vmk_image *image, uint64_t address, uint8_t *to, uint64_t size, bool all)
{
    for (uint64_t done = 0; done < size;) {
        struct vmk_image_run run;
        find_mapping(image, address + done, address + size, &run);
        int result = 0;
        if (all || (run.store != NULL && run.size < SMALL_RUN))
            result = vmk_image_read(image, run.address, to + done, (size_t)run.size);
        if (result < 0)
            return result;
        done += run.size;
    }
    return 0;
}

int
vmk_memory_revert(const struct vmkit_memory *memory, const struct vmk_image *image,
                  uint64_t address, uint64_t offset, uint64_t size)
{
    uint8_t *at = (uint8_t *)vmk_memory_get_pointer(memory) + offset;
    /* Memory that the program has locked cannot be given back. */
    bool all = madvise(at, size, MADV_DONTNEED) != 0;
    return all || has_many(image) ? read_again(image, address + offset, at, size, all) : 0;
}
