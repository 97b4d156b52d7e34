/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers that a kernel is entered with: by Linux's 64-bit protocol (Documentation/arch/x86/
 * boot.rst, "64-bit Boot Protocol") or by PVH's (Xen, docs/misc/pvh.pandoc).
 */
#ifndef VMK_ARCH_X86_64_BOOT_REGS_H
#define VMK_ARCH_X86_64_BOOT_REGS_H

#include "kvm/x86_64_regs.h"

#include <vmkit/x86_64.h>

#include <stdint.h>

enum vmk_x86_boot_mode {
    /* Long mode with the page tables and the descriptor table of layout.h; RSI has `info`. */
    VMK_X86_BOOT_64,
    /* Protected mode without paging; EBX has `info`. */
    VMK_X86_BOOT_PVH,
};

struct vmk_x86_boot_entry {
    enum vmk_x86_boot_mode mode;
    uint64_t address;
    uint64_t info; /* of boot_params, or of the start info */
};

/* Change the special registers of a vCPU that has just been made, and set all general ones. */
void
vmk_x86_boot_set_registers(const struct vmk_x86_boot_entry *entry, struct vmkit_x86_sregs *sregs,
                           struct vmk_user_regs *regs);

#define VMK_X86_BOOT_GDT_ENTRIES 4

/* The descriptors that VMK_X86_BOOT_64 has at VMK_X86_GDT: code at 0x10, data at 0x18. */
void
vmk_x86_boot_get_gdt(uint64_t entries[VMK_X86_BOOT_GDT_ENTRIES]);

#endif
