/* SPDX-License-Identifier: Apache-2.0 */
/* Archives with parents: read through them, merged, compared, and what is not their parent. */
#include "archive/archive.h"
#include "fixture.h"
#include "util/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 400

static const struct vmk_archive_settings raw = {.level = 0}, packed = {.level = 6};

/* Save what differs from a parent: the pages that a memory has and its former one has not. */
static void
save_part(const char *path, const struct vmk_archive *parent, const uint8_t *before,
          const uint8_t *memory, size_t pages, const struct vmk_archive_settings *settings,
          const char *state)
{
    const struct vmk_archive_info *info = vmk_archive_get_info(parent);
    struct vmk_archive_contents contents = {.architecture = "test",
                                            .memory_size = pages * PAGE,
                                            .parent_depth = info->depth,
                                            .parent = info->identity};
    struct vmk_archive_writer *writer = NULL;
    ck_assert_int_eq(vmk_archive_writer_new_path(&contents, path, settings, &writer, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_add_section(writer, "state", 1, VMK_ARCHIVE_REQUIRED, state,
                                                    strlen(state), NULL),
                     0);
    int result = 0;
    for (size_t i = 0; i < pages && result == 0; i++) {
        if (memcmp(before + i * PAGE, memory + i * PAGE, PAGE) != 0)
            result = vmk_archive_writer_add_memory(writer, i * PAGE, memory + i * PAGE, PAGE, NULL);
    }
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
}

static void
save_child(const char *path, const struct vmk_archive *parent, const uint8_t *before,
           const uint8_t *memory, const struct vmk_archive_settings *settings, const char *state)
{
    save_part(path, parent, before, memory, PAGES, settings, state);
}

static struct vmk_archive *
open_child(const char *path, struct vmk_archive *parent)
{
    struct vmk_archive *archive = fixture_open(path);
    vmkit_error *error = NULL;
    int result = vmk_archive_set_parent(archive, parent, &error);
    ck_assert_msg(result == 0, "%s", error == NULL ? "" : vmk_error_get_message(error));
    return archive;
}

/* A memory as it was at three moments: things come, change and go. */
static void
make_moments(uint8_t *moments[3])
{
    for (size_t i = 0; i < 3; i++)
        moments[i] = fixture_memory(PAGES);
    fixture_fill(moments[0], 10, 200, 1);
    fixture_fill(moments[0], 300, 5, 2);
    memcpy(moments[1], moments[0], PAGES * PAGE);
    fixture_fill(moments[1], 50, 3, 3);
    fixture_fill(moments[1], 205, 20, 4);
    memset(moments[1] + 301 * PAGE, 0, 2 * PAGE);
    memset(moments[1] + 100 * PAGE, 0, 40 * PAGE);
    memcpy(moments[2], moments[1], PAGES * PAGE);
    fixture_fill(moments[2], 51, 1, 5);
    fixture_fill(moments[2], 399, 1, 6);
    fixture_fill(moments[2], 110, 2, 7);
    memset(moments[2] + 10 * PAGE, 0, PAGE);
}

static void
free_moments(uint8_t *moments[3])
{
    for (size_t i = 0; i < 3; i++)
        free(moments[i]);
}

/* Three files, each the parent of the next. Every mixture of raw and compressed. */
static struct vmk_archive *
make_chain(uint8_t *moments[3], int mixture)
{
    const struct vmk_archive_settings *settings[3];
    for (int i = 0; i < 3; i++)
        settings[i] = (mixture >> i & 1) != 0 ? &packed : &raw;
    fixture_save(fixture_path("0"), moments[0], PAGES, settings[0], NULL);
    struct vmk_archive *first = fixture_open(fixture_path("0"));
    save_child(fixture_path("1"), first, moments[0], moments[1], settings[1], "abc");
    struct vmk_archive *second = open_child(fixture_path("1"), first);
    save_child(fixture_path("2"), second, moments[1], moments[2], settings[2], "abc");
    struct vmk_archive *third = open_child(fixture_path("2"), second);
    vmk_archive_unref(first);
    vmk_archive_unref(second);
    return third;
}

START_TEST(memory_is_read_through_all_parents)
{
    uint8_t *moments[3], *copy = malloc(PAGES * PAGE);
    make_moments(moments);
    struct vmk_archive *archive = make_chain(moments, _i);
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    ck_assert_uint_eq(info->depth, 2);
    ck_assert_uint_eq(info->data_pages, 4);
    ck_assert_uint_eq(info->zero_pages, 1);
    ck_assert_uint_eq(info->parent_pages, PAGES - 5);
    fixture_check(archive, moments[2], PAGES);
    const struct vmk_archive_target target = {0, PAGES * PAGE, copy};
    memset(copy, 0xee, PAGES * PAGE);
    ck_assert_int_eq(vmk_archive_load(archive, &target, 1, 0, &packed, NULL), 0);
    ck_assert_mem_eq(copy, moments[2], PAGES * PAGE);
    vmk_archive_unref(archive);
    free_moments(moments);
    free(copy);
}
END_TEST

START_TEST(a_merge_is_the_full_save_of_that_moment)
{
    static const struct vmk_archive_settings ways[] = {
        {.level = 0}, {.level = 6, .threads = 1}, {.level = 6, .threads = 3}};
    uint8_t *moments[3];
    make_moments(moments);
    struct vmk_archive *archive = make_chain(moments, _i);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        fixture_save(fixture_path("full"), moments[2], PAGES, &ways[i], NULL);
        ck_assert_int_eq(vmk_archive_merge(archive, fixture_path("merged"), -1, &ways[i], NULL), 0);
        fixture_same_files(fixture_path("full"), fixture_path("merged"));
    }
    vmk_archive_unref(archive);
    free_moments(moments);
}
END_TEST

/* Its depth is another one, so that nobody takes it for the parent of the others' children. */
START_TEST(the_identity_of_a_merge_is_not_that_of_its_last_file)
{
    uint8_t *moments[3];
    make_moments(moments);
    struct vmk_archive *archive = make_chain(moments, 0);
    ck_assert_int_eq(vmk_archive_merge(archive, fixture_path("merged"), -1, &raw, NULL), 0);
    struct vmk_archive *merged = fixture_open(fixture_path("merged"));
    ck_assert_mem_ne(vmk_archive_get_info(archive)->identity.bytes,
                     vmk_archive_get_info(merged)->identity.bytes, 16);
    save_child(fixture_path("child"), archive, moments[2], moments[0], &raw, "x");
    struct vmk_archive *child = fixture_open(fixture_path("child"));
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "its parent is", vmk_archive_set_parent, child,
            merged);
    vmk_archive_unref(child);
    vmk_archive_unref(merged);
    vmk_archive_unref(archive);
    free_moments(moments);
}
END_TEST

/* The same parent, stored in another way, is the same parent. */
START_TEST(a_parent_may_be_compressed_later)
{
    uint8_t *moments[3];
    make_moments(moments);
    vmk_archive_unref(make_chain(moments, 0));
    struct vmk_archive *first = fixture_open(fixture_path("0"));
    ck_assert_int_eq(vmk_archive_merge(first, fixture_path("0"), -1, &packed, NULL), 0);
    vmk_archive_unref(first);
    first = fixture_open(fixture_path("0"));
    ck_assert(vmk_archive_get_info(first)->compressed);
    struct vmk_archive *second = open_child(fixture_path("1"), first);
    fixture_check(second, moments[1], PAGES);
    vmk_archive_unref(first);
    vmk_archive_unref(second);
    free_moments(moments);
}
END_TEST

START_TEST(a_parent_that_is_missing_or_changed_is_refused)
{
    uint8_t *moments[3], *copy = malloc(PAGES * PAGE);
    make_moments(moments);
    vmk_archive_unref(make_chain(moments, 0));
    struct vmk_archive *first = fixture_open(fixture_path("0")),
                       *second = fixture_open(fixture_path("1")),
                       *third = fixture_open(fixture_path("2"));
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "needs its parent", vmk_archive_check_complete, third);
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "needs its parent", vmk_archive_read_memory, third, 0,
            copy, PAGE);
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "needs its parent", vmk_archive_merge, third,
            fixture_path("merged"), -1, &raw);
    ck_assert_int_eq(fixture_count_files(), 3);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "its parent is", vmk_archive_set_parent, third,
            first);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "its parent is", vmk_archive_set_parent, third,
            third);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "does not need", vmk_archive_set_parent, first,
            second);
    ck_assert_int_eq(vmk_archive_set_parent(third, second, NULL), 0);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "already has", vmk_archive_set_parent, third,
            second);
    /* Its own parent is missing still. */
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "/1: it needs", vmk_archive_check_complete, third);
    moments[0][60 * PAGE] ^= 1;
    fixture_save(fixture_path("changed"), moments[0], PAGES, &raw, NULL);
    struct vmk_archive *changed = fixture_open(fixture_path("changed"));
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "changed is", vmk_archive_set_parent, second,
            changed);
    vmk_archive_unref(changed);
    vmk_archive_unref(first);
    vmk_archive_unref(second);
    vmk_archive_unref(third);
    free_moments(moments);
    free(copy);
}
END_TEST

START_TEST(a_chain_has_an_end)
{
    uint8_t *memory = fixture_memory(PAGES), *before = fixture_memory(PAGES);
    struct vmk_archive *archive = NULL;
    fixture_save(fixture_path("0"), memory, PAGES, &raw, NULL);
    archive = fixture_open(fixture_path("0"));
    for (size_t i = 1; i <= VMK_ARCHIVE_MAX_DEPTH; i++) {
        char name[8];
        snprintf(name, sizeof name, "%zu", i);
        memcpy(before, memory, PAGES * PAGE);
        fixture_fill(memory, i * 3, 1, (uint32_t)i);
        save_child(fixture_path(name), archive, before, memory, &raw, name);
        struct vmk_archive *child = open_child(fixture_path(name), archive);
        vmk_archive_unref(archive);
        archive = child;
    }
    fixture_check(archive, memory, PAGES);
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    struct vmk_archive_contents contents = {.architecture = "test",
                                            .memory_size = PAGES * PAGE,
                                            .parent_depth = info->depth,
                                            .parent = info->identity};
    struct vmk_archive_writer *writer = NULL;
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "has 64 at the most", vmk_archive_writer_new_path, &contents,
            fixture_path("more"), &raw, &writer);
    ck_assert_int_eq(vmk_archive_merge(archive, fixture_path("full"), -1, &raw, NULL), 0);
    vmk_archive_unref(archive);
    archive = fixture_open(fixture_path("full"));
    fixture_check(archive, memory, PAGES);
    vmk_archive_unref(archive);
    free(memory);
    free(before);
}
END_TEST

static void
check_diff(const struct vmk_archive *a, const struct vmk_archive *b,
           const struct vmk_archive_diff *expected)
{
    struct vmk_archive_diff diff;
    ck_assert_int_eq(vmk_archive_compare(a, b, &diff, NULL), 0);
    ck_assert_uint_eq(diff.sections_equal, expected->sections_equal);
    ck_assert_uint_eq(diff.sections_changed, expected->sections_changed);
    ck_assert_uint_eq(diff.sections_only_in_first, expected->sections_only_in_first);
    ck_assert_uint_eq(diff.sections_only_in_second, expected->sections_only_in_second);
    ck_assert_uint_eq(diff.pages_equal, expected->pages_equal);
    ck_assert_uint_eq(diff.pages_changed, expected->pages_changed);
    ck_assert_uint_eq(diff.pages_unknown, expected->pages_unknown);
}

START_TEST(a_comparison_counts_pages)
{
    uint8_t *moments[3];
    make_moments(moments);
    struct vmk_archive *third = make_chain(moments, _i), *first = fixture_open(fixture_path("0"));
    uint64_t changed = 0;
    for (size_t i = 0; i < PAGES; i++)
        changed += memcmp(moments[0] + i * PAGE, moments[2] + i * PAGE, PAGE) != 0;
    check_diff(first, third,
               &(struct vmk_archive_diff){
                   .sections_equal = 1, .pages_equal = PAGES - changed, .pages_changed = changed});
    check_diff(third, third, &(struct vmk_archive_diff){.sections_equal = 1, .pages_equal = PAGES});

    /* Without its parents, most of it is not known. */
    struct vmk_archive *alone = fixture_open(fixture_path("2"));
    check_diff(alone, alone, &(struct vmk_archive_diff){.sections_equal = 1, .pages_equal = PAGES});
    struct vmk_archive_diff diff;
    ck_assert_int_eq(vmk_archive_compare(first, alone, &diff, NULL), 0);
    ck_assert_uint_eq(diff.pages_unknown, PAGES - 5);
    ck_assert_uint_eq(diff.pages_changed, 5);

    /* The same memory, raw and compressed. */
    ck_assert_int_eq(vmk_archive_merge(third, fixture_path("full"), -1, &packed, NULL), 0);
    struct vmk_archive *full = fixture_open(fixture_path("full"));
    check_diff(full, third, &(struct vmk_archive_diff){.sections_equal = 1, .pages_equal = PAGES});
    vmk_archive_unref(full);
    vmk_archive_unref(alone);
    vmk_archive_unref(first);
    vmk_archive_unref(third);
    free_moments(moments);
}
END_TEST

/* Longer than its parent, where that is zeros, and shorter, and longer again: what was cut off does
 * not come back. */
START_TEST(memory_of_a_child_ends_elsewhere)
{
    static const size_t sizes[3] = {300, 400, 120};
    uint8_t *moments[3];
    make_moments(moments);
    memset(moments[0] + sizes[0] * PAGE, 0, (PAGES - sizes[0]) * PAGE);
    fixture_save(fixture_path("0"), moments[0], sizes[0], &raw, NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("0"));
    const char *const names[] = {"0", "1", "2"};
    for (size_t i = 1; i < 3; i++) {
        save_part(fixture_path(names[i]), archive, moments[i - 1], moments[i], sizes[i],
                  _i == 0 ? &raw : &packed, "abc");
        struct vmk_archive *child = open_child(fixture_path(names[i]), archive);
        vmk_archive_unref(archive);
        archive = child;
        fixture_check(archive, moments[i], sizes[i]);
        ck_assert_int_eq(vmk_archive_merge(archive, fixture_path("merged"), -1, &raw, NULL), 0);
        fixture_save(fixture_path("full"), moments[i], sizes[i], &raw, NULL);
        fixture_same_files(fixture_path("merged"), fixture_path("full"));
    }
    memset(moments[2] + sizes[2] * PAGE, 0, (PAGES - sizes[2]) * PAGE);
    save_part(fixture_path("longer"), archive, moments[2], moments[2], PAGES, &raw, "abc");
    struct vmk_archive *longer = open_child(fixture_path("longer"), archive);
    ck_assert_uint_eq(vmk_archive_get_info(longer)->data_pages, 0);
    fixture_check(longer, moments[2], PAGES);
    vmk_archive_unref(longer);
    vmk_archive_unref(archive);
    free_moments(moments);
}
END_TEST

START_TEST(a_comparison_counts_sections)
{
    uint8_t *memory = fixture_memory(PAGES);
    struct vmk_archive *archives[2];
    static const char *const names[2][3] = {{"same", "changed", "first"},
                                            {"second", "changed", "same"}};
    for (size_t i = 0; i < 2; i++) {
        struct vmk_archive_contents contents = {.architecture = "test",
                                                .memory_size = (i + 1) * PAGE};
        struct vmk_archive_writer *writer = NULL;
        ck_assert_int_eq(
            vmk_archive_writer_new_path(&contents, fixture_path("a"), &raw, &writer, NULL), 0);
        for (size_t j = 0; j < 3; j++)
            ck_assert_int_eq(vmk_archive_writer_add_section(writer, names[i][j], 1, 0,
                                                            j == 1 && i == 1 ? "y" : "x", 1, NULL),
                             0);
        ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
        vmk_archive_writer_free(writer);
        archives[i] = fixture_open(fixture_path("a"));
    }
    check_diff(archives[0], archives[1],
               &(struct vmk_archive_diff){.sections_equal = 1,
                                          .sections_changed = 1,
                                          .sections_only_in_first = 1,
                                          .sections_only_in_second = 1,
                                          .pages_equal = 1,
                                          .pages_changed = 1});
    vmk_archive_unref(archives[0]);
    vmk_archive_unref(archives[1]);
    free(memory);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("chain");
    TCase *tcase = fixture_tcase(suite, "chain");
    tcase_add_loop_test(tcase, memory_is_read_through_all_parents, 0, 8);
    tcase_add_loop_test(tcase, a_merge_is_the_full_save_of_that_moment, 0, 8);
    tcase_add_test(tcase, the_identity_of_a_merge_is_not_that_of_its_last_file);
    tcase_add_test(tcase, a_parent_may_be_compressed_later);
    tcase_add_test(tcase, a_parent_that_is_missing_or_changed_is_refused);
    tcase_add_test(tcase, a_chain_has_an_end);
    tcase_add_loop_test(tcase, memory_of_a_child_ends_elsewhere, 0, 2);
    tcase_add_loop_test(tcase, a_comparison_counts_pages, 0, 4);
    tcase_add_test(tcase, a_comparison_counts_sections);
    return suite;
}
