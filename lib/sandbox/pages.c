/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SHIFT 9
#define FANOUT (1u << SHIFT)

struct table {
    void *slots[FANOUT];
};
_Static_assert(sizeof(struct table) == VMK_PAGES_SIZE, "a table is charged as a page");

/* Pages under one slot of a table at `level`, 1 for the lowest, as a shift. */
static unsigned
level_shift(unsigned level)
{
    return (level - 1) * SHIFT;
}

static bool
covers(const struct vmk_pages *pages, uint64_t number)
{
    return pages->root != NULL && number >> (pages->height * SHIFT) == 0;
}

/* A slot of the lowest level tells by its last bit that the page is somebody else's. */
#define SHARED ((uintptr_t)1)

static bool
is_shared(const void *slot)
{
    return ((uintptr_t)slot & SHARED) != 0;
}

static uint8_t *
page_of(void *slot)
{
    return (uint8_t *)((uintptr_t)slot & ~SHARED);
}

static void *
charge_zeroed(struct vmk_pages *pages)
{
    if (!vmk_memory_account_try_charge(pages->account, VMK_PAGES_SIZE))
        return NULL;
    void *zeroed = calloc(1, VMK_PAGES_SIZE);
    if (zeroed == NULL)
        vmk_memory_account_uncharge(pages->account, VMK_PAGES_SIZE);
    return zeroed;
}

static void
release(struct vmk_pages *pages, void *what)
{
    if (!is_shared(what))
        free(what);
    vmk_memory_account_uncharge(pages->account, VMK_PAGES_SIZE);
}

const uint8_t *
vmk_pages_get(const struct vmk_pages *pages, uint64_t number)
{
    if (!covers(pages, number))
        return NULL;
    void *at = pages->root;
    for (unsigned level = pages->height; level > 0 && at != NULL; level--)
        at = ((struct table *)at)->slots[(number >> level_shift(level)) & (FANOUT - 1)];
    return page_of(at);
}

/* Put tables above the root until the tree reaches `number`. */
static bool
grow(struct vmk_pages *pages, uint64_t number)
{
    if (pages->root == NULL) {
        pages->height = 0;
        while (number >> (pages->height * SHIFT) != 0)
            pages->height++;
        return true;
    }
    while (number >> (pages->height * SHIFT) != 0) {
        struct table *table = charge_zeroed(pages);
        if (table == NULL)
            return false;
        table->slots[0] = pages->root;
        pages->root = table;
        pages->height++;
    }
    return true;
}

/* The slot of a page, with the tables above it. NULL at the memory limit. */
static void **
find_slot(struct vmk_pages *pages, uint64_t number)
{
    if (!grow(pages, number))
        return NULL;
    void **slot = &pages->root;
    for (unsigned level = pages->height; level > 0; level--) {
        if (*slot == NULL)
            *slot = charge_zeroed(pages);
        if (*slot == NULL)
            return NULL;
        slot = &((struct table *)*slot)->slots[(number >> level_shift(level)) & (FANOUT - 1)];
    }
    return slot;
}

uint8_t *
vmk_pages_make(struct vmk_pages *pages, uint64_t number)
{
    void **slot = find_slot(pages, number);
    if (slot == NULL)
        return NULL;
    if (*slot == NULL) {
        *slot = charge_zeroed(pages);
        pages->count += *slot != NULL;
    } else if (is_shared(*slot)) {
        /* It was charged when it came. */
        void *own = malloc(VMK_PAGES_SIZE);
        if (own == NULL)
            return NULL;
        memcpy(own, page_of(*slot), VMK_PAGES_SIZE);
        *slot = own;
    }
    return *slot;
}

bool
vmk_pages_share(struct vmk_pages *pages, uint64_t number, const uint8_t *data)
{
    void **slot = find_slot(pages, number);
    if (slot == NULL || !vmk_memory_account_try_charge(pages->account, VMK_PAGES_SIZE))
        return false;
    *slot = (void *)((uintptr_t)data | SHARED);
    pages->count++;
    return true;
}

/* The first page from `from` on, numbers below `at`, a tree of that height. At most four levels
 * deep.
 */
static uint64_t
next_below(const void *at, unsigned height, uint64_t from)
{
    if (height == 0)
        return from;
    const struct table *table = at;
    unsigned shift = level_shift(height);
    for (uint64_t i = from >> shift; i < FANOUT; i++) {
        uint64_t base = i << shift;
        if (table->slots[i] == NULL)
            continue;
        uint64_t found = next_below(table->slots[i], height - 1, from > base ? from - base : 0);
        if (found != UINT64_MAX)
            return base + found;
    }
    return UINT64_MAX;
}

uint64_t
vmk_pages_next(const struct vmk_pages *pages, uint64_t number)
{
    return covers(pages, number) ? next_below(pages->root, pages->height, number) : UINT64_MAX;
}

/* Drop pages of [first, last], numbers below `*slot`, a tree of that height, until `*most` of them
 * are gone. Tables go from the last one down, so that the heap shrinks by one at a time, and the
 * pages of each upwards, so that it does so at once. At most four levels deep. */
static void
drop(struct vmk_pages *pages, void **slot, unsigned height, uint64_t first, uint64_t last,
     uint64_t *most)
{
    if (*slot == NULL || *most == 0)
        return;
    if (height == 0) {
        release(pages, *slot);
        *slot = NULL;
        pages->count--;
        --*most;
        return;
    }

    struct table *table = *slot;
    unsigned shift = level_shift(height);
    uint64_t span = ((uint64_t)1 << shift) - 1;
    bool empty = true;
    for (uint64_t n = 0; n < FANOUT; n++) {
        uint64_t i = height == 1 ? n : FANOUT - 1 - n, base = i << shift;
        if (table->slots[i] != NULL && base <= last && base + span >= first)
            drop(pages, &table->slots[i], height - 1, first > base ? first - base : 0,
                 last - base < span ? last - base : span, most);
        empty &= table->slots[i] == NULL;
    }
    if (empty) {
        release(pages, table);
        *slot = NULL;
    }
}

bool
vmk_pages_drop_some(struct vmk_pages *pages, uint64_t first, uint64_t last, uint64_t most)
{
    if (pages->root == NULL || !(first == 0 || covers(pages, first)))
        return false;
    uint64_t highest = ((uint64_t)1 << (pages->height * SHIFT)) - 1;
    if (last > highest)
        last = highest;
    if (first <= last)
        drop(pages, &pages->root, pages->height, first, last, &most);
    return most == 0;
}

void
vmk_pages_drop(struct vmk_pages *pages, uint64_t first, uint64_t last)
{
    vmk_pages_drop_some(pages, first, last, UINT64_MAX);
}
