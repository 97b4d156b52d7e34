/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of an empty function in a fork, and the reset after it, against what one does without
 * snapshots: a cold start of a static hello, which stands for the floor here. Whoever serves each
 * request from a clean sandbox chooses between the two.
 */
#include "warm.h"

#define ROUNDS 500

static double
time_call(vmkit_sandbox *sandbox, const struct vmkit_call *call, struct bench_samples *calls)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    double start = bench_now();
    bench_vmkit(vmkit_sandbox_call(sandbox, call, &outcome, &bench_error));
    double called = bench_now();
    bench_vmkit(vmkit_sandbox_reset(sandbox, &bench_error));
    double end = bench_now();
    if (outcome.kind != VMKIT_OUTCOME_RETURNED)
        bench_die("the call ended with outcome %u", outcome.kind);
    bench_add(calls, called - start);
    return end - start;
}

static double
time_cold_start(const vmkit_sandbox_config *config)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox;
    double start = bench_now();
    bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
    bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
    vmkit_sandbox_unref(sandbox);
    double end = bench_now();
    bench_expect_exit(&outcome);
    return end - start;
}

void
bench_call_reset(const struct bench_options *options, struct bench_result *result)
{
    const struct vmkit_call call = {.size = sizeof call, .symbol = "nothing"};
    const struct bench_input input = {0};
    struct bench_samples calls = {0};
    vmkit_sandbox *sandbox;
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 0.1;

    vmkit_snapshot *snapshot = bench_snapshot_new(bench_guest(options, "reset"), &input, 0);
    bench_vmkit(vmkit_snapshot_fork(snapshot, NULL, &sandbox, &bench_error));
    vmkit_sandbox_config *config = bench_config_new(bench_guest(options, "hello"));
    time_call(sandbox, &call, &calls);
    time_cold_start(config);
    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        bench_add(&result->library, time_call(sandbox, &call, &calls));
        bench_add(&result->floor, time_cold_start(config));
    }
    bench_extra_median(result, "call_alone", &calls);
    vmkit_sandbox_config_unref(config);
    vmkit_sandbox_unref(sandbox);
    vmkit_snapshot_unref(snapshot);
}
