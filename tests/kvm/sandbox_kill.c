/* SPDX-License-Identifier: Apache-2.0 */
/* A kill ends long calls of a program, too: the CPU time that it gets afterwards. */
#include "harness.h"
#include "sandbox_guest.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define KILLS 9

static const char *const ways[] = {"protect",    "discard",     "unmap",      "truncate",
                                   "write-file", "read-random", "touch-file", "execute"};
#define WAY_COUNT ((int)(sizeof ways / sizeof ways[0]))

/* A sanitizer checks each access to memory, and QEMU emulates each instruction: there it is the
 * best of the kills that counts, and it may take longer. */
static bool
is_slow(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return guest_is_emulated_by_qemu();
#endif
}

struct killer {
    vmkit_sandbox *sandbox;
    clockid_t clock; /* of the thread that runs the program */
    sem_t begun;
    uint64_t delay_ns; /* of its CPU time, from the first mark on */
    uint64_t cpu_at_kill_ns;
};

static uint64_t
now_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 * MILLISECOND + (uint64_t)now.tv_nsec;
}

static int64_t
see_mark(void *user_data, const void *data, uint64_t size)
{
    sem_post(&((struct killer *)user_data)->begun);
    return (int64_t)size;
}

static void *
kill_begun(void *data)
{
    struct killer *killer = data;
    sem_wait(&killer->begun);
    uint64_t begun = now_of(killer->clock);
    while ((killer->cpu_at_kill_ns = now_of(killer->clock)) < begun + killer->delay_ns)
        usleep(20);
    vmkit_sandbox_kill(killer->sandbox);
    return NULL;
}

/* Nanoseconds of CPU time from the kill to the end of the run. */
static uint64_t
time_kill(const char *way, uint64_t delay_ns)
{
    struct killer killer = {.delay_ns = delay_ns};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "busy", way, NULL});
    pthread_t thread;
    sem_init(&killer.begun, 0, 0);
    vmkit_sandbox_config_set_memory_limit(config, UINT64_C(512) << 20, NULL);
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, see_mark, &killer, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &killer.sandbox, NULL), 0);
    ck_assert_int_eq(pthread_getcpuclockid(pthread_self(), &killer.clock), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_begun, &killer), 0);
    ck_assert_int_eq(vmkit_sandbox_run(killer.sandbox, &outcome, NULL), 0);
    uint64_t after = guest_cpu_ns();
    pthread_join(thread, NULL);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    vmkit_sandbox_unref(killer.sandbox);
    vmkit_sandbox_config_unref(config);
    sem_destroy(&killer.begun);
    return after - killer.cpu_at_kill_ns;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(a_program_killed_within_a_long_call_gets_less_than_1_ms_of_cpu_time)
{
    uint64_t took[KILLS];
    for (int i = 0; i < KILLS; i++) {
        took[i] = time_kill(ways[_i], (unsigned)i * MILLISECOND / 4);
        if (is_slow() && took[i] < 10 * MILLISECOND)
            return;
    }
    qsort(took, KILLS, sizeof took[0], compare);
    ck_assert_msg(took[KILLS / 2] < MILLISECOND, "%s: %llu ns, from %llu to %llu", ways[_i],
                  (unsigned long long)took[KILLS / 2], (unsigned long long)took[0],
                  (unsigned long long)took[KILLS - 1]);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_kill");
    TCase *tcase = tcase_create("sandbox_kill");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_program_killed_within_a_long_call_gets_less_than_1_ms_of_cpu_time,
                        0, WAY_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}
