/* SPDX-License-Identifier: Apache-2.0 */
/* The address space, its frames, and the library's access to it: no VM is needed. */
#include "harness.h"
#include "memory_fixture.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <string.h>

#define BASE UINT64_C(0x40000000)

static uint8_t *
host(uint64_t va)
{
    struct vmk_leaf leaf = vmk_paging_find(&memory.space.paging, va);
    ck_assert(leaf.used);
    return vmk_frames_get_memory(memory.frames) + leaf.gpa + (va & (leaf.size - 1));
}

START_TEST(frames_are_zero_again_when_they_come_back)
{
    memory_reset(8 * MIB);
    uint64_t before = memory.account.used;
    uint64_t first = vmk_frames_alloc(memory.frames);
    ck_assert_uint_ne(first, 0);
    ck_assert_uint_eq(first % PAGE, 0);
    memset(vmk_frames_get_memory(memory.frames) + first, 0xff, PAGE);
    ck_assert_uint_eq(memory.account.used, before + PAGE);
    vmk_frames_release(memory.frames, first, PAGE);
    ck_assert_uint_eq(memory.account.used, before);
    ck_assert_uint_eq(vmk_frames_alloc(memory.frames), first);
    for (uint64_t i = 0; i < PAGE; i++)
        ck_assert_uint_eq(vmk_frames_get_memory(memory.frames)[first + i], 0);
    memory_free();
}
END_TEST

START_TEST(frames_end_at_the_limit_and_not_before)
{
    memory_reset(8 * MIB);
    uint64_t count = 0, last = 0, gpa;
    while ((gpa = vmk_frames_alloc(memory.frames)) != 0) {
        ck_assert_uint_ne(gpa, last);
        last = gpa;
        count++;
    }
    ck_assert_uint_eq(memory.account.used, 8 * MIB);
    ck_assert_uint_eq(count, 8 * MIB / PAGE - 1); /* The top table is one. */
    ck_assert_uint_eq(vmk_frames_alloc_large(memory.frames), 0);
    vmk_frames_release(memory.frames, last, PAGE);
    ck_assert_uint_eq(vmk_frames_alloc(memory.frames), last);
    ck_assert_uint_eq(memory.account.peak, 8 * MIB);
    memory_free();
}
END_TEST

START_TEST(large_frames_are_taken_whole_and_given_back_in_parts)
{
    memory_reset(16 * MIB);
    uint64_t large = vmk_frames_alloc_large(memory.frames), used = memory.account.used;
    ck_assert_uint_ne(large, 0);
    ck_assert_uint_eq(large % LARGE, 0);
    memset(vmk_frames_get_memory(memory.frames) + large, 1, LARGE);
    vmk_frames_release(memory.frames, large + 5 * PAGE, PAGE);
    ck_assert_uint_eq(memory.account.used, used - PAGE);
    ck_assert_uint_eq(vmk_frames_get_memory(memory.frames)[large + 5 * PAGE], 0);
    ck_assert_uint_eq(vmk_frames_get_memory(memory.frames)[large + 6 * PAGE], 1);
    ck_assert_uint_ne(vmk_frames_alloc_large(memory.frames), large);
    vmk_frames_release(memory.frames, large, 5 * PAGE);
    vmk_frames_release(memory.frames, large + 6 * PAGE, LARGE - 6 * PAGE);
    ck_assert_uint_eq(vmk_frames_alloc_large(memory.frames), large);
    ck_assert(vmk_frames_has_plenty(memory.frames, LARGE));
    ck_assert(!vmk_frames_has_plenty(memory.frames, 16 * MIB));
    memory_free();
}
END_TEST

START_TEST(memory_that_the_vm_refuses_is_not_handed_out)
{
    memory_reset(64 * MIB);
    while (memory.account.used < memory.grown - 64 * PAGE)
        ck_assert_uint_ne(vmk_frames_alloc(memory.frames), 0);
    unsigned calls = memory.grow_calls;
    memory.grow_result = -ENOSPC;
    while (vmk_frames_alloc(memory.frames) != 0)
        ;
    ck_assert_uint_gt(memory.grow_calls, calls);
    uint64_t used = memory.account.used;
    ck_assert_uint_eq(vmk_frames_alloc(memory.frames), 0);
    ck_assert_uint_eq(memory.account.used, used);
    ck_assert_uint_lt(used, 64 * MIB);
    memory.grow_result = 0;
    ck_assert_uint_ne(vmk_frames_alloc(memory.frames), 0);
    memory_free();
}
END_TEST

START_TEST(a_fault_is_judged_by_the_rights)
{
    memory_reset(16 * MIB);
    struct vmk_space *space = &memory.space;
    ck_assert_int_eq(memory_map(BASE, 4 * PAGE, VMK_PAGE_READ), 0);
    ck_assert_int_eq(vmk_space_fault(space, BASE - 1, VMK_PAGE_READ), -EFAULT);
    ck_assert_int_eq(vmk_space_fault(space, BASE + 4 * PAGE, VMK_PAGE_READ), -EFAULT);
    ck_assert_int_eq(vmk_space_fault(space, BASE, VMK_PAGE_WRITE), -EACCES);
    ck_assert_int_eq(vmk_space_fault(space, BASE, VMK_PAGE_EXECUTE), -EACCES);
    ck_assert(!vmk_paging_find(&space->paging, BASE).used);
    ck_assert_int_eq(vmk_space_fault(space, BASE + 5, VMK_PAGE_READ), 0);
    ck_assert_uint_eq(vmk_paging_find(&space->paging, BASE).rights, VMK_PAGE_READ);
    ck_assert_int_eq(memory_map(BASE, PAGE, 0), 0);
    ck_assert_int_eq(vmk_space_fault(space, BASE, VMK_PAGE_READ), -EACCES);
    memory_free();
}
END_TEST

START_TEST(a_page_keeps_its_contents_while_it_may_not_be_touched)
{
    memory_reset(16 * MIB);
    struct vmk_space *space = &memory.space;
    ck_assert_int_eq(memory_map(BASE, 4 * PAGE, RW), 0);
    ck_assert_int_eq(vmk_space_populate(space, BASE, 4 * PAGE), 0);
    host(BASE + PAGE)[9] = 42;
    ck_assert_int_eq(vmk_space_protect(space, BASE, 4 * PAGE, 0), 0);
    struct vmk_leaf leaf = vmk_paging_find(&space->paging, BASE + PAGE);
    ck_assert(leaf.used);
    ck_assert_uint_eq(leaf.rights, 0);
    ck_assert_int_eq(vmk_space_protect(space, BASE, 4 * PAGE, RW), 0);
    ck_assert_uint_eq(host(BASE + PAGE)[9], 42);
    ck_assert_int_eq(vmk_space_protect(space, BASE, 5 * PAGE, RW), -ENOMEM);
    ck_assert_int_eq(vmk_space_discard(space, BASE + PAGE, PAGE), 0);
    ck_assert_int_eq(vmk_space_populate(space, BASE + PAGE, PAGE), 0);
    ck_assert_uint_eq(host(BASE + PAGE)[9], 0);
    memory_free();
}
END_TEST

START_TEST(large_pages_are_split_where_they_are_cut)
{
    memory_reset(64 * MIB);
    struct vmk_space *space = &memory.space;
    ck_assert_int_eq(memory_map(BASE, 8 * MIB, RW), 0);
    ck_assert_int_eq(vmk_space_fault(space, BASE + 3 * MIB, VMK_PAGE_WRITE), 0);
    ck_assert_uint_eq(vmk_paging_find(&space->paging, BASE + 3 * MIB).size, LARGE);
    ck_assert(!space->paging.structure_changed);
    for (uint64_t at = 2 * MIB; at < 4 * MIB; at += PAGE)
        *host(BASE + at) = (uint8_t)(at / PAGE);

    uint64_t used = memory.account.used;
    ck_assert_int_eq(vmk_space_unmap(space, BASE + 3 * MIB, PAGE), 0);
    ck_assert(space->paging.structure_changed);
    ck_assert_uint_eq(memory.account.used, used); /* A page less, a table more. */
    ck_assert(!vmk_paging_find(&space->paging, BASE + 3 * MIB).used);
    for (uint64_t at = 2 * MIB; at < 4 * MIB; at += PAGE) {
        if (at != 3 * MIB)
            ck_assert_uint_eq(*host(BASE + at), (uint8_t)(at / PAGE));
    }
    ck_assert_int_eq(vmk_space_unmap(space, BASE, 8 * MIB), 0);
    ck_assert_uint_eq(space->vmas.count, 0);
    ck_assert_uint_eq(memory.account.used, used - LARGE + PAGE);
    memory_free();
}
END_TEST

START_TEST(a_move_takes_the_pages_along)
{
    memory_reset(64 * MIB);
    struct vmk_space *space = &memory.space;
    static const uint64_t targets[] = {BASE + 64 * MIB, BASE + 128 * MIB + PAGE};
    uint64_t from = BASE;
    ck_assert_int_eq(memory_map(from, 6 * MIB, RW), 0);
    ck_assert_int_eq(vmk_space_fault(space, from + 2 * MIB, VMK_PAGE_WRITE), 0);
    ck_assert_int_eq(vmk_space_populate(space, from + 5 * MIB, 4 * PAGE), 0);
    *host(from + 2 * MIB + 5 * PAGE) = 5;
    *host(from + 5 * MIB) = 6;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(vmk_space_move(space, from, targets[i], 6 * MIB), 0);
        ck_assert(!vmk_paging_find(&space->paging, from + 2 * MIB).used);
        ck_assert_ptr_null(vmk_vmas_find(&space->vmas, from));
        from = targets[i];
        ck_assert_uint_eq(*host(from + 2 * MIB + 5 * PAGE), 5);
        ck_assert_uint_eq(*host(from + 5 * MIB), 6);
        ck_assert_uint_eq(vmk_paging_find(&space->paging, from + 2 * MIB).size,
                          i == 0 ? LARGE : PAGE);
    }
    memory_free();
}
END_TEST

START_TEST(a_move_keeps_the_file_that_only_the_mapping_holds)
{
    memory_reset(16 * MIB);
    bool destroyed;
    struct vmk_file *file = memory_file(4 * PAGE, &destroyed);
    struct vmk_vma vma = {.start = BASE, .end = BASE + 4 * PAGE, .rights = RW, .file = file};
    ck_assert_int_eq(vmk_space_map(&memory.space, &vma), 0);
    vmk_file_unref(file);
    ck_assert_int_eq(vmk_space_move(&memory.space, BASE, BASE + MIB, 4 * PAGE), 0);
    ck_assert(!destroyed);
    ck_assert_int_eq(vmk_space_populate(&memory.space, BASE + MIB, 4 * PAGE), 0);
    ck_assert_uint_eq(*host(BASE + MIB + 2 * PAGE), 3);
    ck_assert_int_eq(vmk_space_unmap(&memory.space, BASE + MIB, 4 * PAGE), 0);
    ck_assert(destroyed);
    memory_free();
}
END_TEST

START_TEST(a_file_ends_where_it_ends)
{
    memory_reset(16 * MIB);
    bool destroyed;
    struct vmk_file *file = memory_file(2 * PAGE + 100, &destroyed);
    struct vmk_vma vma = {.start = BASE, .end = BASE + 8 * PAGE, .rights = RW, .file = file};
    ck_assert_int_eq(vmk_space_map(&memory.space, &vma), 0);
    ck_assert_int_eq(vmk_space_fault(&memory.space, BASE + 2 * PAGE, VMK_PAGE_READ), 0);
    ck_assert_uint_eq(host(BASE + 2 * PAGE)[99], 3);
    ck_assert_uint_eq(host(BASE + 2 * PAGE)[100], 0);
    ck_assert_int_eq(vmk_space_fault(&memory.space, BASE + 3 * PAGE, VMK_PAGE_READ), -EIO);
    ck_assert_int_eq(vmk_space_fault(&memory.space, BASE + 7 * PAGE, VMK_PAGE_READ), -EIO);
    vmk_file_unref(file);
    memory_free();
    ck_assert(destroyed);
}
END_TEST

START_TEST(what_is_committed_has_a_limit)
{
    memory_reset(16 * MIB);
    ck_assert_int_eq(memory_map(BASE, 12 * MIB, RW), 0);
    ck_assert_int_eq(memory_map(BASE + 16 * MIB, 5 * MIB, RW), -ENOMEM);
    ck_assert_int_eq(memory_map(BASE + 16 * MIB, 500 * MIB, VMK_PAGE_READ), 0);
    ck_assert_int_eq(vmk_space_protect(&memory.space, BASE + 16 * MIB, 5 * MIB, RW), -ENOMEM);
    ck_assert_int_eq(vmk_space_protect(&memory.space, BASE + 16 * MIB, 4 * MIB, RW), 0);
    /* In place of what was there, it counts once. */
    ck_assert_int_eq(memory_map(BASE, 12 * MIB, RW), 0);
    ck_assert_uint_eq(memory.space.vmas.committed, 16 * MIB);
    memory_free();
}
END_TEST

START_TEST(a_failure_at_the_limit_changes_nothing)
{
    memory_reset(16 * MIB);
    struct vmk_space *space = &memory.space;
    ck_assert_int_eq(memory_map(BASE, 4 * MIB, RW), 0);
    ck_assert_int_eq(vmk_space_fault(space, BASE, VMK_PAGE_WRITE), 0);
    ck_assert_int_eq(vmk_space_fault(space, BASE + 2 * MIB, VMK_PAGE_WRITE), 0);
    *host(BASE + PAGE) = 1;
    *host(BASE + 3 * MIB) = 2;
    while (vmk_frames_alloc(memory.frames) != 0)
        ;
    /* No table is left for the split at the far end, whatever is at the near one. */
    ck_assert_int_eq(vmk_space_unmap(space, BASE, 3 * MIB), -ENOMEM);
    ck_assert_int_eq(vmk_space_protect(space, BASE, 3 * MIB, VMK_PAGE_READ), -ENOMEM);
    ck_assert_int_eq(memory_map(BASE, 3 * MIB, RW), -ENOMEM);
    ck_assert_uint_eq(*host(BASE + PAGE), 1);
    ck_assert_uint_eq(*host(BASE + 3 * MIB), 2);
    ck_assert_uint_eq(vmk_paging_find(&space->paging, BASE).rights & RW, RW);
    ck_assert_uint_eq(space->vmas.count, 1);
    ck_assert_int_eq(vmk_space_unmap(space, BASE, 4 * MIB), 0);
    memory_free();
}
END_TEST

START_TEST(access_crosses_pages_and_stops_at_the_edge)
{
    memory_reset(16 * MIB);
    struct vmk_space *space = &memory.space;
    char text[64];
    ck_assert_int_eq(memory_map(BASE, 2 * PAGE, RW), 0);
    ck_assert_int_eq(memory_map(BASE + 4 * PAGE, PAGE, VMK_PAGE_READ), 0);
    ck_assert_int_eq(vmk_uaccess_write(space, BASE + PAGE - 3, "abcdef", 7), 0);
    ck_assert_int_eq(vmk_uaccess_read(space, BASE + PAGE - 3, text, 7), 0);
    ck_assert_str_eq(text, "abcdef");
    ck_assert_int_eq(vmk_uaccess_read_string(space, BASE + PAGE - 3, text, sizeof text), 6);
    ck_assert_int_eq(vmk_uaccess_read_string(space, BASE + PAGE - 3, text, 6), -ENAMETOOLONG);
    ck_assert_int_eq(vmk_uaccess_read_string(space, BASE + PAGE - 3, text, 7), 6);
    ck_assert_int_eq(vmk_uaccess_write(space, BASE + 2 * PAGE - 3, "abc", 3), 0);
    ck_assert_int_eq(vmk_uaccess_read_string(space, BASE + 2 * PAGE - 3, text, 64), -EFAULT);
    ck_assert_int_eq(vmk_uaccess_write(space, BASE + 2 * PAGE - 3, "abcd", 4), -EFAULT);
    ck_assert_int_eq(vmk_uaccess_zero(space, BASE + PAGE - 3, 2), 0);
    ck_assert_uint_eq(*host(BASE + PAGE - 2), 0);
    ck_assert_uint_eq(*host(BASE + PAGE - 1), 'c');
    ck_assert_int_eq(vmk_uaccess_write(space, BASE + 4 * PAGE, "x", 1), -EFAULT);
    ck_assert_int_eq(vmk_uaccess_read(space, BASE + 4 * PAGE, text, 64), 0);
    ck_assert_int_eq(text[0], 0);
    ck_assert_int_eq(vmk_uaccess_read(space, 8, text, 0), 0);
    ck_assert_int_eq(vmk_space_protect(space, BASE, PAGE, 0), 0);
    ck_assert_int_eq(vmk_uaccess_read(space, BASE, text, 1), -EFAULT);
    memory_free();
}
END_TEST

START_TEST(wild_pointers_are_refused)
{
    static const uint64_t wild[] = {0,
                                    8,
                                    BASE - 1,
                                    VMK_SPACE_HIGH,
                                    VMK_SPACE_HIGH - 1,
                                    UINT64_C(0x0001000040000000), /* BASE, but for the high bits */
                                    UINT64_C(0xdead000040000000),
                                    UINT64_C(0xffff800000000000),
                                    UINT64_C(0xffffffffc0000000),
                                    UINT64_MAX,
                                    UINT64_MAX - 3};
    uint8_t bytes[16];
    struct iovec iov[4];
    int count;
    memory_reset(16 * MIB);
    ck_assert_int_eq(memory_map(BASE, PAGE, RW), 0);
    ck_assert_int_eq(vmk_uaccess_write(&memory.space, BASE, bytes, 0), 0);
    ck_assert_int_eq(vmk_space_populate(&memory.space, BASE, PAGE), 0);
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        ck_assert_int_eq(vmk_uaccess_read(&memory.space, wild[i], bytes, 16), -EFAULT);
        ck_assert_int_eq(vmk_uaccess_write(&memory.space, wild[i], bytes, 16), -EFAULT);
        ck_assert_int_eq(vmk_uaccess_zero(&memory.space, wild[i], 16), -EFAULT);
        ck_assert_int_eq(vmk_uaccess_read_string(&memory.space, wild[i], (char *)bytes, 16),
                         -EFAULT);
        ck_assert_int_eq(vmk_uaccess_pin(&memory.space, wild[i], 16, true, iov, 4, &count),
                         -EFAULT);
    }
    memory_free();
}
END_TEST

START_TEST(pinned_pages_that_follow_each_other_are_one)
{
    memory_reset(64 * MIB);
    struct iovec iov[2];
    int count;
    ck_assert_int_eq(memory_map(BASE, 16 * PAGE, RW), 0);
    ck_assert_int_eq(vmk_space_populate(&memory.space, BASE, 16 * PAGE), 0);
    ck_assert_int_eq(vmk_uaccess_pin(&memory.space, BASE + 100, 4 * PAGE, true, iov, 2, &count),
                     4 * PAGE);
    ck_assert_int_eq(count, 1);
    ck_assert_uint_eq(iov[0].iov_len, 4 * PAGE);
    ck_assert_ptr_eq(iov[0].iov_base, host(BASE + 100));
    /* Up to where the rights end. */
    ck_assert_int_eq(
        vmk_uaccess_pin(&memory.space, BASE + 15 * PAGE, 4 * PAGE, true, iov, 2, &count), PAGE);
    /* Pages that lie apart need an entry each, and there are two. */
    ck_assert_int_eq(vmk_space_move(&memory.space, BASE + 4 * PAGE, BASE + MIB, PAGE), 0);
    ck_assert_int_eq(memory_map(BASE + 4 * PAGE, PAGE, RW), 0);
    ck_assert_int_eq(vmk_space_populate(&memory.space, BASE + 4 * PAGE, PAGE), 0);
    ck_assert_int_eq(vmk_uaccess_pin(&memory.space, BASE, 16 * PAGE, false, iov, 2, &count),
                     5 * PAGE);
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(vmk_uaccess_pin(&memory.space, BASE, 0, false, iov, 2, &count), 0);
    ck_assert_int_eq(count, 0);
    memory_free();
}
END_TEST

START_TEST(tables_forget_and_take_large_pages)
{
    memory_reset(64 * MIB);
    struct vmk_paging *paging = &memory.space.paging;
    struct vmk_leaf leaf;
    ck_assert_ptr_null(vmk_paging_find(paging, BASE).entry);
    ck_assert_uint_ge(vmk_paging_find(paging, BASE).size, LARGE);
    ck_assert_int_eq(vmk_paging_need_large(paging, BASE, &leaf), 0);
    vmk_paging_set(paging, &leaf, LARGE, RW);
    ck_assert_uint_eq(vmk_paging_find(paging, BASE + PAGE).gpa, LARGE);
    ck_assert_uint_eq(vmk_paging_find(paging, BASE + PAGE).size, LARGE);
    vmk_paging_set(paging, &leaf, LARGE, 0);
    ck_assert(leaf.used);
    ck_assert_uint_eq(leaf.rights, 0);
    ck_assert(!paging->structure_changed);

    /* Split while parked: each part is. */
    ck_assert_int_eq(vmk_paging_need(paging, BASE + 3 * PAGE, &leaf), 0);
    ck_assert(paging->structure_changed);
    ck_assert(leaf.used);
    ck_assert_uint_eq(leaf.gpa, LARGE + 3 * PAGE);
    ck_assert_uint_eq(leaf.rights, 0);
    ck_assert_int_eq(vmk_paging_need_large(paging, BASE, &leaf), -EEXIST);

    /* Cleared and used again: a change of structure both ways. */
    paging->structure_changed = false;
    ck_assert_int_eq(vmk_paging_need_large(paging, BASE + LARGE, &leaf), 0);
    vmk_paging_set(paging, &leaf, 2 * LARGE, VMK_PAGE_READ);
    vmk_paging_clear(paging, &leaf);
    ck_assert(!vmk_paging_find(paging, BASE + LARGE).used);
    ck_assert(!paging->structure_changed);
    ck_assert_int_eq(vmk_paging_need(paging, BASE + LARGE, &leaf), 0);
    ck_assert(paging->structure_changed);
    ck_assert(!leaf.used);
    for (unsigned rights = 1; rights < 16; rights++) {
        vmk_paging_set(paging, &leaf, 7 * PAGE, rights);
        if (rights & 7)
            ck_assert_uint_eq(leaf.rights, rights | VMK_PAGE_READ);
        else
            ck_assert_uint_eq(leaf.rights, 0);
        ck_assert_uint_eq(leaf.gpa, 7 * PAGE);
    }
    memory_free();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("space");
    TCase *tcase = tcase_create("space");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, frames_are_zero_again_when_they_come_back);
    tcase_add_test(tcase, frames_end_at_the_limit_and_not_before);
    tcase_add_test(tcase, large_frames_are_taken_whole_and_given_back_in_parts);
    tcase_add_test(tcase, memory_that_the_vm_refuses_is_not_handed_out);
    tcase_add_test(tcase, a_fault_is_judged_by_the_rights);
    tcase_add_test(tcase, a_page_keeps_its_contents_while_it_may_not_be_touched);
    tcase_add_test(tcase, large_pages_are_split_where_they_are_cut);
    tcase_add_test(tcase, a_move_takes_the_pages_along);
    tcase_add_test(tcase, a_move_keeps_the_file_that_only_the_mapping_holds);
    tcase_add_test(tcase, a_file_ends_where_it_ends);
    tcase_add_test(tcase, what_is_committed_has_a_limit);
    tcase_add_test(tcase, a_failure_at_the_limit_changes_nothing);
    tcase_add_test(tcase, access_crosses_pages_and_stops_at_the_edge);
    tcase_add_test(tcase, wild_pointers_are_refused);
    tcase_add_test(tcase, pinned_pages_that_follow_each_other_are_one);
    tcase_add_test(tcase, tables_forget_and_take_large_pages);
    suite_add_tcase(suite, tcase);
    return suite;
}
