/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes in processes with signals of their own: storms of them, and the one that kicks use. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)

static atomic_long handled;

static void
count_signal(int number)
{
    atomic_fetch_add(&handled, 1);
}

static vmkit_sandbox *
make_sandbox(vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_sandbox_new(config, &sandbox, &error);
    ck_assert_msg(result == 0, "%d: %s", result, vmkit_error_get_message(error));
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

static void
run_and_free(vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome)
{
    vmkit_error *error = NULL;
    *outcome = (struct vmkit_sandbox_outcome){.size = sizeof *outcome};
    int result = vmkit_sandbox_run(sandbox, outcome, &error);
    ck_assert_msg(result == 0, "%d: %s", result, vmkit_error_get_message(error));
    vmkit_sandbox_unref(sandbox);
}

static void *
kill_soon(void *argument)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * MILLISECOND}, NULL);
    vmkit_sandbox_kill(argument);
    return NULL;
}

static void
kill_a_run(const char *name)
{
    struct vmkit_sandbox_outcome outcome;
    pthread_t thread;
    vmkit_sandbox *sandbox =
        make_sandbox(guest_configure(&guest_probe, (const char *[]){"probe", name, NULL}));
    vmkit_sandbox *killed = vmkit_sandbox_ref(sandbox);
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_soon, killed), 0);
    run_and_free(sandbox, &outcome);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    vmkit_sandbox_unref(killed);
}

static void
reach_a_limit(void)
{
    struct vmkit_sandbox_outcome outcome;
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "spin", NULL});
    vmkit_sandbox_config_set_wall_time_limit(config, 20 * MILLISECOND, NULL);
    run_and_free(make_sandbox(config), &outcome);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_LIMIT);
    ck_assert_uint_eq(outcome.limit, VMKIT_LIMIT_WALL_TIME);
}

/* Whatever the application does with the signal that kicks use: it ends runs, no handler sees it,
 * and it is blocked or not as before. */
START_TEST(the_signal_of_kicks_works_under_every_disposition)
{
    static void (*const dispositions[])(int) = {SIG_DFL, SIG_IGN, count_signal};
    int kick = vmkit_host_get_kick_signal();
    sigset_t kicks, after;
    sigemptyset(&kicks);
    sigaddset(&kicks, kick);
    ck_assert_int_eq(sigaction(kick, &(struct sigaction){.sa_handler = dispositions[_i / 2]}, NULL),
                     0);
    pthread_sigmask(_i % 2 == 0 ? SIG_UNBLOCK : SIG_BLOCK, &kicks, NULL);
    kill_a_run("spin");
    kill_a_run("sleep");
    reach_a_limit();
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(sigismember(&after, kick), _i % 2);
    sigpending(&after);
    ck_assert_int_eq(sigismember(&after, kick), 0);
    ck_assert_int_eq(atomic_load(&handled), 0);
}
END_TEST

static void
live_some_lives(void)
{
    struct guest_result *result = calloc(1, sizeof *result);
    ck_assert_ptr_nonnull(result);
    for (int i = 0; i < 10; i++) {
        vmkit_sandbox_config *config =
            guest_configure(&guest_probe, (const char *[]){"probe", "strings", "a", NULL});
        ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, "/", "/host", 0, NULL), 0);
        guest_run_config(config, result);
        ck_assert_uint_eq(result->outcome.kind, VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(result->outcome.exit_status, 0);
        ck_assert_str_eq(result->output, "arg 0 [probe]\narg 1 [strings]\narg 2 [a]\n");
        vmkit_sandbox_config_unref(config);
    }
    free(result);
}

START_TEST(a_storm_of_signals_changes_nothing)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = _i == 0 ? SA_RESTART : 0};
    struct itimerval each_millisecond = {{0, 1000}, {0, 1000}};
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &each_millisecond, NULL), 0);
    live_some_lives();
    kill_a_run("spin");
    kill_a_run("sleep");
    reach_a_limit();
    ck_assert_int_eq(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL), 0);
    ck_assert_int_gt(atomic_load(&handled), 20);
}
END_TEST

/* The guest gets the signal that the host's limit or pipe has for the caller, who gets none. */
START_TEST(what_a_guest_writes_signals_the_guest_alone)
{
    struct vmkit_sandbox_outcome outcome;
    int ends[2], output;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    if (_i == 0) {
        output = ends[1];
        close(ends[0]);
    } else {
        char path[] = "/tmp/vmkit-signals-XXXXXX";
        struct rlimit limit = {65536, RLIM_INFINITY};
        output = mkstemp(path);
        ck_assert_int_ge(output, 0);
        unlink(path);
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = 65536;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    }
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "write", NULL});
    ck_assert_int_eq(vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDOUT, output, NULL),
                     0);
    run_and_free(make_sandbox(config), &outcome);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(outcome.signal, _i == 0 ? SIGPIPE : SIGXFSZ);
    close(output);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_host_signals");
    TCase *tcase = tcase_create("sandbox_host_signals");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_signal_of_kicks_works_under_every_disposition, 0, 6);
    tcase_add_loop_test(tcase, a_storm_of_signals_changes_nothing, 0, 2);
    tcase_add_loop_test(tcase, what_a_guest_writes_signals_the_guest_alone, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
