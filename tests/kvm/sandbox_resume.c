/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that were paused go on with what they were made with, and with nothing else. */
#include "call_guest.h"
#include "harness.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define SIZE 96

static char in[SIZE], out[SIZE], both[SIZE];
static struct vmkit_argument arguments[6];
static struct vmkit_call call;

/* "alignment" with a number and a double more, which it does not look at. */
static void
describe(void)
{
    const struct vmkit_argument all[6] = {BUFFER(IN, in, SIZE),
                                          BUFFER(OUT, out, SIZE),
                                          BUFFER(IN_OUT, both, SIZE),
                                          BUFFER(IN, in, 3),
                                          INTEGER(7),
                                          DOUBLE(0.5)};
    memcpy(arguments, all, sizeof all);
    memset(in, 1, sizeof in);
    memset(out, 2, sizeof out);
    memset(both, 3, sizeof both);
    call = (struct vmkit_call){
        .size = sizeof call, .symbol = "alignment", .arguments = arguments, .argument_count = 6};
}

static void
change_in(void)
{
    in[SIZE - 1] = 9;
}

static void
change_both(void)
{
    both[0] = 9;
}

static void
shorten_in(void)
{
    arguments[0].size = SIZE - 1;
}

static void
shorten_out(void)
{
    arguments[1].size = 30;
}

static void
lengthen_out(void)
{
    arguments[1].size = SIZE + 64;
}

static void
make_both_in(void)
{
    arguments[2].kind = VMKIT_ARGUMENT_IN;
}

static void
make_out_both(void)
{
    arguments[1].kind = VMKIT_ARGUMENT_IN_OUT;
}

static void
change_number(void)
{
    arguments[4].integer = 8;
}

static void
change_double(void)
{
    arguments[5].real = nextafter(0.5, 1);
}

static void
make_it_float(void)
{
    arguments[5].kind = VMKIT_ARGUMENT_FLOAT;
}

static void
leave_one_out(void)
{
    call.argument_count = 5;
}

static void
ask_for_a_double(void)
{
    call.result_kind = VMKIT_RESULT_DOUBLE;
}

static void
call_another(void)
{
    call.symbol = "nothing";
}

static const struct {
    void (*change)(void);
    const char *word; /* of the refusal */
} changes[] = {
    {change_in, "argument 0"},       {change_both, "argument 2"},
    {shorten_in, "argument 0"},      {shorten_out, "argument 1"},
    {lengthen_out, "argument 1"},    {make_both_in, "argument 2"},
    {make_out_both, "argument 1"},   {change_number, "argument 4"},
    {change_double, "argument 5"},   {make_it_float, "argument 5"},
    {leave_one_out, "another call"}, {ask_for_a_double, "another call"},
    {call_another, "another call"},
};

START_TEST(what_is_not_the_same_is_refused)
{
    describe();
    vmkit_sandbox_pause(call_sandbox);
    call_guest_end(&call, VMKIT_OUTCOME_PAUSED);
    for (int i = 0; i < 2; i++) {
        changes[_i].change();
        call_guest_refuse(&call, -EINVAL, changes[_i].word);
        describe();
        if (i == 0) {
            vmkit_sandbox_pause(call_sandbox);
            call_guest_end(&call, VMKIT_OUTCOME_PAUSED);
        }
    }
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
    ck_assert_uint_ge(call_outcome.result, 64);
    ck_assert_int_eq(both[0], 3);
    ck_assert_int_eq(both[SIZE - 1], 3);
}
END_TEST

/* Where the embedder has its buffers does not matter. */
START_TEST(buffers_may_have_moved)
{
    uint8_t here[100] = {1, 2, 3}, there[100];
    struct vmkit_argument moved[] = {BUFFER(IN_OUT, here, sizeof here), INTEGER(sizeof here)};
    const struct vmkit_call reverse = {
        .size = sizeof reverse, .symbol = "reverse", .arguments = moved, .argument_count = 2};
    vmkit_sandbox_pause(call_sandbox);
    call_guest_end(&reverse, VMKIT_OUTCOME_PAUSED);
    memcpy(there, here, sizeof there);
    moved[0].data = there;
    call_guest_end(&reverse, VMKIT_OUTCOME_RETURNED);
    ck_assert_uint_eq(there[99], 1);
    ck_assert_uint_eq(there[97], 3);
    ck_assert_uint_eq(here[0], 1);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_resume");
    TCase *tcase = tcase_create("sandbox_resume");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, call_guest_set_up, call_guest_tear_down);
    tcase_add_loop_test(tcase, what_is_not_the_same_is_refused, 0,
                        sizeof changes / sizeof changes[0]);
    tcase_add_test(tcase, buffers_may_have_moved);
    suite_add_tcase(suite, tcase);
    return suite;
}
