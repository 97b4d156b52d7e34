/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that mean harm: they hurt themselves alone, and the caller goes on. */
#include "harness.h"
#include "sandbox_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

START_TEST(the_stub_gives_no_rights)
{
    struct guest_result result;
    guest_run(&guest_first_jump, (const char *const[]){"first_jump", NULL}, &result);
    /* Either the jump was a system call, or it was refused. */
    if (result.outcome.kind == VMKIT_OUTCOME_EXITED) {
        ck_assert_int_eq(result.outcome.exit_status, 0);
    } else {
        ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_SIGNALLED);
        ck_assert_int_eq(result.outcome.signal, 11);
    }
}
END_TEST

START_TEST(the_pages_and_ports_of_the_library_give_nothing)
{
    guest_check_status((const char *const[]){"probe", "stubs", NULL}, 0);
}
END_TEST

START_TEST(a_system_call_needs_no_stack)
{
    guest_check_same((const char *const[]){"probe", "no-stack", NULL});
}
END_TEST

START_TEST(wild_registers_end_as_on_linux)
{
    static const char *const kinds[] = {"r", "s", "h", "j", "e", "t", "S"};
    guest_check_same((const char *const[]){"probe", "wild", kinds[_i], NULL});
}
END_TEST

START_TEST(a_return_to_another_level_is_a_fault)
{
    static const char *const kinds[] = {"c", "C"};
    struct guest_result result;
    guest_run(&guest_probe, (const char *const[]){"probe", "wild", kinds[_i], NULL}, &result);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(result.outcome.signal, 11);
}
END_TEST

/* All numbers but exit and exit_group, in pieces, since some of them wait until a limit. */
START_TEST(hostile_arguments_hurt_no_one)
{
    struct guest_result *result = malloc(sizeof *result);
    uint64_t start = guest_now_ns();
    guest_run(&guest_probe, (const char *const[]){"probe", "exit", "0", NULL}, result);
    uint64_t limit = 100 * MILLISECOND + 5 * (guest_now_ns() - start);
    char count[16];
    snprintf(count, sizeof count, "%u", 120 / harness_get_step(4));
    for (int number = _i; number <= 460; number += 8) {
        char text[16];
        if (number == 60 || number == 231)
            continue;
        snprintf(text, sizeof text, "%d", number);
        vmkit_sandbox_config *config = guest_configure(
            &guest_probe, (const char *const[]){"probe", "calls", text, count, "5", NULL});
        vmkit_sandbox_config_set_wall_time_limit(config, limit, NULL);
        guest_run_config(config, result);
        ck_assert_uint_ge(result->outcome.kind, VMKIT_OUTCOME_EXITED);
        ck_assert_uint_le(result->outcome.kind, VMKIT_OUTCOME_LIMIT);
        /* On a busy host the limit may come before the first call. */
        if (result->outcome.kind != VMKIT_OUTCOME_LIMIT)
            ck_assert_uint_gt(result->stats.syscalls, 0);
        vmkit_sandbox_config_unref(config);
    }
    free(result);
}
END_TEST

START_TEST(a_fork_storm_gets_nowhere)
{
    struct guest_result result;
    guest_run(&guest_probe, (const char *const[]){"probe", "fork", NULL}, &result);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_str_eq(result.output, "1000\n");
}
END_TEST

START_TEST(an_execve_of_too_many_strings_leaves_the_program_as_it_was)
{
    struct guest_result result;
    guest_run(&guest_probe, (const char *const[]){"probe", "exec-pointers", NULL}, &result);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(result.outcome.exit_status, 0);
    ck_assert_str_eq(result.output, "Argument list too long\n");
}
END_TEST

START_TEST(recursion_without_end_is_a_segmentation_fault)
{
    struct guest_result result;
    guest_run(&guest_probe, (const char *const[]){"probe", "recurse", NULL}, &result);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(result.outcome.signal, 11);
    ck_assert_uint_gt(result.outcome.fault_address, 0x7fffff000000);
    ck_assert_uint_gt(result.stats.memory_peak_bytes, 8000000);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_hostile");
    TCase *tcase = tcase_create("sandbox_hostile");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, the_stub_gives_no_rights);
    tcase_add_test(tcase, the_pages_and_ports_of_the_library_give_nothing);
    tcase_add_test(tcase, a_system_call_needs_no_stack);
    tcase_add_loop_test(tcase, wild_registers_end_as_on_linux, 0, 7);
    tcase_add_loop_test(tcase, a_return_to_another_level_is_a_fault, 0, 2);
    tcase_add_loop_test(tcase, hostile_arguments_hurt_no_one, 0, 8);
    tcase_add_test(tcase, a_fork_storm_gets_nowhere);
    tcase_add_test(tcase, an_execve_of_too_many_strings_leaves_the_program_as_it_was);
    tcase_add_test(tcase, recursion_without_end_is_a_segmentation_fault);
    suite_add_tcase(suite, tcase);
    return suite;
}
