/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_regs.h"

#include "layout.h"
#include "modes.h"

#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define RFLAGS_FIXED 2
#define CR0_PE 1
#define CR0_ET 0x10
#define TSS_LIMIT 0x67

void
vmk_x86_boot_get_gdt(uint64_t entries[VMK_X86_BOOT_GDT_ENTRIES])
{
    entries[0] = 0;
    entries[1] = 0;
    entries[BOOT_CS / 8] = UINT64_C(0x00af9b000000ffff); /* 64-bit code, accessed */
    entries[BOOT_DS / 8] = UINT64_C(0x00cf93000000ffff); /* data of 4 GiB, accessed */
}

static void
set_64(struct vmkit_x86_sregs *sregs)
{
    vmk_x86_set_long_mode(sregs, VMK_X86_PAGE_TABLES, false);
    struct vmkit_x86_segment *data[] = {&sregs->ds, &sregs->es, &sregs->fs, &sregs->gs, &sregs->ss};
    for (unsigned i = 0; i < sizeof data / sizeof *data; i++)
        data[i]->selector = BOOT_DS;
    sregs->cs.selector = BOOT_CS;
    sregs->gdt = (struct vmkit_x86_table){
        .base = VMK_X86_GDT,
        .limit = VMK_X86_BOOT_GDT_ENTRIES * sizeof(uint64_t) - 1,
    };
}

/* PVH names the bits of CR0 that may be set, and the limit of the TSS. */
static void
set_pvh(struct vmkit_x86_sregs *sregs)
{
    vmk_x86_set_protected_mode(sregs);
    sregs->cr0 = CR0_PE | CR0_ET;
    sregs->tr.limit = TSS_LIMIT;
}

void
vmk_x86_boot_set_registers(const struct vmk_x86_boot_entry *entry, struct vmkit_x86_sregs *sregs,
                           struct vmk_user_regs *regs)
{
    *regs = (struct vmk_user_regs){.rip = entry->address, .rflags = RFLAGS_FIXED};
    if (entry->mode == VMK_X86_BOOT_PVH) {
        set_pvh(sregs);
        regs->rbx = entry->info;
        return;
    }
    set_64(sregs);
    regs->rsi = entry->info;
    regs->rsp = VMK_X86_BOOT_STACK_TOP;
}
