/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables of a guest that follows an original: what changed since is taken back, entry by
 * entry, so that KVM is told of just that. See arch/paging.h.
 */
#include "paging_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS 4

/* So many tables beyond the original's are kept; each of them costs a page of the host. */
#define EXTRA_MAX 64

/* What a change of an entry takes away from the guest, if that is nothing, KVM need not hear of it.
 */
#define ENTRY_RIGHTS (ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_USER)

bool
vmk_paging_reserve_table(struct vmk_paging_tables *tables)
{
    if (tables->count < tables->capacity)
        return true;
    size_t capacity = tables->capacity == 0 ? 16 : tables->capacity * 2;
    struct vmk_paging_table *items = realloc(tables->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    tables->items = items;
    tables->capacity = capacity;
    return true;
}

void
vmk_paging_tables_clear(struct vmk_paging_tables *tables)
{
    free(tables->items);
    *tables = (struct vmk_paging_tables){0};
}

void
vmk_paging_free(struct vmk_paging *paging)
{
    vmk_paging_tables_clear(&paging->extra);
}

static bool
leads_to_table(uint64_t entry)
{
    return (entry & (ENTRY_PRESENT | ENTRY_LARGE)) == ENTRY_PRESENT;
}

int
vmk_paging_list_tables(const struct vmk_paging *paging, struct vmk_paging_tables *ret_tables)
{
    struct vmk_paging_tables tables = {0};
    if (!vmk_paging_reserve_table(&tables))
        return -ENOMEM;
    vmk_paging_add_table(&tables, paging->root, LEVELS - 1);
    for (size_t next = 0; next < tables.count; next++) {
        struct vmk_paging_table at = tables.items[next];
        const uint64_t *entries = vmk_paging_table_at(paging, at.gpa);
        for (unsigned i = 0; i < TABLE_ENTRIES && at.level > 0; i++) {
            if (!leads_to_table(entries[i]) || vmk_paging_table_at(paging, entries[i]) == NULL)
                continue;
            /* More than there are frames: one that leads back to another. */
            bool sane = tables.count < paging->size / VMK_PAGE_SIZE;
            if (!sane || !vmk_paging_reserve_table(&tables)) {
                vmk_paging_tables_clear(&tables);
                return sane ? -ENOMEM : -EINVAL;
            }
            vmk_paging_add_table(&tables, entries[i] & ENTRY_FRAME, at.level - 1);
        }
    }
    *ret_tables = tables;
    return 0;
}

void
vmk_paging_settle(uint8_t *memory, const struct vmk_paging_tables *tables)
{
    for (size_t next = 0; next < tables->count; next++) {
        if (tables->items[next].level == 0)
            continue;
        uint64_t *entries = (uint64_t *)(void *)(memory + tables->items[next].gpa);
        for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
            if (entries[i] & ENTRY_IDLE || entries[i] == ENTRY_WAS_LARGE)
                entries[i] = 0;
        }
    }
}

struct restore {
    struct vmk_paging *paging;
    const uint8_t *original;
    vmk_paging_hidden_fn *hidden;
    void *user_data;
};

/* An entry that holds a page is about to become `next`. */
static void
leave_page(const struct restore *restore, uint64_t entry, uint64_t next, uint64_t size)
{
    bool same = next & ENTRY_USED && ((entry ^ next) & ENTRY_FRAME) == 0;
    bool loses = (entry & ENTRY_RIGHTS & ~next) != 0 || (next & ~entry & ENTRY_NO_EXECUTE) != 0;
    if (entry & ENTRY_PRESENT && (!same || loses))
        restore->hidden(restore->user_data, entry & ENTRY_FRAME & ~(size - 1), size);
}

static void
restore_leaves(const struct restore *restore, uint64_t *entries, const uint64_t *original)
{
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t next = original == NULL ? 0 : original[i];
        if (entries[i] == next)
            continue;
        if (entries[i] & ENTRY_USED)
            leave_page(restore, entries[i], next, VMK_PAGE_SIZE);
        entries[i] = next;
    }
}

/* Whether an entry above the last level can become what it was without a change of structure. */
static bool
keeps_structure(uint64_t entry, uint64_t original)
{
    if (original == 0 || entry == original)
        return true;
    /* The same large page with other rights. */
    return entry & original & ENTRY_USED && ((entry ^ original) & ENTRY_FRAME) == 0 &&
           entry & original & ENTRY_LARGE;
}

static void
restore_directory(const struct restore *restore, uint64_t *entries, const uint64_t *original)
{
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t entry = entries[i], next = original == NULL ? 0 : original[i];
        if (entry == next || entry & ENTRY_IDLE)
            continue;
        if (entry & ENTRY_USED) {
            leave_page(restore, entry, next, VMK_LARGE_PAGE_SIZE);
            entries[i] = next == 0 ? ENTRY_WAS_LARGE : next;
        } else if (leads_to_table(entry)) {
            entries[i] = (entry & ENTRY_FRAME) | ENTRY_IDLE;
        }
    }
}

static bool
is_written(const struct vmk_paging *paging, uint64_t gpa)
{
    uint64_t frame = gpa / VMK_PAGE_SIZE;
    return paging->written[frame / 64] >> (frame % 64) & 1;
}

static void
clear_written(struct vmk_paging *paging, uint64_t gpa)
{
    uint64_t frame = gpa / VMK_PAGE_SIZE;
    paging->written[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
}

static uint64_t *
entries_at(const void *memory, uint64_t gpa)
{
    return (uint64_t *)(uintptr_t)((const uint8_t *)memory + gpa);
}

/* Whether all that changed can be taken back entry by entry. */
static bool
is_plain(const struct restore *restore, const struct vmk_paging_tables *tables)
{
    const struct vmk_paging *paging = restore->paging;
    if (paging->extra.count > EXTRA_MAX || paging->structure_changed)
        return false;
    for (size_t next = 0; next < tables->count; next++) {
        struct vmk_paging_table at = tables->items[next];
        if (at.level == 0 || !is_written(paging, at.gpa))
            continue;
        const uint64_t *entries = entries_at(paging->memory, at.gpa);
        const uint64_t *original = entries_at(restore->original, at.gpa);
        for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
            if (!keeps_structure(entries[i], original[i]))
                return false;
        }
    }
    return true;
}

static void
restore_plainly(const struct restore *restore, const struct vmk_paging_tables *tables)
{
    struct vmk_paging *paging = restore->paging;
    for (size_t next = 0; next < tables->count; next++) {
        struct vmk_paging_table at = tables->items[next];
        if (!is_written(paging, at.gpa))
            continue;
        clear_written(paging, at.gpa);
        (at.level == 0 ? restore_leaves : restore_directory)(
            restore, entries_at(paging->memory, at.gpa), entries_at(restore->original, at.gpa));
    }
    for (size_t next = 0; next < paging->extra.count; next++) {
        struct vmk_paging_table *at = &paging->extra.items[next];
        if (at->idle)
            continue;
        at->idle = true;
        (at->level == 0 ? restore_leaves
                        : restore_directory)(restore, entries_at(paging->memory, at->gpa), NULL);
    }
}

bool
vmk_paging_restore(struct vmk_paging *paging, const uint8_t *original,
                   const struct vmk_paging_tables *tables, vmk_paging_hidden_fn *hidden,
                   void *user_data)
{
    const struct restore restore = {
        .paging = paging, .original = original, .hidden = hidden, .user_data = user_data};
    if (is_plain(&restore, tables)) {
        restore_plainly(&restore, tables);
        return true;
    }
    for (size_t next = 0; next < tables->count; next++) {
        uint64_t gpa = tables->items[next].gpa;
        if (!is_written(paging, gpa))
            continue;
        clear_written(paging, gpa);
        memcpy(paging->memory + gpa, original + gpa, VMK_PAGE_SIZE);
    }
    paging->extra.count = 0;
    paging->structure_changed = true;
    return false;
}
