/* SPDX-License-Identifier: Apache-2.0 */
/* Resetting forks: whatever they did, nothing of it is left. */
#include "arch/usermode.h"
#include "harness.h"
#include "sandbox_guest.h"
#include "snapshot_guest.h"
#include "usage.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define MILLISECOND UINT64_C(1000000)

/* A snapshot, a fork that is used and reset, and one that stays as it is made. */
static vmkit_snapshot *snapshot;
static vmkit_sandbox *fork_, *pristine;
static uint64_t canaries; /* that the program itself has, in its code */

static void
set_up_with(const vmkit_sandbox_config *config)
{
    snapshot = snapshot_guest_take(NULL);
    fork_ = snapshot_guest_fork(snapshot, config);
    pristine = snapshot_guest_fork(snapshot, config);
    canaries = snapshot_guest_count_canaries(pristine);
}

static void
set_up(void)
{
    set_up_with(NULL);
}

static void
tear_down(void)
{
    vmkit_sandbox_unref(fork_);
    vmkit_sandbox_unref(pristine);
    vmkit_snapshot_unref(snapshot);
}

/* Reset, and nothing tells it from the pristine one, to the byte. */
static void
reset_and_compare(void)
{
    snapshot_guest_reset(fork_);
    snapshot_guest_compare(fork_, pristine);
    ck_assert_uint_eq(snapshot_guest_count_canaries(fork_), canaries);
}

static void
check_kind(enum vmkit_outcome_kind kind)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmk_sandbox_fill_outcome(fork_, &outcome);
    ck_assert_uint_eq(outcome.kind, kind);
}

START_TEST(nothing_is_left_of_one_that_was_not_run)
{
    set_up();
    for (int i = 0; i < 3; i++)
        reset_and_compare();
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    tear_down();
}
END_TEST

START_TEST(nothing_is_left_of_pages_that_were_written)
{
    static const uint64_t pages[] = {1, 10, 100, 1000};
    set_up();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(snapshot_guest_ask(fork_, "touch", pages[_i]), 0);
        ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), pages[_i]);
        reset_and_compare();
        ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    }
    tear_down();
}
END_TEST

/* All that a program can write to holds canaries, and then it ends in one way or another. */
static const struct {
    const char *command;
    uint64_t argument;
    enum vmkit_outcome_kind kind;
} endings[] = {
    {"soil", 0, VMKIT_OUTCOME_READY},         {"soil-end", 0, VMKIT_OUTCOME_EXITED},
    {"soil-end", 1, VMKIT_OUTCOME_SIGNALLED}, {"soil-end", 3, VMKIT_OUTCOME_SIGNALLED},
    {"exit", 3, VMKIT_OUTCOME_EXITED},        {"exhaust", 0, VMKIT_OUTCOME_LIMIT},
    {"execute", 0, VMKIT_OUTCOME_EXITED},     {"ports", 0, VMKIT_OUTCOME_SIGNALLED},
    {"split", 0, VMKIT_OUTCOME_READY},        {"files", 0, VMKIT_OUTCOME_READY},
    {"churn", 0, VMKIT_OUTCOME_READY},        {"tell", 0, VMKIT_OUTCOME_READY},
};

START_TEST(nothing_is_left_of_one_that_ended)
{
    set_up();
    for (int i = 0; i < 3; i++) {
        snapshot_guest_do(fork_, endings[_i].command, endings[_i].argument, endings[_i].kind);
        check_kind(endings[_i].kind);
        reset_and_compare();
    }
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    tear_down();
}
END_TEST

/* One after the other, on top of what the reset before left. */
START_TEST(nothing_is_left_of_all_of_them_in_turns)
{
    size_t count = sizeof endings / sizeof endings[0], turns = 2 * count / harness_get_step(2);
    set_up();
    for (size_t i = 0; i < turns; i++) {
        size_t which = (i * 5 + (size_t)_i) % count;
        snapshot_guest_do(fork_, endings[which].command, endings[which].argument,
                          endings[which].kind);
        reset_and_compare();
    }
    tear_down();
}
END_TEST

START_TEST(nothing_is_left_of_one_that_reached_its_time)
{
    vmkit_sandbox_config *config = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    vmkit_sandbox_config_set_memory_limit(config, 64 * MIB, NULL);
    if (_i == 0)
        vmkit_sandbox_config_set_wall_time_limit(config, 1500 * MILLISECOND, NULL);
    else
        vmkit_sandbox_config_set_cpu_time_limit(config, 1500 * MILLISECOND, NULL);
    set_up_with(config);
    for (int i = 0; i < 2; i++) {
        snapshot_guest_do(fork_, "soil-end", 2, VMKIT_OUTCOME_LIMIT);
        reset_and_compare();
    }
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    vmkit_sandbox_config_unref(config);
    tear_down();
}
END_TEST

/* What KVM still knew of the pages of before would not be in any table. */
START_TEST(the_processor_sees_no_page_of_before)
{
    set_up();
    struct guest_shared shared = snapshot_guest_get_shared(fork_);
    const struct {
        const char *command;
        uint64_t argument;
        enum vmkit_outcome_kind kind;
    } looks[] = {
        {"peek", GUEST_FAR, VMKIT_OUTCOME_SIGNALLED},
        {"poke", GUEST_MOVED, VMKIT_OUTCOME_SIGNALLED},
        {"jump", shared.region + 8 * 4096, VMKIT_OUTCOME_SIGNALLED},
        {"peek", shared.region, VMKIT_OUTCOME_READY},
        {"poke", shared.region + 4 * 4096, VMKIT_OUTCOME_READY},
        {"peek", shared.region + 12 * 4096, VMKIT_OUTCOME_READY},
        {"poke", shared.region + 16 * 4096, VMKIT_OUTCOME_READY},
        {"peek", shared.region + 20 * 4096, VMKIT_OUTCOME_READY},
    };
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        snapshot_guest_ask(fork_, "split", 0);
        if (i % 2 == 1)
            snapshot_guest_ask(fork_, "peek", GUEST_FAR);
        snapshot_guest_reset(fork_);
        snapshot_guest_do(fork_, looks[i].command, looks[i].argument, looks[i].kind);
        if (strcmp(looks[i].command, "peek") == 0 && looks[i].kind == VMKIT_OUTCOME_READY)
            ck_assert_uint_eq(snapshot_guest_result(fork_), 2);
        reset_and_compare();
    }
    tear_down();
}
END_TEST

static void *
kill_after(void *sandbox)
{
    usleep(30000);
    vmkit_sandbox_kill(sandbox);
    return NULL;
}

static void *
pause_after(void *sandbox)
{
    usleep(10000);
    vmkit_sandbox_pause(sandbox);
    return NULL;
}

/* In the midst of what it did, and a fork of it there is the same to the byte. */
START_TEST(nothing_is_left_of_one_that_was_paused)
{
    set_up();
    for (int i = 0; i < 6; i++) {
        pthread_t thread;
        vmkit_snapshot *within = NULL;
        ck_assert_int_eq(pthread_create(&thread, NULL, pause_after, fork_), 0);
        snapshot_guest_do(fork_, i % 2 == 0 ? "soil-end" : "exhaust-slowly", 2,
                          VMKIT_OUTCOME_PAUSED);
        pthread_join(thread, NULL);
        ck_assert_int_eq(vmkit_sandbox_snapshot(fork_, &within, NULL), 0);
        vmkit_sandbox *copy = snapshot_guest_fork(within, NULL);
        ck_assert_uint_eq(snapshot_guest_count_canaries(copy),
                          snapshot_guest_count_canaries(fork_));
        /* But for the flags that are KVM's. */
        fork_->process.regs->rflags = copy->process.regs->rflags;
        ck_assert_int_eq(
            memcmp(copy->process.regs, fork_->process.regs, sizeof *copy->process.regs), 0);
        vmkit_sandbox_unref(copy);
        vmkit_snapshot_unref(within);
        reset_and_compare();
    }
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    tear_down();
}
END_TEST

/* It does not matter where the kill comes: in the guest, on the way in or out, in the library. */
START_TEST(nothing_is_left_of_one_that_was_killed)
{
    set_up();
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, kill_after, fork_), 0);
        snapshot_guest_do(fork_, i % 2 == 0 ? "soil-end" : "exhaust-slowly", 2,
                          VMKIT_OUTCOME_KILLED);
        pthread_join(thread, NULL);
        reset_and_compare();
    }
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    tear_down();
}
END_TEST

START_TEST(a_kill_before_the_reset_does_not_hold_after_it)
{
    set_up();
    vmkit_sandbox_kill(fork_);
    vmkit_sandbox_kill(fork_);
    snapshot_guest_reset(fork_);
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    vmkit_sandbox_kill(fork_);
    snapshot_guest_do(fork_, "check", 0, VMKIT_OUTCOME_KILLED);
    snapshot_guest_reset(fork_);
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
    tear_down();
}
END_TEST

/* What the guest itself can ask for. */
START_TEST(a_program_sees_no_difference)
{
    set_up();
    snapshot_guest_ask(pristine, "tell", 0);
    char *expected = strdup(snapshot_guest_output(pristine));
    ck_assert_uint_gt(strlen(expected), 400);
    for (int i = 0; i < 3; i++) {
        snapshot_guest_ask(fork_, "files", 0);
        snapshot_guest_ask(fork_, "tell", 0);
        ck_assert_str_ne(snapshot_guest_output(fork_), expected);
        snapshot_guest_reset(fork_);
        snapshot_guest_ask(fork_, "soil", 0);
        snapshot_guest_reset(fork_);
        snapshot_guest_ask(fork_, "tell", 0);
        ck_assert_str_eq(snapshot_guest_output(fork_), expected);
        snapshot_guest_reset(fork_);
    }
    free(expected);
    tear_down();
}
END_TEST

START_TEST(statistics_begin_anew)
{
    struct vmkit_sandbox_stats stats = {.size = sizeof stats}, first;
    uint64_t count = 1;
    set_up();
    ck_assert_int_eq(vmkit_sandbox_get_stats(pristine, &stats, NULL), 0);
    first = stats;
    ck_assert_uint_eq(first.exits, 0);
    snapshot_guest_ask(fork_, "soil", 0);
    ck_assert_int_eq(vmkit_sandbox_get_stats(fork_, &stats, NULL), 0);
    ck_assert_uint_gt(stats.syscalls, 10);
    ck_assert_uint_gt(stats.memory_peak_bytes, first.memory_peak_bytes);
    snapshot_guest_reset(fork_);
    ck_assert_int_eq(vmkit_sandbox_get_stats(fork_, &stats, NULL), 0);
    ck_assert_int_eq(memcmp(&stats, &first, sizeof stats), 0);
    ck_assert_int_eq(vmkit_sandbox_get_syscall_count(fork_, 1, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    tear_down();
}
END_TEST

static long
read_status(const char *key)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    }
    fclose(file);
    return value;
}

/* KiB of the fork's guest memory that are its own. */
static long
read_own_memory(void)
{
    uintptr_t low = (uintptr_t)vmk_frames_get_memory(fork_->frames);
    uintptr_t high = low + vmk_frames_get_size(fork_->frames);
    char line[512];
    bool inside = false;
    long sum = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = start >= low && end <= high;
        else if (inside && strncmp(line, "Anonymous:", 10) == 0)
            sum += strtol(line + 10, NULL, 10);
    }
    fclose(file);
    return sum;
}

/* A sanitizer keeps what was freed. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* From a file, where less differs, and where it takes long: fewer. */
#ifdef SNAPSHOT_FROM_FILE
#define RESETS 2000u
#define SLOW_STEP 2
#else
#define RESETS 10000u
#define SLOW_STEP 10
#endif

/* A mixture of what forks do, with more tables than are kept. */
static void
use_and_reset(uint64_t i)
{
    snapshot_guest_ask(fork_, "touch", i % 20);
    if (i % 5 == 0)
        snapshot_guest_ask(fork_, "churn", i);
    if (i % 50 == 0)
        snapshot_guest_do(fork_, "soil-end", 1, VMKIT_OUTCOME_SIGNALLED);
    snapshot_guest_reset(fork_);
}

START_TEST(ten_thousand_resets_cost_no_more_than_ten)
{
    uint64_t resets = RESETS / harness_get_step(SLOW_STEP);
    set_up();
    for (uint64_t i = 0; i < 100; i++)
        use_and_reset(i);
    long rss = read_status("VmRSS:"), own = read_own_memory();
    unsigned long fds = usage_count_descriptors(), mappings = usage_count_mappings(NULL);
    uint64_t begin = guest_cpu_ns(), first = 0, last = 0;
    for (uint64_t i = 0; i < resets; i++) {
        use_and_reset(i);
        if (i == resets / 10)
            first = guest_cpu_ns() - begin;
        if (i == resets - resets / 10)
            begin = guest_cpu_ns();
    }
    last = guest_cpu_ns() - begin;
    snapshot_guest_compare(fork_, pristine);
    ck_assert_uint_eq(usage_count_descriptors(), fds);
    ck_assert_uint_le(usage_count_mappings(NULL), mappings + 10);
    /* KiB; one page that stays with each of them would be ten times as much. */
    ck_assert_int_le(read_own_memory(), own + 2048);
    if (!SANITIZED)
        ck_assert_int_le(read_status("VmRSS:"), rss + 4096);
    ck_assert_uint_le(last, first * 3);
    tear_down();
}
END_TEST

static void
touch_and_reset(uint64_t pages, int times)
{
    for (int i = 0; i < times; i++) {
        ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
        ck_assert_uint_eq(snapshot_guest_ask(fork_, "touch", pages), 0);
        snapshot_guest_reset(fork_);
    }
}

static void
check_all(void)
{
    snapshot_guest_compare(fork_, pristine);
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "touch", 1000), 0);
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 1000);
    reset_and_compare();
    ck_assert_uint_eq(snapshot_guest_ask(fork_, "check", 0), 0);
}

/* Pages that are written once and never again do not stay for ever. */
START_TEST(what_is_no_longer_written_is_given_back)
{
    set_up();
    touch_and_reset(400, 1);
    long high = read_own_memory();
    ck_assert_int_ge(high, 1600);
    touch_and_reset(10, 40);
    ck_assert_int_le(read_own_memory(), high - 1200);
    check_all();
    tear_down();
}
END_TEST

/* One run that writes to much is not paid for by those after it. */
START_TEST(many_pages_stay_only_when_they_are_written_again)
{
    set_up();
    touch_and_reset(10, 2);
    long low = read_own_memory();
    touch_and_reset(1000, 1);
    ck_assert_int_le(read_own_memory(), low + 400);
    touch_and_reset(1000, 1);
    ck_assert_int_ge(read_own_memory(), low + 3600);
    touch_and_reset(1000, 20);
    ck_assert_int_ge(read_own_memory(), low + 3600);
    touch_and_reset(10, 2);
    ck_assert_int_le(read_own_memory(), low + 400);
    check_all();
    tear_down();
}
END_TEST

/* However much a fork used of its limit, the next one has as much. */
START_TEST(the_memory_limit_is_the_same_each_time)
{
    uint64_t syscalls[3];
    set_up();
    for (int i = 0; i < 3; i++) {
        struct vmkit_sandbox_stats stats = {.size = sizeof stats};
        snapshot_guest_do(fork_, "exhaust", 0, VMKIT_OUTCOME_LIMIT);
        ck_assert_int_eq(vmkit_sandbox_get_stats(fork_, &stats, NULL), 0);
        syscalls[i] = stats.syscalls;
        snapshot_guest_reset(fork_);
        for (uint64_t k = 0; k < 4; k++) {
            snapshot_guest_ask(fork_, "churn", k + (uint64_t)i);
            snapshot_guest_reset(fork_);
        }
    }
    ck_assert_uint_eq(syscalls[1], syscalls[0]);
    ck_assert_uint_eq(syscalls[2], syscalls[0]);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_reset");
    TCase *tcase = tcase_create("snapshot_reset");

    tcase_set_timeout(tcase, 250);
    tcase_add_test(tcase, nothing_is_left_of_one_that_was_not_run);
    tcase_add_loop_test(tcase, nothing_is_left_of_pages_that_were_written, 0, 4);
    tcase_add_loop_test(tcase, nothing_is_left_of_one_that_ended, 0,
                        sizeof endings / sizeof endings[0]);
    tcase_add_loop_test(tcase, nothing_is_left_of_all_of_them_in_turns, 0, 2);
    tcase_add_loop_test(tcase, nothing_is_left_of_one_that_reached_its_time, 0, 2);
    tcase_add_test(tcase, the_processor_sees_no_page_of_before);
    tcase_add_test(tcase, nothing_is_left_of_one_that_was_killed);
    tcase_add_test(tcase, nothing_is_left_of_one_that_was_paused);
    tcase_add_test(tcase, a_kill_before_the_reset_does_not_hold_after_it);
    tcase_add_test(tcase, a_program_sees_no_difference);
    tcase_add_test(tcase, statistics_begin_anew);
    tcase_add_test(tcase, ten_thousand_resets_cost_no_more_than_ten);
    tcase_add_test(tcase, what_is_no_longer_written_is_given_back);
    tcase_add_test(tcase, many_pages_stay_only_when_they_are_written_again);
    tcase_add_test(tcase, the_memory_limit_is_the_same_each_time);
    suite_add_tcase(suite, tcase);
    return suite;
}
