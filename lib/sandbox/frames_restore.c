/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a copy of an image back to it; frames_image.h tells how it is known what to copy. */
#include "sandbox/frames_private.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* So many frames are copied back on trust that the next run writes to them as well. */
#define TRUSTED 512

/* A frame that was given back and is written to within so many times is one that the program works
 * with. */
#define REMEMBERED 64

/* One in so many of the frames that are copied back is compared first. */
#define SAMPLE UINT64_C(0x0101010101010101)
#define SAMPLE_STEP 8

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

/* 0 or -ENOMEM. */
static int
make_bits(struct vmk_frames *frames)
{
    if (frames->log != NULL)
        return 0;
    uint64_t count = count_words(frames);
    frames->log = calloc(4 * count, sizeof *frames->log);
    if (frames->log == NULL)
        return -ENOMEM;
    frames->kept = frames->log + count;
    frames->cold = frames->kept + count;
    frames->met = frames->cold + count;
    return 0;
}

int
vmk_frames_read_log(struct vmk_frames *frames, const struct vmk_frames_log *log,
                    vmkit_error **ret_error)
{
    if (make_bits(frames) < 0)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the dirty log of a sandbox");
    int r = log->read(log->user_data, 0, frames->log, ret_error);
    if (r == 0 && frames->image->size > HOLE_END)
        r = log->read(log->user_data, HOLE_END, bits_at(frames->log, HOLE_END), ret_error);
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
        frames->written[word] |= frames->log[word];
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
        frames->log[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
    }
}

static void
copy_frames(struct vmk_frames *frames, uint64_t word, uint64_t bits)
{
    while (bits != 0) {
        unsigned first = (unsigned)__builtin_ctzll(bits);
        uint64_t rest = ~(bits >> first);
        unsigned count = rest == 0 ? 64 : (unsigned)__builtin_ctzll(rest);
        uint64_t gpa = (word * 64 + first) * VMK_PAGE_SIZE;
        memcpy(frames->memory + gpa, frames->image->memory + gpa, (size_t)count * VMK_PAGE_SIZE);
        bits &= count + first >= 64 ? 0 : UINT64_MAX << (count + first);
    }
}

/* Those of a word's frames that hold what the image does. */
static uint64_t
find_equal(const struct vmk_frames *frames, uint64_t word, uint64_t bits)
{
    uint64_t equal = 0;
    for (; bits != 0; bits &= bits - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(bits);
        uint64_t gpa = (word * 64 + bit) * VMK_PAGE_SIZE;
        if (memcmp(frames->memory + gpa, frames->image->memory + gpa, VMK_PAGE_SIZE) == 0)
            equal |= UINT64_C(1) << bit;
    }
    return equal;
}

/* What a restore does with the frames that may have changed. */
struct plan {
    bool compare;     /* Those that were copied back before, since many of them seem unchanged; */
    bool give_back;   /* what is so is given back at once, not when it is found so twice. */
    bool doubt_fresh; /* Those that were not are so many that they are given back, too. */
};

static uint64_t
find_changed(const struct vmk_frames *frames, uint64_t word)
{
    return (frames->log[word] | frames->written[word]) &
           frames->blocks[word * 64 / BLOCK_FRAMES].taken[word % (BLOCK_FRAMES / 64)];
}

/* A log that is not cleared does not say which of the frames that were copied back were written to
 * again: a sample does. */
static struct plan
make_plan(struct vmk_frames *frames)
{
    uint64_t fresh = 0, sampled = 0, equal = 0;
    for (uint64_t word = 0; word < count_words(frames); word++) {
        uint64_t bits = find_changed(frames, word);
        if (bits == 0)
            continue;
        fresh += (unsigned)__builtin_popcountll(bits & ~frames->kept[word]);
        bits &= frames->kept[word] & SAMPLE << (frames->restores + word) % SAMPLE_STEP;
        sampled += (unsigned)__builtin_popcountll(bits);
        equal += (unsigned)__builtin_popcountll(find_equal(frames, word, bits));
    }
    if (++frames->restores % REMEMBERED == 0)
        memset(frames->met, 0, count_words(frames) * sizeof *frames->met);
    return (struct plan){
        .compare = equal > 0 && equal * 2 >= sampled,
        .give_back = equal * SAMPLE_STEP >= TRUSTED,
        .doubt_fresh = fresh > TRUSTED,
    };
}

/* The frames of a word that are to be the image's own pages again. Copies the others of `bits`. */
static uint64_t
bring_back(struct vmk_frames *frames, const struct plan *plan, uint64_t word, uint64_t bits)
{
    uint64_t kept = bits & frames->kept[word], gone = 0, equal = 0;
    if (plan->doubt_fresh) {
        gone = bits & ~kept & ~frames->met[word];
        frames->met[word] |= gone;
    }
    if (plan->compare) {
        equal = find_equal(frames, word, kept);
        gone |= plan->give_back ? equal : equal & frames->cold[word];
        frames->cold[word] = equal & ~gone;
    }
    copy_frames(frames, word, bits & ~gone & ~equal);
    frames->kept[word] = (frames->kept[word] | bits) & ~gone;
    return gone;
}

/* Bring back what anyone wrote to and the guest still has: what it gave back is as it was. */
static void
copy_back(struct vmk_frames *frames, const struct vmk_frames_log *log)
{
    struct run discarded = {.frames = frames, .act = act_discard};
    const struct plan plan = make_plan(frames);
    bool any_gone = false;
    for (uint64_t word = 0; word < count_words(frames); word++) {
        uint64_t bits = find_changed(frames, word), gone = 0;
        if (bits != 0)
            gone = bring_back(frames, &plan, word, bits);
        for (uint64_t left = gone; left != 0; left &= left - 1)
            run_add(&discarded, (word * 64 + (unsigned)__builtin_ctzll(left)) * VMK_PAGE_SIZE,
                    VMK_PAGE_SIZE);
        frames->written[word] = 0;
        frames->log[word] &= gone;
        any_gone |= frames->log[word] != 0;
    }
    run_flush(&discarded);
    if (!any_gone)
        return;
    /* One that stays in the log for want of memory is copied back for nothing, no more. */
    log->clear(log->user_data, 0, frames->log, NULL);
    if (frames->image->size > HOLE_END)
        log->clear(log->user_data, HOLE_END, bits_at(frames->log, HOLE_END), NULL);
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
