/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a copy of an image back to it; frames_image.h tells how it is known what to copy. */
#include "sandbox/frames_private.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t
count_words(const struct vmk_frames *frames)
{
    return frames->image->size / VMK_PAGE_SIZE / 64;
}

static uint64_t *
bits_at(uint64_t *bits, uint64_t gpa)
{
    return bits + gpa / VMK_PAGE_SIZE / 64;
}

int
vmk_frames_read_log(struct vmk_frames *frames, const struct vmk_frames_log *log,
                    vmkit_error **ret_error)
{
    if (vmk_rollback_make(&frames->rollback, count_words(frames)) < 0)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the dirty log of a sandbox");
    uint64_t *bits = frames->rollback.log;
    int r = log->read(log->user_data, 0, bits, ret_error);
    if (r == 0 && frames->image->size > HOLE_END)
        r = log->read(log->user_data, HOLE_END, bits_at(bits, HOLE_END), ret_error);
    return r;
}

int
vmk_frames_keep_log(struct vmk_frames *frames, const struct vmk_frames_log *log,
                    vmkit_error **ret_error)
{
    if (frames->image == NULL)
        return 0;
    int r = vmk_frames_read_log(frames, log, ret_error);
    for (uint64_t word = 0; r == 0 && word < count_words(frames); word++)
        frames->written[word] |= frames->rollback.log[word];
    return r;
}

/* Consecutive frames that one call of the host acts on. */
struct run {
    struct vmk_frames *frames;
    struct vmk_paging *paging;
    void (*act)(const struct run *run);
    uint64_t gpa;
    uint64_t size;
};

static void
run_flush(struct run *run)
{
    if (run->size != 0)
        run->act(run);
    run->size = 0;
}

static void
run_add(struct run *run, uint64_t gpa, uint64_t size)
{
    if (run->gpa + run->size != gpa)
        run_flush(run);
    if (run->size == 0)
        run->gpa = gpa;
    run->size += size;
}

static void
act_hide(const struct run *run)
{
    if (vmk_frames_drop_translations(run->frames, run->gpa, run->size) < 0)
        run->paging->structure_changed = true;
}

static void
act_discard(const struct run *run)
{
    vmk_frames_discard(run->frames, run->gpa, run->size);
}

/* What lies above the image is given back, which hides it as well. */
static void
hide(void *user_data, uint64_t gpa, uint64_t size)
{
    struct run *run = user_data;
    if (gpa < run->frames->image->size)
        run_add(run, gpa, size);
}

/* Whoever may have written to a table, it was brought back by its entries. */
static void
exempt_tables(struct vmk_frames *frames)
{
    const struct vmk_paging_tables *tables = &frames->image->tables;
    for (size_t i = 0; i < tables->count; i++) {
        uint64_t frame = tables->items[i].gpa / VMK_PAGE_SIZE;
        frames->rollback.log[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
    }
}

static void
copy_frames(void *user_data, uint64_t frame, uint64_t count)
{
    struct vmk_frames *frames = user_data;
    uint64_t gpa = frame * VMK_PAGE_SIZE;
    memcpy(frames->memory + gpa, frames->image->memory + gpa, (size_t)count * VMK_PAGE_SIZE);
}

static void
discard_frames(void *user_data, uint64_t frame, uint64_t count)
{
    vmk_frames_discard(user_data, frame * VMK_PAGE_SIZE, count * VMK_PAGE_SIZE);
}

static bool
is_equal(void *user_data, uint64_t frame)
{
    const struct vmk_frames *frames = user_data;
    uint64_t gpa = frame * VMK_PAGE_SIZE;
    return memcmp(frames->memory + gpa, frames->image->memory + gpa, VMK_PAGE_SIZE) == 0;
}

/* What the guest gave back is as it was. */
static uint64_t
select_taken(void *user_data, uint64_t word)
{
    const struct vmk_frames *frames = user_data;
    return frames->blocks[word * 64 / BLOCK_FRAMES].taken[word % (BLOCK_FRAMES / 64)];
}

/* Bring back what anyone wrote to and the guest still has. */
static void
copy_back(struct vmk_frames *frames, const struct vmk_frames_log *log)
{
    const struct vmk_rollback_pages pages = {.copy = copy_frames,
                                             .discard = discard_frames,
                                             .is_equal = is_equal,
                                             .select = select_taken,
                                             .user_data = frames};
    uint64_t *bits = frames->rollback.log;
    if (!vmk_rollback_run(&frames->rollback, frames->written, &pages))
        return;
    log->clear(log->user_data, 0, bits, NULL);
    if (frames->image->size > HOLE_END)
        log->clear(log->user_data, HOLE_END, bits_at(bits, HOLE_END), NULL);
}

static void
set_taken(struct vmk_frames *frames, uint64_t gpa, bool taken)
{
    struct block *block = &frames->blocks[gpa / BLOCK_SIZE];
    uint64_t frame = gpa % BLOCK_SIZE / VMK_PAGE_SIZE, bit = UINT64_C(1) << (frame % 64);
    if (taken) {
        block->taken[frame / 64] |= bit;
        block->count++;
        block->use = BLOCK_SMALL;
    } else {
        block->taken[frame / 64] &= ~bit;
    }
}

/* Give back the frames above the image but for those of tables that stay. */
static void
restore_own(struct vmk_frames *frames, const struct vmk_paging *paging)
{
    struct run run = {.frames = frames, .act = act_discard};
    const struct vmk_paging_tables *extra = &paging->extra;
    for (size_t i = 0; i < extra->count; i++)
        set_taken(frames, extra->items[i].gpa, false);
    for (uint64_t i = frames->first_block; i < frames->block_count; i++) {
        struct block *block = &frames->blocks[i];
        if (block->use == BLOCK_HOLE)
            continue;
        for (unsigned word = 0; word < BLOCK_FRAMES / 64 && block->count != 0; word++) {
            for (uint64_t left = block->taken[word]; left != 0; left &= left - 1)
                run_add(&run,
                        i * BLOCK_SIZE +
                            (word * 64 + (unsigned)__builtin_ctzll(left)) * (uint64_t)VMK_PAGE_SIZE,
                        VMK_PAGE_SIZE);
        }
    }
    run_flush(&run);
    for (uint64_t i = frames->first_block; i < frames->block_count; i++) {
        struct block *block = &frames->blocks[i];
        if (block->use != BLOCK_HOLE)
            *block = (struct block){.use = BLOCK_FREE, .huge = block->huge};
    }
    for (size_t i = 0; i < extra->count; i++)
        set_taken(frames, extra->items[i].gpa, true);
    frames->small_hint = frames->free_hint = frames->first_block;
}

bool
vmk_frames_charge_image(struct vmk_frames *frames)
{
    return vmk_frames_charge(frames, frames->image->used);
}

void
vmk_frames_uncharge_image(struct vmk_frames *frames)
{
    vmk_frames_uncharge(frames, frames->used);
}

void
vmk_frames_restore(struct vmk_frames *frames, struct vmk_paging *paging,
                   const struct vmk_frames_log *log)
{
    const struct vmk_frames_image *image = frames->image;
    struct run hidden = {.frames = frames, .paging = paging, .act = act_hide};
    vmk_paging_restore(paging, image->memory, &image->tables, hide, &hidden);
    run_flush(&hidden);
    exempt_tables(frames);
    copy_back(frames, log);
    restore_own(frames, paging);
    for (uint64_t i = 0; i < frames->first_block; i++) {
        if (frames->blocks[i].changed)
            frames->blocks[i] = image->blocks[i];
    }
    vmk_frames_uncharge_image(frames);
}
