/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a copy of an image back to it: which of its pages are copied, compared and given back.
 *
 * Who runs the copy says which pages may have been written to: by a log that is read and not
 * cleared, so that it tells which pages are worked with, and by what the host noted itself. A page
 * that was written to is copied back, and stays writable: when the next run writes to it again it
 * costs no further fault, which makes copying cheaper than any way that takes the page away. When
 * it does not, the copying is in vain; so a sample of them is compared each time, and when half of
 * it is unchanged, the others are too, and what is unchanged twice in a row is given back to the
 * image. Of many pages at a time none is kept on trust: one is only kept when it is written to
 * again after it was given back, and they are given back as soon as they are unchanged, so that no
 * run pays for what another one wrote.
 */
#ifndef VMK_MEM_ROLLBACK_H
#define VMK_MEM_ROLLBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bit a page each, in `words` words of 64. All zero before vmk_rollback_make(). */
struct vmk_rollback {
    uint64_t *log;  /* May have been written to by the guest; the caller fills it in. */
    uint64_t *kept; /* It was copied back, and may be in the log for that; */
    uint64_t *cold; /* it was found unchanged; */
    uint64_t *met;  /* it was given back when it was changed. */
    size_t words;
    uint64_t rounds;
};

/* The pages themselves. */
struct vmk_rollback_pages {
    /* Make `count` pages what the image has there, by copying; by giving them back to it. */
    void (*copy)(void *user_data, uint64_t page, uint64_t count);
    void (*discard)(void *user_data, uint64_t page, uint64_t count);
    bool (*is_equal)(void *user_data, uint64_t page);
    /* Those of a word's pages that are to be brought back; NULL: all that were written to. */
    uint64_t (*select)(void *user_data, uint64_t word);
    void *user_data;
};

/* 0 or -ENOMEM; nothing is done for one that is made already. */
int
vmk_rollback_make(struct vmk_rollback *rollback, size_t words);

void
vmk_rollback_clear(struct vmk_rollback *rollback);

/* Bring back what is in rollback->log or in `written`, which has as many words and is zero then.
 * True when pages were given back: they are what is left in rollback->log, and are to be taken out
 * of the log that it was filled from. One that stays there is copied back for nothing, no more. */
bool
vmk_rollback_run(struct vmk_rollback *rollback, uint64_t *written,
                 const struct vmk_rollback_pages *pages);

#endif
