/* SPDX-License-Identifier: Apache-2.0 */
#include "modes.h"

#include <string.h>

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)

#define TYPE_DATA 0x3     /* read, write, accessed */
#define TYPE_CODE 0xb     /* execute, read, accessed */
#define TYPE_BUSY_TSS 0xb /* what TR must hold, used or not */

#define PTE_PRESENT 0x1
#define PTE_WRITE 0x2
#define PTE_USER 0x4
#define PTE_ACCESSED 0x20
#define PTE_DIRTY 0x40
#define PTE_LARGE 0x80

#define PAGE UINT64_C(4096)
#define LARGE_PAGE (UINT64_C(2) << 20)
#define GIB (UINT64_C(1) << 30)

static struct vmkit_x86_segment
real_segment(uint8_t type)
{
    return (struct vmkit_x86_segment){.limit = 0xffff, .type = type, .present = 1, .s = 1};
}

static struct vmkit_x86_segment
flat_segment(uint16_t selector, uint8_t type)
{
    return (struct vmkit_x86_segment){
        .limit = UINT32_MAX,
        .selector = selector,
        .type = type,
        .present = 1,
        .dpl = selector & 3,
        .db = 1,
        .s = 1,
        .g = 1,
    };
}

static void
set_data_segments(struct vmkit_x86_sregs *sregs, const struct vmkit_x86_segment *data)
{
    sregs->ds = *data;
    sregs->es = *data;
    sregs->fs = *data;
    sregs->gs = *data;
    sregs->ss = *data;
}

static void
set_system_segments(struct vmkit_x86_sregs *sregs)
{
    sregs->tr = (struct vmkit_x86_segment){.limit = 0xffff, .type = TYPE_BUSY_TSS, .present = 1};
    sregs->ldt = (struct vmkit_x86_segment){.unusable = 1};
    sregs->gdt = (struct vmkit_x86_table){0};
    sregs->idt = (struct vmkit_x86_table){0};
}

void
vmk_x86_set_real_mode(struct vmkit_x86_sregs *sregs)
{
    struct vmkit_x86_segment data = real_segment(TYPE_DATA);
    set_data_segments(sregs, &data);
    set_system_segments(sregs);
    sregs->cs = real_segment(TYPE_CODE);
    /* The vector table of real mode: 256 entries of four bytes at 0. */
    sregs->idt.limit = 0x3ff;
    sregs->cr0 = CR0_ET;
    sregs->cr3 = 0;
    sregs->cr4 = 0;
    sregs->efer = 0;
}

void
vmk_x86_set_protected_mode(struct vmkit_x86_sregs *sregs)
{
    struct vmkit_x86_segment data = flat_segment(0x10, TYPE_DATA);
    set_data_segments(sregs, &data);
    set_system_segments(sregs);
    sregs->cs = flat_segment(0x08, TYPE_CODE);
    sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
    sregs->cr3 = 0;
    sregs->cr4 = 0;
    sregs->efer = 0;
}

void
vmk_x86_set_long_mode(struct vmkit_x86_sregs *sregs, uint64_t page_tables, bool user)
{
    struct vmkit_x86_segment data = flat_segment(user ? 0x2b : 0x10, TYPE_DATA);
    set_data_segments(sregs, &data);
    set_system_segments(sregs);
    sregs->cs = flat_segment(user ? 0x33 : 0x08, TYPE_CODE);
    sregs->cs.db = 0;
    sregs->cs.l = 1;
    sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    sregs->cr3 = page_tables;
    sregs->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    sregs->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
}

static uint64_t
directory_count(uint64_t limit)
{
    return (limit + GIB - 1) / GIB;
}

uint64_t
vmk_x86_identity_map_size(uint64_t limit)
{
    return (2 + directory_count(limit)) * PAGE;
}

void
vmk_x86_identity_map_page(uint64_t table_gpa, uint64_t limit, bool user, uint64_t page,
                          uint64_t entries[512])
{
    uint64_t flags = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | (user ? PTE_USER : 0);
    memset(entries, 0, 512 * sizeof entries[0]);
    if (page == 0) {
        entries[0] = (table_gpa + PAGE) | flags;
        return;
    }
    if (page == 1) {
        for (uint64_t i = 0; i < directory_count(limit); i++)
            entries[i] = (table_gpa + (2 + i) * PAGE) | flags;
        return;
    }
    uint64_t start = (page - 2) * GIB;
    for (uint64_t i = 0; i < 512 && start + i * LARGE_PAGE < limit; i++)
        entries[i] = (start + i * LARGE_PAGE) | flags | PTE_DIRTY | PTE_LARGE;
}
