/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that measure what they run on: in a sandbox they find what they find on Linux. */
#include "harness.h"
#include "sandbox_guest.h"

#include <stdio.h>

#define SAME(name, ...)                                                      \
    START_TEST(name)                                                         \
    {                                                                        \
        guest_check_same((const char *const[]){"probe", __VA_ARGS__, NULL}); \
    }                                                                        \
    END_TEST

SAME(the_heap_grows_and_shrinks, "heap")
SAME(pages_of_2_mib_are_cut_protected_and_moved, "large")
SAME(memory_calls_refuse_what_linux_refuses, "errors")
SAME(pages_have_the_rights_that_were_asked_for, "rights")
SAME(code_that_changes_runs_as_it_stands, "jit")
SAME(the_stack_grows_and_overflows, "stack")
SAME(a_handler_repairs_and_returns, "repair")
SAME(registers_outlast_system_calls, "registers")
SAME(vector_registers_outlast_all, "vectors")
SAME(a_program_starts_with_clean_registers, "initial")
SAME(segment_bases_stay, "bases")
SAME(unprivileged_instructions_work, "instructions")
SAME(a_program_goes_on_behind_its_breakpoint, "breakpoints")
SAME(cpu_time_beyond_the_programs_own_limit_ends_it, "limit-cpu", "default")
SAME(cpu_time_beyond_the_programs_own_limits_warns_and_kills, "limit-cpu", "handle")
SAME(descriptors_end_at_the_programs_own_limit, "limit-files")
SAME(what_is_queued_with_a_signal_comes_as_on_linux, "queue-info")
SAME(a_timer_interrupts_a_computation_without_a_trace, "interrupted")

SAME(sizes_beyond_all_memory_fail_as_on_linux, "sizes")
SAME(a_file_is_not_copied_over_itself, "overlaps")
SAME(what_has_no_contents_is_not_mapped, "mappable")
SAME(descriptors_show_the_flags_that_linux_shows, "show-flags")
SAME(edges_are_reported_once, "edges")

SAME(execve_refuses_what_linux_refuses, "exec-errors")

/* By whatever way, the next program gets the strings that Linux gives it. */
START_TEST(a_program_goes_on_as_another_one)
{
    static const char *const ways[][2] = {
        {"exec-script", "plain"},    {"exec-script", "blanks"}, {"exec-script", "unended"},
        {"exec-script", "padded"},   {"exec-script", "none"},   {"exec-script", "descriptor"},
        {"exec-self", "descriptor"}, {"exec-self", "none"},     {"exec-self", "path"},
    };
    guest_check_same((const char *const[]){"probe", ways[_i][0], ways[_i][1], NULL});
}
END_TEST

START_TEST(random_memory_calls_end_as_on_linux)
{
    char seed[16], calls[16];
    snprintf(seed, sizeof seed, "%d", 1 + _i * 7919);
    snprintf(calls, sizeof calls, "%u", 1500 / harness_get_step(5));
    guest_check_same((const char *const[]){"probe", "torture", seed, calls, NULL});
}
END_TEST

START_TEST(the_same_holds_for_a_program_that_can_be_moved)
{
    static const char *const names[] = {"heap", "rights", "registers", "vectors", "auxv"};
    struct guest_result result;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        guest_run(&guest_probe_pie, (const char *const[]){"probe", names[i], NULL}, &result);
        ck_assert_msg(result.outcome.kind == VMKIT_OUTCOME_EXITED &&
                          result.outcome.exit_status == 0,
                      "%s: %s", names[i], result.output);
        ck_assert_uint_ge(result.outcome.instruction_pointer, 0x555555554000);
    }
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_guests");
    TCase *tcase = tcase_create("sandbox_guests");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, random_memory_calls_end_as_on_linux, 0, 6);
    tcase_add_test(tcase, the_heap_grows_and_shrinks);
    tcase_add_test(tcase, pages_of_2_mib_are_cut_protected_and_moved);
    tcase_add_test(tcase, memory_calls_refuse_what_linux_refuses);
    tcase_add_test(tcase, pages_have_the_rights_that_were_asked_for);
    tcase_add_test(tcase, code_that_changes_runs_as_it_stands);
    tcase_add_test(tcase, the_stack_grows_and_overflows);
    tcase_add_test(tcase, a_handler_repairs_and_returns);
    tcase_add_test(tcase, registers_outlast_system_calls);
    tcase_add_test(tcase, vector_registers_outlast_all);
    tcase_add_test(tcase, a_program_starts_with_clean_registers);
    tcase_add_test(tcase, segment_bases_stay);
    tcase_add_test(tcase, unprivileged_instructions_work);
    tcase_add_test(tcase, a_program_goes_on_behind_its_breakpoint);
    tcase_add_test(tcase, cpu_time_beyond_the_programs_own_limit_ends_it);
    tcase_add_test(tcase, cpu_time_beyond_the_programs_own_limits_warns_and_kills);
    tcase_add_test(tcase, descriptors_end_at_the_programs_own_limit);
    tcase_add_test(tcase, what_is_queued_with_a_signal_comes_as_on_linux);
    tcase_add_test(tcase, execve_refuses_what_linux_refuses);
    tcase_add_test(tcase, sizes_beyond_all_memory_fail_as_on_linux);
    tcase_add_test(tcase, a_file_is_not_copied_over_itself);
    tcase_add_test(tcase, what_has_no_contents_is_not_mapped);
    tcase_add_test(tcase, descriptors_show_the_flags_that_linux_shows);
    tcase_add_test(tcase, edges_are_reported_once);
    tcase_add_loop_test(tcase, a_program_goes_on_as_another_one, 0, 9);
    tcase_add_test(tcase, a_timer_interrupts_a_computation_without_a_trace);
    tcase_add_test(tcase, the_same_holds_for_a_program_that_can_be_moved);
    suite_add_tcase(suite, tcase);
    return suite;
}
