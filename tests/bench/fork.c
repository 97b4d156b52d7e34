/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox forked from a snapshot with 64 MiB of data, to the first exit of its guest. The floor
 * makes a bare VM with the same memory slot over the same kind of memory, sets its vCPU up, and
 * runs it to the same exit. Freeing either is not part of it, and told besides.
 */
#include "warm.h"

#define ROUNDS 500

static double
time_library(vmkit_snapshot *snapshot, struct bench_samples *forks, struct bench_samples *frees)
{
    vmkit_sandbox *sandbox;
    double start = bench_now();
    bench_vmkit(vmkit_snapshot_fork(snapshot, NULL, &sandbox, &bench_error));
    double forked = bench_now();
    bench_run_to_ready(sandbox);
    double end = bench_now();
    vmkit_sandbox_unref(sandbox);
    bench_add(frees, bench_now() - end);
    bench_add(forks, forked - start);
    return end - start;
}

static double
time_floor(struct floor_image *image, struct bench_samples *forks, struct bench_samples *frees)
{
    struct floor_plan plan = {0};
    struct floor_guest guest;
    double start = bench_now();
    floor_guest_fork(&guest, image);
    double forked = bench_now();
    floor_guest_run(&guest, &plan);
    double end = bench_now();
    floor_guest_free(&guest);
    bench_add(frees, bench_now() - end);
    bench_add(forks, forked - start);
    return end - start;
}

void
bench_fork(const struct bench_options *options, struct bench_result *result)
{
    struct bench_warm warm;
    struct bench_samples forks = {0}, frees = {0}, floor_forks = {0}, floor_frees = {0};
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 1.5;
    bench_warm_new(&warm, options, 0);
    time_library(warm.snapshot, &forks, &frees);
    time_floor(&warm.image, &floor_forks, &floor_frees);

    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, time_library(warm.snapshot, &forks, &frees));
        bench_add(&result->floor, time_floor(&warm.image, &floor_forks, &floor_frees));
        if (i % 2 != 0)
            bench_add(&result->library, time_library(warm.snapshot, &forks, &frees));
    }
    bench_extra_median(result, "fork_alone", &forks);
    bench_extra_median(result, "unref", &frees);
    bench_extra_median(result, "floor_fork_alone", &floor_forks);
    bench_extra_median(result, "floor_unref", &floor_frees);
    bench_warm_free(&warm);
}
