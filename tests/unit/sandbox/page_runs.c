/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of pages in a snapshot file, and the image of guest memory that is made from it: what is
 * listed comes back where it was, and a list of a stranger's is refused with a sentence or makes an
 * image that leads nowhere else. No VM is needed for either.
 */
#include "archive/archive.h"
#include "harness.h"
#include "sandbox/frames_private.h"
#include "sandbox/page_runs.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define LARGE (2 * UINT64_C(1048576))
#define MIB UINT64_C(1048576)
#define RW (VMK_PAGE_READ | VMK_PAGE_WRITE)
#define RUN_SIZE 26
#define LIMIT (32 * MIB)
#define ROUNDS 4000

/* What a program could have had: pages of both sizes, some without rights, out of order in memory.
 */
static const struct vmk_page_run sample[] = {
    {0x10000, 5 * PAGE, 3 * PAGE, VMK_PAGE_READ | VMK_PAGE_EXECUTE, false},
    {0x13000, PAGE, PAGE, RW, false},
    {0x400000, 2 * LARGE, 2 * LARGE, RW, true},
    {UINT64_C(0x7f0000000000), 100 * PAGE, 40 * PAGE, 0, false},
    {UINT64_C(0x7fffffffe000), 3 * PAGE, PAGE, RW, false},
};

#define SAMPLE_COUNT (sizeof sample / sizeof sample[0])
#define SAMPLE_TOTAL (45 * PAGE + 2 * LARGE)

static struct vmk_bytes
encode(const struct vmk_page_run *items, size_t count)
{
    struct vmk_bytes bytes = {0};
    struct vmk_page_runs runs = {.items = (struct vmk_page_run *)(uintptr_t)items, .count = count};
    vmk_page_runs_encode(&runs, &bytes);
    ck_assert_uint_eq(bytes.size, 8 + count * RUN_SIZE);
    return bytes;
}

static int
decode(const struct vmk_bytes *bytes, uint64_t memory_size, uint64_t limit,
       struct vmk_page_runs *runs, vmkit_error **error)
{
    *runs = (struct vmk_page_runs){0};
    return vmk_page_runs_decode(bytes->data, bytes->size, memory_size, limit, runs, error);
}

START_TEST(a_list_is_read_back)
{
    struct vmk_bytes bytes = encode(sample, SAMPLE_COUNT);
    struct vmk_page_runs runs;
    ck_assert_int_eq(decode(&bytes, LIMIT, LIMIT, &runs, NULL), 0);
    ck_assert_uint_eq(runs.count, SAMPLE_COUNT);
    ck_assert_uint_eq(runs.total, SAMPLE_TOTAL);
    ck_assert_uint_eq(runs.end, 4 * LARGE);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        ck_assert_uint_eq(runs.items[i].va, sample[i].va);
        ck_assert_uint_eq(runs.items[i].gpa, sample[i].gpa);
        ck_assert_uint_eq(runs.items[i].size, sample[i].size);
        ck_assert_uint_eq(runs.items[i].rights, sample[i].rights);
        ck_assert_int_eq(runs.items[i].large, sample[i].large);
    }
    vmk_page_runs_clear(&runs);
    vmk_bytes_clear(&bytes);
}
END_TEST

START_TEST(one_that_cannot_be_is_refused)
{
    static const struct vmk_page_run wrong[] = {
        {0x10001, PAGE, PAGE, RW, false},
        {0x10000, PAGE + 1, PAGE, RW, false},
        {0x10000, PAGE, 0, RW, false},
        {0x10000, PAGE, 100, RW, false},
        {0xf000, PAGE, PAGE, RW, false},
        {0x10000, 0, PAGE, RW, false},
        {0x10000, PAGE, PAGE, 8, false},
        {0x10000, PAGE, PAGE, 0x80, false},
        {0x200000, PAGE, LARGE, RW, true},
        {0x201000, LARGE, LARGE, RW, true},
        {0x200000, LARGE, PAGE, RW, true},
        {UINT64_C(0x7ffffffff000), PAGE, PAGE, RW, false},
        {UINT64_C(0x7fffffffe000), PAGE, 2 * PAGE, RW, false},
        {UINT64_C(0xffffffffc0000000), PAGE, PAGE, RW, false},
        {UINT64_C(0xfffffffffffff000), PAGE, PAGE, RW, false},
        {0x10000, PAGE, UINT64_C(0) - PAGE, RW, false},
        {0x10000, UINT64_C(0) - PAGE, PAGE, RW, false},
        {0x10000, 16 * MIB, PAGE, RW, false},
        {0x10000, PAGE, 16 * MIB, RW, false},
        {0x10000, PAGE, 9 * MIB, RW, false},
    };
    struct vmk_bytes bytes = encode(&wrong[_i], 1);
    struct vmk_page_runs runs;
    vmkit_error *error = NULL;
    ck_assert_uint_lt((size_t)_i, sizeof wrong / sizeof wrong[0]);
    ck_assert_int_eq(decode(&bytes, 16 * MIB, 8 * MIB, &runs, &error), -EINVAL);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "run 0"));
    ck_assert_ptr_null(runs.items);
    vmk_error_unref(error);
    vmk_bytes_clear(&bytes);
}
END_TEST

START_TEST(an_order_and_a_count_that_cannot_be_are_refused)
{
    const struct vmk_page_run twice[] = {sample[0], sample[0]}, back[] = {sample[1], sample[0]};
    struct vmk_bytes bytes[] = {encode(twice, 2), encode(back, 2), encode(sample, 2)};
    struct vmk_page_runs runs;
    bytes[2].size--;
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(decode(&bytes[i], LIMIT, LIMIT, &runs, NULL), -EINVAL);
        ck_assert_ptr_null(runs.items);
    }
    bytes[2].size++;
    bytes[2].data[0] = 3;
    ck_assert_int_eq(decode(&bytes[2], LIMIT, LIMIT, &runs, NULL), -EINVAL);
    memset(bytes[2].data, 0xff, 8);
    ck_assert_int_eq(decode(&bytes[2], LIMIT, LIMIT, &runs, NULL), -EINVAL);
    for (size_t i = 0; i < 3; i++)
        vmk_bytes_clear(&bytes[i]);
}
END_TEST

/* An archive in a memfd with every listed page's number in it, but for every seventh, which is of
 * zeros. */
static struct vmk_archive *
make_archive(const struct vmk_page_run *items, size_t count, uint64_t end, uint32_t level)
{
    const struct vmk_archive_settings settings = {.level = level, .threads = 1};
    const struct vmk_archive_contents contents = {.architecture = "x86_64", .memory_size = end};
    struct vmk_archive_writer *writer = NULL;
    struct vmk_archive *archive = NULL;
    int fd = memfd_create("archive", MFD_CLOEXEC);
    uint64_t *memory = calloc(1, end);
    for (size_t i = 0; i < count; i++) {
        for (uint64_t at = items[i].gpa; at < items[i].gpa + items[i].size; at += PAGE)
            memory[at / 8] = at / PAGE % 7 == 0 ? 0 : at / PAGE;
    }
    ck_assert_int_eq(vmk_archive_writer_new_fd(&contents, fd, &settings, &writer, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, 0, memory, end, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
    ck_assert_int_eq(vmk_archive_open_fd(fd, "archive", NULL, 0, &archive, NULL), 0);
    close(fd);
    free(memory);
    return archive;
}

/* One page for somebody. */
static int
lay_out(void *user_data, struct vmk_paging *paging)
{
    uint64_t *gpa = user_data;
    *gpa = paging->alloc(paging->user_data);
    if (*gpa == 0)
        return -ENOMEM;
    memset(paging->memory + *gpa, 0x5a, PAGE);
    return 0;
}

static uint64_t host_limit = UINT64_MAX;

static int
open_image(struct vmk_archive *archive, const struct vmk_page_run *items, size_t count,
           uint64_t limit, struct vmk_frames_image **image, vmkit_error **error)
{
    static uint64_t gpa;
    const struct vmk_archive_settings settings = {.threads = 1};
    const struct vmk_frames_limits limits = {.guest = limit, .host = host_limit};
    struct vmk_page_runs runs = {.items = (struct vmk_page_run *)(uintptr_t)items, .count = count};
    for (size_t i = 0; i < count; i++) {
        runs.total += items[i].size;
        if (items[i].gpa + items[i].size > runs.end)
            runs.end = items[i].gpa + items[i].size;
    }
    *image = NULL;
    int r = vmk_frames_image_open(archive, NULL, &runs, &limits, &settings, lay_out, &gpa, image,
                                  error);
    ck_assert(r < 0 || (*image)->memory[gpa] == 0x5a);
    return r;
}

static int
accept_memory(void *user_data, uint64_t gpa, uint64_t size, void *hva)
{
    (void)gpa, (void)hva;
    *(uint64_t *)user_data += size;
    return 0;
}

/* Every page is where it was, holds what it held, and nothing else is shown. */
static void
check_copy(const struct vmk_paging *paging, const struct vmk_page_run *items, size_t count)
{
    struct vmk_page_runs shown;
    ck_assert_int_eq(vmk_page_runs_list(paging, &shown), 0);
    ck_assert_uint_eq(shown.count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(shown.items[i].va, items[i].va);
        ck_assert_uint_eq(shown.items[i].gpa, items[i].gpa);
        ck_assert_uint_eq(shown.items[i].size, items[i].size);
        ck_assert_uint_eq(shown.items[i].rights, items[i].rights);
        ck_assert_int_eq(shown.items[i].large, items[i].large);
        for (uint64_t at = items[i].gpa; at < items[i].gpa + items[i].size; at += PAGE) {
            uint64_t word;
            memcpy(&word, paging->memory + at, sizeof word);
            ck_assert_uint_eq(word, at / PAGE % 7 == 0 ? 0 : at / PAGE);
        }
    }
    vmk_page_runs_clear(&shown);
}

static void
open_and_check(const struct vmk_page_run *items, size_t count, uint64_t end, uint32_t level)
{
    struct vmk_archive *archive = make_archive(items, count, end, level);
    struct vmk_frames_image *image;
    struct vmk_memory_account account;
    struct vmk_paging paging;
    struct vmk_frames *frames;
    vmkit_error *error = NULL;
    uint64_t known = 0;
    int r = open_image(archive, items, count, LIMIT, &image, &error);
    ck_assert_msg(r == 0, "%s", vmk_error_get_message(error));
    vmk_archive_unref(archive);
    ck_assert_uint_eq(vmk_frames_image_get_end(image), end);
    vmk_memory_account_init(&account, LIMIT);
    ck_assert_int_eq(
        vmk_frames_new_copy(image, LIMIT, &account, accept_memory, &known, &paging, &frames, NULL),
        0);
    ck_assert_uint_eq(known, vmk_frames_image_get_size(image));
    ck_assert_uint_eq(account.used, vmk_frames_image_get_used(image));
    check_copy(&paging, items, count);
    /* What it gets besides lies above all that. */
    ck_assert_uint_ge(vmk_frames_alloc(frames), vmk_frames_image_get_size(image));
    vmk_paging_free(&paging);
    vmk_frames_free(frames);
    vmk_frames_image_free(image);
}

START_TEST(an_image_has_what_was_saved_where_it_was)
{
    open_and_check(sample, SAMPLE_COUNT, 4 * LARGE, (uint32_t)_i);
}
END_TEST

/* More places than are mapped one by one. */
START_TEST(memory_in_very_many_places_is_read)
{
    struct vmk_page_run items[100];
    for (uint64_t i = 0; i < 100; i++)
        items[i] = (struct vmk_page_run){(i + 1) * MIB, (40 * i + 1) * PAGE, PAGE, RW, false};
    open_and_check(items, 100, (40 * 99 + 2) * PAGE, (uint32_t)_i);
}
END_TEST

START_TEST(two_pages_in_one_place_are_refused)
{
    static const struct vmk_page_run wrong[][2] = {
        {{0x10000, PAGE, 4 * PAGE, RW, false}, {0x20000, 3 * PAGE, PAGE, RW, false}},
        {{0x10000, LARGE + PAGE, PAGE, RW, false}, {0x400000, LARGE, LARGE, RW, true}},
        {{0x10000, PAGE, PAGE, RW, false}, {0x11000, PAGE, PAGE, RW, false}},
    };
    struct vmk_archive *archive = make_archive(wrong[0], 2, 2 * LARGE, 0);
    struct vmk_frames_image *image;
    vmkit_error *error = NULL;
    ck_assert_int_eq(open_image(archive, wrong[_i], 2, LIMIT, &image, &error), -EINVAL);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    ck_assert_ptr_null(image);
    vmk_error_unref(error);
    vmk_archive_unref(archive);
}
END_TEST

/* Guest memory where a PC has its interrupt controllers, and so far up that KVM would keep books on
 * the whole address space. */
START_TEST(memory_at_places_that_are_none_is_refused)
{
    static const struct vmk_page_run hole = {0x10000, HOLE_START, PAGE, RW, false};
    static const struct vmk_page_run far = {0x10000, UINT64_C(1) << 40, PAGE, RW, false};
    struct vmk_archive *archive = make_archive(sample, 1, 4 * LARGE, 0);
    struct vmk_frames_image *image;
    vmkit_error *error = NULL;
    ck_assert_int_eq(open_image(archive, &hole, 1, UINT64_C(1) << 32, &image, NULL), -EINVAL);
    ck_assert_int_eq(open_image(archive, &far, 1, LIMIT, &image, &error), -E2BIG);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_LIMIT);
    vmk_error_unref(error);
    vmk_archive_unref(archive);
}
END_TEST

/* Few pages, each of which needs three tables of its own. */
START_TEST(tables_count_against_the_limit)
{
    struct vmk_page_run items[200];
    for (uint64_t i = 0; i < 200; i++)
        items[i] = (struct vmk_page_run){(i + 1) << 39, (i + 1) * PAGE, PAGE, RW, false};
    struct vmk_archive *archive = make_archive(items, 200, 201 * PAGE, 0);
    struct vmk_frames_image *image;
    vmkit_error *error = NULL;
    ck_assert_int_eq(open_image(archive, items, 200, 200 * 3 * PAGE, &image, &error), -E2BIG);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_LIMIT);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "2457600"));
    vmk_error_unref(error);
    ck_assert_int_eq(open_image(archive, items, 200, 200 * 4 * PAGE + 8 * PAGE, &image, NULL), 0);
    ck_assert_uint_eq(vmk_frames_image_get_used(image), 200 * 4 * PAGE + 2 * PAGE);
    vmk_frames_image_free(image);
    vmk_archive_unref(archive);
}
END_TEST

/* What a file that is small itself makes of the host's memory. */
START_TEST(memory_for_opening_is_limited)
{
    static const struct vmk_page_run all = {LARGE, LARGE, UINT64_C(1) << 39, RW, false};
    struct vmk_page_run items[100];
    struct vmk_frames_image *image;
    vmkit_error *error = NULL;
    for (uint64_t i = 0; i < 100; i++)
        items[i] = (struct vmk_page_run){(i + 1) * MIB, (40 * i + 1) * PAGE, PAGE, RW, false};
    struct vmk_archive *archive = make_archive(items, 100, (40 * 99 + 2) * PAGE, 0);
    host_limit = 8 * MIB;
    ck_assert_int_eq(open_image(archive, &all, 1, UINT64_C(1) << 40, &image, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "scattered pages"));
    vmk_error_unref(error);
    error = NULL;
    host_limit = 32 * MIB;
    ck_assert_int_eq(open_image(archive, &all, 1, UINT64_C(1) << 40, &image, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "page tables"));
    vmk_error_unref(error);
    error = NULL;
    /* 85 pages that are not zero, and two tables at the least. */
    host_limit = 84 * PAGE;
    ck_assert_int_eq(open_image(archive, items, 100, LIMIT, &image, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "344064"));
    vmk_error_unref(error);
    error = NULL;
    host_limit = 4 * PAGE;
    ck_assert_int_eq(open_image(archive, items, 8, LIMIT, &image, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "page tables"));
    vmk_error_unref(error);
    host_limit = 100 * MIB;
    ck_assert_int_eq(open_image(archive, items, 100, LIMIT, &image, NULL), 0);
    vmk_frames_image_free(image);
    vmk_archive_unref(archive);
}
END_TEST

START_TEST(an_empty_list_makes_an_empty_image)
{
    struct vmk_archive *archive = make_archive(sample, 1, 4 * LARGE, 0);
    struct vmk_frames_image *image;
    ck_assert_int_eq(open_image(archive, sample, 0, LIMIT, &image, NULL), 0);
    ck_assert_uint_eq(vmk_frames_image_get_end(image), 0);
    ck_assert_uint_eq(vmk_frames_image_get_data(image), 0);
    vmk_frames_image_free(image);
    vmk_archive_unref(archive);
}
END_TEST

/* Whatever the list says: it is refused, or all that is shown lies inside of the image, each page
 * once. The sanitizers look for what else could go wrong. */
START_TEST(a_list_that_was_mangled_is_refused_or_harmless)
{
    struct vmk_archive *archive = make_archive(sample, SAMPLE_COUNT, 4 * LARGE, 0);
    struct vmk_bytes bytes = encode(sample, SAMPLE_COUNT);
    uint8_t *original = malloc(bytes.size);
    unsigned opened = 0;
    ck_assert_ptr_nonnull(original);
    memcpy(original, bytes.data, bytes.size);
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        struct vmk_page_runs runs;
        struct vmk_frames_image *image;
        memcpy(bytes.data, original, bytes.size);
        for (int i = rand() % 3; i >= 0; i--)
            bytes.data[8 + (size_t)rand() % (bytes.size - 8)] ^= (uint8_t)(1u << rand() % 8);
        if (decode(&bytes, 4 * LARGE, LIMIT, &runs, NULL) < 0)
            continue;
        if (open_image(archive, runs.items, runs.count, LIMIT, &image, NULL) == 0) {
            ck_assert_uint_le(vmk_frames_image_get_end(image), 4 * LARGE);
            ck_assert_uint_le(vmk_frames_image_get_used(image), LIMIT);
            vmk_frames_image_free(image);
            opened++;
        }
        vmk_page_runs_clear(&runs);
    }
    ck_assert_uint_gt(opened, ROUNDS / 50);
    ck_assert_uint_lt(opened, ROUNDS);
    free(original);
    vmk_bytes_clear(&bytes);
    vmk_archive_unref(archive);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("page_runs");
    TCase *tcase = tcase_create("page_runs");

    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, a_list_is_read_back);
    tcase_add_loop_test(tcase, one_that_cannot_be_is_refused, 0, 20);
    tcase_add_test(tcase, an_order_and_a_count_that_cannot_be_are_refused);
    tcase_add_loop_test(tcase, an_image_has_what_was_saved_where_it_was, 0, 2);
    tcase_add_loop_test(tcase, memory_in_very_many_places_is_read, 0, 2);
    tcase_add_loop_test(tcase, two_pages_in_one_place_are_refused, 0, 3);
    tcase_add_test(tcase, memory_at_places_that_are_none_is_refused);
    tcase_add_test(tcase, tables_count_against_the_limit);
    tcase_add_test(tcase, memory_for_opening_is_limited);
    tcase_add_test(tcase, an_empty_list_makes_an_empty_image);
    tcase_add_test(tcase, a_list_that_was_mangled_is_refused_or_harmless);
    suite_add_tcase(suite, tcase);
    return suite;
}
