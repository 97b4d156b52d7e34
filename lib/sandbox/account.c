/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/account.h"

#include <assert.h>

void
vmk_memory_account_init(struct vmk_memory_account *account, uint64_t limit)
{
    *account = (struct vmk_memory_account){.limit = limit};
}

bool
vmk_memory_account_try_charge(struct vmk_memory_account *account, uint64_t bytes)
{
    if (bytes > account->limit - account->used) {
        account->refused = true;
        return false;
    }
    account->used += bytes;
    if (account->used > account->peak)
        account->peak = account->used;
    return true;
}

void
vmk_memory_account_uncharge(struct vmk_memory_account *account, uint64_t bytes)
{
    assert(bytes <= account->used);
    account->used -= bytes;
}
