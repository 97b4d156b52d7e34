/* SPDX-License-Identifier: Apache-2.0 */
/* vmkit_sandbox_call(): arguments and results of every kind, and that the program stands where it
 * stood. */
#include "call_guest.h"
#include "harness.h"

#include <vmkit/snapshot.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
find(const char *name)
{
    uint64_t address = 0;
    vmkit_error *error = NULL;
    if (vmkit_sandbox_find_symbol(call_sandbox, name, &address, &error) < 0)
        ck_abort_msg("%s", vmkit_error_get_message(error));
    return address;
}

START_TEST(integers_go_into_registers_and_on_the_stack)
{
    ck_assert_uint_eq(CALL("weigh", INTEGER(1), INTEGER(20), INTEGER(300), INTEGER(4000),
                           INTEGER(50000), INTEGER(600000), INTEGER(7000000), INTEGER(80000000),
                           INTEGER(900000000)),
                      UINT64_C(8792866941));
    ck_assert_int_eq((int64_t)CALL("weigh", INTEGER(-1), INTEGER(INT64_MIN), INTEGER(0), INTEGER(0),
                                   INTEGER(0), INTEGER(0), INTEGER(-7), INTEGER(0), INTEGER(1)),
                     -1 - 49 + 9);
    ck_assert_int_eq((int32_t)CALL("negate", INTEGER(-2000000000)), 2000000000);
    ck_assert_int_eq((int32_t)CALL("negate", INTEGER(5)), -5);
}
END_TEST

START_TEST(doubles_and_floats_go_into_registers_and_on_the_stack)
{
    const struct vmkit_argument doubles[] = {DOUBLE(1), DOUBLE(2),  DOUBLE(3), DOUBLE(4),
                                             DOUBLE(5), DOUBLE(6),  DOUBLE(7), DOUBLE(8),
                                             DOUBLE(9), DOUBLE(0.1)};
    call_guest_call("weigh_doubles", VMKIT_RESULT_DOUBLE, doubles, 10);
    ck_assert(call_outcome.real == 286);
    const struct vmkit_argument half[] = {FLOAT(0.1)};
    call_guest_call("halve", VMKIT_RESULT_FLOAT, half, 1);
    ck_assert(call_outcome.real == (double)(0.1f / 2));
}
END_TEST

START_TEST(both_kinds_take_turns)
{
    const struct vmkit_argument arguments[] = {
        INTEGER(-1), FLOAT(2.5),  INTEGER(-3), DOUBLE(4.5),  INTEGER(5),    FLOAT(-6.5),
        INTEGER(7),  DOUBLE(8.5), INTEGER(9),  FLOAT(10.5),  INTEGER(-11),  DOUBLE(12.5),
        INTEGER(13), FLOAT(14.5), DOUBLE(-15), FLOAT(16.25), DOUBLE(17.125)};
    call_guest_call("mix", VMKIT_RESULT_DOUBLE, arguments, 17);
    double expected = -1 + 2 * 2.5 - 3 * 3 + 4 * 4.5 + 5 * 5 - 6 * 6.5 + 7 * 7 + 8 * 8.5 + 9 * 9 +
                      10 * 10.5 - 11 * 11 + 12 * 12.5 + 13 * 13 + 14 * 14.5 - 15 * 15 + 16 * 16.25 +
                      17 * 17.125;
    ck_assert(call_outcome.real == expected);
}
END_TEST

START_TEST(two_registers_bring_a_structure_back)
{
    ck_assert_uint_eq(CALL("divide", INTEGER(-100), INTEGER(7)), (uint64_t)-14);
    ck_assert_int_eq((int64_t)call_outcome.result_high, -2);
    ck_assert(call_outcome.real == 0);
    const struct vmkit_argument complex[] = {DOUBLE(3), DOUBLE(4)}, split[] = {DOUBLE(12.75)};
    call_guest_call("turn", VMKIT_RESULT_DOUBLE, complex, 2);
    ck_assert(call_outcome.real == -4 && call_outcome.real_high == 3);
    call_guest_call("split", VMKIT_RESULT_DOUBLE, split, 1);
    ck_assert(call_outcome.real == 0.75 && call_outcome.result == 12);
}
END_TEST

static uint64_t
add_up(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    return sum;
}

START_TEST(buffers_go_in_and_out_and_both_ways)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 4097, 100000, 7 << 20};
    size_t size = sizes[_i];
    uint8_t *data = malloc(size + 1), *other = malloc(size + 1), *expected = malloc(size + 1);
    for (size_t i = 0; i <= size; i++) {
        data[i] = (uint8_t)(i * 7 + i / 256);
        expected[size - i] = i == 0 ? 0xee : data[i - 1];
    }
    ck_assert_uint_eq(CALL("add_up", BUFFER(IN, data, size), INTEGER(size)), add_up(data, size));

    memcpy(other, data, size);
    other[size] = 0xee;
    CALL("reverse", BUFFER(IN_OUT, other, size), INTEGER(size));
    ck_assert(memcmp(other, expected, size + 1) == 0);

    for (size_t i = 0; i < size; i++)
        expected[i] = (uint8_t)(3 + i);
    CALL("fill", BUFFER(OUT, other, size), INTEGER(size), INTEGER(3));
    ck_assert(memcmp(other, expected, size + 1) == 0);
    free(data);
    free(other);
    free(expected);
}
END_TEST

START_TEST(what_goes_in_is_not_written_back)
{
    uint8_t data[100];
    memset(data, 1, sizeof data);
    CALL("fill", BUFFER(IN, data, sizeof data), INTEGER(sizeof data), INTEGER(3));
    for (size_t i = 0; i < sizeof data; i++)
        ck_assert_uint_eq(data[i], 1);
}
END_TEST

START_TEST(buffers_are_aligned_and_apart)
{
    uint8_t a[1] = {1}, b[100] = {2}, c[64] = {3}, d[3] = {4};
    ck_assert_uint_ge(CALL("alignment", BUFFER(IN, a, 1), BUFFER(OUT, b, 100),
                           BUFFER(IN_OUT, c, 64), BUFFER(IN, d, 3)),
                      64);
    ck_assert_uint_eq(c[0], 3);
}
END_TEST

START_TEST(a_function_with_variable_arguments_is_called)
{
    char text[100], format[] = "%d %s %.2f %lld %.1f", word[] = "word";
    uint64_t length =
        CALL("snprintf", BUFFER(OUT, text, sizeof text), INTEGER(sizeof text),
             BUFFER(IN, format, sizeof format), INTEGER(-7), BUFFER(IN, word, sizeof word),
             DOUBLE(2.5), INTEGER(INT64_MAX), DOUBLE(-1));
    ck_assert_str_eq(text, "-7 word 2.50 9223372036854775807 -1.0");
    ck_assert_uint_eq(length, strlen(text));
}
END_TEST

START_TEST(a_function_finds_what_the_convention_promises)
{
    uint64_t state[6] = {0};
    CALL("entry_state", BUFFER(OUT, state, sizeof state));
    ck_assert_uint_eq(state[0] % 16, 8);
    ck_assert_uint_eq(state[1] & 0x400, 0);       /* DF */
    ck_assert_uint_eq(state[2] & 0xffc0, 0x1f80); /* MXCSR but for what was raised */
    ck_assert_uint_eq(state[3], 0x37f);
    ck_assert_uint_eq(state[4], 0xffff); /* an empty x87 stack */
    ck_assert_uint_eq(state[5], 0);
    /* Also with an odd number of arguments on the stack. */
    const struct vmkit_argument more[] = {BUFFER(OUT, state, sizeof state),
                                          INTEGER(0),
                                          INTEGER(0),
                                          INTEGER(0),
                                          INTEGER(0),
                                          INTEGER(0),
                                          INTEGER(7)};
    call_guest_call("entry_state", VMKIT_RESULT_INTEGER, more, 7);
    ck_assert_uint_eq(state[0] % 16, 8);
}
END_TEST

START_TEST(the_program_goes_on_where_it_stood)
{
    uint64_t ready = call_outcome.instruction_pointer, state[6] = {0};
    CALL("clobber", INTEGER(0));
    ck_assert_uint_eq(call_outcome.instruction_pointer, ready);
    CALL("entry_state", BUFFER(OUT, state, sizeof state));
    ck_assert_uint_eq(state[1] & 0x400, 0);
    CALL("sink", INTEGER(3 << 20));
    call_guest_run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 0);
}
END_TEST

START_TEST(what_a_thread_keeps_is_kept_between_calls)
{
    const struct vmkit_argument one[] = {DOUBLE(1)};
    call_guest_call("third", VMKIT_RESULT_DOUBLE, one, 1);
    double nearest = call_outcome.real;
    CALL("round_up_from_now_on", INTEGER(0));
    call_guest_call("third", VMKIT_RESULT_DOUBLE, one, 1);
    ck_assert(call_outcome.real > nearest);
    ck_assert_uint_eq(CALL("get_per_thread", INTEGER(0)), 5);
}
END_TEST

START_TEST(an_address_serves_as_well_as_a_name)
{
    const struct vmkit_argument arguments[] = {INTEGER(9)};
    struct vmkit_call call = {.size = sizeof call,
                              .address = find("negate"),
                              .arguments = arguments,
                              .argument_count = 1};
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
    ck_assert_int_eq((int32_t)call_outcome.result, -9);
    ck_assert_uint_eq(CALL("_Z3addii", INTEGER(40), INTEGER(2)), 42);
}
END_TEST

START_TEST(a_record_of_the_first_release_is_enough)
{
    struct vmkit_call call = {.size = sizeof call, .symbol = "nothing"};
    struct vmkit_sandbox_outcome outcome;
    memset(&outcome, 0xaa, sizeof outcome);
    outcome.size = offsetof(struct vmkit_sandbox_outcome, result);
    ck_assert_int_eq(vmkit_sandbox_call(call_sandbox, &call, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
    ck_assert_uint_eq(outcome.result, UINT64_C(0xaaaaaaaaaaaaaaaa));
}
END_TEST

START_TEST(a_program_that_was_moved_is_called_where_it_is)
{
    call_guest_tear_down();
    call_guest_configure(&guest_call_pie, "once");
    call_guest_start();
    ck_assert_uint_ge(find("weigh"), UINT64_C(0x555555554000));
    ck_assert_int_eq((int32_t)CALL("negate", INTEGER(3)), -3);
    uint64_t value = 0;
    ck_assert_int_eq(
        vmkit_sandbox_read_memory(call_sandbox, find("table") + 8, &value, sizeof value, NULL), 0);
    ck_assert_uint_eq(value, 22);
    call_guest_run(VMKIT_OUTCOME_EXITED);
}
END_TEST

START_TEST(memory_is_read_and_written_by_address)
{
    uint64_t table[4] = {0}, value = 77;
    ck_assert_int_eq(
        vmkit_sandbox_read_memory(call_sandbox, find("table"), table, sizeof table, NULL), 0);
    ck_assert_uint_eq(table[3], 44);
    ck_assert_int_eq(
        vmkit_sandbox_write_memory(call_sandbox, find("table") + 16, &value, sizeof value, NULL),
        0);
    ck_assert_int_eq(
        vmkit_sandbox_read_memory(call_sandbox, find("table"), table, sizeof table, NULL), 0);
    ck_assert_uint_eq(table[2], 77);

    char text[9];
    uint64_t at = CALL("greet", INTEGER(0));
    ck_assert_int_eq(vmkit_sandbox_read_memory(call_sandbox, at, text, sizeof text, NULL), 0);
    ck_assert_str_eq(text, "good day");
    ck_assert_int_eq(vmkit_sandbox_write_memory(call_sandbox, at, text, sizeof text, NULL),
                     -EFAULT);
}
END_TEST

START_TEST(calls_make_system_calls_and_use_memory)
{
    char text[] = "from a call\n";
    const void *data;
    uint64_t size;
    ck_assert_uint_eq(CALL("say", BUFFER(IN, text, strlen(text)), INTEGER(strlen(text))), 12);
    ck_assert_int_eq(
        vmkit_sandbox_get_output(call_sandbox, VMKIT_STREAM_STDOUT, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, 24);
    ck_assert_int_eq(memcmp(data, "initialised\nfrom a call\n", size), 0);

    uint64_t at = CALL("malloc", INTEGER(10 << 20));
    ck_assert_uint_ne(at, 0);
    CALL("fill", INTEGER(at), INTEGER(10 << 20), INTEGER(1));
    uint8_t byte = 0;
    ck_assert_int_eq(vmkit_sandbox_read_memory(call_sandbox, at + 1000000, &byte, 1, NULL), 0);
    ck_assert_uint_eq(byte, (uint8_t)1000001);
    CALL("free", INTEGER(at));
}
END_TEST

START_TEST(a_program_is_ready_on_whichever_stack)
{
    uint8_t data[1000], large[100 << 10];
    call_guest_tear_down();
    call_guest_configure(&guest_call, "other-stack");
    call_guest_start();
    memset(data, 1, sizeof data);
    ck_assert_uint_eq(CALL("add_up", BUFFER(IN, data, sizeof data), INTEGER(sizeof data)),
                      add_up(data, sizeof data));
    struct vmkit_argument arguments[] = {BUFFER(OUT, large, sizeof large), BUFFER(OUT, data, 1)};
    struct vmkit_call call = {
        .size = sizeof call, .symbol = "fill", .arguments = arguments, .argument_count = 1};
    call_guest_refuse(&call, -E2BIG, "102400 bytes");
    /* What lies below its own stack may be anything: buffers have a page there, together. */
    memset(large, 1, sizeof large);
    arguments[0] = (struct vmkit_argument)BUFFER(IN, large, 4097);
    call_guest_refuse(&call, -E2BIG, "has room for 4096");
    arguments[0].size = 4096;
    call.argument_count = 2;
    call_guest_refuse(&call, -E2BIG, "argument 1 of the call has 1 bytes");
    ck_assert_uint_eq(CALL("add_up", BUFFER(IN, large, 4096), INTEGER(4096)), add_up(large, 4096));
    ck_assert_uint_eq(CALL("alignment", BUFFER(IN, large, 1984), BUFFER(OUT, data, 64),
                           BUFFER(IN_OUT, large, 1984), BUFFER(IN, data, 3)),
                      64);
    call_guest_run(VMKIT_OUTCOME_EXITED);
}
END_TEST

static uint64_t
get_own_segments(void)
{
    uint16_t ds, es;
    __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1" : "=r"(ds), "=r"(es));
    return (uint64_t)es << 16 | ds;
}

/* Whatever a program loads into its segment registers, neither the embedder nor another program
 * finds it. */
START_TEST(segment_registers_are_a_program_s_own)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_sandbox *one = NULL, *other = NULL, *made = call_sandbox;
    ck_assert_int_eq(vmkit_sandbox_snapshot(call_sandbox, &snapshot, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, call_config, &one, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, call_config, &other, NULL), 0);
    call_sandbox = other;
    uint64_t own = get_own_segments(), expected = CALL("get_segments", INTEGER(0));
    for (uint64_t i = 0; i < 3; i++) {
        call_sandbox = one;
        ck_assert_uint_eq(CALL("set_segments", INTEGER(0x2b)), 0x2b002b);
        ck_assert_uint_eq(get_own_segments(), own);
        call_sandbox = other;
        ck_assert_uint_eq(CALL("get_segments", INTEGER(0)), expected);
        ck_assert_int_eq(vmkit_sandbox_reset(one, NULL), 0);
        call_sandbox = one;
        ck_assert_uint_eq(CALL("get_segments", INTEGER(0)), expected);
    }
    call_sandbox = made;
    vmkit_sandbox_unref(one);
    vmkit_sandbox_unref(other);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static void *
call_from_here(void *user_data)
{
    for (int i = 0; i < 20; i++)
        *(uint64_t *)user_data += CALL("_Z3addii", INTEGER(i), INTEGER(1));
    return NULL;
}

START_TEST(calls_come_from_one_thread_after_the_other)
{
    uint64_t sum = 0;
    pthread_t thread;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, call_from_here, &sum), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        call_from_here(&sum);
    }
    ck_assert_uint_eq(sum, 20 * 210);
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    ck_assert_int_eq(vmkit_sandbox_get_stats(call_sandbox, &stats, NULL), 0);
    uint64_t exits = stats.exits;
    CALL("nothing", INTEGER(0));
    ck_assert_int_eq(vmkit_sandbox_get_stats(call_sandbox, &stats, NULL), 0);
    ck_assert_uint_eq(stats.exits, exits + 1);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_call");
    TCase *tests = tcase_create("call");
    tcase_add_checked_fixture(tests, call_guest_set_up, call_guest_tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, integers_go_into_registers_and_on_the_stack);
    tcase_add_test(tests, doubles_and_floats_go_into_registers_and_on_the_stack);
    tcase_add_test(tests, both_kinds_take_turns);
    tcase_add_test(tests, two_registers_bring_a_structure_back);
    tcase_add_loop_test(tests, buffers_go_in_and_out_and_both_ways, 0, 9);
    tcase_add_test(tests, what_goes_in_is_not_written_back);
    tcase_add_test(tests, buffers_are_aligned_and_apart);
    tcase_add_test(tests, a_function_with_variable_arguments_is_called);
    tcase_add_test(tests, a_function_finds_what_the_convention_promises);
    tcase_add_test(tests, the_program_goes_on_where_it_stood);
    tcase_add_test(tests, what_a_thread_keeps_is_kept_between_calls);
    tcase_add_test(tests, an_address_serves_as_well_as_a_name);
    tcase_add_test(tests, a_record_of_the_first_release_is_enough);
    tcase_add_test(tests, a_program_that_was_moved_is_called_where_it_is);
    tcase_add_test(tests, memory_is_read_and_written_by_address);
    tcase_add_test(tests, calls_make_system_calls_and_use_memory);
    tcase_add_test(tests, a_program_is_ready_on_whichever_stack);
    tcase_add_test(tests, segment_registers_are_a_program_s_own);
    tcase_add_test(tests, calls_come_from_one_thread_after_the_other);
    suite_add_tcase(suite, tests);
    return suite;
}
