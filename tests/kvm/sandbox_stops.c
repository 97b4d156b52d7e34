/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A computation that is stopped at 1,000 random instructions, fewer where that takes long. From
 * each a snapshot goes on to the same result, in memory or through a file. It has something in
 * every register that the processor has, AVX-512's too, and signals that are blocked and pending or
 * being delivered; how many of the snapshots had which is counted, and none of them may be missing.
 */
#include "harness.h"
#include "pause_guest.h"

#include <cpuid.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SNAPSHOTS 1000
#define FILE_EVERY 10
/* Where that takes long, a part of them is enough once each kind is among it. */
#define SLOW_STEP 8

static const struct {
    uint64_t bit;
    const char *name;
} kinds[] = {
    {PAUSE_HOLDS_PENDING, "a signal blocked and pending"},
    {PAUSE_HOLDS_HANDLER, "a signal being delivered"},
    {PAUSE_HOLDS_SSE, "values in all of SSE"},
    {PAUSE_HOLDS_AVX, "values in all of AVX"},
    {PAUSE_HOLDS_AVX512, "values in all of AVX-512"},
};

#define KINDS (sizeof kinds / sizeof kinds[0])

/* Snapshots of each kind: in memory, and through files. */
static struct {
    unsigned count, kinds[KINDS];
} taken[2];

static void
count_kinds(bool in_file, uint64_t holds)
{
    taken[in_file].count++;
    for (size_t i = 0; i < KINDS; i++)
        taken[in_file].kinds[i] += (holds & kinds[i].bit) != 0;
}

/* What of the vector registers programs may use on this host. */
static uint64_t
find_registers(void)
{
    uint32_t eax, ebx, ecx, edx, high;
    ck_assert_int_eq(__get_cpuid(1, &eax, &ebx, &ecx, &edx), 1);
    if ((ecx & bit_OSXSAVE) == 0 || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0)
        return PAUSE_HOLDS_SSE;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(high) : "c"(0));
    if ((eax & 0x6) != 0x6 || (ebx & bit_AVX2) == 0)
        return PAUSE_HOLDS_SSE;
    if ((eax & 0xe0) != 0xe0 || (ebx & bit_AVX512F) == 0 || (ebx & bit_AVX512BW) == 0)
        return PAUSE_HOLDS_AVX;
    return PAUSE_HOLDS_AVX512;
}

/* The next one takes its place, which was saved, raw and compressed in turn, and opened. */
static void
go_through_file(vmkit_snapshot **snapshot)
{
    vmkit_snapshot_options *options = NULL;
    vmkit_snapshot *opened = NULL;
    vmkit_error *error = NULL;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    int r = vmkit_snapshot_options_new(&options, &error);
    if (r == 0)
        r = vmkit_snapshot_options_set_compression(options, taken[1].count % 2, &error);
    if (r == 0)
        r = vmkit_snapshot_save_fd(*snapshot, fd, options, &error);
    if (r == 0)
        r = vmkit_snapshot_open_fd(fd, taken[1].count % 4 < 2 ? 0 : VMKIT_SNAPSHOT_FILE_COPY, NULL,
                                   &opened, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
    close(fd);
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(*snapshot);
    *snapshot = opened;
}

/* What a snapshot goes on to. */
static uint64_t
finish_fork(vmkit_snapshot *snapshot)
{
    vmkit_sandbox *fork = NULL;
    vmkit_error *error = NULL;
    int r = vmkit_snapshot_fork(snapshot, pause_config, &fork, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
    pause_run(fork, VMKIT_OUTCOME_READY);
    uint64_t value = pause_read(fork, "result");
    vmkit_sandbox_unref(fork);
    return value;
}

static bool
is_wanted(size_t kind)
{
    return kinds[kind].bit <= PAUSE_HOLDS_HANDLER || kinds[kind].bit == find_registers();
}

static unsigned
count_taken(void)
{
    return taken[0].count + taken[1].count;
}

static bool
is_enough(void)
{
    if (count_taken() < SNAPSHOTS / harness_get_step(SLOW_STEP))
        return false;
    for (size_t i = 0; i < KINDS && count_taken() < SNAPSHOTS; i++) {
        if (is_wanted(i) && (taken[0].kinds[i] == 0 || taken[1].kinds[i] == 0))
            return false;
    }
    return true;
}

/* Take one where it stands; through a file every now and then, and when it has what no file had. */
static void
check_snapshot(uint64_t expected)
{
    static uint64_t in_files;
    uint64_t holds = pause_read(pause_sandbox, "holds");
    bool in_file = count_taken() % FILE_EVERY == 0 || (holds & ~in_files) != 0;
    vmkit_snapshot *snapshot = pause_take(pause_sandbox);
    if (in_file) {
        go_through_file(&snapshot);
        in_files |= holds;
    }
    uint64_t value = finish_fork(snapshot);
    ck_assert_msg(value == expected, "%u snapshots: 0x%llx, not 0x%llx, at 0x%llx, holding 0x%llx",
                  count_taken(), (unsigned long long)value, (unsigned long long)expected,
                  (unsigned long long)pause_outcome.instruction_pointer, (unsigned long long)holds);
    vmkit_snapshot_unref(snapshot);
    count_kinds(in_file, holds);
}

/* Stop it at some points of one life, until it ends or there are enough. */
static void
stop_here_and_there(uint64_t duration, uint64_t expected, unsigned *elsewhere)
{
    static uint64_t last_pc;
    while (!is_enough()) {
        pause_after(pause_sandbox, (uint64_t)random() % (duration / 4 + 1));
        pause_run_any(pause_sandbox);
        pause_wait();
        if (pause_outcome.kind != VMKIT_OUTCOME_PAUSED) {
            ck_assert_uint_eq(pause_outcome.kind, VMKIT_OUTCOME_READY);
            ck_assert_uint_eq(pause_read(pause_sandbox, "result"), expected);
            return;
        }
        *elsewhere += pause_outcome.instruction_pointer != last_pc;
        last_pc = pause_outcome.instruction_pointer;
        check_snapshot(expected);
    }
}

/* It had a part of what this host has, and so had the snapshots. */
static void
check_coverage(void)
{
    ck_assert_uint_eq(pause_read(pause_sandbox, "uses"), find_registers());
    for (size_t i = 0; i < KINDS; i++) {
        bool wanted = is_wanted(i);
        printf("# %s: %u of %u in memory, %u of %u through files%s\n", kinds[i].name,
               taken[0].kinds[i], taken[0].count, taken[1].kinds[i], taken[1].count,
               wanted ? "" : " (not the widest registers of this host)");
        for (int j = 0; j < 2; j++)
            ck_assert_int_eq(taken[j].kinds[i] > 0, wanted);
    }
    fflush(stdout);
}

START_TEST(a_snapshot_at_any_instruction_goes_on_to_the_same_result)
{
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid(), elsewhere = 0;
    printf("# seed %u\n", seed);
    fflush(stdout);
    srandom(seed);
    pause_make("compute");
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    vmkit_snapshot *start = pause_take(pause_sandbox);
    vmkit_sandbox_unref(pause_sandbox);
    pause_sandbox = NULL;
    ck_assert_int_eq(vmkit_snapshot_fork(start, pause_config, &pause_sandbox, NULL), 0);

    uint64_t before = guest_now_ns();
    pause_run(pause_sandbox, VMKIT_OUTCOME_READY);
    uint64_t duration = guest_now_ns() - before, expected = pause_read(pause_sandbox, "result");
    ck_assert_uint_ne(expected, 0);
    while (!is_enough()) {
        ck_assert_int_eq(vmkit_sandbox_reset(pause_sandbox, NULL), 0);
        stop_here_and_there(duration, expected, &elsewhere);
    }
    ck_assert_uint_gt(elsewhere, count_taken() / 10);
    ck_assert_uint_ge(taken[1].count, count_taken() / FILE_EVERY);
    check_coverage();
    vmkit_snapshot_unref(start);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_stops");
    TCase *tests = tcase_create("stops");
    tcase_add_checked_fixture(tests, NULL, pause_tear_down);
    tcase_set_timeout(tests, 280);
    tcase_add_test(tests, a_snapshot_at_any_instruction_goes_on_to_the_same_result);
    suite_add_tcase(suite, tests);
    return suite;
}
