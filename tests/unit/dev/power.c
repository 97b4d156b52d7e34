/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/power.h"

#include "fake_board.h"
#include "harness.h"
#include "util/error.h"

#include <errno.h>

/* What the guest asked for last, and what the machine answers. */
struct asked {
    unsigned request;
    unsigned count;
};

static int
note(void *user_data, enum vmk_power_request request)
{
    struct asked *asked = user_data;
    asked->request = request;
    asked->count++;
    return VMKIT_HANDLED_STOP;
}

/* One write, and what it asks for; 0: nothing. */
static const struct write {
    uint64_t port;
    unsigned value;
    unsigned request;
} writes[] = {
    {VMK_POWER_SLEEP_CONTROL, 0x20 | VMK_POWER_S5 << 2, VMK_POWER_OFF},
    {VMK_POWER_SLEEP_CONTROL, VMK_POWER_S5 << 2, 0}, /* not enabled */
    {VMK_POWER_SLEEP_CONTROL, 0x20 | 3 << 2, 0},     /* a state that is not there */
    {VMK_POWER_SLEEP_STATUS, 0x80, 0},
    {VMK_POWER_RESET, VMK_POWER_RESET_VALUE, VMK_POWER_RESTART},
    {VMK_POWER_RESET, 0, 0},
    {VMK_POWER_PORT + 3, 0xff, 0},
    {0x64, 0xfe, VMK_POWER_RESTART},
    {0x64, 0xaa, 0},
    {0xcf9, 0x06, VMK_POWER_RESTART},
    {0xcf9, 0x02, 0},
    {VMK_PVPANIC_PORT, 1, VMK_POWER_PANIC},
    {VMK_PVPANIC_PORT, 3, VMK_POWER_PANIC},
    {VMK_PVPANIC_PORT, 2, VMK_POWER_CRASH_LOADED},
    {VMK_PVPANIC_PORT, 4, 0},
};

START_TEST(each_write_asks_for_what_it_means)
{
    const struct write *write = &writes[_i];
    struct fake_board fake;
    struct asked asked = {0};
    fake_board_init(&fake);
    struct vmk_board board = fake_board_get(&fake);
    ck_assert_int_eq(vmk_power_add(&board, note, &asked, NULL), 0);
    int expected = write->request == 0 ? VMKIT_HANDLED : VMKIT_HANDLED_STOP;
    ck_assert_int_eq(fake_board_out(&fake, write->port, 1, write->value), expected);
    ck_assert_uint_eq(asked.request, write->request);
    ck_assert_uint_eq(asked.count, write->request != 0);
    fake_board_clear(&fake);
}
END_TEST

START_TEST(reads_ask_for_nothing)
{
    struct fake_board fake;
    struct asked asked = {0};
    fake_board_init(&fake);
    struct vmk_board board = fake_board_get(&fake);
    ck_assert_int_eq(vmk_power_add(&board, note, &asked, NULL), 0);
    ck_assert_uint_eq(fake_board_in(&fake, VMK_POWER_PORT, 4), 0);
    ck_assert_uint_eq(fake_board_in(&fake, 0x64, 1), 0);
    ck_assert_uint_eq(fake_board_in(&fake, 0xcf9, 1), 0);
    ck_assert_uint_eq(fake_board_in(&fake, VMK_PVPANIC_PORT, 1), 3);
    ck_assert_uint_eq(asked.count, 0);
    fake_board_clear(&fake);
}
END_TEST

START_TEST(a_board_that_is_full_is_an_error_and_nothing_leaks)
{
    for (int room = 0; room < 4; room++) {
        struct fake_board fake;
        struct asked asked = {0};
        vmkit_error *error = NULL;
        fake_board_init(&fake);
        fake.room = room;
        struct vmk_board board = fake_board_get(&fake);
        ck_assert_int_eq(vmk_power_add(&board, note, &asked, &error), -ENOSPC);
        ck_assert_str_eq(vmk_error_get_message(error), "the board is full");
        vmk_error_unref(error);
        fake_board_clear(&fake);
    }
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("power");
    TCase *tcase = tcase_create("power");

    tcase_add_loop_test(tcase, each_write_asks_for_what_it_means, 0,
                        sizeof writes / sizeof writes[0]);
    tcase_add_test(tcase, reads_ask_for_nothing);
    tcase_add_test(tcase, a_board_that_is_full_is_an_error_and_nothing_leaks);
    suite_add_tcase(suite, tcase);
    return suite;
}
