/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot files through the public functions: the kept files are opened, checked, merged,
 * compared.
 */
#include "assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/vmkit-api-snapshot.XXXXXX";
static char out[64];

static void
set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/out", folder);
}

static void
tear_down(void)
{
    unlink(out);
    /* Nothing else was left behind. */
    ck_assert_int_eq(rmdir(folder), 0);
}

static const char *
golden(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s.snapshot", getenv("VMKIT_TEST_GOLDEN"), name);
    return path;
}

static vmkit_snapshot_file *
open_golden(const char *name)
{
    vmkit_snapshot_file *file = NULL;
    ASSERT_OK(vmkit_snapshot_file_open_path(golden(name), 0, &file, &error));
    return file;
}

static vmkit_snapshot_options *
make_options(uint32_t level)
{
    vmkit_snapshot_options *options = NULL;
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, level, &error));
    ASSERT_OK(vmkit_snapshot_options_set_sync(options, 0, &error));
    return options;
}

static struct vmkit_snapshot_file_info
get_info(vmkit_snapshot_file *file)
{
    struct vmkit_snapshot_file_info info = {.size = sizeof info};
    ASSERT_OK(vmkit_snapshot_file_get_info(file, &info, &error));
    return info;
}

START_TEST(options_take_what_they_document)
{
    vmkit_snapshot_options *options = make_options(9);
    ASSERT_OK(vmkit_snapshot_options_set_sync(options, 1, &error));
    ASSERT_OK(vmkit_snapshot_options_set_threads(options, 64, &error));
    ASSERT_OK(vmkit_snapshot_options_set_threads(options, 0, &error));
    ASSERT_OK(vmkit_snapshot_options_set_progress(options, NULL, NULL, &error));
    ASSERT_INVALID(vmkit_snapshot_options_set_compression(options, 10, &error), "10");
    ASSERT_INVALID(vmkit_snapshot_options_set_sync(options, 2, &error), "2");
    ASSERT_FAILS(vmkit_snapshot_options_set_threads(options, 65, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "65");
    ASSERT_INVALID(vmkit_snapshot_options_new(NULL, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_compression(NULL, 1, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_sync(NULL, 1, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_threads(NULL, 1, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_progress(NULL, NULL, NULL, &error), "NULL");
    ck_assert_ptr_eq(vmkit_snapshot_options_ref(options), options);
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_options_unref(options);
    ck_assert_ptr_null(vmkit_snapshot_options_ref(NULL));
    vmkit_snapshot_options_unref(NULL);
}
END_TEST

START_TEST(a_file_says_what_it_is)
{
    vmkit_snapshot_file *full = open_golden("1-full"), *child = open_golden("1-child"),
                        *packed = open_golden("1-zlib");
    struct vmkit_snapshot_file_info info = get_info(full), other = get_info(child);
    ck_assert_uint_eq(info.version, 1);
    ck_assert_uint_eq(info.depth, 0);
    ck_assert_uint_eq(info.compressed, 0);
    ck_assert_uint_eq(info.section_count, 4);
    ck_assert_uint_eq(info.file_size, 29104);
    ck_assert_uint_eq(info.memory_size, 64 * 4096);
    ck_assert_uint_eq(info.data_pages, 6);
    ck_assert_uint_eq(info.zero_pages, 58);
    ck_assert_uint_eq(info.stored_bytes, 6 * 4096);
    ck_assert_str_eq(info.architecture, "x86_64");
    ck_assert_uint_eq(other.depth, 1);
    ck_assert_uint_eq(other.parent_pages, 61);
    ck_assert_mem_eq(other.parent, info.identity, 16);
    other = get_info(packed);
    ck_assert_uint_eq(other.compressed, 1);
    ck_assert_uint_lt(other.stored_bytes, info.stored_bytes);
    ck_assert_mem_eq(other.identity, info.identity, 16);

    struct vmkit_snapshot_file_section section = {.size = sizeof section};
    ASSERT_OK(vmkit_snapshot_file_get_section(full, 0, &section, &error));
    ck_assert_str_eq(section.name, "state");
    ck_assert_uint_eq(section.version, 1);
    ck_assert_uint_eq(section.required, 1);
    ck_assert_uint_eq(section.bytes, 3);
    ASSERT_OK(vmkit_snapshot_file_get_section(full, 1, &section, &error));
    ck_assert_str_eq(section.name, "note");
    ck_assert_uint_eq(section.required, 0);
    ASSERT_FAILS(vmkit_snapshot_file_get_section(full, 4, &section, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "section 4");
    info.size = 8;
    ASSERT_INVALID(vmkit_snapshot_file_get_info(full, &info, &error), "size is 8");
    section.size = 8;
    ASSERT_INVALID(vmkit_snapshot_file_get_section(full, 0, &section, &error), "size is 8");
    vmkit_snapshot_file_unref(full);
    vmkit_snapshot_file_unref(child);
    vmkit_snapshot_file_unref(packed);
}
END_TEST

START_TEST(files_are_opened_by_path_and_descriptor)
{
    vmkit_snapshot_file *file = NULL;
    ASSERT_OK(
        vmkit_snapshot_file_open_path(golden("1-full"), VMKIT_SNAPSHOT_FILE_COPY, &file, &error));
    vmkit_snapshot_file_unref(file);
    int fd = open(golden("1-full"), O_RDONLY | O_CLOEXEC);
    for (uint64_t flags = 0; flags <= VMKIT_SNAPSHOT_FILE_COPY; flags++) {
        ASSERT_OK(vmkit_snapshot_file_open_fd(fd, flags, &file, &error));
        ck_assert_ptr_eq(vmkit_snapshot_file_ref(file), file);
        vmkit_snapshot_file_unref(file);
        ASSERT_OK(vmkit_snapshot_file_verify(file, NULL, &error));
        vmkit_snapshot_file_unref(file);
    }
    close(fd);
    file = NULL;
    ASSERT_INVALID(vmkit_snapshot_file_open_path(NULL, 0, &file, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_open_path("x", 0, NULL, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_open_path("x", 2, &file, &error), "0x2");
    ASSERT_INVALID(vmkit_snapshot_file_open_fd(0, 2, &file, &error), "0x2");
    ASSERT_FAILS(vmkit_snapshot_file_open_fd(-1, 0, &file, &error), EINVAL, VMKIT_ERROR_IO,
                 "descriptor");
    ASSERT_FAILS(vmkit_snapshot_file_open_path("/none", 0, &file, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, "\"/none\"");
    ASSERT_FAILS(vmkit_snapshot_file_open_path("/proc/self/exe", 0, &file, &error), EINVAL,
                 VMKIT_ERROR_BAD_SNAPSHOT, "no snapshot");
    ck_assert_ptr_null(file);
    ck_assert_ptr_null(vmkit_snapshot_file_ref(NULL));
    vmkit_snapshot_file_unref(NULL);
}
END_TEST

START_TEST(a_chain_is_merged)
{
    vmkit_snapshot_file *parent = open_golden("1-zlib"), *child = open_golden("1-child"),
                        *merged = NULL, *again = NULL;
    vmkit_snapshot_options *options = make_options(1);
    ASSERT_FAILS(vmkit_snapshot_file_merge_path(child, out, options, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, "needs its parent");
    ASSERT_FAILS(vmkit_snapshot_file_set_parent(child, child, &error), EINVAL,
                 VMKIT_ERROR_BAD_SNAPSHOT, "its parent is");
    ASSERT_OK(vmkit_snapshot_file_set_parent(child, parent, &error));
    vmkit_snapshot_file_unref(parent);
    ASSERT_OK(vmkit_snapshot_file_merge_path(child, out, options, &error));
    ASSERT_OK(vmkit_snapshot_file_open_path(out, 0, &merged, &error));
    struct vmkit_snapshot_file_info info = get_info(merged);
    ck_assert_uint_eq(info.depth, 0);
    ck_assert_uint_eq(info.compressed, 1);

    int fd = memfd_create("merged", MFD_CLOEXEC);
    ASSERT_OK(vmkit_snapshot_file_merge_fd(child, fd, NULL, &error));
    ASSERT_OK(vmkit_snapshot_file_open_fd(fd, 0, &again, &error));
    close(fd);
    struct vmkit_snapshot_file_info other = get_info(again);
    ck_assert_uint_eq(other.compressed, 0);
    ck_assert_mem_eq(other.identity, info.identity, 16);
    ASSERT_FAILS(vmkit_snapshot_file_merge_path(child, "/none/out", options, &error), ENOENT,
                 VMKIT_ERROR_IO, "/none/out");
    ASSERT_INVALID(vmkit_snapshot_file_merge_path(child, NULL, options, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_merge_path(NULL, out, options, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_merge_fd(NULL, 1, options, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_merge_fd(child, -1, options, &error), "not open");
    vmkit_snapshot_file_unref(merged);
    vmkit_snapshot_file_unref(again);
    vmkit_snapshot_file_unref(child);
    vmkit_snapshot_options_unref(options);
}
END_TEST

START_TEST(two_files_are_compared)
{
    vmkit_snapshot_file *full = open_golden("1-full"), *child = open_golden("1-child"),
                        *packed = open_golden("1-zlib");
    struct vmkit_snapshot_file_difference difference = {.size = sizeof difference};
    ASSERT_OK(vmkit_snapshot_file_diff(full, packed, &difference, &error));
    ck_assert_uint_eq(difference.sections_equal, 2);
    ck_assert_uint_eq(difference.pages_equal, 64);
    ck_assert_uint_eq(difference.pages_changed + difference.pages_unknown, 0);
    ASSERT_OK(vmkit_snapshot_file_diff(full, child, &difference, &error));
    ck_assert_uint_eq(difference.sections_equal, 1);
    ck_assert_uint_eq(difference.sections_changed, 1);
    ck_assert_uint_eq(difference.pages_unknown, 61);
    ASSERT_OK(vmkit_snapshot_file_set_parent(child, full, &error));
    ASSERT_OK(vmkit_snapshot_file_diff(full, child, &difference, &error));
    ck_assert_uint_eq(difference.pages_equal, 61);
    ck_assert_uint_eq(difference.pages_changed, 3);
    ck_assert_uint_eq(difference.pages_unknown, 0);
    ASSERT_INVALID(vmkit_snapshot_file_diff(full, NULL, &difference, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_diff(NULL, full, &difference, &error), "NULL");
    difference.size = 4;
    ASSERT_INVALID(vmkit_snapshot_file_diff(full, child, &difference, &error), "size is 4");
    vmkit_snapshot_file_unref(full);
    vmkit_snapshot_file_unref(child);
    vmkit_snapshot_file_unref(packed);
}
END_TEST

static int32_t
count_and_cancel(void *user_data, uint64_t done, uint64_t total)
{
    int *left = user_data;
    ck_assert_uint_le(done, total);
    return --*left == 0;
}

START_TEST(a_callback_cancels)
{
    vmkit_snapshot_file *full = open_golden("1-full");
    vmkit_snapshot_options *options = make_options(0);
    int left = 1;
    ASSERT_OK(vmkit_snapshot_options_set_progress(options, count_and_cancel, &left, &error));
    ASSERT_FAILS(vmkit_snapshot_file_merge_path(full, out, options, &error), ECANCELED,
                 VMKIT_ERROR_CANCELLED, "cancelled");
    ck_assert_int_eq(access(out, F_OK), -1);
    left = 1;
    ASSERT_FAILS(vmkit_snapshot_file_verify(full, options, &error), ECANCELED,
                 VMKIT_ERROR_CANCELLED, "cancelled");
    left = 1000;
    ASSERT_OK(vmkit_snapshot_file_merge_path(full, out, options, &error));
    ck_assert_int_lt(left, 1000);
    ASSERT_INVALID(vmkit_snapshot_file_verify(NULL, options, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_set_parent(NULL, full, &error), "NULL");
    ASSERT_INVALID(vmkit_snapshot_file_set_parent(full, NULL, &error), "NULL");
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_file_unref(full);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_file");
    TCase *tcase = tcase_create("snapshot_file");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, options_take_what_they_document);
    tcase_add_test(tcase, a_file_says_what_it_is);
    tcase_add_test(tcase, files_are_opened_by_path_and_descriptor);
    tcase_add_test(tcase, a_chain_is_merged);
    tcase_add_test(tcase, two_files_are_compared);
    tcase_add_test(tcase, a_callback_cancels);
    suite_add_tcase(suite, tcase);
    return suite;
}
