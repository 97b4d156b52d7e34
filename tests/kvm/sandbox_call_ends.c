/* SPDX-License-Identifier: Apache-2.0 */
/* vmkit_sandbox_call(): how a call ends otherwise than by its return, and what is refused. */
#include "call_guest.h"
#include "harness.h"

#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct vmkit_call
call_of(const char *symbol, const struct vmkit_argument *arguments, size_t count)
{
    return (struct vmkit_call){.size = sizeof(struct vmkit_call),
                               .symbol = symbol,
                               .arguments = arguments,
                               .argument_count = (uint32_t)count};
}

/* From then on, every call says that the program has ended. */
static void
check_ended(void)
{
    struct vmkit_call call = call_of("nothing", NULL, 0);
    call_guest_refuse(&call, -ENOTSUP, "ended");
    ck_assert_int_eq(vmkit_sandbox_run(call_sandbox, &call_outcome, NULL), -ENOTSUP);
}

START_TEST(a_function_that_exits_ends_the_program)
{
    const struct vmkit_argument arguments[] = {INTEGER(42)};
    struct vmkit_call call = call_of("quit", arguments, 1);
    call_guest_end(&call, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 42);
    ck_assert_uint_eq(call_outcome.result, 0);
    check_ended();
}
END_TEST

START_TEST(a_function_that_faults_ends_the_program)
{
    const struct vmkit_argument arguments[] = {INTEGER(0x1234)};
    struct vmkit_call call = call_of("crash", arguments, 1);
    call_guest_end(&call, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(call_outcome.signal, SIGSEGV);
    ck_assert_uint_eq(call_outcome.fault_address, 0x1234);
    check_ended();
}
END_TEST

START_TEST(a_call_has_limits_of_time_of_its_own)
{
    struct vmkit_call call = call_of(_i == 2 ? "rest" : "spin", NULL, 0);
    if (_i == 0)
        call.cpu_time_limit_ns = 30 * MILLISECOND;
    else
        call.wall_time_limit_ns = 30 * MILLISECOND;
    CALL("nothing", INTEGER(0));
    call_guest_end(&call, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(call_outcome.limit, _i == 0 ? VMKIT_LIMIT_CPU_TIME : VMKIT_LIMIT_WALL_TIME);
    check_ended();
}
END_TEST

static void *
call_with_limits(void *user_data)
{
    for (int i = 0; i < 3; i++) {
        struct vmkit_call call = call_of("nothing", NULL, 0);
        call.cpu_time_limit_ns = call.wall_time_limit_ns = 60000 * MILLISECOND;
        call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
    }
    return NULL;
}

START_TEST(a_limit_holds_on_whichever_thread)
{
    pthread_t thread;
    struct vmkit_call call = call_of("spin", NULL, 0);
    call_with_limits(NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, call_with_limits, NULL), 0);
    pthread_join(thread, NULL);
    if (_i == 0)
        call_with_limits(NULL);
    if (_i < 2)
        call.cpu_time_limit_ns = 30 * MILLISECOND;
    else
        call.wall_time_limit_ns = 30 * MILLISECOND;
    call_guest_end(&call, VMKIT_OUTCOME_LIMIT);
    check_ended();
}
END_TEST

START_TEST(the_limits_of_the_configuration_count_from_each_call)
{
    struct vmkit_call call = call_of("spin", NULL, 0);
    call.cpu_time_limit_ns = UINT64_MAX;
    call_guest_tear_down();
    call_guest_configure(&guest_call, "once");
    ck_assert_int_eq(vmkit_sandbox_config_set_cpu_time_limit(call_config, 500 * MILLISECOND, NULL),
                     0);
    call_guest_start();
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    do {
        CALL("sink", INTEGER(256 << 10));
        ck_assert_int_eq(vmkit_sandbox_get_stats(call_sandbox, &stats, NULL), 0);
    } while (stats.cpu_time_ns < 600 * MILLISECOND);
    uint64_t before = stats.cpu_time_ns;
    call_guest_end(&call, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(call_outcome.limit, VMKIT_LIMIT_CPU_TIME);
    ck_assert_int_eq(vmkit_sandbox_get_stats(call_sandbox, &stats, NULL), 0);
    ck_assert_uint_ge(stats.cpu_time_ns, before + 500 * MILLISECOND);
}
END_TEST

static void *
kill_soon(void *user_data)
{
    usleep(20000);
    vmkit_sandbox_kill(call_sandbox);
    return NULL;
}

START_TEST(a_kill_ends_a_call)
{
    struct vmkit_call call = call_of(_i == 0 ? "spin" : "rest", NULL, 0);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_soon, NULL), 0);
    call_guest_end(&call, VMKIT_OUTCOME_KILLED);
    pthread_join(thread, NULL);
    check_ended();
}
END_TEST

START_TEST(a_kill_before_a_call_ends_it_before_it_begins)
{
    uint8_t data[100000] = {1};
    const struct vmkit_argument arguments[] = {BUFFER(IN, data, sizeof data),
                                               BUFFER(OUT, data, sizeof data)};
    struct vmkit_call call = call_of("quit", arguments, 2);
    vmkit_sandbox_kill(call_sandbox);
    call_guest_end(&call, VMKIT_OUTCOME_KILLED);
    check_ended();
}
END_TEST

START_TEST(a_stack_that_is_used_up_is_a_fault)
{
    const struct vmkit_argument arguments[] = {INTEGER(64 << 20)};
    struct vmkit_call call = call_of("sink", arguments, 1);
    call_guest_end(&call, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(call_outcome.signal, SIGSEGV);
}
END_TEST

START_TEST(ready_is_refused_inside_of_a_call)
{
    ck_assert_int_eq((int64_t)CALL("ready_again", INTEGER(0)), -EBUSY);
    ck_assert_int_eq((int64_t)CALL("ready_again", INTEGER(0)), -EBUSY);
    call_guest_run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 0);
}
END_TEST

START_TEST(a_jump_out_of_a_call_does_not_end_it)
{
    /* main() finds that it is not ready now, and says so in its status. */
    struct vmkit_call call = call_of("jump_out", NULL, 0);
    call_guest_end(&call, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 100 + EBUSY);
    check_ended();
}
END_TEST

START_TEST(a_return_with_another_stack_is_a_fault)
{
    struct vmkit_call call = call_of("return_askew", NULL, 0);
    call_guest_end(&call, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(call_outcome.signal, SIGSEGV);
}
END_TEST

START_TEST(the_stubs_do_no_harm_wherever_one_jumps_in)
{
    /* Those of the system call, the return and the vectors. What the program does there is its own
     * affair, but it is no failure of the host. */
    unsigned step = harness_get_step(3);
    for (uint64_t at = UINT64_C(0xffffffffc0000200); at < UINT64_C(0xffffffffc0000280);
         at += step) {
        const struct vmkit_argument arguments[] = {INTEGER(at), INTEGER(0)};
        struct vmkit_call call = call_of("go_to", arguments, 2);
        vmkit_error *error = NULL;
        call.cpu_time_limit_ns = 30 * MILLISECOND;
        int r = vmkit_sandbox_call(call_sandbox, &call, &call_outcome, &error);
        ck_assert_msg(r == 0, "0x%llx: %s", (unsigned long long)at, vmkit_error_get_message(error));
        ck_assert_msg(call_outcome.kind == VMKIT_OUTCOME_SIGNALLED ||
                          call_outcome.kind == VMKIT_OUTCOME_LIMIT,
                      "0x%llx: kind %u", (unsigned long long)at, call_outcome.kind);
        call_guest_tear_down();
        call_guest_set_up();
    }
}
END_TEST

START_TEST(signals_come_in_calls_and_between_them)
{
    ck_assert_int_eq((int32_t)CALL("start_alarms", INTEGER(5000), INTEGER(5000)), 0);
    ck_assert_int_ge((int32_t)CALL("wait_for_alarms", INTEGER(3)), 3);
    ck_assert_int_eq((int32_t)CALL("start_alarms", INTEGER(1000), INTEGER(0)), 0);
    usleep(5000);
    /* It was due before this call, and its handler runs before the function. */
    ck_assert_int_eq((int32_t)CALL("get_alarms", INTEGER(0)), 1);
    ck_assert_int_eq((int32_t)CALL("start_alarms", INTEGER(1000), INTEGER(0)), 0);
    usleep(5000);
    call_guest_run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 0);
}
END_TEST

START_TEST(another_program_can_take_its_place)
{
    char path[] = "/proc/self/exe", name[] = "call", how[] = "exit";
    const struct vmkit_argument arguments[] = {
        BUFFER(IN, path, sizeof path), BUFFER(IN, name, sizeof name), BUFFER(IN, how, sizeof how)};
    struct vmkit_call call = call_of("become", arguments, 3);
    call_guest_end(&call, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(call_outcome.exit_status, 7);
}
END_TEST

START_TEST(a_buffer_that_is_gone_is_an_error)
{
    uint8_t data[20000] = {0};
    const struct vmkit_argument arguments[] = {BUFFER(OUT, data, sizeof data),
                                               INTEGER(sizeof data)};
    struct vmkit_call call = call_of("unmap", arguments, 2);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    /* It takes its own stack away with it, and faults, unless that lies in another page. */
    int r = vmkit_sandbox_call(call_sandbox, &call, &outcome, &error);
    if (r == 0) {
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_SIGNALLED);
        return;
    }
    ck_assert_int_eq(r, -EFAULT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "argument 0"));
    vmkit_error_unref(error);
    CALL("nothing", INTEGER(0));
}
END_TEST

START_TEST(what_is_no_function_is_refused)
{
    static const struct {
        const char *symbol;
        uint64_t address;
        int result;
        const char *word;
    } cases[] = {
        {"ad_up", 0, -ENOENT, "no symbol \"ad_up\""},
        {"Add_Up", 0, -ENOENT, "it has \"add_up\""},
        {"3addi", 0, -ENOENT, "it has \"_Z3addii\""},
        {"", 0, -ENOENT, "no symbol"},
        {"table", 0, -EINVAL, "is data"},
        {"per_thread", 0, -EINVAL, "thread's own"},
        {"memcpy", 0, -EINVAL, "IFUNC"},
        {NULL, 0, -EINVAL, "no code at 0x0"},
        {NULL, 0x7fffffffe000, -EINVAL, "no code"},
        {NULL, UINT64_C(0xffffffffc0000200), -EINVAL, "no code"},
    };
    struct vmkit_call call = call_of(cases[_i].symbol, NULL, 0);
    call.address = cases[_i].address;
    call_guest_refuse(&call, cases[_i].result, cases[_i].word);
    CALL("nothing", INTEGER(0));
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    uint8_t byte = 0;
    struct vmkit_argument many[VMKIT_CALL_MAX_ARGUMENTS + 1];
    for (size_t i = 0; i <= VMKIT_CALL_MAX_ARGUMENTS; i++)
        many[i] = (struct vmkit_argument)INTEGER(i);
    struct vmkit_call call = call_of("nothing", many, VMKIT_CALL_MAX_ARGUMENTS + 1);
    call_guest_refuse(&call, -E2BIG, "65 arguments");
    call.argument_count--;
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
    call.arguments = NULL;
    call_guest_refuse(&call, -EINVAL, "64 arguments at NULL");
    call.argument_count = 0;
    call.result_kind = 3;
    call_guest_refuse(&call, -EINVAL, "unknown kind 3");
    call.result_kind = 0;
    call.reserved = 1;
    call_guest_refuse(&call, -EINVAL, "reserved");
    call.reserved = 0;

    struct vmkit_argument argument = {.kind = 7};
    call.arguments = &argument;
    call.argument_count = 1;
    call_guest_refuse(&call, -EINVAL, "kind 7");
    argument.kind = 0;
    call_guest_refuse(&call, -EINVAL, "kind 0");
    argument = (struct vmkit_argument)BUFFER(IN, NULL, 5);
    call_guest_refuse(&call, -EINVAL, "5 bytes at NULL");
    argument = (struct vmkit_argument)BUFFER(OUT, &byte, 1);
    argument.reserved = 2;
    call_guest_refuse(&call, -EINVAL, "2 in its reserved field");
    argument = (struct vmkit_argument)BUFFER(IN, NULL, 0);
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);

    ck_assert_int_eq(vmkit_sandbox_call(NULL, &call, &call_outcome, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_call(call_sandbox, NULL, &call_outcome, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_call(call_sandbox, &call, NULL, NULL), -EINVAL);
    call.size = 8;
    call_guest_refuse(&call, -EINVAL, "call->size is 8");
}
END_TEST

START_TEST(buffers_beyond_the_stack_are_refused)
{
    uint8_t byte = 0, *large = malloc(9 << 20);
    struct vmkit_argument arguments[] = {BUFFER(IN, &byte, UINT64_MAX), BUFFER(IN, large, 9 << 20)};
    struct vmkit_call call = call_of("add_up", arguments, 1);
    call_guest_refuse(&call, -E2BIG, "18446744073709551615 bytes");
    arguments[0].size = UINT64_C(1) << 63;
    call_guest_refuse(&call, -E2BIG, "bytes, and the program's stack has room for");
    call.arguments++;
    call_guest_refuse(&call, -E2BIG, "argument 0 of the call has 9437184 bytes");
    arguments[0] = arguments[1];
    arguments[0].size = arguments[1].size = 4 << 20;
    call.arguments--;
    call.argument_count = 2;
    call_guest_refuse(&call, -E2BIG, "argument 1 of the call has 4194304 bytes");
    CALL("nothing", INTEGER(0));
    free(large);
}
END_TEST

START_TEST(buffers_beyond_the_memory_limit_are_refused)
{
    uint8_t *large = calloc(1, 6 << 20);
    struct vmkit_argument argument = BUFFER(IN, large, 6 << 20);
    struct vmkit_call call = call_of("nothing", &argument, 1);
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    argument.kind = _i == 0 ? VMKIT_ARGUMENT_IN : VMKIT_ARGUMENT_OUT;
    call_guest_tear_down();
    call_guest_configure(&guest_call, "once");
    ck_assert_int_eq(vmkit_sandbox_config_set_memory_limit(call_config, 4 << 20, NULL), 0);
    call_guest_start();
    ck_assert_int_eq(vmkit_sandbox_get_stats(call_sandbox, &stats, NULL), 0);
    uint64_t before = stats.memory_bytes;
    call_guest_refuse(&call, -E2BIG, "memory limit of 4194304");
    ck_assert_int_eq(vmkit_sandbox_get_stats(call_sandbox, &stats, NULL), 0);
    /* But for a page of page tables or two. */
    ck_assert_uint_le(stats.memory_bytes, before + 4 * 4096);
    argument.size = 1 << 20;
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
    call_guest_run(VMKIT_OUTCOME_EXITED);
    free(large);
}
END_TEST

START_TEST(a_stripped_program_says_so)
{
    size_t size = (size_t)(guest_call.end - guest_call.data);
    uint8_t *copy = malloc(size);
    memcpy(copy, guest_call.data, size);
    Elf64_Ehdr *header = (Elf64_Ehdr *)copy;
    header->e_shoff = header->e_shnum = 0;
    call_guest_tear_down();
    const struct guest_image image = {copy, copy + size};
    call_guest_configure(&image, "once");
    call_guest_start();
    struct vmkit_call call = call_of("nothing", NULL, 0);
    call_guest_refuse(&call, -ENOENT, "stripped");
    uint64_t address = 5;
    ck_assert_int_eq(vmkit_sandbox_find_symbol(call_sandbox, "nothing", &address, NULL), -ENOENT);
    ck_assert_uint_eq(address, 5);
    free(copy);
}
END_TEST

START_TEST(a_program_that_is_not_ready_is_not_called)
{
    struct vmkit_call call = call_of("nothing", NULL, 0);
    vmkit_sandbox_unref(call_sandbox);
    ck_assert_int_eq(vmkit_sandbox_new(call_config, &call_sandbox, NULL), 0);
    call_guest_refuse(&call, -ENOTSUP, "not ready");
    /* It can still be run, and be ready. */
    call_guest_run(VMKIT_OUTCOME_READY);
    CALL("nothing", INTEGER(0));
    call_guest_run(VMKIT_OUTCOME_EXITED);
    check_ended();
}
END_TEST

static int nested_results[5];

static int64_t
call_from_output(void *user_data, const void *data, uint64_t size)
{
    struct vmkit_call call = call_of("nothing", NULL, 0);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    uint64_t address;
    nested_results[0] = vmkit_sandbox_call(call_sandbox, &call, &outcome, NULL);
    nested_results[1] = vmkit_sandbox_run(call_sandbox, &outcome, NULL);
    nested_results[2] = vmkit_sandbox_find_symbol(call_sandbox, "nothing", &address, NULL);
    nested_results[3] = vmkit_sandbox_read_memory(call_sandbox, 0x400000, &address, 8, NULL);
    nested_results[4] = vmkit_sandbox_write_memory(call_sandbox, 0x400000, &address, 8, NULL);
    return (int64_t)size;
}

START_TEST(a_callback_cannot_call_again)
{
    char text[] = "x";
    call_guest_tear_down();
    call_guest_configure(&guest_call, "once");
    ck_assert_int_eq(vmkit_sandbox_config_set_output_callback(call_config, VMKIT_STREAM_STDOUT,
                                                              call_from_output, NULL, NULL),
                     0);
    call_guest_start();
    memset(nested_results, 0, sizeof nested_results);
    ck_assert_uint_eq(CALL("say", BUFFER(IN, text, 1), INTEGER(1)), 1);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(nested_results[i], -EBUSY);
}
END_TEST

START_TEST(wild_addresses_are_refused)
{
    uint8_t bytes[16];
    static const uint64_t wild[] = {
        0,
        0x1000,
        UINT64_C(0x7ffffffffff8),
        UINT64_C(0x800000000000),
        UINT64_C(0xffffffffc0000000),
        UINT64_MAX - 7,
        UINT64_MAX,
    };
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        vmkit_error *error = NULL;
        ck_assert_int_eq(vmkit_sandbox_read_memory(call_sandbox, wild[i], bytes, 16, &error),
                         -EFAULT);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "cannot read 16 bytes"));
        vmkit_error_unref(error);
        ck_assert_int_eq(vmkit_sandbox_write_memory(call_sandbox, wild[i], bytes, 16, NULL),
                         -EFAULT);
    }
    ck_assert_int_eq(vmkit_sandbox_read_memory(call_sandbox, 0, NULL, 0, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_read_memory(call_sandbox, 0x400000, NULL, 1, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_read_memory(NULL, 0, bytes, 1, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_write_memory(NULL, 0, bytes, 1, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_find_symbol(NULL, "a", (uint64_t *)(void *)bytes, NULL),
                     -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_find_symbol(call_sandbox, NULL, (uint64_t *)(void *)bytes, NULL),
                     -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_find_symbol(call_sandbox, "a", NULL, NULL), -EINVAL);
    CALL("nothing", INTEGER(0));
}
END_TEST

START_TEST(the_memory_of_a_program_that_ended_is_there)
{
    uint64_t table[4], address;
    const struct vmkit_argument arguments[] = {INTEGER(0)};
    struct vmkit_call call = call_of("crash", arguments, 1);
    call_guest_end(&call, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(vmkit_sandbox_find_symbol(call_sandbox, "table", &address, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_read_memory(call_sandbox, address, table, sizeof table, NULL),
                     0);
    ck_assert_uint_eq(table[0], 11);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_call_ends");
    TCase *tests = tcase_create("ends");
    tcase_add_checked_fixture(tests, call_guest_set_up, call_guest_tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_function_that_exits_ends_the_program);
    tcase_add_test(tests, a_function_that_faults_ends_the_program);
    tcase_add_loop_test(tests, a_call_has_limits_of_time_of_its_own, 0, 3);
    tcase_add_loop_test(tests, a_limit_holds_on_whichever_thread, 0, 3);
    tcase_add_test(tests, the_limits_of_the_configuration_count_from_each_call);
    tcase_add_loop_test(tests, a_kill_ends_a_call, 0, 2);
    tcase_add_test(tests, a_kill_before_a_call_ends_it_before_it_begins);
    tcase_add_test(tests, a_stack_that_is_used_up_is_a_fault);
    tcase_add_test(tests, ready_is_refused_inside_of_a_call);
    tcase_add_test(tests, a_jump_out_of_a_call_does_not_end_it);
    tcase_add_test(tests, a_return_with_another_stack_is_a_fault);
    tcase_add_test(tests, the_stubs_do_no_harm_wherever_one_jumps_in);
    tcase_add_test(tests, signals_come_in_calls_and_between_them);
    tcase_add_test(tests, another_program_can_take_its_place);
    tcase_add_test(tests, a_buffer_that_is_gone_is_an_error);
    tcase_add_loop_test(tests, what_is_no_function_is_refused, 0, 10);
    tcase_add_test(tests, bad_arguments_are_refused);
    tcase_add_test(tests, buffers_beyond_the_stack_are_refused);
    tcase_add_loop_test(tests, buffers_beyond_the_memory_limit_are_refused, 0, 2);
    tcase_add_test(tests, a_stripped_program_says_so);
    tcase_add_test(tests, a_program_that_is_not_ready_is_not_called);
    tcase_add_test(tests, a_callback_cannot_call_again);
    tcase_add_test(tests, wild_addresses_are_refused);
    tcase_add_test(tests, the_memory_of_a_program_that_ended_is_there);
    suite_add_tcase(suite, tests);
    return suite;
}
