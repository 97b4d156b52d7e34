/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of the test's own, and a memory with pages of every kind to put into archives. */
#ifndef VMK_TEST_ARCHIVE_FIXTURE_H
#define VMK_TEST_ARCHIVE_FIXTURE_H

#include "archive/archive.h"
#include "harness.h"

#include <stdint.h>

#define PAGE ((size_t)VMK_ARCHIVE_PAGE_SIZE)

/* There for each test of fixture_tcase(), and gone with all that is in it after it. */
extern char fixture_folder[];

TCase *
fixture_tcase(Suite *suite, const char *name);

/* "<folder>/<name>", in a buffer that the fifth call from here uses again. */
const char *
fixture_path(const char *name);

/* How many names the folder has. */
int
fixture_count_files(void);

/* A memory of zeros, to be freed. */
uint8_t *
fixture_memory(size_t pages);

/* Fill pages with numbers that follow from the seed: no page is zero, and none compresses to
 * nothing. */
void
fixture_fill(uint8_t *memory, size_t page, size_t count, uint32_t seed);

/* Save one memory with a section "state" of "abc", and give its identity if `ret_identity` is not
 * NULL. Asserts that it works. */
void
fixture_save(const char *path, const uint8_t *memory, size_t pages,
             const struct vmk_archive_settings *settings,
             struct vmk_archive_identity *ret_identity);

struct vmk_archive *
fixture_open(const char *path);

/* The archive's memory is this one. */
void
fixture_check(const struct vmk_archive *archive, const uint8_t *memory, size_t pages);

/* The whole of a file, to be freed. */
uint8_t *
fixture_read(const char *path, size_t *ret_size);

void
fixture_write(const char *path, const uint8_t *data, size_t size);

/* The two files have the same bytes. */
void
fixture_same_files(const char *a, const char *b);

/* The call, which takes `&error` last, gives the errno, the kind, and a sentence with the word. */
#define REFUSES(err, kind, word, function, ...)                                                    \
    do {                                                                                           \
        vmkit_error *error = NULL;                                                                 \
        ck_assert_int_eq(function(__VA_ARGS__, &error), -(err));                                   \
        ck_assert_ptr_nonnull(error);                                                              \
        ck_assert_uint_eq(vmk_error_get_kind(error), (kind));                                      \
        ck_assert_msg(strstr(vmk_error_get_message(error), (word)) != NULL, "\"%s\" lacks \"%s\"", \
                      vmk_error_get_message(error), (word));                                       \
        vmk_error_unref(error);                                                                    \
    } while (0)

#endif
