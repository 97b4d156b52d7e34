/* SPDX-License-Identifier: Apache-2.0 */
/* What pseudo.c and pseudo_state.c share. */
#ifndef VMK_SANDBOX_PSEUDO_INTERNAL_H
#define VMK_SANDBOX_PSEUDO_INTERNAL_H

#include "sandbox/account.h"
#include "sandbox/file.h"
#include "sandbox/pseudo.h"
#include "util/text.h"

struct pseudo {
    const struct vmk_pseudo_table *table;
    struct vmk_files *files;
};

struct pseudo_node {
    struct vmk_node node;
    const struct vmk_pseudo_entry *entry;
    uint32_t number; /* of a numbered link */
};

/* A file whose text was made when it was opened. The guest decides how long some are, and how many
 * it opens: they count as its memory. */
struct text_file {
    struct vmk_file file;
    struct vmk_text text;
    struct vmk_memory_account *account;
    uint64_t charged;
};

/* As vmk_node_new(). */
struct pseudo_node *
vmk_pseudo_node_new(const struct pseudo *fs, struct vmk_node *folder, const char *name,
                    const struct vmk_pseudo_entry *entry, uint32_t number);

/* A file of a text, which it takes over, freed on failure too. 0 or -ENOMEM. */
int
vmk_pseudo_text_new(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
                    struct vmk_text *text, struct vmk_file **ret_file);

#endif
