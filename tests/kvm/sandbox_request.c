/* SPDX-License-Identifier: Apache-2.0 */
/* vmkit_sandbox_request(): requests to a program that receives them, and how they come back. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/call.h>
#include <vmkit/snapshot.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)

static vmkit_sandbox_config *config;
static vmkit_sandbox *sandbox;
static struct vmkit_sandbox_outcome outcome;
static char reply[256];
static uint64_t reply_size;

static void
run(enum vmkit_outcome_kind kind)
{
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_run(sandbox, &outcome, &error);
    ck_assert_msg(r == 0, "%s", vmkit_error_get_message(error));
    ck_assert_uint_eq(outcome.kind, kind);
}

static void
make(const struct guest_image *image, const char *how)
{
    config = guest_configure(image, (const char *const[]){"request", how, NULL});
    vmkit_sandbox_config_set_wall_time_limit(config, 60000 * MILLISECOND, NULL);
    vmkit_sandbox_config_set_memory_limit(config, 16 << 20, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    memset(&outcome, 0, sizeof outcome);
    outcome.size = sizeof outcome;
}

static void
set_up(void)
{
    make(&guest_request, "one-call");
    run(VMKIT_OUTCOME_READY);
}

static void
tear_down(void)
{
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    sandbox = NULL;
    config = NULL;
}

static struct vmkit_request
request_of(const char *text)
{
    return (struct vmkit_request){.size = sizeof(struct vmkit_request),
                                  .data = text,
                                  .data_size = strlen(text),
                                  .reply = reply,
                                  .reply_capacity = sizeof reply};
}

static void
make_request(const struct vmkit_request *request, enum vmkit_outcome_kind kind)
{
    vmkit_error *error = NULL;
    memset(reply, 0x55, sizeof reply);
    reply_size = 77;
    int r = vmkit_sandbox_request(sandbox, request, &reply_size, &outcome, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
    ck_assert_msg(outcome.kind == (uint32_t)kind, "outcome %u, status %d, signal %d, limit %u",
                  outcome.kind, outcome.exit_status, outcome.signal, outcome.limit);
    if (kind != VMKIT_OUTCOME_REPLIED)
        ck_assert_uint_eq(reply_size, 0);
}

static void
ask(const char *text, enum vmkit_outcome_kind kind)
{
    const struct vmkit_request request = request_of(text);
    make_request(&request, kind);
}

static int64_t
ask_number(const char *text)
{
    int64_t number;
    ask(text, VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, sizeof number);
    memcpy(&number, reply, sizeof number);
    return number;
}

static void
check_echo(const char *text)
{
    ask(text, VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, strlen(text));
    ck_assert_int_eq(memcmp(reply, text, strlen(text)), 0);
    ck_assert_int_eq(reply[strlen(text)], 0x55);
}

static void
refuse(const struct vmkit_request *request, int result, const char *word)
{
    vmkit_error *error = NULL;
    struct vmkit_sandbox_outcome untouched = {.size = sizeof untouched, .kind = 77};
    reply_size = 77;
    int r = vmkit_sandbox_request(sandbox, request, &reply_size, &untouched, &error);
    ck_assert_int_eq(r, result);
    ck_assert_int_eq(vmkit_error_get_errno(error), result);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "\"%s\" lacks \"%s\"",
                  vmkit_error_get_message(error), word);
    ck_assert_uint_eq(untouched.kind, 77);
    ck_assert_uint_eq(reply_size, 77);
    vmkit_error_unref(error);
}

static void
check_ended(void)
{
    const struct vmkit_request request = request_of("count");
    refuse(&request, -ENOTSUP, "ended");
}

START_TEST(a_request_gets_its_reply)
{
    static const char *const how[] = {"one-call", "two-calls", "ready-first"};
    make(&guest_request, how[_i]);
    run(VMKIT_OUTCOME_READY);
    for (int64_t i = 1; i < 20; i++)
        ck_assert_int_eq(ask_number("count"), i);
    check_echo("");
    check_echo("a");
    check_echo("some words, and more of them");
    ck_assert_int_eq(ask_number("count"), 20);
    ck_assert_int_eq(outcome.exit_status, 0);
    ck_assert_uint_gt(outcome.instruction_pointer, 0x10000);
    run(_i == 1 ? VMKIT_OUTCOME_READY : VMKIT_OUTCOME_EXITED);
    if (_i == 1)
        run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, ESHUTDOWN);
    check_ended();
}
END_TEST

START_TEST(requests_and_replies_have_any_size)
{
    static char data[65536], back[65536];
    struct vmkit_request request = request_of("");
    set_up();
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7 + (i >> 8));
    request.data = data;
    request.reply = back;
    request.reply_capacity = sizeof back;
    for (size_t size = 1; size <= sizeof data; size = size * 3 / 2 + 1) {
        memset(back, 0, sizeof back);
        request.data_size = size;
        request.reply_capacity = size;
        make_request(&request, VMKIT_OUTCOME_REPLIED);
        ck_assert_uint_eq(reply_size, size);
        ck_assert_int_eq(memcmp(back, data, size), 0);
    }
}
END_TEST

START_TEST(a_program_in_cxx_serves)
{
    make(&guest_request_cxx, "");
    run(VMKIT_OUTCOME_READY);
    ask("", VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, 7);
    ck_assert_int_eq(memcmp(reply, "no word", 7), 0);
    ask("one two one", VMKIT_OUTCOME_REPLIED);
    ck_assert_int_eq(memcmp(reply, "one=2 two=1 ", reply_size), 0);
    ask("two", VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, 12);
    ck_assert_int_eq(memcmp(reply, "one=2 two=2 ", reply_size), 0);
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, ESHUTDOWN);
}
END_TEST

START_TEST(the_program_learns_what_it_does_wrong)
{
    set_up();
    ck_assert_int_eq(ask_number("ready"), -EBUSY);
    ck_assert_int_eq(ask_number("wild"), -EFAULT);
    ck_assert_int_eq(ask_number("long"), -EMSGSIZE);
    ck_assert_int_eq(ask_number("huge"), -EMSGSIZE);
    ask("twice", VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, 1);
    ck_assert_int_eq(ask_number("count"), -EPROTO);
    /* It waits for the next one without a reply. */
    ask("silent", VMKIT_OUTCOME_READY);
    ck_assert_int_eq(ask_number("count"), 1);
}
END_TEST

START_TEST(a_reply_without_a_request_is_refused)
{
    make(&guest_request, "reply-first");
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, EPROTO);
}
END_TEST

START_TEST(a_request_that_does_not_fit_is_refused)
{
    struct vmkit_request request = request_of("nine byte");
    if (_i == 0) {
        /* Where it stands already. */
        set_up();
        ask("small", VMKIT_OUTCOME_REPLIED);
    } else {
        /* Where it gets to later. */
        make(&guest_request, "two-calls");
        run(VMKIT_OUTCOME_READY);
        ask("small", VMKIT_OUTCOME_REPLIED);
    }
    refuse(&request, -E2BIG, "has 9 bytes, and the program receives at most 8");
    refuse(&request, -E2BIG, "has 9 bytes");
    ck_assert_int_eq(ask_number("count"), 1);
    request.data_size = UINT64_MAX;
    refuse(&request, -E2BIG, "has 18446744073709551615 bytes");
}
END_TEST

START_TEST(a_buffer_that_cannot_be_written_is_an_error)
{
    const struct vmkit_request request = request_of("count");
    make(&guest_request, _i < 2 ? "one-call" : "two-calls");
    run(VMKIT_OUTCOME_READY);
    ask(_i % 2 == 0 ? "nowhere" : "read-only", VMKIT_OUTCOME_REPLIED);
    refuse(&request, -EFAULT, "cannot write 5 bytes at 0x");
    refuse(&request, -EFAULT, "cannot write");
    run(VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, ESHUTDOWN);
}
END_TEST

START_TEST(a_buffer_beyond_the_memory_limit_ends_the_program)
{
    struct vmkit_request request = request_of("count");
    char *data = calloc(1, 20 << 20);
    make(&guest_request, _i == 0 ? "one-call" : "two-calls");
    run(VMKIT_OUTCOME_READY);
    ask("large", VMKIT_OUTCOME_REPLIED);
    request.data = data;
    request.data_size = 20 << 20;
    make_request(&request, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit, VMKIT_LIMIT_MEMORY);
    check_ended();
    free(data);
}
END_TEST

START_TEST(a_request_may_end_the_program)
{
    set_up();
    if (_i == 0) {
        ask("exit", VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(outcome.exit_status, 42);
    } else {
        ask("crash", VMKIT_OUTCOME_SIGNALLED);
        ck_assert_int_eq(outcome.signal, SIGSEGV);
        ck_assert_uint_eq(outcome.fault_address, 0x1234);
    }
    check_ended();
}
END_TEST

START_TEST(a_request_has_limits_of_time_of_its_own)
{
    struct vmkit_request request = request_of(_i == 2 ? "sleep" : "spin");
    set_up();
    if (_i == 0)
        request.cpu_time_limit_ns = 30 * MILLISECOND;
    else
        request.wall_time_limit_ns = 30 * MILLISECOND;
    ck_assert_int_eq(ask_number("count"), 1);
    make_request(&request, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit, _i == 0 ? VMKIT_LIMIT_CPU_TIME : VMKIT_LIMIT_WALL_TIME);
    check_ended();
}
END_TEST

static void *
kill_soon(void *user_data)
{
    usleep(20000);
    vmkit_sandbox_kill(sandbox);
    return NULL;
}

START_TEST(a_kill_ends_a_request)
{
    pthread_t thread;
    set_up();
    if (_i < 2)
        ck_assert_int_eq(pthread_create(&thread, NULL, kill_soon, NULL), 0);
    else
        vmkit_sandbox_kill(sandbox);
    ask(_i == 0 ? "spin" : "sleep", VMKIT_OUTCOME_KILLED);
    if (_i < 2)
        pthread_join(thread, NULL);
    check_ended();
}
END_TEST

START_TEST(signals_come_before_the_request)
{
    make(&guest_request, _i == 0 ? "one-call" : "two-calls");
    run(VMKIT_OUTCOME_READY);
    ck_assert_int_eq(ask_number("alarm"), 0);
    usleep(5000);
    ck_assert_int_eq(ask_number("alarms"), 1);
    check_echo("words");
}
END_TEST

static uint64_t
call_inside(uint64_t which)
{
    const struct vmkit_argument argument = {.kind = VMKIT_ARGUMENT_INTEGER, .integer = which};
    const struct vmkit_call call = {
        .size = sizeof call, .symbol = "call_inside", .arguments = &argument, .argument_count = 1};
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
    return outcome.result;
}

START_TEST(functions_are_called_between_requests)
{
    make(&guest_request, _i == 0 ? "one-call" : "two-calls");
    run(VMKIT_OUTCOME_READY);
    for (int64_t i = 1; i < 4; i++) {
        for (uint64_t which = 0; which < 3; which++)
            ck_assert_int_eq((int64_t)call_inside(which), -EBUSY);
        ck_assert_int_eq(ask_number("count"), i);
    }
    ck_assert_uint_eq(call_inside(3), 0);
    check_echo("words");
}
END_TEST

START_TEST(forks_receive_where_the_snapshot_did)
{
    static const char *const ends[] = {"exit", "crash", "silent", "count", "twice"};
    vmkit_snapshot *snapshot = NULL;
    make(&guest_request, _i == 0 ? "one-call" : "two-calls");
    run(VMKIT_OUTCOME_READY);
    if (_i > 0)
        ck_assert_int_eq(ask_number("count"), 1);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), 0);
    vmkit_sandbox *template = sandbox;
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &sandbox, NULL), 0);
        for (size_t j = 0; j < sizeof ends / sizeof ends[0]; j++) {
            struct vmkit_request request = request_of(ends[j]);
            ck_assert_int_eq(ask_number("count"), 1 + (_i > 0));
            ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, NULL),
                             0);
            ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
        }
        struct vmkit_request spin = request_of("spin");
        spin.cpu_time_limit_ns = 10 * MILLISECOND;
        make_request(&spin, VMKIT_OUTCOME_LIMIT);
        ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
        check_echo("words");
        vmkit_sandbox_unref(sandbox);
    }
    sandbox = template;
    ck_assert_int_eq(ask_number("count"), 1 + (_i > 0));
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* The generation that the program reads now, and the one it read before the last fork or reset. */
static void
ask_generation(uint64_t numbers[2])
{
    ask("generation", VMKIT_OUTCOME_REPLIED);
    ck_assert_uint_eq(reply_size, 2 * sizeof *numbers);
    memcpy(numbers, reply, 2 * sizeof *numbers);
}

START_TEST(every_fork_and_every_reset_is_another_generation)
{
    enum { GENERATIONS = 50 };
    uint64_t seen[GENERATIONS], numbers[2];
    vmkit_snapshot *snapshot = NULL;
    vmkit_sandbox *fork = NULL;
    set_up();
    ask_generation(numbers);
    ck_assert_uint_eq(numbers[1], 0);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), 0);
    vmkit_sandbox *template = sandbox;
    for (size_t i = 0; i < GENERATIONS; i++) {
        if (i % 10 == 0) {
            /* A snapshot of a fork, too. */
            if (i == 20) {
                vmkit_snapshot_unref(snapshot);
                ck_assert_int_eq(vmkit_sandbox_snapshot(fork, &snapshot, NULL), 0);
            }
            vmkit_sandbox_unref(fork);
            ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &fork, NULL), 0);
        } else {
            ck_assert_int_eq(vmkit_sandbox_reset(fork, NULL), 0);
        }
        sandbox = fork;
        ask_generation(numbers);
        ck_assert_uint_eq(numbers[0], i < 20 ? 0 : seen[19]);
        seen[i] = numbers[1];
        ck_assert_uint_ne(seen[i], 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(seen[i], seen[j]);
        /* The same until then. */
        ask_generation(numbers);
        ck_assert_uint_eq(numbers[0], seen[i]);
        ck_assert_uint_eq(numbers[1], seen[i]);
    }
    vmkit_sandbox_unref(fork);
    sandbox = template;
    ask_generation(numbers);
    ck_assert_uint_eq(numbers[1], 0);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
    struct vmkit_request request = request_of("count");
    make(&guest_request, "one-call");
    refuse(&request, -ENOTSUP, "not ready");
    run(VMKIT_OUTCOME_READY);
    request.data = NULL;
    refuse(&request, -EINVAL, "has 5 bytes and room for 256, and one of them is at NULL");
    request = request_of("count");
    request.reply = NULL;
    refuse(&request, -EINVAL, "NULL");
    request = request_of("count");
    request.reserved = 3;
    refuse(&request, -EINVAL, "3 in its reserved field");
    request = request_of("count");
    request.size = 8;
    refuse(&request, -EINVAL, "request->size is 8");
    request = request_of("count");
    ck_assert_int_eq(vmkit_sandbox_request(NULL, &request, &reply_size, &outcome, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_request(sandbox, NULL, &reply_size, &outcome, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, NULL, &outcome, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, &reply_size, NULL, NULL), -EINVAL);
    ck_assert_int_eq(ask_number("count"), 1);
    /* A reply of which nothing is wanted. */
    request = request_of("");
    request.data = NULL;
    request.reply = NULL;
    request.reply_capacity = 0;
    make_request(&request, VMKIT_OUTCOME_REPLIED);
}
END_TEST

static void *
spin_until_killed(void *user_data)
{
    const struct vmkit_argument spin = {.kind = VMKIT_ARGUMENT_INTEGER, .integer = 4};
    const struct vmkit_call call = {
        .size = sizeof call, .symbol = "call_inside", .arguments = &spin, .argument_count = 1};
    struct vmkit_request request = request_of("spin");
    struct vmkit_sandbox_outcome own = {.size = sizeof own};
    uint64_t size;
    if (user_data == NULL)
        vmkit_sandbox_request(sandbox, &request, &size, &own, NULL);
    else
        vmkit_sandbox_call(sandbox, &call, &own, NULL);
    return NULL;
}

START_TEST(one_that_runs_is_busy)
{
    pthread_t thread;
    struct vmkit_request request = request_of("spin");
    const struct vmkit_call call = {.size = sizeof call, .symbol = "call_inside"};
    struct vmkit_sandbox_outcome own = {.size = sizeof own};
    vmkit_snapshot *snapshot = NULL;
    vmkit_sandbox *fork;
    set_up();
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &fork, NULL), 0);
    vmkit_sandbox_unref(sandbox);
    sandbox = fork;
    ck_assert_int_eq(pthread_create(&thread, NULL, spin_until_killed, _i == 0 ? NULL : sandbox), 0);
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    while (vmkit_sandbox_get_stats(sandbox, &stats, NULL) != -EBUSY)
        usleep(100);
    usleep(1000);
    refuse(&request, -EBUSY, "running");
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &own, NULL), -EBUSY);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &own, NULL), -EBUSY);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), -EBUSY);
    ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), -EBUSY);
    vmkit_sandbox_kill(sandbox);
    pthread_join(thread, NULL);
    ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
    ck_assert_int_eq(ask_number("count"), 1);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_request");
    TCase *tests = tcase_create("request");
    tcase_add_checked_fixture(tests, NULL, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, a_request_gets_its_reply, 0, 3);
    tcase_add_test(tests, requests_and_replies_have_any_size);
    tcase_add_test(tests, a_program_in_cxx_serves);
    tcase_add_test(tests, the_program_learns_what_it_does_wrong);
    tcase_add_test(tests, a_reply_without_a_request_is_refused);
    tcase_add_loop_test(tests, a_request_that_does_not_fit_is_refused, 0, 2);
    tcase_add_loop_test(tests, a_buffer_that_cannot_be_written_is_an_error, 0, 4);
    tcase_add_loop_test(tests, a_buffer_beyond_the_memory_limit_ends_the_program, 0, 2);
    tcase_add_loop_test(tests, a_request_may_end_the_program, 0, 2);
    tcase_add_loop_test(tests, a_request_has_limits_of_time_of_its_own, 0, 3);
    tcase_add_loop_test(tests, a_kill_ends_a_request, 0, 3);
    tcase_add_loop_test(tests, signals_come_before_the_request, 0, 2);
    tcase_add_loop_test(tests, functions_are_called_between_requests, 0, 2);
    tcase_add_loop_test(tests, forks_receive_where_the_snapshot_did, 0, 2);
    tcase_add_test(tests, every_fork_and_every_reset_is_another_generation);
    tcase_add_test(tests, bad_requests_are_refused);
    tcase_add_loop_test(tests, one_that_runs_is_busy, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
