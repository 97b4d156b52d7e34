/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four-level page tables (Intel SDM volume 3A, 4.5; AMD APM volume 2, 5.3).
 *
 * The accessed and dirty bits are set beforehand, so that neither the processor nor a shadowing KVM
 * has a reason to write to a table. Non-leaf entries grant everything; the leaf decides. A parked
 * page keeps its frame in an entry without the present bit, which the processor ignores; bit 9,
 * which is left to software, tells it from an empty entry. Bit 10 stays in a directory entry that
 * once mapped 2 MiB: what takes its place next is a change of structure. Bit 11 marks an entry that
 * leads to a table which stands idle.
 */
#include "paging_private.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t
index_at(uint64_t va, unsigned level)
{
    return (va >> (12 + 9 * level)) & (TABLE_ENTRIES - 1);
}

int
vmk_paging_init(struct vmk_paging *paging, uint8_t *memory, uint64_t size,
                vmk_paging_alloc_fn *alloc, void *user_data)
{
    *paging =
        (struct vmk_paging){.memory = memory, .size = size, .alloc = alloc, .user_data = user_data};
    paging->root = alloc(user_data);
    return paging->root == 0 ? -ENOMEM : 0;
}

static struct vmk_leaf
leaf_from_entry(const struct vmk_paging *paging, uint64_t *entry, uint64_t size)
{
    struct vmk_leaf leaf = {.entry = entry, .size = size};
    uint64_t value = *entry;
    uint64_t gpa = (value & ENTRY_FRAME) & ~(size - 1);
    if ((value & ENTRY_USED) == 0 || gpa > paging->size - size)
        return leaf;

    leaf.used = true;
    leaf.gpa = gpa;
    if (value & ENTRY_PRESENT) {
        leaf.rights = VMK_PAGE_READ;
        leaf.rights |= value & ENTRY_WRITABLE ? VMK_PAGE_WRITE : 0;
        leaf.rights |= value & ENTRY_NO_EXECUTE ? 0 : VMK_PAGE_EXECUTE;
        leaf.rights |= value & ENTRY_USER ? 0 : VMK_PAGE_SUPERVISOR;
    }
    return leaf;
}

struct vmk_leaf
vmk_paging_find(const struct vmk_paging *paging, uint64_t va)
{
    uint64_t *table = vmk_paging_table_at(paging, paging->root);
    for (unsigned level = 3; level > 1; level--) {
        uint64_t entry = table[index_at(va, level)];
        table = entry & ENTRY_PRESENT ? vmk_paging_table_at(paging, entry) : NULL;
        if (table == NULL)
            return (struct vmk_leaf){.size = UINT64_C(1) << (12 + 9 * level)};
    }

    uint64_t *entry = &table[index_at(va, 1)];
    if ((*entry & (ENTRY_USED | ENTRY_PRESENT)) == 0)
        return (struct vmk_leaf){.size = VMK_LARGE_PAGE_SIZE};
    if (*entry & ENTRY_LARGE)
        return leaf_from_entry(paging, entry, VMK_LARGE_PAGE_SIZE);
    table = vmk_paging_table_at(paging, *entry);
    if (table == NULL)
        return (struct vmk_leaf){.size = VMK_LARGE_PAGE_SIZE};
    return leaf_from_entry(paging, &table[index_at(va, 0)], VMK_PAGE_SIZE);
}

static void
note_entry(struct vmk_paging *paging, const uint64_t *entry)
{
    vmk_paging_note_write(paging, (uint64_t)((const uint8_t *)entry - paging->memory),
                          sizeof *entry);
}

/* The gpa of a zeroed table, or 0. One that an original does not have is remembered. */
static uint64_t
alloc_table(struct vmk_paging *paging, unsigned level)
{
    bool follows = paging->written != NULL;
    if (follows && !vmk_paging_reserve_table(&paging->extra))
        return 0;
    uint64_t gpa = paging->alloc(paging->user_data);
    if (follows && gpa != 0)
        vmk_paging_add_table(&paging->extra, gpa, level);
    return gpa;
}

static uint64_t
revive_table(struct vmk_paging *paging, uint64_t gpa)
{
    if (!paging->revive(paging->user_data))
        return 0;
    for (size_t i = 0; i < paging->extra.count; i++) {
        if (paging->extra.items[i].gpa == gpa)
            paging->extra.items[i].idle = false;
    }
    return gpa;
}

/* Put a table of `level` under an entry that is empty, or have the one there that stood idle. */
static int
make_table(struct vmk_paging *paging, uint64_t *entry, unsigned level)
{
    uint64_t gpa = *entry & ENTRY_IDLE ? revive_table(paging, *entry & ENTRY_FRAME)
                                       : alloc_table(paging, level);
    if (gpa == 0)
        return -ENOMEM;
    *entry = gpa | TABLE_FLAGS;
    note_entry(paging, entry);
    return 0;
}

/* The directory entry of `va`, one above the last level, with all tables above it made. */
static int
need_directory_entry(struct vmk_paging *paging, uint64_t va, uint64_t **ret_entry)
{
    uint64_t *table = vmk_paging_table_at(paging, paging->root);
    for (unsigned level = 3; level > 1; level--) {
        uint64_t *entry = &table[index_at(va, level)];
        if ((*entry & ENTRY_PRESENT) == 0 && make_table(paging, entry, level - 1) < 0)
            return -ENOMEM;
        table = vmk_paging_table_at(paging, *entry);
        if (table == NULL)
            return -EFAULT;
    }
    *ret_entry = &table[index_at(va, 1)];
    return 0;
}

/* A last-level table under an entry that maps, or mapped, 2 MiB. */
static int
split(struct vmk_paging *paging, uint64_t *entry)
{
    uint64_t gpa = alloc_table(paging, 0);
    if (gpa == 0)
        return -ENOMEM;

    if (*entry & ENTRY_USED) {
        uint64_t *table = vmk_paging_table_at(paging, gpa);
        uint64_t first = *entry & ~(ENTRY_LARGE | ENTRY_WAS_LARGE);
        for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
            table[i] = first + i * VMK_PAGE_SIZE;
    }
    paging->structure_changed = true;
    *entry = gpa | TABLE_FLAGS;
    note_entry(paging, entry);
    return 0;
}

int
vmk_paging_need(struct vmk_paging *paging, uint64_t va, struct vmk_leaf *ret_leaf)
{
    uint64_t *entry;
    int r = need_directory_entry(paging, va, &entry);
    if (r < 0)
        return r;

    if ((*entry & ENTRY_PRESENT) == 0 || (*entry & ENTRY_LARGE)) {
        bool plain = *entry == 0 || *entry & ENTRY_IDLE;
        r = plain ? make_table(paging, entry, 0) : split(paging, entry);
        if (r < 0)
            return r;
    }
    uint64_t *table = vmk_paging_table_at(paging, *entry);
    if (table == NULL)
        return -EFAULT;
    *ret_leaf = leaf_from_entry(paging, &table[index_at(va, 0)], VMK_PAGE_SIZE);
    return 0;
}

int
vmk_paging_need_large(struct vmk_paging *paging, uint64_t va, struct vmk_leaf *ret_leaf)
{
    uint64_t *entry;
    int r = need_directory_entry(paging, va, &entry);
    if (r < 0)
        return r;
    if (*entry & ENTRY_IDLE || ((*entry & ENTRY_PRESENT) && (*entry & ENTRY_LARGE) == 0))
        return -EEXIST;

    if (*entry == ENTRY_WAS_LARGE)
        paging->structure_changed = true;
    *ret_leaf = leaf_from_entry(paging, entry, VMK_LARGE_PAGE_SIZE);
    return 0;
}

void
vmk_paging_set(struct vmk_paging *paging, struct vmk_leaf *leaf, uint64_t gpa, unsigned rights)
{
    bool present = rights & (VMK_PAGE_READ | VMK_PAGE_WRITE | VMK_PAGE_EXECUTE);
    uint64_t value = gpa | ENTRY_USED | ENTRY_ACCESSED | ENTRY_DIRTY;
    value |= leaf->size == VMK_LARGE_PAGE_SIZE ? ENTRY_LARGE : 0;
    if (present) {
        value |= ENTRY_PRESENT;
        value |= rights & VMK_PAGE_WRITE ? ENTRY_WRITABLE : 0;
        value |= rights & VMK_PAGE_EXECUTE ? 0 : ENTRY_NO_EXECUTE;
        value |= rights & VMK_PAGE_SUPERVISOR ? 0 : ENTRY_USER;
    }
    *leaf->entry = value;
    note_entry(paging, leaf->entry);
    leaf->gpa = gpa;
    leaf->used = true;
    leaf->rights = present ? rights | VMK_PAGE_READ : 0;
}

void
vmk_paging_clear(struct vmk_paging *paging, struct vmk_leaf *leaf)
{
    *leaf->entry = leaf->size == VMK_LARGE_PAGE_SIZE ? ENTRY_WAS_LARGE : 0;
    note_entry(paging, leaf->entry);
    leaf->used = false;
    leaf->rights = 0;
}

/* The leaves of one table, as far as they go: how many bytes were entered, or a negative errno. */
static int64_t
map_table(struct vmk_paging *paging, uint64_t va, uint64_t gpa, uint64_t size, unsigned rights)
{
    struct vmk_leaf leaf;
    int r = vmk_paging_need(paging, va, &leaf);
    uint64_t left = TABLE_ENTRIES - index_at(va, 0), count = size / VMK_PAGE_SIZE;
    if (r < 0)
        return r;
    for (uint64_t i = 0; i < count && i < left; i++) {
        if (*leaf.entry != 0)
            return -EEXIST;
        vmk_paging_set(paging, &leaf, gpa + i * VMK_PAGE_SIZE, rights);
        leaf.entry++;
    }
    return (int64_t)((count < left ? count : left) * VMK_PAGE_SIZE);
}

static int64_t
map_large(struct vmk_paging *paging, uint64_t va, uint64_t gpa, unsigned rights)
{
    struct vmk_leaf leaf;
    int r = vmk_paging_need_large(paging, va, &leaf);
    if (r < 0)
        return r;
    if (*leaf.entry != 0)
        return -EEXIST;
    vmk_paging_set(paging, &leaf, gpa, rights);
    return VMK_LARGE_PAGE_SIZE;
}

int
vmk_paging_map(struct vmk_paging *paging, uint64_t va, uint64_t gpa, uint64_t size, unsigned rights,
               bool large)
{
    for (uint64_t done = 0; done < size;) {
        /* A large page is never split for it: a table under an entry that holds one is refused. */
        if (!large && vmk_paging_find(paging, va + done).used)
            return -EEXIST;
        int64_t n = large ? map_large(paging, va + done, gpa + done, rights)
                          : map_table(paging, va + done, gpa + done, size - done, rights);
        if (n < 0)
            return (int)n;
        done += (uint64_t)n;
    }
    return 0;
}
