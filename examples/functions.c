/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions: a function of an untrusted program, called from several threads, each time in a
 * sandbox that nobody used before. The program makes its table once; a snapshot of it is the
 * template of a pool; each call takes a warm sandbox, calls and gives it back, which resets it.
 */
#include "output.h"

#include <vmkit/vmkit.h>

#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_CALLS 10000000u
#define MAX_THREADS 256u

static const char help[] =
    "usage: functions [--calls N] [--threads N] [--sandboxes N] [--help] [PROGRAM]\n"
    "\n"
    "Calls find_prime() of a program many times, each time in a sandbox that is as good as\n"
    "new, checks the results, and prints a table of how long the steps took.\n"
    "\n"
    "  --calls N      how many calls (10000)\n"
    "  --threads N    from how many threads (4)\n"
    "  --sandboxes N  how many sandboxes there may be at once (as many as threads)\n"
    "  PROGRAM        the program (functions-guest beside this one)\n";

/* Microseconds of each step of a call. */
struct latency {
    double take, call, give_back, all;
};

struct job {
    vmkit_pool *pool;
    struct latency *latencies;
    uint64_t first;
    uint64_t count;
    uint64_t wrong;
    pthread_t thread;
};

static void
check(int result, vmkit_error **error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "functions: %s\n", vmkit_error_get_message(*error));
    exit(EXIT_FAILURE);
}

static double
now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static bool
is_prime(uint64_t number)
{
    for (uint64_t i = 2; i * i <= number; i++) {
        if (number % i == 0)
            return false;
    }
    return number >= 2;
}

static bool
call_once(vmkit_pool *pool, uint64_t number, struct latency *latency, vmkit_error **error)
{
    struct vmkit_argument argument = {.kind = VMKIT_ARGUMENT_INTEGER, .integer = number};
    struct vmkit_call call = {.size = sizeof call,
                              .symbol = "find_prime",
                              .arguments = &argument,
                              .argument_count = 1,
                              .wall_time_limit_ns = 5000000000};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = NULL;
    double start = now_us();
    check(vmkit_pool_take(pool, UINT64_MAX, &sandbox, error), error);
    double taken = now_us();
    check(vmkit_sandbox_call(sandbox, &call, &outcome, error), error);
    double called = now_us();
    check(vmkit_pool_give_back(pool, sandbox, error), error);
    double end = now_us();

    *latency = (struct latency){taken - start, called - taken, end - called, end - start};
    uint64_t calls = outcome.result >> 32, prime = outcome.result & UINT32_MAX;
    return outcome.kind == VMKIT_OUTCOME_RETURNED && calls == 1 && is_prime(prime);
}

static void *
work(void *user_data)
{
    struct job *job = user_data;
    vmkit_error *error = NULL;
    for (uint64_t i = job->first; i < job->first + job->count; i++)
        job->wrong += !call_once(job->pool, i * 7919 % 200000, &job->latencies[i], &error);
    return NULL;
}

/* A snapshot of the program as soon as it is ready. */
static vmkit_snapshot *
make_template(const char *program)
{
    vmkit_error *error = NULL;
    vmkit_sandbox_config *config = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_snapshot *snapshot = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    check(vmkit_sandbox_config_new(&config, &error), &error);
    check(vmkit_sandbox_config_set_program_path(config, program, &error), &error);
    check(vmkit_sandbox_config_set_memory_limit(config, 64 << 20, &error), &error);
    check(vmkit_sandbox_new(config, &sandbox, &error), &error);
    check(vmkit_sandbox_run(sandbox, &outcome, &error), &error);
    if (outcome.kind != VMKIT_OUTCOME_READY) {
        fprintf(stderr, "functions: %s ended without a call of vmkit_guest_ready()\n", program);
        exit(EXIT_FAILURE);
    }
    check(vmkit_sandbox_snapshot(sandbox, &snapshot, &error), &error);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    return snapshot;
}

static uint64_t
run_jobs(vmkit_pool *pool, struct latency *latencies, uint64_t calls, unsigned threads)
{
    struct job *jobs = calloc(threads, sizeof *jobs);
    uint64_t wrong = 0;
    if (jobs == NULL) {
        fputs("functions: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    for (unsigned i = 0; i < threads; i++) {
        uint64_t first = calls * i / threads;
        jobs[i] = (struct job){.pool = pool,
                               .latencies = latencies,
                               .first = first,
                               .count = calls * (i + 1) / threads - first};
        if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]) != 0) {
            fprintf(stderr, "functions: the host gives no more than %u threads\n", i);
            exit(EXIT_FAILURE);
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(jobs[i].thread, NULL);
        wrong += jobs[i].wrong;
    }
    free(jobs);
    return wrong;
}

static int
compare(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* A line a percentile: gnuplot and a spreadsheet read it as it is. */
static void
print_table(const struct latency *latencies, uint64_t calls)
{
    static const double percentiles[] = {1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100};
    double *steps[4];
    for (int i = 0; i < 4; i++) {
        steps[i] = malloc(calls * sizeof *steps[i]);
        if (steps[i] == NULL)
            return;
    }
    for (uint64_t i = 0; i < calls; i++) {
        steps[0][i] = latencies[i].take;
        steps[1][i] = latencies[i].call;
        steps[2][i] = latencies[i].give_back;
        steps[3][i] = latencies[i].all;
    }
    printf("# percentile\ttake_us\tcall_us\tgive_back_us\tall_us\n");
    for (int i = 0; i < 4; i++)
        qsort(steps[i], calls, sizeof *steps[i], compare);
    for (size_t p = 0; p < sizeof percentiles / sizeof percentiles[0]; p++) {
        uint64_t at = (uint64_t)(percentiles[p] / 100 * (double)(calls - 1));
        printf("%g\t%.1f\t%.1f\t%.1f\t%.1f\n", percentiles[p], steps[0][at], steps[1][at],
               steps[2][at], steps[3][at]);
    }
    for (int i = 0; i < 4; i++)
        free(steps[i]);
}

static unsigned long
parse_count(const char *option, const char *text, unsigned long limit)
{
    char *end = NULL;
    unsigned long value = text == NULL ? 0 : strtoul(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || text[0] == '-' || value == 0 ||
        value > limit) {
        fprintf(stderr, "functions: %s takes a number from 1 to %lu\n", option, limit);
        exit(2);
    }
    return value;
}

static const char *
find_program(void)
{
    static char path[PATH_MAX], program[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    snprintf(program, sizeof program, "%s/functions-guest", dirname(path));
    return program;
}

static int
run(int argc, char **argv)
{
    unsigned long calls = 10000, threads = 4, sandboxes = 0;
    const char *program = NULL;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "--help") == 0) {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (strcmp(option, "--calls") == 0) {
            calls = parse_count(option, argv[++i], MAX_CALLS);
        } else if (strcmp(option, "--threads") == 0) {
            threads = parse_count(option, argv[++i], MAX_THREADS);
        } else if (strcmp(option, "--sandboxes") == 0) {
            sandboxes = parse_count(option, argv[++i], MAX_THREADS);
        } else if (option[0] == '-' || program != NULL) {
            fprintf(stderr, "functions: %s is not understood; see --help\n", option);
            return 2;
        } else {
            program = option;
        }
    }
    if (sandboxes == 0)
        sandboxes = threads;

    vmkit_error *error = NULL;
    vmkit_pool *pool = NULL;
    struct vmkit_pool_stats stats = {.size = sizeof stats};
    struct latency *latencies = calloc(calls, sizeof *latencies);
    if (latencies == NULL) {
        fputs("functions: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    double start = now_us();
    vmkit_snapshot *snapshot = make_template(program == NULL ? find_program() : program);
    double ready = now_us();
    check(vmkit_pool_new(snapshot, NULL, (uint32_t)sandboxes, (uint32_t)sandboxes, &pool, &error),
          &error);
    double pooled = now_us();
    uint64_t wrong = run_jobs(pool, latencies, calls, (unsigned)threads);
    double end = now_us();
    check(vmkit_pool_get_stats(pool, &stats, &error), &error);

    print_table(latencies, calls);
    printf("# template %.1f ms, pool of %lu %.1f ms, %lu calls from %lu threads %.1f ms\n",
           (ready - start) / 1e3, sandboxes, (pooled - ready) / 1e3, calls, threads,
           (end - pooled) / 1e3);
    printf("# %llu forks, %llu resets, %llu results wrong\n", (unsigned long long)stats.forks,
           (unsigned long long)stats.resets, (unsigned long long)wrong);
    vmkit_pool_unref(pool);
    vmkit_snapshot_unref(snapshot);
    free(latencies);
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    return output_finish("functions", run(argc, argv), EXIT_FAILURE);
}
