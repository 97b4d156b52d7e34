/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that come, go and are cancelled around sandboxes. */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)

struct run {
    vmkit_sandbox *sandbox;
    struct vmkit_sandbox_outcome outcome;
    int result;
    int cancel_type;
    atomic_bool begun;
    bool returned;
};

static vmkit_sandbox *
make_sandbox(const char *const *arguments)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_sandbox_config *config = guest_configure(&guest_probe, arguments);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

static void
sleep_for(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

static void *
run_cancellably(void *argument)
{
    struct run *run = argument;
    pthread_setcanceltype(run->cancel_type, NULL);
    run->outcome.size = sizeof run->outcome;
    atomic_store(&run->begun, true);
    run->result = vmkit_sandbox_run(run->sandbox, &run->outcome, NULL);
    run->returned = true;
    for (;;)
        pthread_testcancel();
    return NULL;
}

/* The guest spins inside of KVM_RUN, or sleeps in a call that is a cancellation point. */
START_TEST(a_thread_that_is_cancelled_ends_when_the_run_is_over)
{
    static const char *const guests[] = {"spin", "sleep"};
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    struct run run = {
        .sandbox = make_sandbox((const char *const[]){"probe", guests[_i % 2], NULL}),
        .cancel_type = _i < 2 ? PTHREAD_CANCEL_DEFERRED : PTHREAD_CANCEL_ASYNCHRONOUS,
    };
    pthread_t thread;
    void *value = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_cancellably, &run), 0);
    while (!atomic_load(&run.begun))
        sleep_for(MILLISECOND);
    sleep_for(20 * MILLISECOND);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    sleep_for(20 * MILLISECOND);
    vmkit_sandbox_kill(run.sandbox);
    ck_assert_int_eq(pthread_join(thread, &value), 0);
    /* An asynchronous cancellation takes effect before the result is there. */
    if (run.cancel_type == PTHREAD_CANCEL_DEFERRED) {
        ck_assert_ptr_eq(value, PTHREAD_CANCELED);
        ck_assert_int_eq(run.returned, true);
        ck_assert_int_eq(run.result, 0);
        ck_assert_uint_eq(run.outcome.kind, VMKIT_OUTCOME_KILLED);
    }
    ck_assert_int_eq(vmkit_sandbox_get_stats(run.sandbox, &stats, NULL), 0);
    vmkit_sandbox_unref(run.sandbox);
}
END_TEST

static void *
make_run_and_free(void *argument)
{
    /* No assertion in here: they are cancellation points. */
    struct run *run = argument;
    vmkit_sandbox_config *config = NULL;
    uint64_t size = (uint64_t)(guest_probe.end - guest_probe.data);
    run->outcome.size = sizeof run->outcome;
    run->result = vmkit_sandbox_config_new(&config, NULL);
    if (run->result == 0)
        run->result = vmkit_sandbox_config_set_program_memory(config, guest_probe.data, size, NULL);
    if (run->result == 0)
        run->result = vmkit_sandbox_config_set_arguments(
            config, (const char *const[]){"probe", "exit", "4", NULL}, NULL);
    if (run->result == 0)
        run->result =
            vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDERR, STDERR_FILENO, NULL);
    if (run->result == 0)
        run->result = vmkit_sandbox_config_add_folder(config, "/", "/host", 0, NULL);
    if (run->result == 0)
        run->result = vmkit_sandbox_new(config, &run->sandbox, NULL);
    if (run->result == 0)
        run->result = vmkit_sandbox_run(run->sandbox, &run->outcome, NULL);
    vmkit_sandbox_unref(run->sandbox);
    vmkit_sandbox_config_unref(config);
    run->returned = true;
    for (;;)
        pthread_testcancel();
    return NULL;
}

/* It is cancelled before it does anything, so that the first cancellation point of any call would
 * end it. */
START_TEST(no_call_of_the_library_is_a_cancellation_point)
{
    struct run run = {.returned = false};
    pthread_t thread;
    void *value = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, make_run_and_free, &run), 0);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    ck_assert_int_eq(pthread_join(thread, &value), 0);
    ck_assert_ptr_eq(value, PTHREAD_CANCELED);
    ck_assert_int_eq(run.returned, true);
    ck_assert_int_eq(run.result, 0);
    ck_assert_int_eq(run.outcome.exit_status, 4);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_threads");
    TCase *tcase = tcase_create("sandbox_threads");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_thread_that_is_cancelled_ends_when_the_run_is_over, 0, 4);
    tcase_add_test(tcase, no_call_of_the_library_is_a_cancellation_point);
    suite_add_tcase(suite, tcase);
    return suite;
}
