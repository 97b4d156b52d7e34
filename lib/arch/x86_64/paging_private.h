/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of page tables; for paging*.c alone. */
#ifndef VMK_ARCH_X86_64_PAGING_PRIVATE_H
#define VMK_ARCH_X86_64_PAGING_PRIVATE_H

#include "arch/paging.h"

#define ENTRY_PRESENT (UINT64_C(1) << 0)
#define ENTRY_WRITABLE (UINT64_C(1) << 1)
#define ENTRY_USER (UINT64_C(1) << 2)
#define ENTRY_ACCESSED (UINT64_C(1) << 5)
#define ENTRY_DIRTY (UINT64_C(1) << 6)
#define ENTRY_LARGE (UINT64_C(1) << 7)
#define ENTRY_USED (UINT64_C(1) << 9)
#define ENTRY_WAS_LARGE (UINT64_C(1) << 10)
#define ENTRY_IDLE (UINT64_C(1) << 11)
#define ENTRY_NO_EXECUTE (UINT64_C(1) << 63)
#define ENTRY_FRAME UINT64_C(0x000ffffffffff000)

#define TABLE_FLAGS (ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_USER | ENTRY_ACCESSED)
#define TABLE_ENTRIES 512

/* The table that an entry leads to; NULL for one that leads out of the guest's memory, which only
 * someone else can have written. */
static inline uint64_t *
vmk_paging_table_at(const struct vmk_paging *paging, uint64_t entry)
{
    uint64_t gpa = entry & ENTRY_FRAME;
    if (gpa > paging->size - VMK_PAGE_SIZE)
        return NULL;
    return (uint64_t *)(void *)(paging->memory + gpa);
}

/* Make room for one more. False without memory. */
bool
vmk_paging_reserve_table(struct vmk_paging_tables *tables);

/* Add one where there is room. */
static inline void
vmk_paging_add_table(struct vmk_paging_tables *tables, uint64_t gpa, unsigned level)
{
    tables->items[tables->count++] = (struct vmk_paging_table){.gpa = gpa, .level = level};
}

#endif
