/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages are copied back and which are given back: a memory of arrays, and a log of bits. */
#include "mem/rollback.h"

#include "harness.h"

#include <string.h>

#define WORDS 64
#define PAGES (WORDS * 64)

static uint8_t memory[PAGES];
static uint8_t image[PAGES];
static uint64_t log_bits[WORDS]; /* that stay until they are cleared */
static unsigned copied, discarded;

static void
copy(void *user_data, uint64_t page, uint64_t count)
{
    memcpy(memory + page, image + page, count);
    copied += (unsigned)count;
}

static void
discard(void *user_data, uint64_t page, uint64_t count)
{
    memcpy(memory + page, image + page, count);
    discarded += (unsigned)count;
}

static bool
is_equal(void *user_data, uint64_t page)
{
    return memory[page] == image[page];
}

static uint64_t
select_even(void *user_data, uint64_t word)
{
    return UINT64_C(0x5555555555555555);
}

static void
begin(struct vmk_rollback *rollback)
{
    for (unsigned page = 0; page < PAGES; page++)
        memory[page] = image[page] = (uint8_t)(page * 7 + 1);
    memset(log_bits, 0, sizeof log_bits);
    copied = discarded = 0;
    *rollback = (struct vmk_rollback){0};
    ck_assert_int_eq(vmk_rollback_make(rollback, WORDS), 0);
}

static void
write_page(unsigned page)
{
    memory[page] ^= 0xff;
    log_bits[page / 64] |= UINT64_C(1) << page % 64;
}

static void
run(struct vmk_rollback *rollback, uint64_t *written, bool all)
{
    const struct vmk_rollback_pages pages = {
        .copy = copy, .discard = discard, .is_equal = is_equal, .select = all ? NULL : select_even};
    copied = discarded = 0;
    memcpy(rollback->log, log_bits, sizeof log_bits);
    if (vmk_rollback_run(rollback, written, &pages)) {
        for (unsigned word = 0; word < WORDS; word++)
            log_bits[word] &= ~rollback->log[word];
    }
}

static void
assert_back(void)
{
    ck_assert_mem_eq(memory, image, sizeof memory);
}

START_TEST(what_was_written_is_brought_back)
{
    struct vmk_rollback rollback;
    uint64_t written[WORDS] = {0};
    begin(&rollback);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned page = round; page < PAGES; page += 1 + round * 13 % 97)
            write_page(page);
        unsigned own = round * 31 % PAGES;
        memory[own] = (uint8_t)~image[own];
        written[own / 64] |= UINT64_C(1) << own % 64;
        run(&rollback, written, true);
        assert_back();
        ck_assert_uint_eq(written[own / 64], 0);
    }
    vmk_rollback_clear(&rollback);
}
END_TEST

START_TEST(what_is_written_again_is_copied_and_stays)
{
    struct vmk_rollback rollback;
    uint64_t written[WORDS] = {0};
    begin(&rollback);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned page = 100; page < 200; page++)
            write_page(page);
        run(&rollback, written, true);
        assert_back();
        ck_assert_uint_eq(copied, 100);
        ck_assert_uint_eq(discarded, 0);
    }
    vmk_rollback_clear(&rollback);
}
END_TEST

START_TEST(what_is_written_no_more_is_given_back)
{
    struct vmk_rollback rollback;
    uint64_t written[WORDS] = {0};
    begin(&rollback);
    for (unsigned page = 100; page < 200; page++)
        write_page(page);
    unsigned gone = 0;
    for (unsigned round = 0; round < 20; round++) {
        run(&rollback, written, true);
        assert_back();
        gone += discarded;
    }
    ck_assert_uint_eq(gone, 100);
    ck_assert_uint_eq(log_bits[2], 0);
    ck_assert_uint_eq(copied, 0);
    vmk_rollback_clear(&rollback);
}
END_TEST

START_TEST(very_many_at_once_are_given_back_at_once)
{
    struct vmk_rollback rollback;
    uint64_t written[WORDS] = {0};
    begin(&rollback);
    for (unsigned page = 0; page < 2000; page++)
        write_page(page);
    run(&rollback, written, true);
    assert_back();
    ck_assert_uint_eq(copied, 0);
    ck_assert_uint_eq(discarded, 2000);
    for (unsigned page = 0; page < 2000; page++)
        write_page(page);
    run(&rollback, written, true);
    assert_back();
    ck_assert_uint_eq(copied, 2000);
    vmk_rollback_clear(&rollback);
}
END_TEST

START_TEST(what_is_not_selected_is_left)
{
    struct vmk_rollback rollback;
    uint64_t written[WORDS] = {0};
    begin(&rollback);
    write_page(10);
    write_page(11);
    run(&rollback, written, false);
    ck_assert_uint_eq(memory[10], image[10]);
    ck_assert_uint_ne(memory[11], image[11]);
    vmk_rollback_clear(&rollback);
    ck_assert_ptr_null(rollback.log);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("mem_rollback");
    TCase *tcase = tcase_create("mem_rollback");
    tcase_add_test(tcase, what_was_written_is_brought_back);
    tcase_add_test(tcase, what_is_written_again_is_copied_and_stays);
    tcase_add_test(tcase, what_is_written_no_more_is_given_back);
    tcase_add_test(tcase, very_many_at_once_are_given_back_at_once);
    tcase_add_test(tcase, what_is_not_selected_is_left);
    suite_add_tcase(suite, tcase);
    return suite;
}
