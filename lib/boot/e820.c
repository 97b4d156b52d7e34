/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/e820.h"

#include "layout.h"

unsigned
vmk_e820_build(uint64_t low_size, uint64_t high_size, struct vmk_e820_entry entries[VMK_E820_MAX])
{
    const struct vmk_e820_entry all[] = {
        {0, VMK_X86_LOW_END, VMK_E820_RAM},
        {VMK_X86_LOW_END, VMK_X86_HIGH_START - VMK_X86_LOW_END, VMK_E820_RESERVED},
        {VMK_X86_HIGH_START, low_size - VMK_X86_HIGH_START, VMK_E820_RAM},
        {VMK_X86_KVM_PAGES, VMK_X86_KVM_PAGES_SIZE, VMK_E820_RESERVED},
        {VMK_X86_HIGH_RAM, high_size, VMK_E820_RAM},
    };
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].size != 0)
            entries[count++] = all[i];
    }
    return count;
}
