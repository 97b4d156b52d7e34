/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "util/error.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char fixture_folder[] = "/tmp/vmkit-archive.XXXXXX";

static void
set_up(void)
{
    memcpy(strrchr(fixture_folder, '.'), ".XXXXXX", 7);
    ck_assert_ptr_nonnull(mkdtemp(fixture_folder));
}

static void
tear_down(void)
{
    DIR *folder = opendir(fixture_folder);
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    ck_assert_int_eq(rmdir(fixture_folder), 0);
}

const char *
fixture_path(const char *name)
{
    static char paths[5][128];
    static size_t next;
    char *path = paths[next++ % 5];
    snprintf(path, sizeof paths[0], "%s/%s", fixture_folder, name);
    return path;
}

int
fixture_count_files(void)
{
    int count = -2;
    DIR *folder = opendir(fixture_folder);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

uint8_t *
fixture_memory(size_t pages)
{
    uint8_t *memory = aligned_alloc(PAGE, pages * PAGE);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, pages * PAGE);
    return memory;
}

void
fixture_fill(uint8_t *memory, size_t page, size_t count, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = page * PAGE; i < (page + count) * PAGE; i++) {
        state = state * 1664525 + 1013904223;
        /* Few values, so that it compresses, but not to nothing. */
        memory[i] = (uint8_t)((state >> 24) & 0x0f);
    }
    for (size_t i = page; i < page + count; i++)
        memory[i * PAGE + PAGE - 1] = 1;
}

void
fixture_save(const char *path, const uint8_t *memory, size_t pages,
             const struct vmk_archive_settings *settings, struct vmk_archive_identity *ret_identity)
{
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = pages * PAGE};
    struct vmk_archive_writer *writer = NULL;
    vmkit_error *error = NULL;
    int result = vmk_archive_writer_new_path(&contents, path, settings, &writer, &error);
    if (result == 0)
        result = vmk_archive_writer_add_section(writer, "state", 1, VMK_ARCHIVE_REQUIRED, "abc", 3,
                                                &error);
    if (result == 0)
        result = vmk_archive_writer_add_memory(writer, 0, memory, pages * PAGE, &error);
    if (result == 0)
        result = vmk_archive_writer_finish(writer, ret_identity, &error);
    ck_assert_msg(result == 0, "%s", error == NULL ? "" : vmk_error_get_message(error));
    vmk_archive_writer_free(writer);
}

struct vmk_archive *
fixture_open(const char *path)
{
    struct vmk_archive *archive = NULL;
    vmkit_error *error = NULL;
    int result = vmk_archive_open_path(path, NULL, 0, &archive, &error);
    ck_assert_msg(result == 0, "%s", error == NULL ? "" : vmk_error_get_message(error));
    return archive;
}

void
fixture_check(const struct vmk_archive *archive, const uint8_t *memory, size_t pages)
{
    uint8_t *copy = malloc(pages * PAGE + 1);
    vmkit_error *error = NULL;
    ck_assert_uint_eq(vmk_archive_get_info(archive)->memory_size, pages * PAGE);
    int result = vmk_archive_read_memory(archive, 0, copy, pages * PAGE, &error);
    ck_assert_msg(result == 0, "%s", error == NULL ? "" : vmk_error_get_message(error));
    size_t same = 0;
    while (same < pages && memcmp(copy + same * PAGE, memory + same * PAGE, PAGE) == 0)
        same++;
    ck_assert_msg(same == pages, "page %zu differs", same);
    free(copy);
}

uint8_t *
fixture_read(const char *path, size_t *ret_size)
{
    struct stat status;
    FILE *file = fopen(path, "re");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_int_eq(fstat(fileno(file), &status), 0);
    uint8_t *data = malloc((size_t)status.st_size + 1);
    *ret_size = fread(data, 1, (size_t)status.st_size, file);
    ck_assert_uint_eq(*ret_size, (size_t)status.st_size);
    fclose(file);
    return data;
}

void
fixture_write(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

void
fixture_same_files(const char *a, const char *b)
{
    size_t a_size, b_size;
    uint8_t *a_data = fixture_read(a, &a_size), *b_data = fixture_read(b, &b_size);
    ck_assert_uint_eq(a_size, b_size);
    /* Each assertion costs a message. */
    size_t same = 0;
    while (same < a_size && a_data[same] == b_data[same])
        same++;
    ck_assert_msg(same == a_size, "byte %zu of %zu differs", same, a_size);
    free(a_data);
    free(b_data);
}

TCase *
fixture_tcase(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    /* For a machine that does much else. */
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    suite_add_tcase(suite, tcase);
    return tcase;
}
