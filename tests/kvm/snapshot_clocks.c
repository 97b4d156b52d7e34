/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of a sandbox that goes on from a snapshot, on a host that was started before or after
 * the one on which it was taken. Snapshots are made to have been taken at another time of the host,
 * which is what another host is.
 */
#include "harness.h"
#include "sandbox_guest.h"
#include "snapshot_guest.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static const clockid_t clocks[VMK_CLOCK_KEPT] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                                 CLOCK_BOOTTIME};

/* Of a host that was up for years, and of one that was just started. */
static const uint64_t times[] = {400000000 * SECOND, 5 * SECOND};

static uint64_t
read_host(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* Taken when the host's clocks stood at `time`, which differs from clock to clock; `from_file` for
 * one that was saved and opened. */
static vmkit_snapshot *
take_at(uint64_t time, bool from_file)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    struct vmk_process_snapshot *own = (struct vmk_process_snapshot *)snapshot;
    ck_assert(own->has_clocks);
    for (uint64_t i = 0; i < VMK_CLOCK_KEPT; i++)
        own->clocks[i] = time + i * SECOND;
    if (!from_file)
        return snapshot;
    int fd = snapshot_guest_save(snapshot, 0);
    vmkit_snapshot *opened = snapshot_guest_open(fd, 0);
    vmkit_snapshot_unref(snapshot);
    close(fd);
    return opened;
}

/* The sandbox's clocks went on from there for as long as the host's did since `began`. */
static void
check_went_on(vmkit_sandbox *sandbox, uint64_t time, const uint64_t began[VMK_CLOCK_KEPT])
{
    for (uint64_t i = 0; i < VMK_CLOCK_KEPT; i++) {
        uint64_t now = snapshot_guest_ask(sandbox, "clock", (uint64_t)clocks[i]);
        ck_assert_uint_ge(now, time + i * SECOND);
        ck_assert_uint_le(now - (time + i * SECOND), read_host(clocks[i]) - began[i]);
    }
    uint64_t monotonic = snapshot_guest_ask(sandbox, "clock", CLOCK_MONOTONIC);
    uint64_t coarse = snapshot_guest_ask(sandbox, "clock", CLOCK_MONOTONIC_COARSE);
    uint64_t uptime = snapshot_guest_ask(sandbox, "uptime", 0);
    ck_assert_uint_ge(coarse, monotonic);
    ck_assert_uint_ge(uptime, monotonic / SECOND);
    ck_assert_uint_le(uptime, monotonic / SECOND + 60);
}

static void
begin(uint64_t ret_began[VMK_CLOCK_KEPT])
{
    for (int i = 0; i < VMK_CLOCK_KEPT; i++)
        ret_began[i] = read_host(clocks[i]);
}

START_TEST(clocks_go_on_from_where_they_were_in_each_fork_and_after_each_reset)
{
    uint64_t time = times[_i % 2], began[VMK_CLOCK_KEPT];
    vmkit_snapshot *snapshot = take_at(time, _i / 2 == 1);
    usleep(20000);
    for (int i = 0; i < 2; i++) {
        begin(began);
        vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
        check_went_on(fork, time, began);
        begin(began);
        snapshot_guest_reset(fork);
        check_went_on(fork, time, began);
        vmkit_sandbox_unref(fork);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(the_date_is_the_hosts)
{
    vmkit_snapshot *snapshot = take_at(times[0], true);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    uint64_t before = read_host(CLOCK_REALTIME);
    uint64_t now = snapshot_guest_ask(fork, "clock", CLOCK_REALTIME);
    ck_assert_uint_ge(now, before);
    ck_assert_uint_le(now, read_host(CLOCK_REALTIME));
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* A snapshot of a fork has the fork's clocks. */
START_TEST(clocks_go_on_over_several_snapshots)
{
    vmkit_snapshot *first = take_at(times[_i], false), *second = NULL;
    vmkit_error *error = NULL;
    vmkit_sandbox *fork = snapshot_guest_fork(first, NULL);
    uint64_t last = snapshot_guest_ask(fork, "clock", CLOCK_MONOTONIC);
    ck_assert_int_eq(vmkit_sandbox_snapshot(fork, &second, &error), 0);
    usleep(20000);
    vmkit_sandbox *next = snapshot_guest_fork(second, NULL);
    uint64_t now = snapshot_guest_ask(next, "clock", CLOCK_MONOTONIC);
    ck_assert_uint_ge(now, last);
    ck_assert_uint_le(now, last + 60 * SECOND);
    vmkit_sandbox_unref(next);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(second);
    vmkit_snapshot_unref(first);
}
END_TEST

START_TEST(what_waits_for_a_time_waits_by_the_same_clock)
{
    vmkit_snapshot *snapshot = take_at(times[_i], true);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(fork, "wait-by-clocks", 3000000), 0);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* As a release wrote it that kept no clocks. */
START_TEST(a_file_without_clocks_goes_on_by_the_hosts)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    ((struct vmk_process_snapshot *)snapshot)->has_clocks = false;
    int fd = snapshot_guest_save(snapshot, 0);
    vmkit_snapshot *opened = snapshot_guest_open(fd, 0);
    ck_assert(!((struct vmk_process_snapshot *)opened)->has_clocks);
    vmkit_sandbox *fork = snapshot_guest_fork(opened, NULL);
    uint64_t before = read_host(CLOCK_MONOTONIC);
    uint64_t now = snapshot_guest_ask(fork, "clock", CLOCK_MONOTONIC);
    ck_assert_uint_ge(now, before);
    ck_assert_uint_le(now, read_host(CLOCK_MONOTONIC));
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

START_TEST(clocks_that_would_wrap_around_are_refused)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL), *opened = NULL;
    vmkit_error *error = NULL;
    ((struct vmk_process_snapshot *)snapshot)->clocks[_i] = UINT64_C(1) << 63;
    int fd = snapshot_guest_save(snapshot, 0);
    ck_assert_int_eq(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error), -EINVAL);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    ck_assert_str_eq(vmkit_error_get_message(error),
                     "the snapshot's section \"sandbox-clocks\" is damaged");
    vmkit_error_unref(error);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_clocks");
    TCase *tcase = tcase_create("snapshot_clocks");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, clocks_go_on_from_where_they_were_in_each_fork_and_after_each_reset,
                        0, 4);
    tcase_add_test(tcase, the_date_is_the_hosts);
    tcase_add_loop_test(tcase, clocks_go_on_over_several_snapshots, 0, 2);
    tcase_add_loop_test(tcase, what_waits_for_a_time_waits_by_the_same_clock, 0, 2);
    tcase_add_test(tcase, a_file_without_clocks_goes_on_by_the_hosts);
    tcase_add_loop_test(tcase, clocks_that_would_wrap_around_are_refused, 0, VMK_CLOCK_KEPT);
    suite_add_tcase(suite, tcase);
    return suite;
}
