/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From nothing to the end of a static hello and back to nothing: vmkit_sandbox_new(), run and
 * unref.
 *
 * The floor makes a VM with bare ioctls, loads the same file, serves the same number of system
 * calls and page faults with made-up results, and frees it. To fault as often as under the library,
 * it leaves as many pages out; which ones the guest would miss it learns beforehand.
 */
#include "bench.h"
#include "floor.h"
#include "sandbox.h"

#define ROUNDS 400

struct parts {
    struct bench_samples begin, run, end;
};

static double
add_parts(struct parts *parts, const double at[4])
{
    bench_add(&parts->begin, at[1] - at[0]);
    bench_add(&parts->run, at[2] - at[1]);
    bench_add(&parts->end, at[3] - at[2]);
    return at[3] - at[0];
}

static double
run_library(const vmkit_sandbox_config *config, struct parts *parts)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox;
    double at[4] = {bench_now()};
    bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
    at[1] = bench_now();
    bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
    at[2] = bench_now();
    vmkit_sandbox_unref(sandbox);
    at[3] = bench_now();
    bench_expect_exit(&outcome);
    return add_parts(parts, at);
}

static double
run_floor(const char *program, struct floor_plan *plan, struct parts *parts, uint64_t exits)
{
    struct floor_guest guest;
    double at[4] = {bench_now()};
    floor_guest_new(&guest, program, plan);
    at[1] = bench_now();
    floor_guest_run(&guest, plan);
    at[2] = bench_now();
    floor_guest_free(&guest);
    at[3] = bench_now();
    if (exits != 0 && guest.exits != exits)
        bench_die("the floor leaves its guest %llu times, the library %llu times",
                  (unsigned long long)guest.exits, (unsigned long long)exits);
    return add_parts(parts, at);
}

/* What the library's run of the program counts. */
static struct vmkit_sandbox_stats
count_exits(const vmkit_sandbox_config *config)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    vmkit_sandbox *sandbox;
    bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
    bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
    bench_vmkit(vmkit_sandbox_get_stats(sandbox, &stats, &bench_error));
    vmkit_sandbox_unref(sandbox);
    bench_expect_exit(&outcome);
    return stats;
}

void
bench_sandbox_cold_start(const struct bench_options *options, struct bench_result *result)
{
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 1.5;

    const char *program = bench_guest(options, "hello");
    vmkit_sandbox_config *config = bench_config_new(program);
    struct vmkit_sandbox_stats stats = count_exits(config);
    uint64_t faults = stats.exits - stats.syscalls;

    struct parts library = {0}, floor = {0}, ignored = {0};
    struct floor_plan plan = {.learn = true};
    run_floor(program, &plan, &ignored, 0);
    bench_plan_faults(&plan, faults);

    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, run_library(config, &library));
        bench_add(&result->floor, run_floor(program, &plan, &floor, stats.exits));
        if (i % 2 != 0)
            bench_add(&result->library, run_library(config, &library));
    }

    bench_extra(result, "exits", (double)stats.exits);
    bench_extra_median(result, "new", &library.begin);
    bench_extra_median(result, "run", &library.run);
    bench_extra_median(result, "unref", &library.end);
    bench_extra_median(result, "floor_new", &floor.begin);
    bench_extra_median(result, "floor_run", &floor.run);
    bench_extra_median(result, "floor_unref", &floor.end);
    bench_free(&ignored.begin);
    bench_free(&ignored.run);
    bench_free(&ignored.end);
    vmkit_sandbox_config_unref(config);
}
