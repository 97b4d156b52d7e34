/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program inside of a sandbox against the same file as a process of the host: from the start of
 * vmkit_sandbox_run() to its return, and from posix_spawn(3) to the end of waitpid(2). The ratio is
 * one of throughput: 1 is as fast as outside. `sandbox_cpu` computes; `sandbox_memory` touches 64
 * MiB that it has not had before.
 */
#include "sandbox.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define ROUNDS 40

static double
run_inside(const vmkit_sandbox_config *config)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox;
    bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
    double start = bench_now();
    bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
    double end = bench_now();
    vmkit_sandbox_unref(sandbox);
    bench_expect_exit(&outcome);
    return (end - start) / 1e3;
}

static double
run_outside(const char *program)
{
    char *const arguments[] = {(char *)(uintptr_t)program, NULL}, *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    double start = bench_now();
    int result = posix_spawn(&child, program, &actions, NULL, arguments, environment);
    if (result != 0)
        bench_die("%s: %s", program, strerror(result));
    BENCH_CHECK(waitpid(child, &status, 0));
    double end = bench_now();
    posix_spawn_file_actions_destroy(&actions);
    if (status != 0)
        bench_die("%s ended with wait status %d", program, status);
    return (end - start) / 1e3;
}

static void
compare(const struct bench_options *options, struct bench_result *result, const char *name)
{
    const char *program = bench_guest(options, name);
    vmkit_sandbox_config *config = bench_config_new(program);
    result->unit = "ms";
    result->more_is_better = true;
    /* A process's first run is often slower by far than all later ones. */
    run_inside(config);
    run_outside(program);
    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, run_inside(config));
        bench_add(&result->floor, run_outside(program));
        if (i % 2 != 0)
            bench_add(&result->library, run_inside(config));
    }
    vmkit_sandbox_config_unref(config);
}

void
bench_sandbox_cpu(const struct bench_options *options, struct bench_result *result)
{
    result->goal_kind = BENCH_RATIO_AT_LEAST;
    result->goal = 0.97;
    compare(options, result, "cpu");
}

void
bench_sandbox_memory(const struct bench_options *options, struct bench_result *result)
{
    compare(options, result, "memory");
}
