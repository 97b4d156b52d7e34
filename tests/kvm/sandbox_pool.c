/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of warm sandboxes. */
#include "harness.h"
#include "snapshot_guest.h"

#include <vmkit/pool.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static vmkit_snapshot *snapshot;

static void
setup(void)
{
    snapshot = snapshot_guest_take(NULL);
}

static void
teardown(void)
{
    vmkit_snapshot_unref(snapshot);
}

static vmkit_pool *
new_pool(uint32_t warm, uint32_t limit)
{
    vmkit_pool *pool = NULL;
    ck_assert_int_eq(vmkit_pool_new(snapshot, NULL, warm, limit, &pool, NULL), 0);
    return pool;
}

static vmkit_sandbox *
take(vmkit_pool *pool)
{
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_pool_take(pool, 60 * SECOND, &sandbox, NULL), 0);
    ck_assert_ptr_nonnull(sandbox);
    return sandbox;
}

static void
give_back(vmkit_pool *pool, vmkit_sandbox *sandbox)
{
    ck_assert_int_eq(vmkit_pool_give_back(pool, sandbox, NULL), 0);
}

static struct vmkit_pool_stats
stats_of(vmkit_pool *pool)
{
    struct vmkit_pool_stats stats = {.size = sizeof stats};
    ck_assert_int_eq(vmkit_pool_get_stats(pool, &stats, NULL), 0);
    ck_assert_uint_eq(stats.size, sizeof stats);
    return stats;
}

/* The call fails, and its message has `words`. */
#define ASSERT_REFUSED(call, err, words)                                                   \
    do {                                                                                   \
        vmkit_error *error = NULL;                                                         \
        ck_assert_int_eq(call, -(err));                                                    \
        ck_assert_msg(strstr(vmkit_error_get_message(error), words) != NULL, "it says %s", \
                      vmkit_error_get_message(error));                                     \
        vmkit_error_unref(error);                                                          \
    } while (0)

START_TEST(what_a_pool_has_is_taken_and_given_back)
{
    vmkit_pool *pool = new_pool(2, 3);
    struct vmkit_pool_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.limit, 3);
    ck_assert_uint_eq(stats.idle, 2);
    ck_assert_uint_eq(stats.forks, 2);

    vmkit_sandbox *taken[3];
    for (int i = 0; i < 3; i++) {
        taken[i] = take(pool);
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(taken[i], taken[j]);
    }
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.idle, 0);
    ck_assert_uint_eq(stats.taken, 3);
    ck_assert_uint_eq(stats.takes, 3);
    ck_assert_uint_eq(stats.forks, 3);

    for (int i = 0; i < 3; i++)
        give_back(pool, taken[i]);
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.idle, 3);
    ck_assert_uint_eq(stats.taken, 0);
    ck_assert_uint_eq(stats.resets, 3);
    ck_assert_uint_eq(stats.waits, 0);
    ck_assert_uint_eq(stats.discarded, 0);

    /* The warmest comes first. */
    vmkit_sandbox *again = take(pool);
    ck_assert_ptr_eq(again, taken[2]);
    give_back(pool, again);
    vmkit_pool_unref(vmkit_pool_ref(pool));
    vmkit_pool_unref(pool);
    vmkit_pool_unref(NULL);
    ck_assert_ptr_null(vmkit_pool_ref(NULL));
}
END_TEST

START_TEST(nothing_of_a_job_is_there_in_the_next_one)
{
    static const enum vmkit_outcome_kind kinds[] = {VMKIT_OUTCOME_READY, VMKIT_OUTCOME_EXITED,
                                                    VMKIT_OUTCOME_SIGNALLED};
    static const char *const commands[] = {"soil", "exit", "soil-end"};
    vmkit_pool *pool = new_pool(1, 1);
    vmkit_sandbox *fresh = snapshot_guest_fork(snapshot, NULL);
    uint64_t own = snapshot_guest_count_canaries(fresh);
    vmkit_sandbox_unref(fresh);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        vmkit_sandbox *sandbox = take(pool);
        snapshot_guest_do(sandbox, commands[i], 1, kinds[i]);
        if (i != 1)
            ck_assert_uint_gt(snapshot_guest_count_canaries(sandbox), own + 1000);
        give_back(pool, sandbox);

        sandbox = take(pool);
        ck_assert_uint_eq(snapshot_guest_count_canaries(sandbox), own);
        ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
        give_back(pool, sandbox);
    }
    ck_assert_uint_eq(stats_of(pool).forks, 1);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(the_limit_holds)
{
    vmkit_pool *pool = new_pool(0, 1);
    vmkit_sandbox *sandbox = take(pool), *other = NULL;
    ASSERT_REFUSED(vmkit_pool_take(pool, 0, &other, &error), EAGAIN, "all 1 sandboxes");
    ASSERT_REFUSED(vmkit_pool_take(pool, 20 * MILLISECOND, &other, &error), EAGAIN, "in 20 ms");
    ck_assert_ptr_null(other);
    ck_assert_uint_eq(stats_of(pool).waiting, 0);
    ck_assert_uint_eq(stats_of(pool).waits, 0);
    give_back(pool, sandbox);
    give_back(pool, take(pool));
    vmkit_pool_unref(pool);
}
END_TEST

struct waiter {
    vmkit_pool *pool;
    unsigned number;
    atomic_uint *served;
    unsigned order;
    int result;
    pthread_t thread;
};

static void *
wait_for_one(void *user_data)
{
    struct waiter *waiter = user_data;
    vmkit_sandbox *sandbox = NULL;
    waiter->result = vmkit_pool_take(waiter->pool, UINT64_MAX, &sandbox, NULL);
    waiter->order = atomic_fetch_add(waiter->served, 1);
    if (waiter->result == 0)
        waiter->result = vmkit_pool_give_back(waiter->pool, sandbox, NULL);
    return NULL;
}

START_TEST(who_waits_longest_is_served_first)
{
    struct waiter waiters[5];
    atomic_uint served = 0;
    vmkit_pool *pool = new_pool(1, 1);
    vmkit_sandbox *sandbox = take(pool);
    for (unsigned i = 0; i < 5; i++) {
        waiters[i] = (struct waiter){.pool = pool, .number = i, .served = &served};
        ck_assert_int_eq(pthread_create(&waiters[i].thread, NULL, wait_for_one, &waiters[i]), 0);
        while (stats_of(pool).waiting != i + 1)
            usleep(100);
    }
    give_back(pool, sandbox);
    for (unsigned i = 0; i < 5; i++) {
        pthread_join(waiters[i].thread, NULL);
        ck_assert_int_eq(waiters[i].result, 0);
        ck_assert_uint_eq(waiters[i].order, i);
    }
    ck_assert_uint_eq(stats_of(pool).waits, 5);
    ck_assert_uint_eq(stats_of(pool).forks, 1);
    vmkit_pool_unref(pool);
}
END_TEST

#define THREADS 6
#define LIMIT 3
#define ROUNDS 25

struct worker {
    vmkit_pool *pool;
    unsigned wrong;
    pthread_t thread;
};

/* Each job writes its canaries, and looks for those of others first. */
static void *
work(void *user_data)
{
    struct worker *worker = user_data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
        vmkit_sandbox *sandbox = NULL;
        if (vmkit_pool_take(worker->pool, UINT64_MAX, &sandbox, NULL) != 0) {
            worker->wrong++;
            break;
        }
        snapshot_guest_tell(sandbox, "check", 0);
        worker->wrong += vmkit_sandbox_run(sandbox, &outcome, NULL) != 0 ||
                         outcome.kind != VMKIT_OUTCOME_READY || snapshot_guest_result(sandbox) != 0;
        snapshot_guest_tell(sandbox, "touch", 20);
        worker->wrong += vmkit_sandbox_run(sandbox, &outcome, NULL) != 0;
        worker->wrong += vmkit_pool_give_back(worker->pool, sandbox, NULL) != 0;
    }
    vmkit_pool_unref(worker->pool);
    return NULL;
}

START_TEST(no_sandbox_is_handed_out_twice)
{
    struct worker workers[THREADS] = {0};
    vmkit_pool *pool = new_pool(1, LIMIT);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].pool = vmkit_pool_ref(pool);
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_uint_eq(workers[i].wrong, 0);
    }
    struct vmkit_pool_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.takes, THREADS * ROUNDS);
    ck_assert_uint_eq(stats.resets, THREADS * ROUNDS);
    ck_assert_uint_eq(stats.taken, 0);
    ck_assert_uint_eq(stats.waiting, 0);
    ck_assert_uint_le(stats.forks, LIMIT);
    ck_assert_uint_eq(stats.idle, stats.forks);
    vmkit_pool_unref(pool);
}
END_TEST

static void *
run_for_ever(void *user_data)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = user_data;
    snapshot_guest_tell(sandbox, "exhaust-slowly", 0);
    vmkit_sandbox_run(sandbox, &outcome, NULL);
    return NULL;
}

START_TEST(what_runs_is_not_given_back)
{
    vmkit_pool *pool = new_pool(1, 1);
    vmkit_sandbox *sandbox = take(pool);
    struct vmkit_sandbox_stats running = {.size = sizeof running};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_for_ever, sandbox), 0);
    while (vmkit_sandbox_get_stats(sandbox, &running, NULL) != -EBUSY)
        usleep(100);
    ASSERT_REFUSED(vmkit_pool_give_back(pool, sandbox, &error), EBUSY, "running");
    ck_assert_uint_eq(stats_of(pool).taken, 1);
    vmkit_sandbox_kill(sandbox);
    pthread_join(thread, NULL);
    give_back(pool, sandbox);
    sandbox = take(pool);
    ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
    give_back(pool, sandbox);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(what_somebody_else_refers_to_is_not_handed_out_again)
{
    vmkit_pool *pool = new_pool(1, 1);
    vmkit_sandbox *sandbox = take(pool);
    vmkit_sandbox_ref(sandbox);
    give_back(pool, sandbox);
    ck_assert_uint_eq(stats_of(pool).discarded, 1);
    ck_assert_uint_eq(stats_of(pool).idle, 0);
    vmkit_sandbox *next = take(pool);
    ck_assert_ptr_ne(next, sandbox);
    /* It is its holder's alone now. */
    ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
    ASSERT_REFUSED(vmkit_pool_give_back(pool, sandbox, &error), EINVAL, "not taken from this pool");
    vmkit_sandbox_unref(sandbox);
    give_back(pool, next);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(what_is_not_the_pools_is_refused)
{
    vmkit_pool *pool = new_pool(1, 1), *other = new_pool(1, 1);
    vmkit_sandbox *own = snapshot_guest_fork(snapshot, NULL), *sandbox = take(pool);
    ASSERT_REFUSED(vmkit_pool_give_back(pool, own, &error), EINVAL, "not taken");
    ASSERT_REFUSED(vmkit_pool_give_back(other, sandbox, &error), EINVAL, "not taken");
    give_back(pool, sandbox);
    vmkit_sandbox_unref(own);
    vmkit_pool_unref(other);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(a_pool_may_go_before_what_was_taken)
{
    vmkit_pool *pool = new_pool(2, 2);
    vmkit_sandbox *sandbox = take(pool);
    vmkit_pool_unref(pool);
    ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

START_TEST(arguments_are_checked)
{
    vmkit_pool *pool = NULL;
    vmkit_sandbox *sandbox = NULL;
    struct vmkit_pool_stats stats = {.size = 8};
    ASSERT_REFUSED(vmkit_pool_new(NULL, NULL, 0, 1, &pool, &error), EINVAL, "snapshot is NULL");
    ASSERT_REFUSED(vmkit_pool_new(snapshot, NULL, 0, 1, NULL, &error), EINVAL, "ret_pool is NULL");
    ASSERT_REFUSED(vmkit_pool_new(snapshot, NULL, 2, 1, &pool, &error), EINVAL, "limit of 1");
    ASSERT_REFUSED(vmkit_pool_new(snapshot, NULL, 0, 0, &pool, &error), ERANGE, "1 to 65536");
    ASSERT_REFUSED(vmkit_pool_new(snapshot, NULL, 0, 65537, &pool, &error), ERANGE, "65537");
    ASSERT_REFUSED(vmkit_pool_take(NULL, 0, &sandbox, &error), EINVAL, "pool is NULL");
    ASSERT_REFUSED(vmkit_pool_get_stats(NULL, &stats, &error), EINVAL, "pool is NULL");
    pool = new_pool(0, 1);
    ASSERT_REFUSED(vmkit_pool_take(pool, 0, NULL, &error), EINVAL, "ret_sandbox is NULL");
    ASSERT_REFUSED(vmkit_pool_give_back(pool, NULL, &error), EINVAL, "sandbox is NULL");
    ASSERT_REFUSED(vmkit_pool_get_stats(pool, &stats, &error), EINVAL, "stats->size is 8");
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(a_fork_that_fails_takes_no_place)
{
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_pool *pool = NULL;
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_set_memory_limit(config, UINT64_C(4) << 20, NULL), 0);
    ck_assert_int_eq(vmkit_pool_new(snapshot, config, 1, 2, &pool, NULL), -E2BIG);
    ck_assert_ptr_null(pool);
    ck_assert_int_eq(vmkit_pool_new(snapshot, config, 0, 1, &pool, NULL), 0);
    vmkit_sandbox_config_unref(config);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(vmkit_pool_take(pool, SECOND, &sandbox, NULL), -E2BIG);
    ck_assert_uint_eq(stats_of(pool).takes, 0);
    ck_assert_uint_eq(stats_of(pool).taken, 0);
    vmkit_pool_unref(pool);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_pool");
    TCase *tcase = tcase_create("sandbox_pool");

    tcase_set_timeout(tcase, 250);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_a_pool_has_is_taken_and_given_back);
    tcase_add_test(tcase, nothing_of_a_job_is_there_in_the_next_one);
    tcase_add_test(tcase, the_limit_holds);
    tcase_add_test(tcase, who_waits_longest_is_served_first);
    tcase_add_test(tcase, no_sandbox_is_handed_out_twice);
    tcase_add_test(tcase, what_runs_is_not_given_back);
    tcase_add_test(tcase, what_somebody_else_refers_to_is_not_handed_out_again);
    tcase_add_test(tcase, what_is_not_the_pools_is_refused);
    tcase_add_test(tcase, a_pool_may_go_before_what_was_taken);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, a_fork_that_fails_takes_no_place);
    suite_add_tcase(suite, tcase);
    return suite;
}
