/* SPDX-License-Identifier: Apache-2.0 */
/* The set of mappings: cut, joined, protected, searched, against a plain array of pages. */
#include "harness.h"
#include "memory_fixture.h"

#include <errno.h>
#include <string.h>

static struct vmk_vmas vmas;

static void
add(uint64_t first, uint64_t last, unsigned rights)
{
    struct vmk_vma vma = {.start = first * PAGE, .end = last * PAGE, .rights = rights};
    ck_assert_int_eq(vmk_vmas_add(&vmas, &vma), 0);
}

static void
check_entry(size_t index, uint64_t first, uint64_t last, unsigned rights)
{
    ck_assert_uint_lt(index, vmas.count);
    ck_assert_uint_eq(vmas.items[index].start, first * PAGE);
    ck_assert_uint_eq(vmas.items[index].end, last * PAGE);
    ck_assert_uint_eq(vmas.items[index].rights, rights);
}

START_TEST(neighbours_that_are_alike_join)
{
    add(10, 20, RW);
    add(30, 40, RW);
    ck_assert_uint_eq(vmas.count, 2);
    add(20, 30, RW);
    ck_assert_uint_eq(vmas.count, 1);
    check_entry(0, 10, 40, RW);
    add(40, 50, VMK_PAGE_READ);
    ck_assert_uint_eq(vmas.count, 2);
    ck_assert_uint_eq(vmas.mapped, 40 * PAGE);
    ck_assert_uint_eq(vmas.committed, 30 * PAGE);
    vmk_vmas_clear(&vmas);
}
END_TEST

START_TEST(a_cut_leaves_both_sides)
{
    add(10, 40, RW);
    ck_assert_uint_eq(vmk_vmas_count_splits(&vmas, 20 * PAGE, 30 * PAGE), 2);
    ck_assert_int_eq(vmk_vmas_cut(&vmas, 20 * PAGE, 30 * PAGE), 0);
    ck_assert_uint_eq(vmas.count, 2);
    check_entry(0, 10, 20, RW);
    check_entry(1, 30, 40, RW);
    ck_assert_uint_eq(vmas.mapped, 20 * PAGE);
    ck_assert_ptr_null(vmk_vmas_find(&vmas, 20 * PAGE));
    ck_assert_ptr_null(vmk_vmas_find(&vmas, 30 * PAGE - 1));
    ck_assert_ptr_eq(vmk_vmas_find(&vmas, 30 * PAGE), &vmas.items[1]);
    ck_assert(!vmk_vmas_cover(&vmas, 10 * PAGE, 40 * PAGE));
    ck_assert(vmk_vmas_cover(&vmas, 10 * PAGE, 20 * PAGE));
    ck_assert(vmk_vmas_cover(&vmas, 10 * PAGE, 10 * PAGE));
    ck_assert_int_eq(vmk_vmas_cut(&vmas, 0, 100 * PAGE), 0);
    ck_assert_uint_eq(vmas.count, 0);
    ck_assert_uint_eq(vmas.mapped, 0);
    ck_assert_uint_eq(vmas.committed, 0);
    vmk_vmas_clear(&vmas);
}
END_TEST

START_TEST(a_change_of_rights_splits_and_joins)
{
    add(10, 40, RW);
    ck_assert_uint_eq(vmk_vmas_commit_delta(&vmas, 10 * PAGE, 40 * PAGE, RW), 0);
    ck_assert_int_eq(vmk_vmas_protect(&vmas, 20 * PAGE, 30 * PAGE, 0), 0);
    ck_assert_uint_eq(vmas.count, 3);
    check_entry(1, 20, 30, 0);
    ck_assert_uint_eq(vmas.committed, 20 * PAGE);
    ck_assert_uint_eq(vmk_vmas_commit_delta(&vmas, 10 * PAGE, 40 * PAGE, RW), 10 * PAGE);
    ck_assert_uint_eq(vmk_vmas_committed_in(&vmas, 15 * PAGE, 35 * PAGE), 10 * PAGE);
    ck_assert_int_eq(vmk_vmas_protect(&vmas, 20 * PAGE, 30 * PAGE, RW), 0);
    ck_assert_uint_eq(vmas.count, 1);
    check_entry(0, 10, 40, RW);
    vmk_vmas_clear(&vmas);
}
END_TEST

START_TEST(files_are_held_as_long_as_they_are_mapped)
{
    bool destroyed;
    struct vmk_file *file = memory_file(100 * PAGE, &destroyed);
    struct vmk_vma vma = {
        .start = 10 * PAGE, .end = 20 * PAGE, .rights = RW, .file = file, .offset = 5 * PAGE};
    ck_assert_int_eq(vmk_vmas_add(&vmas, &vma), 0);
    vmk_file_unref(file);
    ck_assert_int_eq(vmk_vmas_cut(&vmas, 12 * PAGE, 15 * PAGE), 0);
    ck_assert_uint_eq(vmas.items[1].offset, 10 * PAGE);
    ck_assert_int_eq(vmk_vmas_cut(&vmas, 10 * PAGE, 12 * PAGE), 0);
    ck_assert(!destroyed);
    /* One that does not continue it in the file does not join. */
    vma = (struct vmk_vma){
        .start = 20 * PAGE, .end = 21 * PAGE, .rights = RW, .file = file, .offset = 0};
    ck_assert_int_eq(vmk_vmas_add(&vmas, &vma), 0);
    ck_assert_uint_eq(vmas.count, 2);
    vma = (struct vmk_vma){
        .start = 21 * PAGE, .end = 22 * PAGE, .rights = RW, .file = file, .offset = PAGE};
    ck_assert_int_eq(vmk_vmas_add(&vmas, &vma), 0);
    ck_assert_uint_eq(vmas.count, 2);
    vmk_vmas_clear(&vmas);
    ck_assert(destroyed);
}
END_TEST

START_TEST(holes_are_found_from_the_top)
{
    add(10, 20, RW);
    add(30, 40, RW);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 5 * PAGE, PAGE, 100 * PAGE, PAGE, 0), 95 * PAGE);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 5 * PAGE, PAGE, 42 * PAGE, PAGE, 0), 25 * PAGE);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 10 * PAGE, PAGE, 35 * PAGE, PAGE, 0), 20 * PAGE);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 11 * PAGE, PAGE, 35 * PAGE, PAGE, 0), 0);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 9 * PAGE, PAGE, 35 * PAGE, PAGE, 0), 21 * PAGE);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 9 * PAGE, PAGE, 30 * PAGE, 16 * PAGE, 4 * PAGE),
                      20 * PAGE);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, 9 * PAGE, 0, 29 * PAGE, 16 * PAGE, PAGE), PAGE);
    ck_assert_uint_eq(vmk_vmas_find_hole(&vmas, UINT64_MAX - PAGE, PAGE, 100 * PAGE, PAGE, 0), 0);
    vmk_vmas_clear(&vmas);
}
END_TEST

START_TEST(entries_have_a_limit)
{
    for (uint64_t i = 0; i < VMK_VMA_MAX; i++)
        add(2 * i + 2, 2 * i + 3, RW);
    struct vmk_vma vma = {.start = PAGE * 1000000, .end = PAGE * 1000003, .rights = RW};
    ck_assert_int_eq(vmk_vmas_add(&vmas, &vma), -ENOMEM);
    ck_assert_uint_eq(vmas.count, VMK_VMA_MAX);
    /* What needs no further entry works all the same. */
    ck_assert_int_eq(vmk_vmas_protect(&vmas, 2 * PAGE, 3 * PAGE, VMK_PAGE_READ), 0);
    ck_assert_int_eq(vmk_vmas_cut(&vmas, 2 * PAGE, 3 * PAGE), 0);
    ck_assert_int_eq(vmk_vmas_add(&vmas, &vma), 0);
    /* What needs one does not, and nothing changed. */
    ck_assert_int_eq(vmk_vmas_cut(&vmas, 1000001 * PAGE, 1000002 * PAGE), -ENOMEM);
    ck_assert_int_eq(vmk_vmas_protect(&vmas, 1000001 * PAGE, 1000002 * PAGE, 0), -ENOMEM);
    ck_assert_uint_eq(vmas.count, VMK_VMA_MAX);
    ck_assert(vmk_vmas_cover(&vmas, 1000000 * PAGE, 1000003 * PAGE));
    vmk_vmas_clear(&vmas);
}
END_TEST

#define PAGES 200

static void
check_against(const int *pages)
{
    uint64_t mapped = 0, committed = 0;
    for (size_t i = 0; i < vmas.count; i++) {
        ck_assert_uint_lt(vmas.items[i].start, vmas.items[i].end);
        if (i > 0) {
            ck_assert_uint_le(vmas.items[i - 1].end, vmas.items[i].start);
            ck_assert(vmas.items[i - 1].end != vmas.items[i].start ||
                      vmas.items[i - 1].rights != vmas.items[i].rights);
        }
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        const struct vmk_vma *vma = vmk_vmas_find(&vmas, page * PAGE + 7);
        ck_assert_int_eq(vma == NULL ? -1 : (int)vma->rights, pages[page]);
        mapped += pages[page] >= 0 ? PAGE : 0;
        committed += pages[page] >= 0 && pages[page] & VMK_PAGE_WRITE ? PAGE : 0;
    }
    ck_assert_uint_eq(vmas.mapped, mapped);
    ck_assert_uint_eq(vmas.committed, committed);
}

START_TEST(random_changes_end_as_in_an_array)
{
    static int pages[PAGES];
    uint64_t state = 4711;
    for (int i = 0; i < PAGES; i++)
        pages[i] = -1;
    for (int round = 0; round < 20000; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t first = (state >> 33) % PAGES;
        uint64_t last = first + 1 + (state >> 20) % 20;
        int rights = (int)((state >> 50) % 3) == 0 ? 0 : (int)((state >> 52) % 4);
        last = last > PAGES ? PAGES : last;
        if ((state >> 60) % 3 == 0) {
            ck_assert_int_eq(vmk_vmas_cut(&vmas, first * PAGE, last * PAGE), 0);
            rights = -1;
        } else if ((state >> 60) % 3 == 1) {
            ck_assert_int_eq(vmk_vmas_cut(&vmas, first * PAGE, last * PAGE), 0);
            add(first, last, (unsigned)rights);
        } else {
            bool covered = true;
            for (uint64_t page = first; page < last; page++)
                covered = covered && pages[page] >= 0;
            ck_assert_int_eq(vmk_vmas_cover(&vmas, first * PAGE, last * PAGE), covered);
            if (!covered)
                continue;
            ck_assert_int_eq(vmk_vmas_protect(&vmas, first * PAGE, last * PAGE, (unsigned)rights),
                             0);
        }
        for (uint64_t page = first; page < last; page++)
            pages[page] = rights;
        if (round % 10 == 0)
            check_against(pages);
    }
    check_against(pages);
    vmk_vmas_clear(&vmas);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vma");
    TCase *tcase = tcase_create("vma");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, neighbours_that_are_alike_join);
    tcase_add_test(tcase, a_cut_leaves_both_sides);
    tcase_add_test(tcase, a_change_of_rights_splits_and_joins);
    tcase_add_test(tcase, files_are_held_as_long_as_they_are_mapped);
    tcase_add_test(tcase, holes_are_found_from_the_top);
    tcase_add_test(tcase, entries_have_a_limit);
    tcase_add_test(tcase, random_changes_end_as_in_an_array);
    suite_add_tcase(suite, tcase);
    return suite;
}
