/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a page that the processor may have read as a page table from one that it cannot have
 * (Intel SDM 3A, 4.3 to 4.5): an entry of which anyone keeps a translation has the bits present and
 * accessed set, and none above the addresses that the processor has.
 */
#include "arch/vcpu_state.h"

#include <string.h>

#define PRESENT_AND_ACCESSED 0x21
#define ADDRESS_END 52

static bool
has_narrow(const uint32_t *now, const uint32_t *then, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (now[i] != then[i] && (now[i] & PRESENT_AND_ACCESSED) == PRESENT_AND_ACCESSED)
            return true;
    }
    return false;
}

bool
vmk_arch_tables_differ(const struct vmk_arch_tables *tables, const void *now, const void *then,
                       size_t size)
{
    if (tables->narrow)
        return has_narrow(now, then, size / sizeof(uint32_t));
    const uint64_t *here = now, *there = then;
    uint64_t above = tables->address_bits >= ADDRESS_END
                         ? 0
                         : (UINT64_C(1) << ADDRESS_END) - (UINT64_C(1) << tables->address_bits);
    uint64_t mask = above | PRESENT_AND_ACCESSED, found = 0;
    for (size_t i = 0; i < size / sizeof *here; i++)
        found |= (uint64_t)((here[i] & mask) == PRESENT_AND_ACCESSED) & (here[i] != there[i]);
    return found != 0;
}
