/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modes that a guest can start in, as register values alone, without descriptor tables in
 * memory (Intel SDM 3A 2.2, 3.4.3, 4.5; AMD APM 2 14.6).
 */
#ifndef VMK_ARCH_X86_64_MODES_H
#define VMK_ARCH_X86_64_MODES_H

#include <vmkit/x86_64.h>

#include <stdbool.h>
#include <stdint.h>

/* Each changes the special registers of a vCPU that has just been made. */
void
vmk_x86_set_real_mode(struct vmkit_x86_sregs *sregs);

void
vmk_x86_set_protected_mode(struct vmkit_x86_sregs *sregs);

void
vmk_x86_set_long_mode(struct vmkit_x86_sregs *sregs, uint64_t page_tables, bool user);

/* How many bytes of page tables map [0, limit), and one page of them, by its number. */
uint64_t
vmk_x86_identity_map_size(uint64_t limit);

void
vmk_x86_identity_map_page(uint64_t table_gpa, uint64_t limit, bool user, uint64_t page,
                          uint64_t entries[512]);

#endif
