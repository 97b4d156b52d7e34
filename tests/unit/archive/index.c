/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a memory, there and back, and what is no index. */
#include "archive/index.h"
#include "archive/format.h"
#include "fixture.h"
#include "harness.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static void
append(struct vmk_archive_index *index, enum vmk_archive_state state, uint64_t count)
{
    ck_assert_int_eq(vmk_index_append(index, state, count, NULL), 0);
}

/* Zero 0 to 4, data 5 to 14, parent 15 to 17, data 18, zero 19 to 99. */
static struct vmk_archive_index
make_index(void)
{
    struct vmk_archive_index index = {0};
    append(&index, VMK_ARCHIVE_ZERO, 5);
    append(&index, VMK_ARCHIVE_DATA, 4);
    append(&index, VMK_ARCHIVE_DATA, 6);
    append(&index, VMK_ARCHIVE_PARENT, 3);
    append(&index, VMK_ARCHIVE_ZERO, 0);
    append(&index, VMK_ARCHIVE_DATA, 1);
    append(&index, VMK_ARCHIVE_ZERO, 81);
    return index;
}

START_TEST(extents_of_one_state_are_one)
{
    struct vmk_archive_index index = make_index();
    ck_assert_uint_eq(index.count, 5);
    ck_assert_uint_eq(index.pages, 100);
    ck_assert_uint_eq(index.state_pages[VMK_ARCHIVE_ZERO], 86);
    ck_assert_uint_eq(index.state_pages[VMK_ARCHIVE_DATA], 11);
    ck_assert_uint_eq(index.state_pages[VMK_ARCHIVE_PARENT], 3);
    vmk_index_clear(&index);
    ck_assert_uint_eq(index.count, 0);
}
END_TEST

START_TEST(every_page_is_found)
{
    struct vmk_archive_index index = make_index();
    static const uint64_t firsts[] = {0, 5, 15, 18, 19, 100};
    for (uint64_t page = 0, extent = 0; page < 100; page++) {
        extent += page == firsts[extent + 1];
        ck_assert_uint_eq(vmk_index_find(&index, page)->page, firsts[extent]);
    }
    for (uint64_t rank = 0; rank < 10; rank++)
        ck_assert_uint_eq(vmk_index_find_rank(&index, rank), 5 + rank);
    ck_assert_uint_eq(vmk_index_find_rank(&index, 10), 18);
    ck_assert_uint_eq(vmk_index_find(&index, 18)->rank, 10);
    vmk_index_clear(&index);
}
END_TEST

START_TEST(what_is_put_is_what_is_got)
{
    struct vmk_archive_index index = make_index(), copy;
    uint8_t bytes[40];
    ck_assert_uint_eq(vmk_index_get_size(&index), sizeof bytes);
    vmk_index_put(&index, bytes);
    ck_assert_int_eq(vmk_index_get(&copy, bytes, sizeof bytes, 100, true, "a", NULL), 0);
    ck_assert_uint_eq(copy.count, index.count);
    for (size_t i = 0; i < index.count; i++) {
        ck_assert_uint_eq(copy.extents[i].page, index.extents[i].page);
        ck_assert_uint_eq(copy.extents[i].rank, index.extents[i].rank);
        ck_assert_int_eq(copy.extents[i].state, index.extents[i].state);
    }
    vmk_index_clear(&index);
    vmk_index_clear(&copy);
}
END_TEST

START_TEST(an_index_that_is_none_is_refused)
{
    static const struct {
        uint64_t extents[2]; /* count and state */
        uint64_t size;
        uint64_t pages;
        bool has_parent;
        const char *word;
    } samples[] = {
        {{10 << 2 | 1, 0}, 7, 10, false, "cut"},
        {{10 << 2 | 1, 0}, 8, 11, false, "10 pages of 11"},
        {{10 << 2 | 1, 0}, 8, 9, false, "not in a memory of 9"},
        {{0 << 2 | 1, 10 << 2 | 0}, 16, 10, false, "0 pages"},
        {{10 << 2 | 3, 0}, 8, 10, true, "state 3"},
        {{10 << 2 | 2, 0}, 8, 10, false, "state 2"},
        {{5 << 2 | 1, 5 << 2 | 1}, 16, 10, false, "two pieces"},
        {{10 << 2 | 1, UINT64_MAX - 2}, 16, 10, false, "not in a memory"},
        {{UINT64_MAX - 3, 0}, 8, 10, false, "not in a memory"},
        {{0, 0}, 0, 10, false, "0 pages of 10"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct vmk_archive_index index;
        uint64_t extents[2] = {htole64(samples[i].extents[0]), htole64(samples[i].extents[1])};
        REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, samples[i].word, vmk_index_get, &index,
                (const uint8_t *)extents, samples[i].size, samples[i].pages, samples[i].has_parent,
                "name");
        ck_assert_ptr_null(index.extents);
    }
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("index");
    TCase *tcase = tcase_create("index");
    tcase_add_test(tcase, extents_of_one_state_are_one);
    tcase_add_test(tcase, every_page_is_found);
    tcase_add_test(tcase, what_is_put_is_what_is_got);
    tcase_add_test(tcase, an_index_that_is_none_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
