/* SPDX-License-Identifier: Apache-2.0 */
/* Each limit ends a run, or is refused to the guest, as include/vmkit/sandbox.h says. */
#include "harness.h"
#include "sandbox_guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define MIB (UINT64_C(1) << 20)

static struct guest_result result;

static vmkit_sandbox_config *
configure(const char *task, const char *argument)
{
    return guest_configure(&guest_probe, (const char *const[]){"probe", task, argument, NULL});
}

static void
run(vmkit_sandbox_config *config)
{
    guest_run_config(config, &result);
    vmkit_sandbox_config_unref(config);
}

static void
check_limit(enum vmkit_limit limit)
{
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(result.outcome.limit, limit);
    ck_assert_int_eq(result.outcome.exit_status, 0);
    ck_assert_int_eq(result.outcome.signal, 0);
}

/* What the host takes away from a machine counts as CPU time inside of it: where time is measured,
 * the best of some attempts shows what the library does. */
#define ATTEMPTS 40

START_TEST(cpu_time_ends_a_program_that_spins)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < ATTEMPTS && best >= 60 * MILLISECOND; i++) {
        vmkit_sandbox_config *config = configure("spin", NULL);
        ck_assert_int_eq(vmkit_sandbox_config_set_cpu_time_limit(config, 30 * MILLISECOND, NULL),
                         0);
        run(config);
        check_limit(VMKIT_LIMIT_CPU_TIME);
        ck_assert_uint_ge(result.stats.cpu_time_ns, 30 * MILLISECOND);
        best = result.stats.cpu_time_ns < best ? result.stats.cpu_time_ns : best;
    }
    ck_assert_uint_lt(best, 60 * MILLISECOND);
}
END_TEST

START_TEST(cpu_time_does_not_pass_in_sleep)
{
    vmkit_sandbox_config *config = configure("sleep", NULL);
    vmkit_sandbox_config_set_cpu_time_limit(config, 2000 * MILLISECOND, NULL);
    vmkit_sandbox_config_set_wall_time_limit(config, 300 * MILLISECOND, NULL);
    run(config);
    check_limit(VMKIT_LIMIT_WALL_TIME);
}
END_TEST

START_TEST(wall_time_ends_whatever_a_program_does)
{
    static const char *const tasks[] = {"spin", "sleep", "read-pipe"};
    vmkit_sandbox_config *config = configure(tasks[_i], NULL);
    ck_assert_int_eq(vmkit_sandbox_config_set_wall_time_limit(config, 100 * MILLISECOND, NULL), 0);
    run(config);
    check_limit(VMKIT_LIMIT_WALL_TIME);
    ck_assert_uint_ge(result.stats.wall_time_ns, 100 * MILLISECOND);
    ck_assert_uint_lt(result.stats.wall_time_ns, 1000 * MILLISECOND);
}
END_TEST

START_TEST(memory_is_refused_by_mmap_and_by_brk)
{
    static const char *const how[] = {"mmap", "brk"};
    vmkit_sandbox_config *config = configure("exhaust", how[_i]);
    ck_assert_int_eq(vmkit_sandbox_config_set_memory_limit(config, 32 * MIB, NULL), 0);
    run(config);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(result.outcome.exit_status, 0);
    /* ENOMEM, and what is left beside the program itself. */
    ck_assert_int_eq(strncmp(result.output, "12 ", 3), 0);
    int got = atoi(result.output + 3);
    ck_assert_int_ge(got, 28);
    ck_assert_int_le(got, 32);
    ck_assert_uint_le(result.stats.memory_peak_bytes, 32 * MIB);
}
END_TEST

START_TEST(memory_that_cannot_be_had_when_touched_ends_the_run)
{
    static const char *const how[] = {"touch", "scatter"};
    vmkit_sandbox_config *config = configure("exhaust", how[_i]);
    vmkit_sandbox_config_set_memory_limit(config, 32 * MIB, NULL);
    run(config);
    check_limit(VMKIT_LIMIT_MEMORY);
    ck_assert_uint_le(result.stats.memory_peak_bytes, 32 * MIB);
    ck_assert_uint_ge(result.stats.memory_peak_bytes, 31 * MIB);
}
END_TEST

START_TEST(files_in_tmp_count_as_memory)
{
    vmkit_sandbox_config *config = configure("fill-tmp", NULL);
    vmkit_sandbox_config_set_memory_limit(config, 16 * MIB, NULL);
    run(config);
    ck_assert_str_eq(result.output, "ENOSPC\n");
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_uint_le(result.stats.memory_peak_bytes, 16 * MIB);
    ck_assert_uint_ge(result.stats.memory_peak_bytes, 14 * MIB);
}
END_TEST

START_TEST(output_ends_a_program_that_writes_without_end)
{
    vmkit_sandbox_config *config = configure("write", _i == 0 ? NULL : "2");
    ck_assert_int_eq(vmkit_sandbox_config_set_output_limit(config, 10000, NULL), 0);
    run(config);
    check_limit(VMKIT_LIMIT_OUTPUT);
    ck_assert_uint_eq(result.stats.output_bytes, 10000);
    ck_assert_uint_eq(result.size, 10000);
    ck_assert_int_eq(result.output[9999], 'y');
}
END_TEST

START_TEST(a_buffer_has_a_limit_of_its_own)
{
    vmkit_sandbox_config *config = configure("write", NULL);
    vmkit_sandbox *sandbox;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    const void *data;
    uint64_t size;
    ck_assert_int_eq(
        vmkit_sandbox_config_set_output_buffer(config, VMKIT_STREAM_STDOUT, 5000, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit, VMKIT_LIMIT_OUTPUT);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, 5000);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(open_files_are_refused)
{
    vmkit_sandbox_config *config = configure("open", NULL);
    ck_assert_int_eq(vmkit_sandbox_config_set_open_files_limit(config, 10, NULL), 0);
    run(config);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_str_eq(result.output, "7 EMFILE\n");
}
END_TEST

START_TEST(the_smallest_memory_is_enough_or_refused)
{
    vmkit_sandbox_config *config = configure("exit", "3");
    vmkit_error *error = NULL;
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_set_memory_limit(config, MIB, NULL), 0);
    int r = vmkit_sandbox_new(config, &sandbox, &error);
    if (r == 0) {
        struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
        ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
        ck_assert_int_eq(outcome.exit_status, 3);
        vmkit_sandbox_unref(sandbox);
    } else {
        ck_assert_int_eq(r, -E2BIG);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "1048576"));
        vmkit_error_unref(error);
    }
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(a_program_that_does_not_fit_is_refused_with_the_limit)
{
    static char long_string[900000];
    memset(long_string, 'x', sizeof long_string - 1);
    const char *const arguments[] = {"probe", long_string, NULL};
    vmkit_sandbox_config *config = guest_configure(&guest_probe, arguments);
    vmkit_error *error = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_sandbox_config_set_memory_limit(config, MIB, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "1048576"));
    ck_assert_ptr_null(sandbox);
    vmkit_error_unref(error);
    vmkit_sandbox_config_unref(config);
}
END_TEST

struct killer {
    vmkit_sandbox *sandbox;
    uint64_t delay_ns;
};

static void *
kill_later(void *data)
{
    struct killer *killer = data;
    usleep((useconds_t)(killer->delay_ns / 1000));
    vmkit_sandbox_kill(killer->sandbox);
    return NULL;
}

START_TEST(kill_ends_whatever_a_program_does)
{
    static const char *const tasks[] = {"spin", "sleep", "read-pipe"};
    vmkit_sandbox_config *config = configure(tasks[_i], NULL);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct killer killer = {.delay_ns = 50 * MILLISECOND};
    pthread_t thread;
    ck_assert_int_eq(vmkit_sandbox_new(config, &killer.sandbox, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_later, &killer), 0);
    ck_assert_int_eq(vmkit_sandbox_run(killer.sandbox, &outcome, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    ck_assert_uint_ge(outcome.instruction_pointer, 0x400000);
    vmkit_sandbox_unref(killer.sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

/* Most ends of such programs come while the guest is on its way in or out. */
START_TEST(an_outcome_says_where_the_program_itself_stood)
{
    static const char *const ways[] = {"calls", "faults"};
    for (unsigned i = 0; i < 60; i++) {
        vmkit_sandbox_config *config = configure("cross", ways[_i]);
        uint64_t limit = (i + 100) * MILLISECOND / 20;
        if (i % 2 == 0)
            vmkit_sandbox_config_set_wall_time_limit(config, limit, NULL);
        else
            vmkit_sandbox_config_set_cpu_time_limit(config, limit, NULL);
        run(config);
        check_limit(i % 2 == 0 ? VMKIT_LIMIT_WALL_TIME : VMKIT_LIMIT_CPU_TIME);
        ck_assert_uint_ge(result.outcome.instruction_pointer, 0x400000);
        ck_assert_uint_lt(result.outcome.instruction_pointer, 0x800000);
    }
}
END_TEST

/* The CPU time that a program which spins gets after the kill: what it used in all, less what had
 * passed when the kill came, which the killer reads off the thread's own clock. */
struct timed_killer {
    vmkit_sandbox *sandbox;
    clockid_t clock;
    uint64_t cpu_at_kill_ns;
};

static void *
kill_timed(void *data)
{
    struct timed_killer *killer = data;
    struct timespec now;
    usleep(20000);
    clock_gettime(killer->clock, &now);
    killer->cpu_at_kill_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    vmkit_sandbox_kill(killer->sandbox);
    return NULL;
}

START_TEST(a_killed_program_gets_less_than_1_ms_of_cpu_time)
{
    uint64_t best = UINT64_MAX;
    vmkit_sandbox_config *config = configure("spin", NULL);
    for (int i = 0; i < ATTEMPTS && best >= MILLISECOND; i++) {
        struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
        struct timed_killer killer = {0};
        pthread_t thread;
        ck_assert_int_eq(vmkit_sandbox_new(config, &killer.sandbox, NULL), 0);
        ck_assert_int_eq(pthread_getcpuclockid(pthread_self(), &killer.clock), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, kill_timed, &killer), 0);
        ck_assert_int_eq(vmkit_sandbox_run(killer.sandbox, &outcome, NULL), 0);
        uint64_t after = guest_cpu_ns();
        pthread_join(thread, NULL);
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
        uint64_t took = after - killer.cpu_at_kill_ns;
        best = took < best ? took : best;
        vmkit_sandbox_unref(killer.sandbox);
    }
    ck_assert_uint_lt(best, MILLISECOND);
    vmkit_sandbox_config_unref(config);
}
END_TEST

START_TEST(a_kill_before_the_run_keeps_it_from_beginning)
{
    vmkit_sandbox_config *config = configure("exit", "1");
    vmkit_sandbox *sandbox;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    vmkit_sandbox_kill(sandbox);
    vmkit_sandbox_kill(sandbox);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &stats, NULL), 0);
    ck_assert_uint_eq(stats.exits, 0);
    ck_assert_uint_eq(stats.syscalls, 0);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    vmkit_sandbox_kill(NULL);
}
END_TEST

static int64_t
kill_from_output(void *user_data, const void *data, uint64_t size)
{
    vmkit_sandbox_kill(*(vmkit_sandbox **)user_data);
    return (int64_t)size;
}

static int64_t
kill_from_input(void *user_data, void *data, uint64_t size)
{
    vmkit_sandbox_kill(*(vmkit_sandbox **)user_data);
    return 1;
}

START_TEST(a_callback_may_kill)
{
    vmkit_sandbox *sandbox;
    vmkit_sandbox_config *config = configure(_i == 0 ? "write" : "copy", NULL);
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, kill_from_output,
                                             &sandbox, NULL);
    vmkit_sandbox_config_set_input_callback(config, kill_from_input, &sandbox, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_limits");
    TCase *tcase = tcase_create("sandbox_limits");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, cpu_time_ends_a_program_that_spins);
    tcase_add_test(tcase, cpu_time_does_not_pass_in_sleep);
    tcase_add_loop_test(tcase, wall_time_ends_whatever_a_program_does, 0, 3);
    tcase_add_loop_test(tcase, memory_is_refused_by_mmap_and_by_brk, 0, 2);
    tcase_add_loop_test(tcase, memory_that_cannot_be_had_when_touched_ends_the_run, 0, 2);
    tcase_add_test(tcase, files_in_tmp_count_as_memory);
    tcase_add_loop_test(tcase, output_ends_a_program_that_writes_without_end, 0, 2);
    tcase_add_test(tcase, a_buffer_has_a_limit_of_its_own);
    tcase_add_test(tcase, open_files_are_refused);
    tcase_add_test(tcase, the_smallest_memory_is_enough_or_refused);
    tcase_add_test(tcase, a_program_that_does_not_fit_is_refused_with_the_limit);
    tcase_add_loop_test(tcase, kill_ends_whatever_a_program_does, 0, 3);
    tcase_add_loop_test(tcase, an_outcome_says_where_the_program_itself_stood, 0, 2);
    tcase_add_test(tcase, a_killed_program_gets_less_than_1_ms_of_cpu_time);
    tcase_add_test(tcase, a_kill_before_the_run_keeps_it_from_beginning);
    tcase_add_loop_test(tcase, a_callback_may_kill, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
