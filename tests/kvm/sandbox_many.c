/* SPDX-License-Identifier: Apache-2.0 */
/* Many sandboxes, one after the other and all at once. */
#include "harness.h"
#include "sandbox_guest.h"
#include "usage.h"

#include <vmkit/vmkit.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define MOST 1000

static vmkit_sandbox *
make_sandbox(const vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_sandbox_new(config, &sandbox, &error);
    ck_assert_msg(result == 0, "%d: %s", result, vmkit_error_get_message(error));
    return sandbox;
}

static void
live(const vmkit_sandbox_config *config, bool run)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = make_sandbox(config);
    if (run) {
        ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
        ck_assert_int_eq(outcome.exit_status, 2);
    }
    vmkit_sandbox_unref(sandbox);
}

/* As many as there is time for, and a few thousand at the most. */
START_TEST(lives_leave_nothing_behind)
{
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "exit", "2", NULL});
    ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, "/", "/host", 0, NULL), 0);
    for (int i = 0; i < 10; i++)
        live(config, i % 2 == 0);
    struct usage before = usage_get();
    uint64_t end = guest_now_ns() + 3 * SECOND;
    int lives = 0;
    for (; lives < 5000 && (lives < 20 || guest_now_ns() < end); lives++)
        live(config, lives % 2 == 0);
    usage_check(&before);
    ck_assert_int_ge(lives, 20);
    vmkit_sandbox_config_unref(config);
}
END_TEST

struct one {
    vmkit_sandbox *sandbox;
    struct vmkit_sandbox_outcome outcome;
    int result;
    pthread_t thread;
};

static void *
run_one(void *argument)
{
    struct one *one = argument;
    one->outcome.size = sizeof one->outcome;
    one->result = vmkit_sandbox_run(one->sandbox, &one->outcome, NULL);
    return NULL;
}

/* How many the host has room for: descriptors, and memory for 4 MiB each. */
static size_t
get_room(void)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t room = (size_t)(limit.rlim_cur - 100) / 5;
    size_t memory = (size_t)sysconf(_SC_AVPHYS_PAGES) / 1024;
    room = room < memory ? room : memory;
    return room < MOST ? room : MOST;
}

static size_t
make_crowd(struct one *crowd, size_t room, const vmkit_sandbox_config *config)
{
    uint64_t end = guest_now_ns() + 2 * SECOND;
    size_t count = 0;
    for (; count < room && (count < 20 || guest_now_ns() < end); count++)
        crowd[count].sandbox = make_sandbox(config);
    return count;
}

static void
start_crowd(struct one *crowd, size_t count)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ck_assert_int_eq(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&crowd[i].thread, &attributes, run_one, &crowd[i]), 0);
    pthread_attr_destroy(&attributes);
}

/* All of them wait for their input at once; half of them are killed, the others see its end. */
START_TEST(a_thousand_live_and_run_at_once)
{
    int ends[2];
    struct one *crowd = calloc(MOST, sizeof *crowd);
    ck_assert_ptr_nonnull(crowd);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "copy", NULL});
    ck_assert_int_eq(vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDIN, ends[0], NULL),
                     0);
    struct usage before = usage_get();
    size_t count = make_crowd(crowd, get_room(), config);
    ck_assert_uint_ge(count, 20);
    ck_assert_uint_le(usage_get().descriptors, before.descriptors + 5 * count + 1);
    start_crowd(crowd, count);
    for (size_t i = 0; i < count; i += 2)
        vmkit_sandbox_kill(crowd[i].sandbox);
    close(ends[1]);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(pthread_join(crowd[i].thread, NULL), 0);
        ck_assert_int_eq(crowd[i].result, 0);
        if (i % 2 != 0)
            ck_assert_uint_eq(crowd[i].outcome.kind, VMKIT_OUTCOME_EXITED);
        else
            ck_assert(crowd[i].outcome.kind == VMKIT_OUTCOME_KILLED ||
                      crowd[i].outcome.kind == VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(crowd[i].outcome.exit_status, 0);
        vmkit_sandbox_unref(crowd[i].sandbox);
    }
    close(ends[0]);
    vmkit_sandbox_config_unref(config);
    free(crowd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_many");
    TCase *tcase = tcase_create("sandbox_many");
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, lives_leave_nothing_behind);
    tcase_add_test(tcase, a_thousand_live_and_run_at_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
