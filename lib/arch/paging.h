/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables of a user-mode guest, which the host writes and the guest never sees.
 *
 * Non-leaf entries are made when they are first needed and then stay as they are, and a frame that
 * became a table stays one: a KVM that shadows page tables does not notice that the host changes an
 * entry, and would go on with what it has read. A leaf may change at any time, provided that the
 * caller then drops what KVM has cached of the frames below it (vmk_space does, by a change of the
 * host's own protection, which KVM follows through its MMU notifier).
 *
 * For that reason the tables of a copy of a guest (vmk_paging_follow) are brought back to those of
 * the original without taking a table away: one that came since is left empty and idle, its entry
 * not present, and stands at the same place when it is needed again.
 *
 * A leaf is in one of three states: empty; resident (it holds a frame that the guest may reach with
 * some rights); parked (it holds a frame that the guest may not reach at present: PROT_NONE).
 */
#ifndef VMK_ARCH_PAGING_H
#define VMK_ARCH_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMK_PAGE_SIZE 4096u
#define VMK_LARGE_PAGE_SIZE 0x200000u

/* Rights of a leaf. A leaf with none of them is parked. */
enum vmk_page_rights {
    VMK_PAGE_READ = 1,
    VMK_PAGE_WRITE = 2,
    VMK_PAGE_EXECUTE = 4,
    VMK_PAGE_SUPERVISOR = 8, /* Not for user mode. */
};

/* Where tables come from: the gpa of a zeroed frame of 4 KiB, or 0 when there is none left. */
typedef uint64_t
vmk_paging_alloc_fn(void *user_data);

/* Whether a table that stood idle may be used again: it counts as memory from then on. */
typedef bool
vmk_paging_revive_fn(void *user_data);

struct vmk_paging_table {
    uint64_t gpa;
    unsigned level; /* 0: its entries are leaves of 4 KiB. */
    bool idle;      /* No entry leads to it; it is empty. */
};

struct vmk_paging_tables {
    struct vmk_paging_table *items;
    size_t count;
    size_t capacity;
};

struct vmk_paging {
    uint8_t *memory; /* Guest memory from gpa 0 on, as the host sees it, */
    uint64_t size;   /* and its bytes: no entry leads beyond, whoever may have written it. */
    uint64_t root;   /* gpa of the top table. */
    vmk_paging_alloc_fn *alloc;
    void *user_data;
    /* Of a guest that follows an original, else zeros: which frames of it the host has changed, a
     * bit each; the tables that it has beyond the original's, idle ones included. */
    uint64_t *written;
    uint64_t written_frames;
    struct vmk_paging_tables extra;
    vmk_paging_revive_fn *revive;
    /* Set when an entry that was used for 2 MiB came to mean something else. A KVM that shadows
     * page tables may still hold the structure of before: the caller makes it drop all (by deleting
     * and adding a memory slot) before the guest runs again, and clears this. */
    bool structure_changed;
};

struct vmk_leaf {
    uint64_t *entry; /* The entry itself, for vmk_paging_set_*. NULL without a table there. */
    uint64_t gpa;    /* Of the page's first byte. */
    uint64_t size;   /* Of the page: 4 KiB or 2 MiB. */
    unsigned rights;
    bool used; /* Resident or parked. */
};

/* Make the top table. 0 or -ENOMEM. */
int
vmk_paging_init(struct vmk_paging *paging, uint8_t *memory, uint64_t size,
                vmk_paging_alloc_fn *alloc, void *user_data);

/* Look up the leaf of `va`. Without a table on the way, `entry` is NULL and `size` is the size of
 * the hole's unit (4 KiB, or 2 MiB where no last-level table is), so that a caller can step over
 * it. */
struct vmk_leaf
vmk_paging_find(const struct vmk_paging *paging, uint64_t va);

/* Find the 4 KiB leaf of `va`, making tables on the way; a 2 MiB page there is split into 512 with
 * the same rights, whose cached translation the caller drops. 0 or -ENOMEM. */
int
vmk_paging_need(struct vmk_paging *paging, uint64_t va, struct vmk_leaf *ret_leaf);

/* Find the 2 MiB leaf of `va`, making tables above it. 0, -ENOMEM, or -EEXIST when a last-level
 * table stands there. */
int
vmk_paging_need_large(struct vmk_paging *paging, uint64_t va, struct vmk_leaf *ret_leaf);

/* Set a leaf that one of the finders returned. */
void
vmk_paging_set(struct vmk_paging *paging, struct vmk_leaf *leaf, uint64_t gpa, unsigned rights);

void
vmk_paging_clear(struct vmk_paging *paging, struct vmk_leaf *leaf);

/* Enter [gpa, gpa + size) at `va`, all of it in whole pages: of 2 MiB when they are `large`, and
 * then both lie on such boundaries. 0; -ENOMEM without a table; -EEXIST where something is already.
 * What was entered before that stays. */
int
vmk_paging_map(struct vmk_paging *paging, uint64_t va, uint64_t gpa, uint64_t size, unsigned rights,
               bool large);

/* Free what it holds besides guest memory. */
void
vmk_paging_free(struct vmk_paging *paging);

/* The host changes the bytes of [gpa, gpa + size), the ones of tables included: to be noted where
 * someone asks for it. Nothing else does that for the caller. */
static inline void
vmk_paging_note_write(const struct vmk_paging *paging, uint64_t gpa, uint64_t size)
{
    uint64_t frame = gpa / VMK_PAGE_SIZE, end = (gpa + size + VMK_PAGE_SIZE - 1) / VMK_PAGE_SIZE;
    for (; frame < end && frame < paging->written_frames; frame++)
        paging->written[frame / 64] |= UINT64_C(1) << (frame % 64);
}

/* Originals and what follows them.
 *
 * All tables in use, from the top down. -ENOMEM; -EINVAL when they lead back to themselves. */
int
vmk_paging_list_tables(const struct vmk_paging *paging, struct vmk_paging_tables *ret_tables);

void
vmk_paging_tables_clear(struct vmk_paging_tables *tables);

/* Tables that are at `memory` become an original's, which KVM has not seen yet: what is kept for
 * its sake goes. */
void
vmk_paging_settle(uint8_t *memory, const struct vmk_paging_tables *tables);

/* [gpa, gpa + size) was shown to the guest and is no longer, or with fewer rights. */
typedef void
vmk_paging_hidden_fn(void *user_data, uint64_t gpa, uint64_t size);

/* Bring all tables back to those of the original, whose memory is `original` and whose tables are
 * `tables`. Frames that are not the original's are forgotten, and `hidden` is told of all that KVM
 * must not show any longer. The bits in `written` of tables are cleared. True when the extra tables
 * stay, and their frames with them; false when there are none any more: `structure_changed` is set
 * then. */
bool
vmk_paging_restore(struct vmk_paging *paging, const uint8_t *original,
                   const struct vmk_paging_tables *tables, vmk_paging_hidden_fn *hidden,
                   void *user_data);

#endif
