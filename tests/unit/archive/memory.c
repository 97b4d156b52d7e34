/* SPDX-License-Identifier: Apache-2.0 */
/* What was written is what is read: memory with its holes, sections, and what runs say of pages. */
#include "archive/archive.h"
#include "fixture.h"
#include "harness.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES 200

static const struct vmk_archive_settings raw = {.level = 0};

/* Data at 3 to 9, a short gap, data at 20 to 39, a long gap, data at 150, zeros to the end. */
static uint8_t *
make_memory(void)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_fill(memory, 3, 7, 1);
    fixture_fill(memory, 20, 20, 2);
    fixture_fill(memory, 150, 1, 3);
    return memory;
}

START_TEST(memory_is_read_as_it_was_written)
{
    uint8_t *memory = make_memory();
    fixture_save(fixture_path("a"), memory, PAGES, &raw, NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    fixture_check(archive, memory, PAGES);
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    ck_assert_uint_eq(info->data_pages, 7 + 10 + 20 + 1);
    ck_assert_uint_eq(info->zero_pages, PAGES - 38);
    ck_assert_uint_eq(info->parent_pages, 0);
    ck_assert_uint_eq(info->depth, 0);
    ck_assert_str_eq(info->architecture, "test");
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(runs_can_be_mapped)
{
    uint8_t *memory = make_memory();
    fixture_save(fixture_path("a"), memory, PAGES, &raw, NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    struct vmk_archive_run run;
    uint64_t data = 0, runs = 0;
    for (uint64_t page = 0; page < PAGES; page += run.count, runs++) {
        vmk_archive_find(archive, page, &run);
        ck_assert_uint_eq(run.page, page);
        if (run.state != VMK_ARCHIVE_DATA)
            continue;
        data += run.count;
        uint8_t *mapped = mmap(NULL, run.count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, run.fd,
                               (off_t)run.offset);
        ck_assert_ptr_ne(mapped, MAP_FAILED);
        ck_assert_mem_eq(mapped, memory + page * PAGE, run.count * PAGE);
        munmap(mapped, run.count * PAGE);
    }
    ck_assert_uint_eq(data, 38);
    ck_assert_uint_eq(runs, 5);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(sections_come_back_with_name_version_and_bytes)
{
    uint8_t *memory = make_memory();
    struct vmk_archive *archive;
    void *data = NULL;
    uint64_t size = 0;
    fixture_save(fixture_path("a"), memory, PAGES, &raw, NULL);
    archive = fixture_open(fixture_path("a"));
    ck_assert_int_eq(vmk_archive_read_section(archive, "state", 3, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, 3);
    ck_assert_str_eq(data, "abc");
    free(data);
    ck_assert_uint_eq(vmk_archive_find_section(archive, "state")->version, 1);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "limit is 2", vmk_archive_read_section, archive, "state", 2,
            &data, &size);
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "\"nothing\"", vmk_archive_read_section, archive,
            "nothing", 2, &data, &size);
    const struct vmk_archive_known known = {"state", 1};
    ck_assert_int_eq(vmk_archive_check_sections(archive, &known, 1, NULL), 0);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "does not know it", vmk_archive_check_sections,
            archive, NULL, 0);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(a_memory_may_be_empty_or_all_zero)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_save(fixture_path("none"), memory, 0, &raw, NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("none"));
    fixture_check(archive, memory, 0);
    vmk_archive_unref(archive);
    fixture_save(fixture_path("zero"), memory, PAGES, &raw, NULL);
    archive = fixture_open(fixture_path("zero"));
    fixture_check(archive, memory, PAGES);
    ck_assert_uint_eq(vmk_archive_get_info(archive)->data_pages, 0);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = tcase_create("memory");
    tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
    tcase_add_test(tcase, memory_is_read_as_it_was_written);
    tcase_add_test(tcase, runs_can_be_mapped);
    tcase_add_test(tcase, sections_come_back_with_name_version_and_bytes);
    tcase_add_test(tcase, a_memory_may_be_empty_or_all_zero);
    suite_add_tcase(suite, tcase);
    return suite;
}
