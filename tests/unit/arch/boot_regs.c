/* SPDX-License-Identifier: Apache-2.0 */
/* The registers that a kernel is entered with, by each protocol. */
#include "boot_regs.h"

#include "harness.h"
#include "layout.h"

#include <string.h>

/* As a vCPU has them when it is made, which differs from what either protocol wants. */
static struct vmkit_x86_sregs
make_sregs(void)
{
    struct vmkit_x86_sregs sregs;
    memset(&sregs, 0xff, sizeof sregs);
    sregs.apic_base = 0xfee00900;
    return sregs;
}

static void
check_flat(const struct vmkit_x86_segment *segment, unsigned selector)
{
    ck_assert_uint_eq(segment->base, 0);
    ck_assert_uint_eq(segment->limit, UINT32_MAX);
    ck_assert_uint_eq(segment->selector, selector);
    ck_assert_uint_eq(segment->present, 1);
    ck_assert_uint_eq(segment->dpl, 0);
    ck_assert_uint_eq(segment->s, 1);
    ck_assert_uint_eq(segment->g, 1);
    ck_assert_uint_eq(segment->unusable, 0);
}

START_TEST(the_64_bit_protocol_begins_in_long_mode)
{
    struct vmkit_x86_sregs sregs = make_sregs();
    struct vmk_user_regs regs;
    struct vmk_x86_boot_entry entry = {VMK_X86_BOOT_64, 0x1000200, VMK_X86_BOOT_PARAMS};
    memset(&regs, 0xff, sizeof regs);
    vmk_x86_boot_set_registers(&entry, &sregs, &regs);
    ck_assert_uint_eq(regs.rip, 0x1000200);
    ck_assert_uint_eq(regs.rsi, VMK_X86_BOOT_PARAMS);
    ck_assert_uint_eq(regs.rsp, VMK_X86_BOOT_STACK_TOP);
    ck_assert_uint_eq(regs.rflags, 2);
    ck_assert_uint_eq(regs.rax | regs.rbx | regs.rbp | regs.rdi | regs.r15, 0);
    check_flat(&sregs.cs, 0x10);
    ck_assert_uint_eq(sregs.cs.l, 1);
    ck_assert_uint_eq(sregs.cs.db, 0);
    ck_assert_uint_eq(sregs.cs.type, 0xb);
    const struct vmkit_x86_segment *data[] = {&sregs.ds, &sregs.es, &sregs.fs, &sregs.gs,
                                              &sregs.ss};
    for (unsigned i = 0; i < 5; i++) {
        check_flat(data[i], 0x18);
        ck_assert_uint_eq(data[i]->type, 3);
    }
    ck_assert_uint_eq(sregs.gdt.base, VMK_X86_GDT);
    ck_assert_uint_eq(sregs.gdt.limit, 31);
    ck_assert_uint_eq(sregs.cr3, VMK_X86_PAGE_TABLES);
    ck_assert_uint_eq(sregs.cr0 & 0x80000001, 0x80000001);
    ck_assert_uint_eq(sregs.cr4 & 0x20, 0x20);
    ck_assert_uint_eq(sregs.efer & 0x500, 0x500);
    ck_assert_uint_eq(sregs.apic_base, 0xfee00900);
}
END_TEST

START_TEST(pvh_begins_in_protected_mode)
{
    struct vmkit_x86_sregs sregs = make_sregs();
    struct vmk_user_regs regs;
    struct vmk_x86_boot_entry entry = {VMK_X86_BOOT_PVH, 0x1000080, VMK_X86_START_INFO};
    memset(&regs, 0xff, sizeof regs);
    vmk_x86_boot_set_registers(&entry, &sregs, &regs);
    ck_assert_uint_eq(regs.rip, 0x1000080);
    ck_assert_uint_eq(regs.rbx, VMK_X86_START_INFO);
    ck_assert_uint_eq(regs.rflags, 2);
    ck_assert_uint_eq(regs.rax | regs.rsi | regs.rbp | regs.rdi | regs.r15, 0);
    ck_assert_uint_eq(sregs.cs.base, 0);
    ck_assert_uint_eq(sregs.cs.limit, UINT32_MAX);
    ck_assert_uint_eq(sregs.cs.type, 0xb);
    ck_assert_uint_eq(sregs.cs.l, 0);
    ck_assert_uint_eq(sregs.cs.db, 1);
    check_flat(&sregs.ds, 0x10);
    check_flat(&sregs.es, 0x10);
    check_flat(&sregs.ss, 0x10);
    ck_assert_uint_eq(sregs.tr.base, 0);
    ck_assert_uint_eq(sregs.tr.limit, 0x67);
    ck_assert_uint_eq(sregs.tr.type, 0xb);
    /* Nothing but PE, and ET, which cannot be cleared. */
    ck_assert_uint_eq(sregs.cr0, 0x11);
    ck_assert_uint_eq(sregs.cr4, 0);
    ck_assert_uint_eq(sregs.efer, 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("arch_boot_regs");
    TCase *tests = tcase_create("boot_regs");
    tcase_add_test(tests, the_64_bit_protocol_begins_in_long_mode);
    tcase_add_test(tests, pvh_begins_in_protected_mode);
    suite_add_tcase(suite, tests);
    return suite;
}
