/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation of a save, of reading and of a merge fails once: the call says so, and all that
 * was made goes. */
#include "allocator.h"
#include "archive/archive.h"
#include "fixture.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 100

static uint8_t *memory, *copy;

static int
save(uint32_t level, vmkit_error **ret_error)
{
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = PAGES * PAGE};
    struct vmk_archive_settings settings = {.level = level, .threads = 1};
    struct vmk_archive_writer *writer = NULL;
    int result = vmk_archive_writer_new_path(&contents, fixture_path("saved"), &settings, &writer,
                                             ret_error);
    if (result == 0)
        result = vmk_archive_writer_add_section(writer, "state", 1, VMK_ARCHIVE_REQUIRED, "abc", 3,
                                                ret_error);
    if (result == 0)
        result = vmk_archive_writer_add_memory(writer, 0, memory, PAGES * PAGE, ret_error);
    if (result == 0)
        result = vmk_archive_writer_flush(writer, ret_error);
    if (result == 0)
        result = vmk_archive_writer_finish(writer, NULL, ret_error);
    vmk_archive_writer_free(writer);
    return result;
}

static int
use(struct vmk_archive *archive, uint32_t level, vmkit_error **ret_error)
{
    struct vmk_archive_settings settings = {.level = level, .threads = 1};
    const struct vmk_archive_target target = {0, PAGES * PAGE, copy};
    struct vmk_archive_diff diff;
    void *data = NULL;
    uint64_t size = 0;
    int result = vmk_archive_read_section(archive, "state", 3, &data, &size, ret_error);
    free(data);
    if (result == 0)
        result = vmk_archive_read_memory(archive, 0, copy, PAGES * PAGE, ret_error);
    if (result == 0)
        result = vmk_archive_load(archive, &target, 1, 0, &settings, ret_error);
    if (result == 0)
        result = vmk_archive_verify(archive, &settings, ret_error);
    if (result == 0)
        result = vmk_archive_compare(archive, archive, &diff, ret_error);
    if (result == 0)
        result = vmk_archive_merge(archive, fixture_path("merged"), -1, &settings, ret_error);
    return result;
}

static int
open_and_use(uint32_t level, vmkit_error **ret_error)
{
    struct vmk_archive *archive = NULL;
    int result =
        vmk_archive_open_path(fixture_path("kept"), NULL, VMK_ARCHIVE_COPY, &archive, ret_error);
    if (result == 0)
        result = use(archive, level, ret_error);
    vmk_archive_unref(archive);
    return result;
}

/* Files that the folder has when all failed, and when it worked. */
static void
fail_each(int (*run)(uint32_t, vmkit_error **), uint32_t level, int before, int after)
{
    unsigned number = 1, count = 0;
    int result = -1;
    for (; result != 0; number++) {
        vmkit_error *error = NULL;
        allocator_fail(number);
        result = run(level, &error);
        count = allocator_count();
        allocator_fail(0);
        if (result == 0)
            break;
        ck_assert_int_eq(result, -ENOMEM);
        ck_assert_uint_eq(vmk_error_get_kind(error), VMKIT_ERROR_OUT_OF_MEMORY);
        ck_assert_int_eq(fixture_count_files(), before);
        vmk_error_unref(error);
    }
    /* It was the first number that nothing had. */
    ck_assert_uint_eq(count, number - 1);
    ck_assert_uint_gt(number, 8);
    ck_assert_int_eq(fixture_count_files(), after);
}

static void
make_memory(void)
{
    memory = fixture_memory(PAGES);
    copy = fixture_memory(PAGES);
    fixture_fill(memory, 10, 60, 1);
}

static void
free_memory(void)
{
    free(memory);
    free(copy);
}

START_TEST(a_save_survives_each_failed_allocation)
{
    fail_each(save, (uint32_t)_i, 0, 1);
    struct vmk_archive *archive = fixture_open(fixture_path("saved"));
    fixture_check(archive, memory, PAGES);
    vmk_archive_unref(archive);
}
END_TEST

START_TEST(reading_and_merging_survive_each_failed_allocation)
{
    struct vmk_archive_settings settings = {.level = (uint32_t)_i, .threads = 1};
    fixture_save(fixture_path("kept"), memory, PAGES, &settings, NULL);
    fail_each(open_and_use, (uint32_t)_i, 1, 2);
    fixture_same_files(fixture_path("kept"), fixture_path("merged"));
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("allocations");
    TCase *tcase = fixture_tcase(suite, "allocations");
    tcase_add_checked_fixture(tcase, make_memory, free_memory);
    tcase_add_loop_test(tcase, a_save_survives_each_failed_allocation, 0, 2);
    tcase_add_loop_test(tcase, reading_and_merging_survive_each_failed_allocation, 0, 2);
    return suite;
}
