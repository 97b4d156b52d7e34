/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that ask the library for long work, or for its memory, in vain. */
#include "harness.h"
#include "sandbox_guest.h"
#include "usage.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)
#define MIB ((uint64_t)1 << 20)

/* A kill is to be noticed within a millisecond; what is above leaves room for a slow machine and
 * for sanitizers. What the guests ask for takes a hundred times as long. */
#define LATE (25 * MILLISECOND)

/* What the thread that runs may use while the kill is made, for its lateness to say anything. */
#define AT_ONCE (2 * MILLISECOND)

struct watch {
    vmkit_sandbox *sandbox;
    clockid_t clock; /* CPU time of the thread that runs it */
    pthread_t thread;
    atomic_bool started;
    uint64_t killed_at; /* before the call */
    uint64_t killed_by; /* after it */
    uint64_t heap;      /* of the process, when the guest said so */
    unsigned long descriptors;
    char text[64];
    size_t size;
};

static uint64_t
read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void *
kill_soon(void *user_data)
{
    struct watch *watch = user_data;
    nanosleep(&(struct timespec){.tv_nsec = 30 * MILLISECOND}, NULL);
    watch->killed_at = read_clock(watch->clock);
    vmkit_sandbox_kill(watch->sandbox);
    watch->killed_by = read_clock(watch->clock);
    return NULL;
}

static int64_t
start_killer(void *user_data, const void *data, uint64_t size)
{
    struct watch *watch = user_data;
    if (*(const char *)data == '!' && !atomic_exchange(&watch->started, true))
        pthread_create(&watch->thread, NULL, kill_soon, watch);
    else
        fwrite(data, 1, size, stderr);
    return (int64_t)size;
}

static int64_t
take_measure(void *user_data, const void *data, uint64_t size)
{
    struct watch *watch = user_data;
    struct mallinfo2 info = mallinfo2();
    if (*(const char *)data == '!' && watch->size == 0) {
        watch->heap = info.uordblks + info.hblkhd;
        watch->descriptors = usage_count_descriptors();
    } else if (watch->size + size < sizeof watch->text) {
        memcpy(watch->text + watch->size, data, size);
        watch->size += size;
    }
    return (int64_t)size;
}

static void
run_watched(vmkit_sandbox_config *config, struct watch *watch,
            struct vmkit_sandbox_outcome *outcome)
{
    pthread_getcpuclockid(pthread_self(), &watch->clock);
    vmkit_sandbox_config_set_wall_time_limit(config, 100 * SECOND, NULL);
    vmkit_sandbox_config_set_open_files_limit(config, 1024, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &watch->sandbox, NULL), 0);
    outcome->size = sizeof *outcome;
    ck_assert_int_eq(vmkit_sandbox_run(watch->sandbox, outcome, NULL), 0);
}

static const char *const ways[] = {"mincore", "sendfile", "fallocate", "mappings",
                                   "protect", "discard",  "move",      "path",
                                   "execve",  "maps",     "poll"};

/* Kill a program in a long call: the CPU time that it had after that. False when the thread that
 * kills did not get to it at once, so that nobody knows. */
static bool
measure_kill(const char *way, uint64_t *ret_late)
{
    struct watch watch = {0};
    struct vmkit_sandbox_outcome outcome;
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "linger", way, NULL});
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, start_killer, &watch,
                                             NULL);
    /* So that looking at the limits costs what it does at most. */
    vmkit_sandbox_config_set_cpu_time_limit(config, 100 * SECOND, NULL);
    run_watched(config, &watch, &outcome);
    uint64_t ended_at = read_clock(watch.clock);
    ck_assert_msg(atomic_load(&watch.started), "%s: did not start", way);
    pthread_join(watch.thread, NULL);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    *ret_late = ended_at - watch.killed_at;

    uint64_t start = read_clock(watch.clock);
    vmkit_sandbox_unref(watch.sandbox);
    ck_assert_uint_lt(read_clock(watch.clock) - start, 500 * MILLISECOND);
    vmkit_sandbox_config_unref(config);
    /* What the run used to its end, when that came before the second look. */
    uint64_t known_by = watch.killed_by < ended_at ? watch.killed_by : ended_at;
    return *ret_late < LATE || known_by - watch.killed_at < AT_ONCE;
}

START_TEST(a_long_call_notices_the_kill)
{
    uint64_t late = 0;
    int tries = 0;
    while (!measure_kill(ways[_i], &late))
        ck_assert_msg(++tries < 50, "%s: no kill was made at once", ways[_i]);
    ck_assert_msg(late < LATE, "%s: %llu us late", ways[_i], (unsigned long long)late / 1000);
}
END_TEST

/* Run `hoard`; how much it got. */
static int
run_hoard(const char *what, const char *path, struct watch *watch, uint64_t memory)
{
    struct vmkit_sandbox_outcome outcome;
    struct mallinfo2 before = mallinfo2();
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "hoard", what, path, NULL});
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, take_measure, watch,
                                             NULL);
    if (path != NULL)
        ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, "/tmp", "/host", 0, NULL), 0);
    vmkit_sandbox_config_set_memory_limit(config, memory, NULL);
    run_watched(config, watch, &outcome);
    watch->heap -= before.uordblks + before.hblkhd;
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, 0);
    vmkit_sandbox_unref(watch->sandbox);
    vmkit_sandbox_config_unref(config);
    return atoi(watch->text);
}

START_TEST(texts_of_proc_are_charged)
{
    struct watch watch = {0};
    int count = run_hoard("texts", NULL, &watch, 64 * MIB);
    ck_assert_int_ge(count, 5);
    ck_assert_uint_lt(watch.heap, 80 * MIB);
}
END_TEST

START_TEST(watches_of_epoll_are_charged)
{
    struct watch watch = {0};
    int count = run_hoard("watches", NULL, &watch, 6 * MIB);
    ck_assert_int_ge(count, 10000);
    ck_assert_int_lt(count, 6 * (int)MIB / 64);
    ck_assert_uint_lt(watch.heap, 10 * MIB);
}
END_TEST

START_TEST(files_that_are_only_mapped_count_as_open)
{
    struct watch watch = {0};
    char path[] = "/tmp/vmkit-exhaust-XXXXXX", name[64];
    int fd = mkstemp(path);
    unsigned long before = usage_count_descriptors();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    snprintf(name, sizeof name, "/host/%s", strrchr(path, '/') + 1);
    int count = run_hoard("mappings", name, &watch, 64 * MIB);
    close(fd);
    unlink(path);
    ck_assert_int_ge(count, 1000);
    ck_assert_int_lt(count, 1024);
    ck_assert_uint_lt(watch.descriptors, before + 1024 + 32);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_exhaust");
    TCase *tcase = tcase_create("sandbox_exhaust");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_long_call_notices_the_kill, 0, sizeof ways / sizeof ways[0]);
    tcase_add_test(tcase, texts_of_proc_are_charged);
    tcase_add_test(tcase, watches_of_epoll_are_charged);
    tcase_add_test(tcase, files_that_are_only_mapped_count_as_open);
    suite_add_tcase(suite, tcase);
    return suite;
}
