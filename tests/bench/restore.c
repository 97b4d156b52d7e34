/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox from a snapshot file with 64 MiB of data, stored raw: the file is opened, a fork made,
 * and run to the first exit of its guest. The floor is the same without the file: a fork of the
 * snapshot that the file was saved from. The files lie where the benchmarks do, and have been read
 * before, as those of a warm template have.
 */
#include "warm.h"

#include <stdio.h>
#include <unistd.h>

#define ROUNDS 300
#define MIB (UINT64_C(1) << 20)

static double
time_fork(vmkit_snapshot *snapshot, struct bench_samples *frees)
{
    vmkit_sandbox *sandbox;
    double start = bench_now();
    bench_vmkit(vmkit_snapshot_fork(snapshot, NULL, &sandbox, &bench_error));
    bench_run_to_ready(sandbox);
    double end = bench_now();
    vmkit_sandbox_unref(sandbox);
    bench_add(frees, bench_now() - end);
    return end - start;
}

static double
time_restore(const char *path, struct bench_samples *opens, struct bench_samples *frees)
{
    vmkit_snapshot *snapshot;
    double start = bench_now();
    bench_vmkit(vmkit_snapshot_open_path(path, 0, NULL, &snapshot, &bench_error));
    double opened = bench_now();
    bench_add(opens, opened - start);
    double took = opened - start + time_fork(snapshot, frees);
    vmkit_snapshot_unref(snapshot);
    return took;
}

static void
save(vmkit_snapshot *snapshot, const char *path)
{
    vmkit_snapshot_options *options;
    bench_vmkit(vmkit_snapshot_options_new(&options, &bench_error));
    bench_vmkit(vmkit_snapshot_options_set_sync(options, 0, &bench_error));
    bench_vmkit(vmkit_snapshot_save_path(snapshot, path, options, &bench_error));
    vmkit_snapshot_options_unref(options);
}

static void
measure(const struct bench_options *options, struct bench_result *result, uint64_t memory)
{
    const struct bench_input input = {.untouched = memory - 100 * MIB};
    struct bench_samples opens = {0}, frees = {0};
    char path[4200];
    snprintf(path, sizeof path, "%s/bench_%s_%d.snapshot", options->guests, result->name,
             (int)getpid());
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 2;

    vmkit_snapshot *snapshot = bench_snapshot_new(bench_guest(options, "reset"), &input, memory);
    save(snapshot, path);
    time_fork(snapshot, &frees);
    time_restore(path, &opens, &frees);
    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        bench_add(&result->floor, time_fork(snapshot, &frees));
        bench_add(&result->library, time_restore(path, &opens, &frees));
    }
    bench_extra_median(result, "open_alone", &opens);
    bench_extra_median(result, "unref", &frees);
    bench_extra(result, "memory_mib", (double)memory / (double)MIB);
    vmkit_snapshot_unref(snapshot);
    unlink(path);
}

void
bench_restore_128m(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 128 * MIB);
}

void
bench_restore_4g(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 4096 * MIB);
}
