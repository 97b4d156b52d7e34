/* SPDX-License-Identifier: Apache-2.0 */
/* What a writer refuses, what it tells of its progress, and how it is cancelled. */
#include "archive/archive.h"
#include "fixture.h"
#include "util/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGES 3000

static const struct vmk_archive_settings raw = {.level = 0};

static struct vmk_archive_writer *
make_writer(const struct vmk_archive_settings *settings)
{
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = PAGES * PAGE};
    struct vmk_archive_writer *writer = NULL;
    ck_assert_int_eq(
        vmk_archive_writer_new_path(&contents, fixture_path("a"), settings, &writer, NULL), 0);
    return writer;
}

START_TEST(contents_that_make_no_sense_are_refused)
{
    struct vmk_archive_writer *writer = NULL;
    static const struct {
        struct vmk_archive_contents contents;
        uint32_t level;
        int err;
        enum vmkit_error_kind kind;
        const char *word;
    } samples[] = {
        {{.architecture = ""}, 0, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "\"\""},
        {{.architecture = "PDP 11"}, 0, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "PDP 11"},
        {{.architecture = "sixteen_letters_"}, 0, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "sixteen"},
        {{.architecture = "a", .memory_size = 4097},
         0,
         EINVAL,
         VMKIT_ERROR_INVALID_ARGUMENT,
         "4097"},
        {{.architecture = "a", .memory_size = UINT64_C(1) << 53},
         0,
         EINVAL,
         VMKIT_ERROR_INVALID_ARGUMENT,
         "9007199254740992"},
        {{.architecture = "a"}, 10, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "level 10"},
        {{.architecture = "a", .parent = {{1}}, .parent_depth = 64},
         0,
         E2BIG,
         VMKIT_ERROR_LIMIT,
         "merge"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct vmk_archive_settings settings = {.level = samples[i].level};
        REFUSES(samples[i].err, samples[i].kind, samples[i].word, vmk_archive_writer_new_path,
                &samples[i].contents, fixture_path("a"), &settings, &writer);
    }
    ck_assert_ptr_null(writer);
    ck_assert_int_eq(fixture_count_files(), 0);
}
END_TEST

START_TEST(memory_comes_in_ascending_order)
{
    uint8_t *memory = fixture_memory(4);
    struct vmk_archive_writer *writer = make_writer(&raw);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, 4 * PAGE, memory, 4 * PAGE, NULL), 0);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "does not follow 0x8000",
            vmk_archive_writer_add_memory, writer, 7 * PAGE, memory, PAGE);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "[0x8001", vmk_archive_writer_add_memory, writer,
            8 * PAGE + 1, memory, PAGE);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "+0x1)", vmk_archive_writer_add_memory, writer,
            8 * PAGE, memory, 1);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "below 0xbb8000", vmk_archive_writer_add_zeros,
            writer, PAGES * PAGE, PAGE);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "does not follow", vmk_archive_writer_add_zeros,
            writer, 8 * PAGE, UINT64_MAX - PAGE + 1);
    /* A refusal changes nothing. */
    ck_assert_int_eq(vmk_archive_writer_add_zeros(writer, 8 * PAGE, PAGE, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    REFUSES(ENXIO, VMKIT_ERROR_WRONG_STATE, "before", vmk_archive_writer_add_zeros, writer,
            9 * PAGE, PAGE);
    vmk_archive_writer_free(writer);
    free(memory);
}
END_TEST

START_TEST(sections_have_names_of_their_own)
{
    struct vmk_archive_writer *writer = make_writer(&raw);
    char name[8] = "aa";
    static const char *const bad[] = {"", "memory.index", "a b", "A", "a_name_of_24_letters_xxx"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, bad[i], vmk_archive_writer_add_section,
                writer, bad[i], 1, 0, "x", 1);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "version 0", vmk_archive_writer_add_section,
            writer, "a", 0, 0, "x", 1);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "flags 0x2", vmk_archive_writer_add_section,
            writer, "a", 1, 2, "x", 1);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "more than 4294967296", vmk_archive_writer_add_section,
            writer, "a", 1, 0, "x", UINT64_C(1) << 33);
    ck_assert_int_eq(vmk_archive_writer_add_section(writer, "a", 1, 0, NULL, 0, NULL), 0);
    REFUSES(EEXIST, VMKIT_ERROR_EXISTS, "\"a\"", vmk_archive_writer_add_section, writer, "a", 1, 0,
            "x", 1);
    int result = 0;
    for (int i = 1; i < 300 && result == 0; i++) {
        name[0] = (char)('a' + i % 26);
        name[1] = (char)('a' + i / 26);
        result = vmk_archive_writer_add_section(writer, name, 1, 0, "x", 1, NULL);
    }
    ck_assert_int_eq(result, -E2BIG);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    ck_assert_uint_eq(vmk_archive_get_info(archive)->section_count, 255);
    ck_assert_uint_eq(vmk_archive_find_section(archive, "a")->size, 0);
    vmk_archive_unref(archive);
}
END_TEST

struct hearing {
    uint64_t last;
    uint64_t total;
    int calls;
    int cancel_at;
    pthread_t thread;
};

static int32_t
hear(void *user_data, uint64_t done, uint64_t total)
{
    struct hearing *hearing = user_data;
    ck_assert_uint_ge(done, hearing->last);
    ck_assert_uint_le(done, total);
    ck_assert(pthread_equal(pthread_self(), hearing->thread));
    hearing->last = done;
    hearing->total = total;
    return ++hearing->calls == hearing->cancel_at;
}

static int
save_heard(struct hearing *hearing, uint32_t level, const uint8_t *memory, vmkit_error **ret_error)
{
    struct vmk_archive_settings settings = {
        .level = level, .threads = 3, .progress = hear, .user_data = hearing};
    hearing->thread = pthread_self();
    struct vmk_archive_writer *writer = make_writer(&settings);
    int result = vmk_archive_writer_add_memory(writer, 0, memory, PAGES * PAGE, ret_error);
    if (result == 0)
        result = vmk_archive_writer_finish(writer, NULL, ret_error);
    vmk_archive_writer_free(writer);
    return result;
}

START_TEST(progress_goes_from_nothing_to_all)
{
    uint8_t *memory = fixture_memory(PAGES);
    struct hearing hearing = {.calls = 0};
    fixture_fill(memory, 0, 500, 1);
    ck_assert_int_eq(save_heard(&hearing, (uint32_t)_i, memory, NULL), 0);
    ck_assert_int_ge(hearing.calls, 10);
    ck_assert_uint_eq(hearing.last, PAGES * PAGE);
    ck_assert_uint_eq(hearing.total, PAGES * PAGE);
    free(memory);
}
END_TEST

START_TEST(a_cancelled_save_leaves_nothing)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_fill(memory, 0, PAGES, 1);
    for (int at = 1; at < 10; at += 2) {
        struct hearing hearing = {.cancel_at = at};
        REFUSES(ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled", save_heard, &hearing, (uint32_t)_i,
                memory);
        ck_assert_int_eq(hearing.calls, at);
        ck_assert_int_eq(fixture_count_files(), 0);
    }
    free(memory);
}
END_TEST

/* The memory may go as soon as the call has failed: no thread reads it any more. */
START_TEST(a_failure_needs_no_memory_any_more)
{
    for (int i = 1; i < 20; i++) {
        struct hearing hearing = {.cancel_at = i / 4 + 1, .thread = pthread_self()};
        struct vmk_archive_settings settings = {
            .level = 9, .threads = 4, .progress = hear, .user_data = &hearing};
        uint8_t *memory =
            mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        fixture_fill(memory, 0, 1000, 1);
        struct vmk_archive_writer *writer = make_writer(&settings);
        ck_assert_int_eq(vmk_archive_writer_add_memory(writer, 0, memory, PAGES * PAGE, NULL),
                         -ECANCELED);
        munmap(memory, PAGES * PAGE);
        usleep(1000);
        vmk_archive_writer_free(writer);
    }
}
END_TEST

/* Loading and verifying tell of themselves too. */
START_TEST(reading_can_be_cancelled)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_fill(memory, 0, PAGES, 1);
    fixture_save(fixture_path("a"), memory, PAGES, &raw, NULL);
    struct vmk_archive *archive = fixture_open(fixture_path("a"));
    const struct vmk_archive_target target = {0, PAGES * PAGE, memory};
    struct hearing hearing = {.thread = pthread_self()};
    struct vmk_archive_settings settings = {.threads = 2, .progress = hear, .user_data = &hearing};
    ck_assert_int_eq(vmk_archive_verify(archive, &settings, NULL), 0);
    ck_assert_int_ge(hearing.calls, 1);
    hearing = (struct hearing){.thread = pthread_self()};
    ck_assert_int_eq(vmk_archive_load(archive, &target, 1, 0, &settings, NULL), 0);
    ck_assert_int_ge(hearing.calls, 1);
    hearing = (struct hearing){.thread = pthread_self(), .cancel_at = 1};
    REFUSES(ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled", vmk_archive_verify, archive, &settings);
    hearing = (struct hearing){.thread = pthread_self(), .cancel_at = 1};
    REFUSES(ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled", vmk_archive_load, archive, &target, 1, 0,
            &settings);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

/* A signal to the process comes to the thread that waits for it, and to none of the library's. */
START_TEST(threads_take_no_signals)
{
    struct vmk_archive_settings settings = {.level = 1, .threads = 4};
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct vmk_archive_writer *writer = make_writer(&settings);
    /* By default it would end the process in a thread that does not block it. */
    kill(getpid(), SIGUSR1);
    sigpending(&pending);
    ck_assert_int_eq(sigismember(&pending, SIGUSR1), 1);
    ck_assert_int_eq(sigtimedwait(&set, NULL, &(struct timespec){5, 0}), SIGUSR1);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("writer");
    TCase *tcase = fixture_tcase(suite, "writer");
    tcase_add_test(tcase, contents_that_make_no_sense_are_refused);
    tcase_add_test(tcase, memory_comes_in_ascending_order);
    tcase_add_test(tcase, sections_have_names_of_their_own);
    tcase_add_loop_test(tcase, progress_goes_from_nothing_to_all, 0, 2);
    tcase_add_loop_test(tcase, a_cancelled_save_leaves_nothing, 0, 2);
    tcase_add_test(tcase, a_failure_needs_no_memory_any_more);
    tcase_add_test(tcase, reading_can_be_cancelled);
    tcase_add_test(tcase, threads_take_no_signals);
    return suite;
}
