/* SPDX-License-Identifier: Apache-2.0 */
/* vmkit_sandbox_pause(): a program that is stopped anywhere goes on, and so do its forks. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/call.h>
#include <vmkit/snapshot.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define SNAPSHOTS 1000

static vmkit_sandbox_config *config;
static vmkit_sandbox *sandbox;
static struct vmkit_sandbox_outcome outcome;

/* Another thread pauses `target` so many nanoseconds after it was told to. */
static struct {
    pthread_t thread;
    sem_t go, done;
    vmkit_sandbox *target;
    uint64_t delay_ns;
} pauser;

static void *
pause_when_told(void *user_data)
{
    for (;;) {
        sem_wait(&pauser.go);
        if (pauser.target == NULL)
            return NULL;
        const struct timespec delay = {.tv_sec = (time_t)(pauser.delay_ns / 1000000000),
                                       .tv_nsec = (long)(pauser.delay_ns % 1000000000)};
        nanosleep(&delay, NULL);
        vmkit_sandbox_pause(pauser.target);
        sem_post(&pauser.done);
    }
}

static void
pause_after(vmkit_sandbox *target, uint64_t delay_ns)
{
    pauser.target = target;
    pauser.delay_ns = delay_ns;
    sem_post(&pauser.go);
}

static void
make(const char *how)
{
    memset(&outcome, 0, sizeof outcome);
    outcome.size = sizeof outcome;
    config = guest_configure(&guest_pause, (const char *const[]){"pause", how, NULL});
    vmkit_sandbox_config_set_wall_time_limit(config, 100000 * MILLISECOND, NULL);
    vmkit_sandbox_config_set_memory_limit(config, 16 << 20, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    sem_init(&pauser.go, 0, 0);
    sem_init(&pauser.done, 0, 0);
    ck_assert_int_eq(pthread_create(&pauser.thread, NULL, pause_when_told, NULL), 0);
}

static void
tear_down(void)
{
    pauser.target = NULL;
    sem_post(&pauser.go);
    pthread_join(pauser.thread, NULL);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}

static void
run_any(vmkit_sandbox *which)
{
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_run(which, &outcome, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
}

static void
run(vmkit_sandbox *which, enum vmkit_outcome_kind kind)
{
    run_any(which);
    ck_assert_msg(outcome.kind == (uint32_t)kind,
                  "outcome %u: status %d, signal %d at 0x%llx, limit %u, instruction 0x%llx",
                  outcome.kind, outcome.exit_status, outcome.signal,
                  (unsigned long long)outcome.fault_address, outcome.limit,
                  (unsigned long long)outcome.instruction_pointer);
}

static vmkit_snapshot *
take(vmkit_sandbox *which)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_snapshot(which, &snapshot, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
    return snapshot;
}

static uint64_t
read_result(vmkit_sandbox *which)
{
    uint64_t address, value;
    ck_assert_int_eq(vmkit_sandbox_find_symbol(which, "result", &address, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_read_memory(which, address, &value, sizeof value, NULL), 0);
    return value;
}

/* What a snapshot goes on to. */
static uint64_t
finish_fork(vmkit_snapshot *snapshot)
{
    vmkit_sandbox *fork = NULL;
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &fork, NULL), 0);
    run(fork, VMKIT_OUTCOME_READY);
    uint64_t value = read_result(fork);
    vmkit_sandbox_unref(fork);
    return value;
}

START_TEST(a_snapshot_at_any_instruction_goes_on_to_the_same_result)
{
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    printf("# seed %u\n", seed);
    fflush(stdout);
    srandom(seed);
    make("compute");
    run(sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *start = take(sandbox);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(start, config, &sandbox, NULL), 0);

    uint64_t before = guest_now_ns();
    run(sandbox, VMKIT_OUTCOME_READY);
    uint64_t duration = guest_now_ns() - before, expected = read_result(sandbox);
    ck_assert_uint_ne(expected, 0);
    int taken = 0, elsewhere = 0;
    uint64_t last_pc = 0;
    while (taken < SNAPSHOTS) {
        ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
        bool paused;
        do {
            pause_after(sandbox, (uint64_t)random() % (duration / 4 + 1));
            run_any(sandbox);
            sem_wait(&pauser.done);
            paused = outcome.kind == VMKIT_OUTCOME_PAUSED;
            if (!paused)
                break;
            elsewhere += outcome.instruction_pointer != last_pc;
            last_pc = outcome.instruction_pointer;
            vmkit_snapshot *snapshot = take(sandbox);
            uint64_t value = finish_fork(snapshot);
            ck_assert_msg(value == expected, "%d snapshots: 0x%llx, not 0x%llx, at 0x%llx", taken,
                          (unsigned long long)value, (unsigned long long)expected,
                          (unsigned long long)last_pc);
            vmkit_snapshot_unref(snapshot);
        } while (++taken < SNAPSHOTS);
        if (!paused)
            ck_assert_uint_eq(read_result(sandbox), expected);
    }
    ck_assert_int_gt(elsewhere, SNAPSHOTS / 10);
    vmkit_snapshot_unref(start);
}
END_TEST

START_TEST(a_pause_before_a_run_counts_for_the_next_one)
{
    make("compute");
    vmkit_sandbox_pause(sandbox);
    vmkit_sandbox_pause(sandbox);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    uint64_t entry = outcome.instruction_pointer;
    vmkit_sandbox_pause(sandbox);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    ck_assert_uint_eq(outcome.instruction_pointer, entry);
    run(sandbox, VMKIT_OUTCOME_READY);
    vmkit_sandbox_pause(sandbox);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    run(sandbox, VMKIT_OUTCOME_READY);
    ck_assert_uint_ne(read_result(sandbox), 0);
    vmkit_sandbox_pause(NULL);
}
END_TEST

START_TEST(a_kill_goes_before_a_pause)
{
    make("sleep");
    if (_i == 0) {
        vmkit_sandbox_pause(sandbox);
    } else {
        pause_after(sandbox, 20 * MILLISECOND);
        run(sandbox, VMKIT_OUTCOME_PAUSED);
        sem_wait(&pauser.done);
    }
    vmkit_sandbox_kill(sandbox);
    run(sandbox, VMKIT_OUTCOME_KILLED);
}
END_TEST

START_TEST(a_sleep_goes_on_for_the_rest_of_its_time)
{
    make("sleep");
    uint64_t before = guest_now_ns(), runs = 0;
    do {
        pause_after(sandbox, 50 * MILLISECOND);
        run_any(sandbox);
        sem_wait(&pauser.done);
        runs++;
    } while (outcome.kind == VMKIT_OUTCOME_PAUSED);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    ck_assert_uint_gt(runs, 2);
    ck_assert_uint_ge(guest_now_ns() - before, 1000 * MILLISECOND);
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), 0);
    /* Time does not pass for it while it stands still, but for what each run takes to begin. */
    ck_assert_uint_ge(stats.wall_time_ns, 900 * MILLISECOND);
    uint64_t count;
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(sandbox, 230, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_fork_sleeps_on)
{
    make("sleep");
    pause_after(sandbox, 100 * MILLISECOND);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    sem_wait(&pauser.done);
    vmkit_snapshot *snapshot = take(sandbox);
    vmkit_sandbox *fork;
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &fork, NULL), 0);
    for (int i = 0; i < 2; i++) {
        uint64_t before = guest_now_ns();
        run(fork, VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(outcome.exit_status, 0);
        ck_assert_uint_ge(guest_now_ns() - before, 200 * MILLISECOND);
        ck_assert_int_eq(vmkit_sandbox_reset(fork, NULL), 0);
    }
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_signal_that_comes_due_meanwhile_ends_the_wait)
{
    make("alarm");
    pause_after(sandbox, 20 * MILLISECOND);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    sem_wait(&pauser.done);
    vmkit_sandbox *fork = NULL;
    vmkit_snapshot *snapshot = take(sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &fork, NULL), 0);
    usleep(1100000);
    run(sandbox, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    run(fork, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_read_goes_on_and_gets_what_comes)
{
    int ends[2];
    make("read");
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDIN, ends[0], NULL),
                     0);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    for (int i = 0; i < 3; i++) {
        pause_after(sandbox, 20 * MILLISECOND);
        run(sandbox, VMKIT_OUTCOME_PAUSED);
        sem_wait(&pauser.done);
    }
    ck_assert_int_eq(write(ends[1], "words", 5), 5);
    run(sandbox, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void
refuse_snapshot(const char *word)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), word));
    vmkit_error_unref(error);
    error = NULL;
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), word));
    vmkit_error_unref(error);
}

START_TEST(a_call_goes_on_as_the_same_call)
{
    uint64_t expected = 0, out = 0;
    double half = 0.25;
    const struct vmkit_argument argument = {.kind = VMKIT_ARGUMENT_OUT,
                                            .data = &out,
                                            .size = sizeof out},
                                seconds = {.kind = VMKIT_ARGUMENT_DOUBLE, .real = half};
    struct vmkit_call call = {
        .size = sizeof call, .symbol = "call_compute", .arguments = &argument, .argument_count = 1};
    struct vmkit_call other = call;
    other.symbol = "call_sleep";
    const struct vmkit_call sleeping = {.size = sizeof sleeping,
                                        .symbol = "call_sleep",
                                        .arguments = &seconds,
                                        .argument_count = 1,
                                        .result_kind = VMKIT_RESULT_DOUBLE};
    make("compute");
    run(sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = take(sandbox);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &sandbox, NULL), 0);
    uint64_t before = guest_now_ns();
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
    uint64_t duration = guest_now_ns() - before;
    expected = outcome.result;
    for (uint64_t i = 0; i < 30; i++) {
        ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
        unsigned pauses = 0;
        out = 0;
        for (;;) {
            pause_after(sandbox, duration * i / 90);
            ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, NULL), 0);
            sem_wait(&pauser.done);
            if (outcome.kind != VMKIT_OUTCOME_PAUSED || ++pauses == 5)
                break;
            refuse_snapshot("call");
            ck_assert_int_eq(vmkit_sandbox_call(sandbox, &other, &outcome, NULL), -EINVAL);
            other.symbol = call.symbol;
            other.argument_count = 0;
            ck_assert_int_eq(vmkit_sandbox_call(sandbox, &other, &outcome, NULL), -EINVAL);
            other.argument_count = 1;
            other.symbol = "call_sleep";
        }
        if (outcome.kind == VMKIT_OUTCOME_PAUSED)
            ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, NULL), 0);
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
        ck_assert_uint_eq(outcome.result, expected);
        ck_assert_uint_eq(out, expected ^ 1);
    }
    /* What came last may have been a pause for the next one. */
    ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
    pause_after(sandbox, 20 * MILLISECOND);
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &sleeping, &outcome, NULL), 0);
    sem_wait(&pauser.done);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &sleeping, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
    ck_assert(outcome.real == 2 * half);
    /* A reset in the midst of one. */
    vmkit_sandbox_pause(sandbox);
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &sleeping, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.result, expected);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_request_goes_on_as_the_same_request)
{
    uint64_t reply = 0, expected = 0, reply_size;
    const struct vmkit_request request = {.size = sizeof request,
                                          .data = "go",
                                          .data_size = 2,
                                          .reply = &reply,
                                          .reply_capacity = sizeof reply};
    make("serve");
    vmkit_sandbox_pause(sandbox);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, NULL),
                     -ENOTSUP);
    run(sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = take(sandbox);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_REPLIED);
    expected = reply;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
        vmkit_sandbox_pause(sandbox);
        for (int j = 0; j < 5; j++) {
            if (j > 0)
                pause_after(sandbox, 100000);
            ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, NULL),
                             0);
            if (j > 0)
                sem_wait(&pauser.done);
            if (outcome.kind != VMKIT_OUTCOME_PAUSED)
                break;
            ck_assert_uint_eq(reply_size, 0);
            refuse_snapshot("request");
        }
        if (outcome.kind == VMKIT_OUTCOME_PAUSED)
            ck_assert_int_eq(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, NULL),
                             0);
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_REPLIED);
        ck_assert_uint_eq(reply_size, sizeof reply);
        ck_assert_uint_eq(reply, expected);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(what_is_paused_elsewhere_is_not_called)
{
    const struct vmkit_call call = {.size = sizeof call, .symbol = "call_sleep"};
    vmkit_error *error = NULL;
    make("compute");
    vmkit_sandbox_pause(sandbox);
    run(sandbox, VMKIT_OUTCOME_PAUSED);
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, &error), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "paused"));
    vmkit_error_unref(error);
    run(sandbox, VMKIT_OUTCOME_READY);
    ck_assert_int_eq(vmkit_sandbox_call(sandbox, &call, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_RETURNED);
}
END_TEST

START_TEST(a_reset_takes_a_pause_back)
{
    make("compute");
    run(sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = take(sandbox);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, config, &sandbox, NULL), 0);
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            vmkit_sandbox_pause(sandbox);
            run(sandbox, VMKIT_OUTCOME_PAUSED);
        }
        vmkit_sandbox_pause(sandbox);
        vmkit_sandbox_kill(sandbox);
        ck_assert_int_eq(vmkit_sandbox_reset(sandbox, NULL), 0);
        run(sandbox, VMKIT_OUTCOME_READY);
        ck_assert_uint_ne(read_result(sandbox), 0);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_pause");
    TCase *tests = tcase_create("pause");
    tcase_add_checked_fixture(tests, NULL, tear_down);
    tcase_set_timeout(tests, 280);
    tcase_add_test(tests, a_pause_before_a_run_counts_for_the_next_one);
    tcase_add_loop_test(tests, a_kill_goes_before_a_pause, 0, 2);
    tcase_add_test(tests, a_sleep_goes_on_for_the_rest_of_its_time);
    tcase_add_test(tests, a_fork_sleeps_on);
    tcase_add_test(tests, a_signal_that_comes_due_meanwhile_ends_the_wait);
    tcase_add_test(tests, a_read_goes_on_and_gets_what_comes);
    tcase_add_test(tests, a_call_goes_on_as_the_same_call);
    tcase_add_test(tests, a_request_goes_on_as_the_same_request);
    tcase_add_test(tests, what_is_paused_elsewhere_is_not_called);
    tcase_add_test(tests, a_reset_takes_a_pause_back);
    tcase_add_test(tests, a_snapshot_at_any_instruction_goes_on_to_the_same_result);
    suite_add_tcase(suite, tests);
    return suite;
}
