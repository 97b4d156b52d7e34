/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four-level page tables (Intel SDM volume 3A, 4.5; AMD APM volume 2, 5.3).
 *
 * The accessed and dirty bits are set beforehand, so that neither the processor nor a shadowing KVM
 * has a reason to write to a table. Non-leaf entries grant everything; the leaf decides. A parked
 * page keeps its frame in an entry without the present bit, which the processor ignores; bit 9,
 * which is left to software, tells it from an empty entry. Bit 10 stays in a directory entry that
 * once mapped 2 MiB: what takes its place next is a change of structure.
 */
#include "arch/paging.h"

#include <errno.h>

#define ENTRY_PRESENT (UINT64_C(1) << 0)
#define ENTRY_WRITABLE (UINT64_C(1) << 1)
#define ENTRY_USER (UINT64_C(1) << 2)
#define ENTRY_ACCESSED (UINT64_C(1) << 5)
#define ENTRY_DIRTY (UINT64_C(1) << 6)
#define ENTRY_LARGE (UINT64_C(1) << 7)
#define ENTRY_USED (UINT64_C(1) << 9)
#define ENTRY_WAS_LARGE (UINT64_C(1) << 10)
#define ENTRY_NO_EXECUTE (UINT64_C(1) << 63)
#define ENTRY_FRAME UINT64_C(0x000ffffffffff000)

#define TABLE_FLAGS (ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_USER | ENTRY_ACCESSED)
#define TABLE_ENTRIES 512

/* The table that an entry leads to; NULL for one that leads out of the guest's memory, which only
 * someone else can have written. */
static uint64_t *
table_at(const struct vmk_paging *paging, uint64_t entry)
{
    uint64_t gpa = entry & ENTRY_FRAME;
    if (gpa > paging->size - VMK_PAGE_SIZE)
        return NULL;
    return (uint64_t *)(void *)(paging->memory + gpa);
}

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
    uint64_t *table = table_at(paging, paging->root);
    for (unsigned level = 3; level > 1; level--) {
        uint64_t entry = table[index_at(va, level)];
        table = entry == 0 ? NULL : table_at(paging, entry);
        if (table == NULL)
            return (struct vmk_leaf){.size = UINT64_C(1) << (12 + 9 * level)};
    }

    uint64_t *entry = &table[index_at(va, 1)];
    if ((*entry & (ENTRY_USED | ENTRY_PRESENT)) == 0)
        return (struct vmk_leaf){.size = VMK_LARGE_PAGE_SIZE};
    if (*entry & ENTRY_LARGE)
        return leaf_from_entry(paging, entry, VMK_LARGE_PAGE_SIZE);
    table = table_at(paging, *entry);
    if (table == NULL)
        return (struct vmk_leaf){.size = VMK_LARGE_PAGE_SIZE};
    return leaf_from_entry(paging, &table[index_at(va, 0)], VMK_PAGE_SIZE);
}

/* The directory entry of `va`, one above the last level, with all tables above it made. */
static int
need_directory_entry(struct vmk_paging *paging, uint64_t va, uint64_t **ret_entry)
{
    uint64_t *table = table_at(paging, paging->root);
    for (unsigned level = 3; level > 1; level--) {
        uint64_t *entry = &table[index_at(va, level)];
        if (*entry == 0) {
            uint64_t gpa = paging->alloc(paging->user_data);
            if (gpa == 0)
                return -ENOMEM;
            *entry = gpa | TABLE_FLAGS;
        }
        table = table_at(paging, *entry);
        if (table == NULL)
            return -EFAULT;
    }
    *ret_entry = &table[index_at(va, 1)];
    return 0;
}

static int
make_last_table(struct vmk_paging *paging, uint64_t *entry)
{
    uint64_t gpa = paging->alloc(paging->user_data);
    if (gpa == 0)
        return -ENOMEM;

    if (*entry & ENTRY_USED) {
        uint64_t *table = table_at(paging, gpa);
        uint64_t first = *entry & ~(ENTRY_LARGE | ENTRY_WAS_LARGE);
        for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
            table[i] = first + i * VMK_PAGE_SIZE;
    }
    if (*entry != 0)
        paging->structure_changed = true;
    *entry = gpa | TABLE_FLAGS;
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
        r = make_last_table(paging, entry);
        if (r < 0)
            return r;
    }
    uint64_t *table = table_at(paging, *entry);
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
    if ((*entry & ENTRY_PRESENT) && (*entry & ENTRY_LARGE) == 0)
        return -EEXIST;

    if (*entry == ENTRY_WAS_LARGE)
        paging->structure_changed = true;
    *ret_leaf = leaf_from_entry(paging, entry, VMK_LARGE_PAGE_SIZE);
    return 0;
}

void
vmk_paging_set(struct vmk_leaf *leaf, uint64_t gpa, unsigned rights)
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
    leaf->gpa = gpa;
    leaf->used = true;
    leaf->rights = present ? rights | VMK_PAGE_READ : 0;
}

void
vmk_paging_clear(struct vmk_leaf *leaf)
{
    *leaf->entry = leaf->size == VMK_LARGE_PAGE_SIZE ? ENTRY_WAS_LARGE : 0;
    leaf->used = false;
    leaf->rights = 0;
}
