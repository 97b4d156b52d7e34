/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of a file in memory: pages of 4 KiB by number, with holes, in a tree of tables of
 * 512 like a processor's page tables. Pages and tables are charged to the account. A page may be
 * shared with somebody who holds it, and is then copied before it is written to.
 */
#ifndef VMK_SANDBOX_PAGES_H
#define VMK_SANDBOX_PAGES_H

#include "sandbox/account.h"

#include <stdbool.h>
#include <stdint.h>

#define VMK_PAGES_SIZE 4096u

/* The largest file: what a tree of four levels holds. */
#define VMK_PAGES_BYTES_MAX ((uint64_t)VMK_PAGES_SIZE << 36)

struct vmk_pages {
    struct vmk_memory_account *account;
    void *root; /* a page when `height` is 0 */
    unsigned height;
    uint64_t count; /* of pages, without tables */
};

/* The page of a number below VMK_PAGES_BYTES_MAX / VMK_PAGES_SIZE, to be read; NULL for a hole. */
const uint8_t *
vmk_pages_get(const struct vmk_pages *pages, uint64_t number);

/* The same to be written to, made of zeros where there is a hole; NULL at the memory limit. */
uint8_t *
vmk_pages_make(struct vmk_pages *pages, uint64_t number);

/* Put a page where there is a hole: `data` at an even address, which stays as it is for as long as
 * the pages do. False at the memory limit. */
bool
vmk_pages_share(struct vmk_pages *pages, uint64_t number, const uint8_t *data);

/* The number of the first page from `number` on; UINT64_MAX when only a hole follows. */
uint64_t
vmk_pages_next(const struct vmk_pages *pages, uint64_t number);

/* Make holes of the pages [first, last]. */
void
vmk_pages_drop(struct vmk_pages *pages, uint64_t first, uint64_t last);

/* The same for no more than `most` of them. Whether there may be further ones. */
bool
vmk_pages_drop_some(struct vmk_pages *pages, uint64_t first, uint64_t last, uint64_t most);

#endif
