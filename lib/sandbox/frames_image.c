/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/frames_private.h"

#include "mem/demand.h"
#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* How much is put together at a time, of an image of which parts are made where they are touched.
 */
#define FLAT_PIECE (UINT64_C(256) << 10)

int
vmk_frames_image_fail(int r, uint64_t bytes, vmkit_error **ret_error)
{
    if (r == -ENOMEM || r == -ENOSPC)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a copy of %llu bytes of guest memory",
                             (unsigned long long)bytes);
    return vmk_error_set_errno(ret_error, -r, VMKIT_ERROR_IO, "copying %llu bytes of guest memory",
                               (unsigned long long)bytes);
}

struct vmk_frames_image *
vmk_frames_image_alloc(vmkit_error **ret_error)
{
    struct vmk_frames_image *image = calloc(1, sizeof *image);
    if (image == NULL)
        vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    else
        pthread_mutex_init(&image->lock, NULL);
    return image;
}

int
vmk_frames_image_settle(struct vmk_frames_image *image, vmkit_error **ret_error)
{
    int r = vmk_memory_new_copy(image->image, 0, image->size, &image->mapping, ret_error);
    if (r < 0)
        return r;
    image->memory = vmk_memory_get_pointer(image->mapping);
    image->lazy = vmk_image_is_lazy(image->image);
    image->mapping_count =
        vmk_image_list_mappings(image->image, image->size, image->mappings, MAPPINGS_MAX);
    madvise(image->memory, image->size, MADV_DONTDUMP);
    return 0;
}

void
vmk_frames_image_free(struct vmk_frames_image *image)
{
    if (image == NULL)
        return;
    vmk_memory_unref(image->mapping);
    vmk_image_unref(image->flat);
    vmk_image_unref(image->contents);
    vmk_image_unref(image->image);
    vmk_paging_tables_clear(&image->tables);
    pthread_mutex_destroy(&image->lock);
    free(image->blocks);
    free(image);
}

uint64_t
vmk_frames_image_get_size(const struct vmk_frames_image *image)
{
    return image->size;
}

uint64_t
vmk_frames_image_get_used(const struct vmk_frames_image *image)
{
    return image->used;
}

uint64_t
vmk_frames_image_get_data(const struct vmk_frames_image *image)
{
    return vmk_image_get_data_size(image->contents != NULL ? image->contents : image->image);
}

bool
vmk_frames_image_lies_in(const struct vmk_frames_image *image, int fd)
{
    return vmk_image_lies_in(image->image, fd);
}

int
vmk_frames_image_check(const struct vmk_frames_image *image, vmkit_error **ret_error)
{
    return image->lazy ? vmk_image_check(image->image, ret_error) : 0;
}

/* A part of an image, for a file that is made where it is touched. */
static int
make_flat_part(void *user_data, uint64_t offset, uint8_t *to, size_t size, vmkit_error **ret_error)
{
    struct vmk_image *image = user_data;
    int r = vmk_image_read(image, offset, to, size);
    if (r < 0 && vmk_image_check(image, ret_error) == 0)
        vmk_frames_image_fail(r, size, ret_error);
    return r;
}

static void
unref_image(void *user_data)
{
    vmk_image_unref(user_data);
}

static int
add_flat_lazily(struct vmk_frames_image *image, struct vmk_image_builder *builder,
                vmkit_error **ret_error)
{
    const struct vmk_demand_source source = {make_flat_part, unref_image, image->image};
    struct vmk_image_run all = {.size = image->size};
    struct vmk_demand *demand = NULL;
    int r = vmk_demand_new(image->size, FLAT_PIECE, &source, &demand, ret_error);
    if (r < 0)
        return r;
    vmk_image_ref(image->image);
    r = vmk_image_store_new_demand(demand, &all.store, ret_error);
    if (r < 0) {
        vmk_demand_free(demand);
        return r;
    }
    r = vmk_image_builder_add_run(builder, &all, ret_error);
    vmk_image_store_unref(all.store);
    return r;
}

static int
add_flat(struct vmk_frames_image *image, struct vmk_image_builder *builder, vmkit_error **ret_error)
{
    struct vmk_image_run run;
    int r = vmk_image_builder_set_in_place(builder, image->size, ret_error);
    for (uint64_t at = 0;
         r == 0 && vmk_image_find_changed(image->image, NULL, at, image->size, &run);
         at = run.address + run.size)
        r = vmk_image_builder_add_bytes(builder, run.address, image->memory + run.address, run.size,
                                        ret_error);
    return r;
}

/* With the lock. */
static int
make_flat(struct vmk_frames_image *image, vmkit_error **ret_error)
{
    struct vmk_image_builder *builder = NULL;
    int r = vmk_image_builder_new(NULL, &builder, ret_error);
    /* What cannot be had late is had at once. */
    if (r == 0 && (!image->lazy || add_flat_lazily(image, builder, NULL) < 0))
        r = add_flat(image, builder, ret_error);
    if (r == 0)
        r = vmk_image_builder_finish(builder, &image->flat, ret_error);
    if (r == 0)
        vmk_image_list_mappings(image->flat, image->size, image->mappings, 1);
    vmk_image_builder_free(builder);
    return r;
}

int
vmk_frames_image_get_mappings(const struct vmk_frames_image *image,
                              const struct vmk_image_run **ret_runs, size_t *ret_count,
                              vmkit_error **ret_error)
{
    /* What is put together late is not part of the value. */
    struct vmk_frames_image *late = (struct vmk_frames_image *)(uintptr_t)image;
    int r = 0;
    *ret_runs = image->mappings;
    *ret_count = image->mapping_count;
    if (image->mapping_count <= MAPPINGS_MAX)
        return 0;
    *ret_count = 1;
    pthread_mutex_lock(&late->lock);
    if (image->flat == NULL)
        r = make_flat(late, ret_error);
    pthread_mutex_unlock(&late->lock);
    return r;
}

static uint64_t
alloc_table(void *user_data)
{
    return vmk_frames_alloc(user_data);
}

static bool
revive_table(void *user_data)
{
    return vmk_frames_charge(user_data, VMK_PAGE_SIZE);
}

/* The bitmaps that say what was written to: 0 or -ENOMEM. */
static int
make_written(struct vmk_frames *frames, struct vmk_paging *paging)
{
    const struct vmk_frames_image *image = frames->image;
    uint64_t words = image->size / VMK_PAGE_SIZE / 64;
    frames->written = calloc(words, sizeof *frames->written);
    if (frames->written == NULL)
        return -ENOMEM;
    *paging = (struct vmk_paging){
        .memory = frames->memory,
        .size = frames->size,
        .root = image->root,
        .alloc = alloc_table,
        .revive = revive_table,
        .user_data = frames,
        .written = frames->written,
        .written_frames = words * 64,
    };
    return 0;
}

/* The image's bytes under the first frames. */
static int
map_copy(struct vmk_frames *frames, vmkit_error **ret_error)
{
    const struct vmk_frames_image *image = frames->image;
    const struct vmk_image_run *runs = NULL;
    size_t count = 0;
    int r = vmk_frames_image_get_mappings(image, &runs, &count, ret_error);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = vmk_image_map(&runs[i], frames->memory + runs[i].address, ret_error);
    madvise(frames->memory, image->size, MADV_DONTDUMP);
    return r;
}

static int
make_blocks(struct vmk_frames *frames)
{
    const struct vmk_frames_image *image = frames->image;
    frames->blocks = malloc((image->block_count + 1) * sizeof *frames->blocks);
    if (frames->blocks == NULL)
        return -ENOMEM;
    memcpy(frames->blocks, image->blocks, image->block_count * sizeof *frames->blocks);
    frames->block_count = frames->small_hint = frames->free_hint = frames->first_block =
        image->block_count;
    frames->block_capacity = image->block_count + 1;
    frames->known_size = image->size;
    return 0;
}

/* KVM learns of the image's frames, but for the hole. */
static int
make_known(struct vmk_frames *frames)
{
    uint64_t size = frames->image->size, low = size < HOLE_START ? size : HOLE_START;
    int r = frames->grow(frames->user_data, 0, low, frames->memory);
    if (r == 0 && size > HOLE_END)
        r = frames->grow(frames->user_data, HOLE_END, size - HOLE_END, frames->memory + HOLE_END);
    return r;
}

bool
vmk_frames_may_reach(uint64_t end, uint64_t limit)
{
    uint64_t most;
    return vmk_mul_u64(limit, VMK_FRAMES_REACH, &most) &&
           vmk_add_u64(most, HOLE_END - HOLE_START + BLOCK_SIZE, &most) && end <= most;
}

static int
check_reach(const struct vmk_frames_image *image, uint64_t limit, vmkit_error **ret_error)
{
    if (vmk_frames_may_reach(image->size, limit))
        return 0;
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "the snapshot's guest memory reaches up to %llu bytes, more than %d times "
                         "the memory limit of %llu bytes",
                         (unsigned long long)image->size, VMK_FRAMES_REACH,
                         (unsigned long long)limit);
}

int
vmk_frames_new_copy(const struct vmk_frames_image *image, uint64_t limit,
                    struct vmk_memory_account *account, vmk_frames_grow_fn *grow, void *user_data,
                    struct vmk_paging *paging, struct vmk_frames **ret_frames,
                    vmkit_error **ret_error)
{
    struct vmk_frames *frames;
    int r = check_reach(image, limit, ret_error);
    if (r == 0)
        r = vmk_frames_new_above(image->size, limit, account, grow, user_data, &frames, ret_error);
    if (r < 0)
        return r;
    frames->image = image;
    if (!vmk_frames_charge(frames, image->used)) {
        vmk_frames_free(frames);
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the snapshot holds %llu bytes of guest memory, above the memory "
                             "limit of %llu bytes",
                             (unsigned long long)image->used, (unsigned long long)limit);
    }
    r = make_written(frames, paging);
    if (r == 0)
        r = make_blocks(frames);
    if (r < 0)
        r = vmk_frames_image_fail(r, image->used, ret_error);
    else
        r = map_copy(frames, ret_error);
    int known = r == 0 ? make_known(frames) : 0;
    if (known == -ENOMEM)
        r = vmk_frames_image_fail(known, image->used, ret_error);
    else if (known < 0)
        r = vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED,
                          "KVM does not take the memory of the snapshot");
    if (r < 0)
        vmk_frames_free(frames);
    else
        *ret_frames = frames;
    return r;
}

void
vmk_frames_forget_copy(struct vmk_frames *frames)
{
    const struct vmk_frames_image *image = frames->image;
    if (image != NULL && image->lazy)
        vmk_image_forget(image->flat != NULL ? image->flat : image->image, frames->memory,
                         image->size);
    free(frames->written);
    vmk_rollback_clear(&frames->rollback);
}
