/* SPDX-License-Identifier: Apache-2.0 */
#include "other_processor.h"

#include <string.h>

void
other_processor_change_vendor(struct vmk_x86_vcpu_state *parts)
{
    memcpy(parts->vendor, "AnotherMaker", sizeof parts->vendor);
}

void
other_processor_add_feature(struct vmk_x86_vcpu_state *parts, uint32_t leaf, uint32_t reg,
                            uint32_t bit)
{
    uint32_t i = 0;
    while (i < parts->word_count && (parts->words[i].leaf != leaf || parts->words[i].subleaf != 0 ||
                                     parts->words[i].reg != reg))
        i++;
    if (i == parts->word_count)
        parts->words[parts->word_count++] = (struct vmk_x86_feature_word){.leaf = leaf, .reg = reg};
    parts->words[i].bits |= UINT32_C(1) << bit;
}

void
other_processor_add_instructions(struct vmk_x86_vcpu_state *parts)
{
    other_processor_add_feature(parts, 7, 1, 27);
}
