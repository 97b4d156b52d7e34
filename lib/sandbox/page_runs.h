/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's page tables show, without the tables: which guest memory lies at which address of
 * the program, with which rights. A snapshot file has this list and no tables, so that a file of a
 * stranger's cannot have tables that lead somewhere else: they are made anew from the list, which
 * is checked (doc/snapshots.md).
 */
#ifndef VMK_SANDBOX_PAGE_RUNS_H
#define VMK_SANDBOX_PAGE_RUNS_H

#include "arch/paging.h"
#include "util/bytes.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_page_run {
    uint64_t va;
    uint64_t gpa;
    uint64_t size;
    unsigned rights; /* enum vmk_page_rights; none for pages that the program may not touch */
    bool large;      /* pages of 2 MiB */
};

/* From the lowest address to the highest. All zero: empty. */
struct vmk_page_runs {
    struct vmk_page_run *items;
    size_t count;
    size_t capacity;
    uint64_t total; /* bytes of all */
    uint64_t end;   /* of the guest memory that they lie in */
};

void
vmk_page_runs_clear(struct vmk_page_runs *runs);

/* List what the tables show of user addresses. 0 or -ENOMEM. */
int
vmk_page_runs_list(const struct vmk_paging *paging, struct vmk_page_runs *ret_runs);

/* Where the guest memory ends that they show. */
uint64_t
vmk_page_runs_find_end(const struct vmk_paging *paging);

void
vmk_page_runs_encode(const struct vmk_page_runs *runs, struct vmk_bytes *bytes);

/* What the longest list of `limit` bytes of memory takes. */
uint64_t
vmk_page_runs_get_room(uint64_t limit);

/* Read a list that may be a stranger's: whole pages of user addresses, one above the other, over
 * guest memory below `memory_size`, of `limit` bytes at the most in all. Whether two of them lie
 * over the same guest memory is not looked at. -EINVAL for bytes that are no such list; -ENOMEM. */
int
vmk_page_runs_decode(const void *bytes, size_t size, uint64_t memory_size, uint64_t limit,
                     struct vmk_page_runs *ret_runs, vmkit_error **ret_error);

#endif
