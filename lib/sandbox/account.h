/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one counter of what a guest makes the host keep: its pages, its page tables and its files in
 * memory. A charge that does not fit is refused before anything is allocated.
 */
#ifndef VMK_SANDBOX_ACCOUNT_H
#define VMK_SANDBOX_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

struct vmk_memory_account {
    uint64_t limit;
    uint64_t used;
    uint64_t peak; /* the most that `used` ever was */
    bool refused;  /* a charge did not fit */
};

void
vmk_memory_account_init(struct vmk_memory_account *account, uint64_t limit);

/* Take `bytes` from the limit. False, and nothing taken, when they do not fit. */
bool
vmk_memory_account_try_charge(struct vmk_memory_account *account, uint64_t bytes);

/* Give back what was charged. */
void
vmk_memory_account_uncharge(struct vmk_memory_account *account, uint64_t bytes);

#endif
