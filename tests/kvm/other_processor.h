/* SPDX-License-Identifier: Apache-2.0 */
/* States of vCPUs that say of the processor what this host is not. */
#ifndef VMK_TEST_OTHER_PROCESSOR_H
#define VMK_TEST_OTHER_PROCESSOR_H

#include "arch/x86_64/vcpu_state_private.h"

void
other_processor_change_vendor(struct vmk_x86_vcpu_state *parts);

/* A bit of a CPUID leaf's register: 0 to 3 for eax to edx. */
void
other_processor_add_feature(struct vmk_x86_vcpu_state *parts, uint32_t leaf, uint32_t reg,
                            uint32_t bit);

/* Only the Xeon Phi ever had these instructions, and KVM offers them to nobody else. */
void
other_processor_add_instructions(struct vmk_x86_vcpu_state *parts);

#endif
