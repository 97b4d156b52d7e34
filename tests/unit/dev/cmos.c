/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/cmos.h"

#include "fake_board.h"
#include "harness.h"
#include "util/error.h"

#include <errno.h>

enum { SECONDS = 0, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY = 7, MONTH = 8, YEAR = 9 };
enum { STATUS_A = 10, STATUS_B = 11, STATUS_C = 12, STATUS_D = 13, CENTURY = 0x32 };

struct clock {
    struct fake_board board;
    time_t now;
};

static time_t
get_now(void *user_data)
{
    const struct clock *clock = user_data;
    return clock->now;
}

static void
clock_init(struct clock *clock, time_t now, uint64_t low, uint64_t high)
{
    fake_board_init(&clock->board);
    clock->now = now;
    const struct vmk_cmos_options options = {.board = fake_board_get(&clock->board),
                                             .low_memory = low,
                                             .high_memory = high,
                                             .now = get_now,
                                             .user_data = clock};
    ck_assert_int_eq(vmk_cmos_add(&options, NULL), 0);
}

static unsigned
get(struct clock *clock, unsigned index)
{
    ck_assert_int_eq(fake_board_out(&clock->board, 0x70, 1, 0x80 | index), VMKIT_HANDLED);
    return (unsigned)fake_board_in(&clock->board, 0x71, 1);
}

static void
set(struct clock *clock, unsigned index, unsigned value)
{
    ck_assert_int_eq(fake_board_out(&clock->board, 0x70, 1, index), VMKIT_HANDLED);
    ck_assert_int_eq(fake_board_out(&clock->board, 0x71, 1, value), VMKIT_HANDLED);
}

/* 2026-11-21 23:08:13, a Saturday. */
#define NOW 1795302493

START_TEST(it_shows_the_hosts_time_in_each_form)
{
    struct clock clock;
    clock_init(&clock, NOW, 0, 0);
    ck_assert_uint_eq(get(&clock, STATUS_D), 0x80);
    ck_assert_uint_eq(get(&clock, STATUS_B), 0x02);
    ck_assert_uint_eq(get(&clock, SECONDS), 0x13);
    ck_assert_uint_eq(get(&clock, MINUTES), 0x08);
    ck_assert_uint_eq(get(&clock, HOURS), 0x23);
    ck_assert_uint_eq(get(&clock, WEEKDAY), 0x07);
    ck_assert_uint_eq(get(&clock, DAY), 0x21);
    ck_assert_uint_eq(get(&clock, MONTH), 0x11);
    ck_assert_uint_eq(get(&clock, YEAR), 0x26);
    ck_assert_uint_eq(get(&clock, CENTURY), 0x20);
    set(&clock, STATUS_B, 0x04); /* binary, of 12 hours */
    ck_assert_uint_eq(get(&clock, HOURS), 0x80 | 11);
    ck_assert_uint_eq(get(&clock, YEAR), 26);
    clock.now = NOW - 11 * 3600;
    ck_assert_uint_eq(get(&clock, HOURS), 0x80 | 12);
    clock.now = NOW - 23 * 3600;
    ck_assert_uint_eq(get(&clock, HOURS), 12);
    clock.now = NOW + 47;
    ck_assert_uint_eq(get(&clock, MINUTES), 9);
    ck_assert_uint_eq(get(&clock, STATUS_A), 0x26);
    ck_assert_uint_eq(get(&clock, STATUS_C), 0);
    fake_board_clear(&clock.board);
}
END_TEST

START_TEST(a_time_that_the_guest_sets_goes_on)
{
    struct clock clock;
    clock_init(&clock, NOW, 0, 0);
    set(&clock, STATUS_B, 0x82);
    set(&clock, SECONDS, 0x59);
    set(&clock, MINUTES, 0x59);
    set(&clock, HOURS, 0x23);
    set(&clock, DAY, 0x31);
    set(&clock, MONTH, 0x12);
    set(&clock, YEAR, 0x99);
    set(&clock, CENTURY, 0x19);
    set(&clock, STATUS_B, 0x02);
    ck_assert_uint_eq(get(&clock, YEAR), 0x99);
    clock.now++;
    ck_assert_uint_eq(get(&clock, YEAR), 0x00);
    ck_assert_uint_eq(get(&clock, CENTURY), 0x20);
    ck_assert_uint_eq(get(&clock, DAY), 0x01);
    ck_assert_uint_eq(get(&clock, HOURS), 0x00);
    /* One register alone. */
    set(&clock, HOURS, 0x12);
    ck_assert_uint_eq(get(&clock, HOURS), 0x12);
    ck_assert_uint_eq(get(&clock, MINUTES), 0x00);
    fake_board_clear(&clock.board);
}
END_TEST

START_TEST(memory_is_told_as_old_kernels_read_it)
{
    struct clock clock;
    const uint64_t mib = 1 << 20;
    clock_init(&clock, NOW, 512 * mib, 1024 * mib);
    ck_assert_uint_eq(get(&clock, 0x15) | get(&clock, 0x16) << 8, 640);
    ck_assert_uint_eq(get(&clock, 0x17) | get(&clock, 0x18) << 8, 0xffff);
    ck_assert_uint_eq(get(&clock, 0x34) | get(&clock, 0x35) << 8, (512 - 16) * 16);
    ck_assert_uint_eq(get(&clock, 0x5b) | get(&clock, 0x5c) << 8 | get(&clock, 0x5d) << 16,
                      1024 * 16);
    fake_board_clear(&clock.board);
    clock_init(&clock, NOW, 2 * mib, 0);
    ck_assert_uint_eq(get(&clock, 0x30) | get(&clock, 0x31) << 8, 1024);
    ck_assert_uint_eq(get(&clock, 0x34) | get(&clock, 0x35) | get(&clock, 0x5b), 0);
    fake_board_clear(&clock.board);
}
END_TEST

START_TEST(a_guest_that_writes_anything_does_no_harm)
{
    struct clock clock;
    uint32_t random = 99;
    clock_init(&clock, NOW, 0, 0);
    for (unsigned i = 0; i < 100000; i++) {
        random = random * 1664525 + 1013904223;
        if ((random >> 31) != 0)
            set(&clock, random >> 20 & 0x7f, random >> 8 & 0xff);
        else
            get(&clock, random >> 20 & 0x7f);
    }
    ck_assert_uint_eq(get(&clock, STATUS_D), 0x80);
    ck_assert_uint_eq(get(&clock, STATUS_A) & 0x80, 0);
    fake_board_clear(&clock.board);
}
END_TEST

START_TEST(a_board_that_is_full_is_an_error)
{
    struct fake_board fake;
    vmkit_error *error = NULL;
    fake_board_init(&fake);
    fake.room = 0;
    const struct vmk_cmos_options options = {.board = fake_board_get(&fake)};
    ck_assert_int_eq(vmk_cmos_add(&options, &error), -ENOSPC);
    vmk_error_unref(error);
    fake_board_clear(&fake);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("cmos");
    TCase *tcase = tcase_create("cmos");

    tcase_add_test(tcase, it_shows_the_hosts_time_in_each_form);
    tcase_add_test(tcase, a_time_that_the_guest_sets_goes_on);
    tcase_add_test(tcase, memory_is_told_as_old_kernels_read_it);
    tcase_add_test(tcase, a_guest_that_writes_anything_does_no_harm);
    tcase_add_test(tcase, a_board_that_is_full_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
