/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making an image of an arena. All of it goes into one memfd, where it lies in guest memory, so
 * that a copy is one mapping. Of an arena that is a copy itself, what nobody can have written to is
 * not even looked at: it lies where the original has it. Page tables are taken for themselves,
 * since what they keep for the sake of one VM stays behind.
 */
#include "sandbox/frames_private.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory that was written since is kept with what is still shared. So now and then all is copied.
 */
#define AGE_MAX 64

struct taking {
    const struct vmk_frames *frames;
    const struct vmk_frames_image *original; /* whose memory is shared, or NULL */
    struct vmk_frames_image *image;
    struct vmk_image_builder *builder;
    uint8_t *tables;    /* guest memory of which only the tables are there, */
    uint64_t *is_table; /* a bit a frame */
};

/* Where a frame's bytes are taken from. */
enum source { SOURCE_NONE, SOURCE_ORIGINAL, SOURCE_TABLES, SOURCE_FRAMES };

static bool
has_bit(const uint64_t *bits, uint64_t number)
{
    return bits[number / 64] >> (number % 64) & 1;
}

static void
untake(struct block *block, uint64_t frame)
{
    block->taken[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
    if (--block->count == 0)
        block->use = BLOCK_FREE;
}

/* The blocks up to the last in use, without what belongs to one arena alone. */
static int
copy_blocks(struct vmk_frames_image *image, const struct vmk_frames *frames,
            const struct vmk_paging *paging)
{
    uint64_t count = frames->block_count;
    image->blocks = calloc(count, sizeof *image->blocks);
    if (image->blocks == NULL)
        return -ENOMEM;
    memcpy(image->blocks, frames->blocks, count * sizeof *image->blocks);
    for (uint64_t i = 0; i < count; i++)
        image->blocks[i].huge = image->blocks[i].mapped = image->blocks[i].changed = false;
    for (size_t i = 0; i < paging->extra.count; i++) {
        uint64_t gpa = paging->extra.items[i].gpa;
        if (paging->extra.items[i].idle)
            untake(&image->blocks[gpa / BLOCK_SIZE], gpa % BLOCK_SIZE / VMK_PAGE_SIZE);
    }
    while (count > 0 && image->blocks[count - 1].count == 0)
        count--;
    image->block_count = count;
    image->size = count * BLOCK_SIZE;
    image->used = frames->used;
    image->root = paging->root;
    return 0;
}

static int
copy_tables(struct taking *taking)
{
    const struct vmk_frames_image *image = taking->image;
    taking->is_table = calloc(image->size / VMK_PAGE_SIZE / 64, sizeof *taking->is_table);
    void *memory = mmap(NULL, image->size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED)
        taking->tables = memory;
    if (taking->is_table == NULL || taking->tables == NULL)
        return -ENOMEM;
    madvise(memory, image->size, MADV_DONTDUMP);
    for (size_t i = 0; i < image->tables.count; i++) {
        uint64_t gpa = image->tables.items[i].gpa, frame = gpa / VMK_PAGE_SIZE;
        memcpy(taking->tables + gpa, taking->frames->memory + gpa, VMK_PAGE_SIZE);
        taking->is_table[frame / 64] |= UINT64_C(1) << (frame % 64);
    }
    vmk_paging_settle(taking->tables, &image->tables);
    return 0;
}

static enum source
find_source(const struct taking *taking, uint64_t gpa)
{
    const struct vmk_frames_image *original = taking->original;
    const struct block *block = &taking->image->blocks[gpa / BLOCK_SIZE];
    if (!has_bit(block->taken, gpa % BLOCK_SIZE / VMK_PAGE_SIZE))
        return SOURCE_NONE;
    if (has_bit(taking->is_table, gpa / VMK_PAGE_SIZE))
        return SOURCE_TABLES;
    if (original != NULL && gpa < original->size &&
        !has_bit(taking->frames->written, gpa / VMK_PAGE_SIZE))
        return SOURCE_ORIGINAL;
    return SOURCE_FRAMES;
}

static int
add_range(const struct taking *taking, enum source source, uint64_t gpa, uint64_t size,
          vmkit_error **ret_error)
{
    struct vmk_image_builder *builder = taking->builder;
    switch (source) {
    case SOURCE_NONE:
        return 0;
    case SOURCE_ORIGINAL:
        return vmk_image_builder_add_base(builder, gpa, size, ret_error);
    case SOURCE_TABLES:
        return vmk_image_builder_add_bytes(builder, gpa, taking->tables + gpa, size, ret_error);
    case SOURCE_FRAMES:
        break;
    }
    return vmk_image_builder_add_bytes(builder, gpa, taking->frames->memory + gpa, size, ret_error);
}

static int
add_frames(const struct taking *taking, vmkit_error **ret_error)
{
    const struct vmk_frames_image *image = taking->image;
    int r = vmk_image_builder_set_in_place(taking->builder, image->size, ret_error);
    for (uint64_t gpa = 0, end; r == 0 && gpa < image->size; gpa = end) {
        if (image->blocks[gpa / BLOCK_SIZE].count == 0) {
            end = (gpa / BLOCK_SIZE + 1) * BLOCK_SIZE;
            continue;
        }
        enum source source = find_source(taking, gpa);
        end = gpa + VMK_PAGE_SIZE;
        while (end < image->size && find_source(taking, end) == source)
            end += VMK_PAGE_SIZE;
        r = add_range(taking, source, gpa, end - gpa, ret_error);
    }
    return r;
}

static int
build(struct taking *taking, vmkit_error **ret_error)
{
    const struct vmk_frames_image *original = taking->original;
    int r = vmk_image_builder_new(original == NULL ? NULL : original->image, &taking->builder,
                                  ret_error);
    if (r == 0)
        r = add_frames(taking, ret_error);
    if (r == 0)
        r = vmk_image_builder_finish(taking->builder, &taking->image->image, ret_error);
    return r;
}

static int
take(struct taking *taking, const struct vmk_paging *paging, vmkit_error **ret_error)
{
    struct vmk_frames_image *image = taking->image;
    vmkit_error *error = NULL;
    int r = copy_blocks(image, taking->frames, paging);
    if (r == 0)
        r = vmk_paging_list_tables(paging, &image->tables);
    if (r == 0)
        r = copy_tables(taking);
    if (r < 0)
        return vmk_frames_image_fail(r, taking->frames->used, ret_error);
    r = build(taking, &error);
    if (r == 0)
        return vmk_frames_image_settle(image, ret_error);
    /* A file that was made shorter, under a snapshot that was opened from it. */
    if (r != -EFAULT)
        return vmk_error_hand_over(error, ret_error);
    vmk_error_unref(error);
    return vmk_frames_image_fail(-EIO, taking->frames->used, ret_error);
}

int
vmk_frames_image_new(struct vmk_frames *frames, const struct vmk_paging *paging,
                     const struct vmk_frames_log *log, struct vmk_frames_image **ret_image,
                     vmkit_error **ret_error)
{
    int r = vmk_frames_keep_log(frames, log, ret_error);
    if (r < 0)
        return r;
    struct taking taking = {.frames = frames, .image = vmk_frames_image_alloc(ret_error)};
    if (taking.image == NULL)
        return -ENOMEM;
    if (frames->image != NULL && frames->image->age < AGE_MAX) {
        taking.original = frames->image;
        taking.image->age = frames->image->age + 1;
    }
    r = take(&taking, paging, ret_error);
    vmk_image_builder_free(taking.builder);
    free(taking.is_table);
    if (taking.tables != NULL)
        munmap(taking.tables, taking.image->size);
    if (r < 0)
        vmk_frames_image_free(taking.image);
    else
        *ret_image = taking.image;
    return r;
}
