/* SPDX-License-Identifier: Apache-2.0 */
/* What was written is what is read: memory with its holes, raw and compressed, and what runs say of
 * pages. */
#include "archive/archive.h"
#include "fixture.h"
#include "harness.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES 1200
#define DATA_PAGES (7 + 10 + 20 + 1 + 600)

static const struct vmk_archive_settings ways[] = {
    {.level = 0, .threads = 1}, {.level = 0, .threads = 3}, {.level = 1, .threads = 1},
    {.level = 1, .threads = 3}, {.level = 9, .threads = 2},
};
#define WAYS ((int)(sizeof ways / sizeof ways[0]))

/* Data at 3 to 9, a short gap, data at 20 to 39, a gap that is one page too long, data at 55, data
 * from 300 to 899, zeros to the end. */
static uint8_t *
make_memory(void)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_fill(memory, 3, 7, 1);
    fixture_fill(memory, 20, 20, 2);
    fixture_fill(memory, 56, 1, 3);
    fixture_fill(memory, 300, 600, 4);
    return memory;
}

START_TEST(memory_is_read_as_it_was_written)
{
    uint8_t *memory = make_memory();
    fixture_save(fixture_path("a"), memory, PAGES, &ways[_i], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    fixture_check(archive, memory, PAGES);
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    ck_assert_uint_eq(info->version, 1);
    ck_assert_uint_eq(info->data_pages, DATA_PAGES);
    ck_assert_uint_eq(info->zero_pages, PAGES - DATA_PAGES);
    ck_assert_uint_eq(info->parent_pages, 0);
    ck_assert_uint_eq(info->depth, 0);
    ck_assert_str_eq(info->architecture, "test");
    ck_assert_uint_eq(info->compressed, ways[_i].level > 0);
    if (ways[_i].level == 0)
        ck_assert_uint_eq(info->stored_bytes, DATA_PAGES * PAGE);
    else
        ck_assert_uint_lt(info->stored_bytes, DATA_PAGES * PAGE * 3 / 4);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(parts_of_the_memory_are_read)
{
    uint8_t *memory = make_memory(), *part = malloc(PAGES * PAGE);
    fixture_save(fixture_path("a"), memory, PAGES, &ways[_i], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    for (size_t page = 0; page < PAGES; page += 37) {
        size_t count = 1 + page % 90 < PAGES - page ? 1 + page % 90 : PAGES - page;
        ck_assert_int_eq(vmk_archive_read_memory(archive, page * PAGE, part, count * PAGE, NULL),
                         0);
        ck_assert_mem_eq(part, memory + page * PAGE, count * PAGE);
    }
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "whole pages", vmk_archive_read_memory, archive,
            1, part, PAGE);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "whole pages", vmk_archive_read_memory, archive,
            PAGES * PAGE, part, PAGE);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "whole pages", vmk_archive_read_memory, archive,
            PAGE, part, UINT64_MAX - PAGE + 1);
    vmk_archive_unref(archive);
    free(memory);
    free(part);
}
END_TEST

START_TEST(the_bytes_depend_on_no_thread)
{
    uint8_t *memory = make_memory();
    struct vmk_archive_identity one, other;
    for (uint32_t level = 0; level <= 6; level += 3) {
        struct vmk_archive_settings settings = {.level = level, .threads = 1};
        fixture_save(fixture_path("one"), memory, PAGES, &settings, &one);
        settings.threads = 5;
        fixture_save(fixture_path("other"), memory, PAGES, &settings, &other);
        fixture_same_files(fixture_path("one"), fixture_path("other"));
        ck_assert_mem_eq(one.bytes, other.bytes, sizeof one.bytes);
    }
    free(memory);
}
END_TEST

START_TEST(the_identity_depends_on_no_compression)
{
    uint8_t *memory = make_memory();
    struct vmk_archive_identity raw, packed, changed;
    fixture_save(fixture_path("a"), memory, PAGES, &ways[0], &raw);
    fixture_save(fixture_path("a"), memory, PAGES, &ways[2], &packed);
    ck_assert_mem_eq(raw.bytes, packed.bytes, sizeof raw.bytes);
    memory[400 * PAGE + 17] ^= 1;
    fixture_save(fixture_path("a"), memory, PAGES, &ways[2], &changed);
    ck_assert_mem_ne(raw.bytes, changed.bytes, sizeof raw.bytes);
    free(memory);
}
END_TEST

/* Adding in any pieces, with flushes in between after which the memory is another one, is the same
 * as adding all at once. */
START_TEST(pieces_and_flushes_change_nothing)
{
    uint8_t *memory = make_memory(), *copy = malloc(64 * PAGE);
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = PAGES * PAGE};
    struct vmk_archive_writer *writer = NULL;
    fixture_save(fixture_path("whole"), memory, PAGES, &ways[_i], NULL);
    ck_assert_int_eq(
        vmk_archive_writer_new_path(&contents, fixture_path("pieces"), &ways[_i], &writer, NULL),
        0);
    ck_assert_int_eq(
        vmk_archive_writer_add_section(writer, "state", 1, VMK_ARCHIVE_REQUIRED, "abc", 3, NULL),
        0);
    for (size_t page = 3, count; page < 900; page += count) {
        count = 1 + page % 64 < 900 - page ? 1 + page % 64 : 900 - page;
        memcpy(copy, memory + page * PAGE, count * PAGE);
        ck_assert_int_eq(
            vmk_archive_writer_add_memory(writer, page * PAGE, copy, count * PAGE, NULL), 0);
        ck_assert_int_eq(vmk_archive_writer_flush(writer, NULL), 0);
        memset(copy, 0xee, 64 * PAGE);
    }
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
    fixture_same_files(fixture_path("whole"), fixture_path("pieces"));
    free(memory);
    free(copy);
}
END_TEST

/* What was written is needed no more; nor are the sums of what was summed up by the caller. */
START_TEST(pieces_that_are_settled_are_needed_no_more)
{
    const struct vmk_archive_settings *settings = &ways[_i / 2];
    const bool is_summed = settings->level == 0 && _i % 2 == 0;
    uint8_t *memory = make_memory(), *copy = malloc(PAGES * PAGE);
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = PAGES * PAGE};
    struct vmk_archive_writer *writer = NULL;
    fixture_save(fixture_path("whole"), memory, PAGES, settings, NULL);
    ck_assert_int_eq(
        vmk_archive_writer_new_path(&contents, fixture_path("pieces"), settings, &writer, NULL), 0);
    ck_assert_int_eq(
        vmk_archive_writer_add_section(writer, "state", 1, VMK_ARCHIVE_REQUIRED, "abc", 3, NULL),
        0);
    memcpy(copy, memory, PAGES * PAGE);
    for (size_t page = 0, count; page < PAGES; page += count) {
        struct vmk_archive_sum sums[64];
        count = 1 + page % 64 < PAGES - page ? 1 + page % 64 : PAGES - page;
        vmk_archive_sum_pages(copy + page * PAGE, count * PAGE, sums);
        ck_assert_int_eq(
            is_summed ? vmk_archive_writer_add_summed(writer, page * PAGE, copy + page * PAGE,
                                                      count * PAGE, sums, NULL)
                      : vmk_archive_writer_add_memory(writer, page * PAGE, copy + page * PAGE,
                                                      count * PAGE, NULL),
            0);
        memset(sums, 0xee, sizeof sums);
        uint64_t added = vmk_archive_writer_get_added(writer);
        ck_assert_uint_le(vmk_archive_writer_get_settled(writer), added);
        if (page % 3 != 0)
            continue;
        ck_assert_int_eq(vmk_archive_writer_settle(writer, added, NULL), 0);
        memset(copy, 0xee, (page + count) * PAGE);
    }
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
    fixture_same_files(fixture_path("whole"), fixture_path("pieces"));
    free(memory);
    free(copy);
}
END_TEST

START_TEST(runs_can_be_mapped)
{
    uint8_t *memory = make_memory();
    fixture_save(fixture_path("a"), memory, PAGES, &ways[0], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    struct vmk_archive_run run;
    uint64_t data = 0, runs = 0;
    for (uint64_t page = 0; page < PAGES; page += run.count, runs++) {
        vmk_archive_find(archive, page, &run);
        ck_assert_uint_eq(run.page, page);
        ck_assert(!run.compressed);
        if (run.state != VMK_ARCHIVE_DATA)
            continue;
        data += run.count;
        uint8_t *mapped = mmap(NULL, run.count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, run.fd,
                               (off_t)run.offset);
        ck_assert_ptr_ne(mapped, MAP_FAILED);
        ck_assert_mem_eq(mapped, memory + page * PAGE, run.count * PAGE);
        munmap(mapped, run.count * PAGE);
    }
    ck_assert_uint_eq(data, DATA_PAGES);
    ck_assert_uint_eq(runs, 7);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(compressed_runs_say_so)
{
    uint8_t *memory = make_memory();
    struct vmk_archive_run run;
    fixture_save(fixture_path("a"), memory, PAGES, &ways[2], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    vmk_archive_find(archive, 301, &run);
    ck_assert(run.compressed);
    ck_assert_int_eq(run.fd, -1);
    ck_assert_int_eq(run.state, VMK_ARCHIVE_DATA);
    ck_assert_uint_eq(run.count, 599);
    ck_assert_uint_eq(run.rank, 39);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

/* Memory that does not get smaller is stored as it is. */
START_TEST(what_does_not_compress_is_stored)
{
    uint8_t *memory = fixture_memory(64);
    uint64_t state = 1;
    for (size_t i = 0; i < 64 * PAGE; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memory[i] = (uint8_t)(state >> 56);
    }
    fixture_save(fixture_path("a"), memory, 64, &ways[2], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    ck_assert_uint_eq(vmk_archive_get_info(archive)->stored_bytes, 64 * PAGE);
    fixture_check(archive, memory, 64);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(a_memory_may_be_empty_or_all_zero)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_save(fixture_path("none"), memory, 0, &ways[_i], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("none"));
    fixture_check(archive, memory, 0);
    ck_assert_int_eq(vmk_archive_verify(archive, &ways[_i], NULL), 0);
    vmk_archive_unref(archive);
    fixture_save(fixture_path("zero"), memory, PAGES, &ways[_i], NULL);
    archive = fixture_open(fixture_path("zero"));
    fixture_check(archive, memory, PAGES);
    ck_assert_uint_eq(vmk_archive_get_info(archive)->data_pages, 0);
    ck_assert_int_eq(vmk_archive_verify(archive, &ways[_i], NULL), 0);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

/* A terabyte with a page at each end costs no more than two pages. */
START_TEST(a_hole_costs_nothing)
{
    uint8_t *memory = fixture_memory(2), *copy = fixture_memory(2);
    uint64_t size = UINT64_C(1) << 40;
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = size};
    struct vmk_archive_writer *writer = NULL;
    fixture_fill(memory, 0, 2, 1);
    ck_assert_int_eq(
        vmk_archive_writer_new_path(&contents, fixture_path("a"), &ways[_i], &writer, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, 0, memory, PAGE, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, size - PAGE, memory + PAGE, PAGE, NULL),
                     0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);

    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    ck_assert_uint_lt(vmk_archive_get_info(archive)->file_size, 4 * PAGE);
    ck_assert_uint_eq(vmk_archive_get_info(archive)->data_pages, 2);
    const struct vmk_archive_target targets[] = {{0, PAGE, copy}, {size - PAGE, PAGE, copy + PAGE}};
    ck_assert_int_eq(vmk_archive_load(archive, targets, 2, 0, &ways[_i], NULL), 0);
    ck_assert_mem_eq(copy, memory, 2 * PAGE);
    vmk_archive_unref(archive);
    free(memory);
    free(copy);
}
END_TEST

START_TEST(all_threads_load_the_memory)
{
    uint8_t *memory = make_memory(), *copy = malloc(PAGES * PAGE);
    memset(copy, 0xee, PAGES * PAGE);
    fixture_save(fixture_path("a"), memory, PAGES, &ways[_i], NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    const struct vmk_archive_target targets[] = {
        {0, 333 * PAGE, copy}, {333 * PAGE, (PAGES - 333) * PAGE, copy + 333 * PAGE}};
    ck_assert_int_eq(vmk_archive_load(archive, targets, 2, 0, &ways[_i], NULL), 0);
    ck_assert_mem_eq(copy, memory, PAGES * PAGE);

    /* Zeros are left alone on demand. */
    memset(copy, 0xee, PAGES * PAGE);
    ck_assert_int_eq(vmk_archive_load(archive, targets, 2, VMK_ARCHIVE_SKIP_ZEROS, &ways[_i], NULL),
                     0);
    ck_assert_mem_eq(copy + 300 * PAGE, memory + 300 * PAGE, 600 * PAGE);
    ck_assert_uint_eq(copy[0], 0xee);
    ck_assert_uint_eq(copy[PAGES * PAGE - 1], 0xee);
    const struct vmk_archive_target beyond = {(PAGES - 1) * PAGE, 2 * PAGE, copy};
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "whole pages", vmk_archive_load, archive, &beyond,
            1, 0, &ways[_i]);
    vmk_archive_unref(archive);
    free(memory);
    free(copy);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = fixture_tcase(suite, "memory");
    tcase_add_loop_test(tcase, memory_is_read_as_it_was_written, 0, WAYS);
    tcase_add_loop_test(tcase, parts_of_the_memory_are_read, 0, WAYS);
    tcase_add_test(tcase, the_bytes_depend_on_no_thread);
    tcase_add_test(tcase, the_identity_depends_on_no_compression);
    tcase_add_loop_test(tcase, pieces_and_flushes_change_nothing, 0, WAYS);
    tcase_add_loop_test(tcase, pieces_that_are_settled_are_needed_no_more, 0, 2 * WAYS);
    tcase_add_test(tcase, runs_can_be_mapped);
    tcase_add_test(tcase, compressed_runs_say_so);
    tcase_add_test(tcase, what_does_not_compress_is_stored);
    tcase_add_loop_test(tcase, a_memory_may_be_empty_or_all_zero, 0, WAYS);
    tcase_add_loop_test(tcase, a_hole_costs_nothing, 0, WAYS);
    tcase_add_loop_test(tcase, all_threads_load_the_memory, 0, WAYS);
    return suite;
}
