/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads that fork from one snapshot, run and reset at the same time. */
#include "harness.h"
#include "snapshot_guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 12u

struct worker {
    vmkit_snapshot *snapshot;
    vmkit_sandbox *sandbox; /* One that others know as well. */
    uint64_t seed;
    unsigned wrong;
    pthread_t thread;
};

static void
start_all(struct worker *workers, unsigned count, void *(*work)(void *))
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
}

static void
join_all(struct worker *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_uint_eq(workers[i].wrong, 0);
    }
}

/* Failures are counted, since Check asserts on the main thread alone. */
static bool
run(vmkit_sandbox *sandbox, const char *command, uint64_t argument, uint64_t expected)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    snapshot_guest_tell(sandbox, command, argument);
    return vmkit_sandbox_run(sandbox, &outcome, NULL) == 0 && outcome.kind == VMKIT_OUTCOME_READY &&
           snapshot_guest_result(sandbox) == expected;
}

static void *
fork_run_and_reset(void *user_data)
{
    struct worker *worker = user_data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        vmkit_sandbox *sandbox = NULL;
        uint64_t pages = (worker->seed * 31 + round * 7) % 100;
        worker->wrong += vmkit_snapshot_fork(worker->snapshot, NULL, &sandbox, NULL) != 0;
        for (int i = 0; i < 4 && sandbox != NULL; i++) {
            worker->wrong += !run(sandbox, "touch", pages, 0);
            worker->wrong += !run(sandbox, "check", 0, pages);
            worker->wrong += vmkit_sandbox_reset(sandbox, NULL) != 0;
            worker->wrong += !run(sandbox, "check", 0, 0);
        }
        vmkit_sandbox_unref(sandbox);
    }
    vmkit_snapshot_unref(worker->snapshot);
    return NULL;
}

START_TEST(many_threads_fork_from_one_snapshot)
{
    struct worker workers[THREADS] = {0};
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    for (unsigned i = 0; i < THREADS; i++)
        workers[i] = (struct worker){.snapshot = vmkit_snapshot_ref(snapshot), .seed = i};
    /* The last of them frees it. */
    vmkit_snapshot_unref(snapshot);
    start_all(workers, THREADS, fork_run_and_reset);
    join_all(workers, THREADS);
}
END_TEST

static void *
only_fork(void *user_data)
{
    struct worker *worker = user_data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        vmkit_sandbox *sandbox = NULL;
        worker->wrong += vmkit_snapshot_fork(worker->snapshot, NULL, &sandbox, NULL) != 0;
        vmkit_sandbox_unref(sandbox);
    }
    return NULL;
}

static void *
only_reset(void *user_data)
{
    struct worker *worker = user_data;
    for (unsigned round = 0; round < 4 * ROUNDS; round++) {
        worker->wrong += !run(worker->sandbox, "touch", 50, 0);
        worker->wrong += vmkit_sandbox_reset(worker->sandbox, NULL) != 0;
    }
    return NULL;
}

START_TEST(forks_are_made_while_siblings_are_reset)
{
    struct worker workers[4] = {0};
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    for (unsigned i = 0; i < 4; i++)
        workers[i] =
            (struct worker){.snapshot = snapshot, .sandbox = snapshot_guest_fork(snapshot, NULL)};
    start_all(workers, 2, only_fork);
    start_all(workers + 2, 2, only_reset);
    join_all(workers, 4);
    for (unsigned i = 0; i < 4; i++)
        vmkit_sandbox_unref(workers[i].sandbox);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static atomic_bool stop;

/* Whatever comes first wins, and the other one is told. */
static void *
reset_at_any_time(void *user_data)
{
    struct worker *worker = user_data;
    while (!atomic_load(&stop)) {
        int r = vmkit_sandbox_reset(worker->sandbox, NULL);
        worker->wrong += r != 0 && r != -EBUSY;
        usleep(100);
    }
    return NULL;
}

static void *
kill_at_any_time(void *user_data)
{
    struct worker *worker = user_data;
    while (!atomic_load(&stop)) {
        vmkit_sandbox_kill(worker->sandbox);
        usleep(300);
    }
    return NULL;
}

START_TEST(one_sandbox_is_run_reset_and_killed_by_several_threads)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_sandbox *sandbox = snapshot_guest_fork(snapshot, NULL);
    struct worker workers[2] = {{.sandbox = sandbox}, {.sandbox = sandbox}};
    unsigned runs = 0;
    start_all(workers, 1, reset_at_any_time);
    start_all(workers + 1, 1, kill_at_any_time);
    while (runs < 100) {
        struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
        int r = vmkit_sandbox_run(sandbox, &outcome, NULL);
        ck_assert_msg(r == 0 || r == -EBUSY || r == -ENOTSUP, "%d", r);
        runs += r == 0;
        if (r != 0)
            usleep(50);
    }
    atomic_store(&stop, true);
    join_all(workers, 2);
    snapshot_guest_reset(sandbox);
    ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
    vmkit_sandbox_unref(sandbox);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_threads");
    TCase *tcase = tcase_create("snapshot_threads");

    tcase_set_timeout(tcase, 250);
    tcase_add_test(tcase, many_threads_fork_from_one_snapshot);
    tcase_add_test(tcase, forks_are_made_while_siblings_are_reset);
    tcase_add_test(tcase, one_sandbox_is_run_reset_and_killed_by_several_threads);
    suite_add_tcase(suite, tcase);
    return suite;
}
