/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/rollback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* So many pages are copied back on trust that the next run writes to them as well. */
#define TRUSTED 512

/* A page that was given back and is written to within so many times is one that the guest works
 * with. */
#define REMEMBERED 64

/* One in so many of the pages that are copied back is compared first. */
#define SAMPLE UINT64_C(0x0101010101010101)
#define SAMPLE_STEP 8

int
vmk_rollback_make(struct vmk_rollback *rollback, size_t words)
{
    if (rollback->log != NULL)
        return 0;
    if (words > SIZE_MAX / 4)
        return -ENOMEM;
    rollback->log = calloc(4 * words, sizeof *rollback->log);
    if (rollback->log == NULL)
        return -ENOMEM;
    rollback->kept = rollback->log + words;
    rollback->cold = rollback->kept + words;
    rollback->met = rollback->cold + words;
    rollback->words = words;
    return 0;
}

void
vmk_rollback_clear(struct vmk_rollback *rollback)
{
    free(rollback->log);
    *rollback = (struct vmk_rollback){0};
}

/* Consecutive pages that one call acts on. */
struct run {
    const struct vmk_rollback_pages *pages;
    void (*act)(void *user_data, uint64_t page, uint64_t count);
    uint64_t page;
    uint64_t count;
};

static void
run_flush(struct run *run)
{
    if (run->count != 0)
        run->act(run->pages->user_data, run->page, run->count);
    run->count = 0;
}

/* The pages of a word, in ascending order of words. */
static void
run_add(struct run *run, uint64_t word, uint64_t bits)
{
    while (bits != 0) {
        unsigned first = (unsigned)__builtin_ctzll(bits);
        uint64_t rest = ~(bits >> first);
        unsigned count = rest == 0 ? 64 : (unsigned)__builtin_ctzll(rest);
        uint64_t page = word * 64 + first;
        if (run->page + run->count != page)
            run_flush(run);
        if (run->count == 0)
            run->page = page;
        run->count += count;
        bits &= count + first >= 64 ? 0 : UINT64_MAX << (count + first);
    }
}

/* Those of a word's pages that hold what the image does. */
static uint64_t
find_equal(const struct vmk_rollback_pages *pages, uint64_t word, uint64_t bits)
{
    uint64_t equal = 0;
    for (; bits != 0; bits &= bits - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(bits);
        if (pages->is_equal(pages->user_data, word * 64 + bit))
            equal |= UINT64_C(1) << bit;
    }
    return equal;
}

static uint64_t
find_changed(const struct vmk_rollback *rollback, const uint64_t *written,
             const struct vmk_rollback_pages *pages, uint64_t word)
{
    uint64_t bits = rollback->log[word] | written[word];
    if (bits != 0 && pages->select != NULL)
        bits &= pages->select(pages->user_data, word);
    return bits;
}

/* What is done with the pages that may have changed. */
struct plan {
    bool compare;     /* Those that were copied back before, since many of them seem unchanged; */
    bool give_back;   /* what is so is given back at once, not when it is found so twice. */
    bool doubt_fresh; /* Those that were not are so many that they are given back, too. */
};

/* A log that is not cleared does not say which of the pages that were copied back were written to
 * again: a sample does. */
static struct plan
make_plan(struct vmk_rollback *rollback, const uint64_t *written,
          const struct vmk_rollback_pages *pages)
{
    uint64_t fresh = 0, sampled = 0, equal = 0;
    for (uint64_t word = 0; word < rollback->words; word++) {
        uint64_t bits = find_changed(rollback, written, pages, word);
        if (bits == 0)
            continue;
        fresh += (unsigned)__builtin_popcountll(bits & ~rollback->kept[word]);
        bits &= rollback->kept[word] & SAMPLE << (rollback->rounds + word) % SAMPLE_STEP;
        sampled += (unsigned)__builtin_popcountll(bits);
        equal += (unsigned)__builtin_popcountll(find_equal(pages, word, bits));
    }
    if (++rollback->rounds % REMEMBERED == 0)
        memset(rollback->met, 0, rollback->words * sizeof *rollback->met);
    return (struct plan){
        .compare = equal > 0 && equal * 2 >= sampled,
        .give_back = equal * SAMPLE_STEP >= TRUSTED,
        .doubt_fresh = fresh > TRUSTED,
    };
}

/* The pages of a word that are to be the image's own again. The others of `bits` are copied. */
static uint64_t
bring_back(struct vmk_rollback *rollback, const struct plan *plan,
           const struct vmk_rollback_pages *pages, uint64_t word, uint64_t bits, struct run *copied)
{
    uint64_t kept = bits & rollback->kept[word], gone = 0, equal = 0;
    if (plan->doubt_fresh) {
        gone = bits & ~kept & ~rollback->met[word];
        rollback->met[word] |= gone;
    }
    if (plan->compare) {
        equal = find_equal(pages, word, kept);
        gone |= plan->give_back ? equal : equal & rollback->cold[word];
        rollback->cold[word] = equal & ~gone;
    }
    run_add(copied, word, bits & ~gone & ~equal);
    rollback->kept[word] = (rollback->kept[word] | bits) & ~gone;
    return gone;
}

bool
vmk_rollback_run(struct vmk_rollback *rollback, uint64_t *written,
                 const struct vmk_rollback_pages *pages)
{
    struct run copied = {.pages = pages, .act = pages->copy};
    struct run discarded = {.pages = pages, .act = pages->discard};
    const struct plan plan = make_plan(rollback, written, pages);
    bool any_gone = false;
    for (uint64_t word = 0; word < rollback->words; word++) {
        uint64_t bits = find_changed(rollback, written, pages, word), gone = 0;
        if (bits != 0)
            gone = bring_back(rollback, &plan, pages, word, bits, &copied);
        run_add(&discarded, word, gone);
        written[word] = 0;
        rollback->log[word] &= gone;
        any_gone |= rollback->log[word] != 0;
    }
    run_flush(&copied);
    run_flush(&discarded);
    return any_gone;
}
