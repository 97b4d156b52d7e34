/* SPDX-License-Identifier: Apache-2.0 */
/* KVM on arm64 has no tables of its own to keep with an open system. */
#include "kvm/private.h"

int
vmk_kvm_arch_facts(const struct vmk_kvm_system *system, struct vmk_kvm_facts *facts,
                   vmkit_error **ret_error)
{
    facts->arch = NULL;
    return 0;
}

void
vmk_kvm_arch_facts_free(struct vmk_kvm_facts *facts)
{
}

uint32_t
vmk_kvm_arch_save_thread(void)
{
    return 0;
}

void
vmk_kvm_arch_restore_thread(uint32_t saved)
{
}
