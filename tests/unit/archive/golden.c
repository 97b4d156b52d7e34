/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of version 1 that were kept: they are read for ever, and the same contents still give the
 * same bytes. VMKIT_TEST_GOLDEN names their folder. With VMKIT_TEST_MAKE_GOLDEN the files are
 * written there instead, which is done once for a version of the format.
 */
#include "archive/archive.h"
#include "fixture.h"
#include "util/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 64

static const struct vmk_archive_settings raw = {.level = 0}, packed = {.level = 6};

static const char *
golden(const char *name)
{
    static char paths[4][1024];
    static size_t next;
    char *path = paths[next++ % 4];
    ck_assert_ptr_nonnull(getenv("VMKIT_TEST_GOLDEN"));
    snprintf(path, sizeof paths[0], "%s/%s", getenv("VMKIT_TEST_GOLDEN"), name);
    return path;
}

static void
finish(struct vmk_archive_writer *writer, const char *state)
{
    ck_assert_int_eq(vmk_archive_writer_add_section(writer, "state", 1, VMK_ARCHIVE_REQUIRED, state,
                                                    strlen(state), NULL),
                     0);
    ck_assert_int_eq(
        vmk_archive_writer_add_section(writer, "note", 3, 0, "one, two, three", 15, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
}

/* Data at 2, 3 and 6, with a gap, and at 40. */
static uint8_t *
make_full(const char *path, const struct vmk_archive_settings *settings)
{
    struct vmk_archive_contents contents = {.architecture = "x86_64", .memory_size = PAGES * PAGE};
    struct vmk_archive_writer *writer = NULL;
    uint8_t *memory = fixture_memory(PAGES);
    fixture_fill(memory, 2, 2, 1);
    fixture_fill(memory, 6, 1, 2);
    fixture_fill(memory, 40, 1, 3);
    ck_assert_int_eq(vmk_archive_writer_new_path(&contents, path, settings, &writer, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, 0, memory, PAGES * PAGE, NULL), 0);
    finish(writer, "abc");
    return memory;
}

/* Page 3 changes, page 50 comes, page 40 goes. Changes the memory. */
static void
make_child(const char *path, const char *parent_path, uint8_t *memory)
{
    struct vmk_archive *parent = fixture_open(parent_path);
    struct vmk_archive_contents contents = {.architecture = "x86_64",
                                            .memory_size = PAGES * PAGE,
                                            .parent = vmk_archive_get_info(parent)->identity};
    struct vmk_archive_writer *writer = NULL;
    vmk_archive_unref(parent);
    fixture_fill(memory, 3, 1, 4);
    fixture_fill(memory, 50, 1, 5);
    memset(memory + 40 * PAGE, 0, PAGE);
    ck_assert_int_eq(vmk_archive_writer_new_path(&contents, path, &raw, &writer, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        size_t page = ((size_t[]){3, 40, 50})[i];
        ck_assert_int_eq(
            vmk_archive_writer_add_memory(writer, page * PAGE, memory + page * PAGE, PAGE, NULL),
            0);
    }
    finish(writer, "abcd");
}

/* What is kept is what is made now. */
static void
check_same(const char *kept, const char *made, const uint8_t *memory, struct vmk_archive *parent)
{
    struct vmk_archive *a = fixture_open(kept), *b = fixture_open(made);
    if (parent != NULL) {
        ck_assert_int_eq(vmk_archive_set_parent(a, parent, NULL), 0);
        ck_assert_int_eq(vmk_archive_set_parent(b, parent, NULL), 0);
    }
    ck_assert_mem_eq(vmk_archive_get_info(a)->identity.bytes,
                     vmk_archive_get_info(b)->identity.bytes, 16);
    ck_assert_int_eq(vmk_archive_verify(a, &raw, NULL), 0);
    fixture_check(a, memory, PAGES);
    fixture_check(b, memory, PAGES);
    ck_assert_uint_eq(vmk_archive_find_section(a, "note")->version, 3);
    vmk_archive_unref(a);
    vmk_archive_unref(b);
}

START_TEST(files_of_version_1_are_read_and_made_as_ever)
{
    if (getenv("VMKIT_TEST_MAKE_GOLDEN") != NULL) {
        free(make_full(golden("1-zlib.snapshot"), &packed));
        uint8_t *memory = make_full(golden("1-full.snapshot"), &raw);
        make_child(golden("1-child.snapshot"), golden("1-full.snapshot"), memory);
        free(memory);
    }
    free(make_full(fixture_path("zlib"), &packed));
    uint8_t *memory = make_full(fixture_path("full"), &raw);
    check_same(golden("1-full.snapshot"), fixture_path("full"), memory, NULL);
    check_same(golden("1-zlib.snapshot"), fixture_path("zlib"), memory, NULL);
    fixture_same_files(golden("1-full.snapshot"), fixture_path("full"));

    struct vmk_archive *parent = fixture_open(golden("1-zlib.snapshot"));
    make_child(fixture_path("child"), golden("1-full.snapshot"), memory);
    check_same(golden("1-child.snapshot"), fixture_path("child"), memory, parent);
    fixture_same_files(golden("1-child.snapshot"), fixture_path("child"));
    vmk_archive_unref(parent);
    free(memory);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("golden");
    TCase *tcase = fixture_tcase(suite, "golden");
    tcase_add_test(tcase, files_of_version_1_are_read_and_made_as_ever);
    return suite;
}
