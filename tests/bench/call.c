/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of an empty function, from vmkit_sandbox_call() to its return.
 *
 * The floor is a bare exit and re-entry: a SYSCALL that leaves a vCPU by an OUT and is answered
 * through the registers that are shared with it. Library and floor take turns of BENCH_BATCH. The
 * further figures are calls by name, with limits of time, with a buffer in and out, and with a
 * double in and out.
 */
#include "guest.h"
#include "sandbox.h"

#define ROUNDS 500
#define CALLS (BENCH_BATCH + 1)

/* Microseconds that one of CALLS calls takes. */
static double
time_calls(vmkit_sandbox *sandbox, const struct vmkit_call *call)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    double start = bench_now();
    for (int i = 0; i < CALLS; i++) {
        bench_vmkit(vmkit_sandbox_call(sandbox, call, &outcome, &bench_error));
        if (outcome.kind != VMKIT_OUTCOME_RETURNED)
            bench_die("the call ended with outcome %u", outcome.kind);
    }
    return (bench_now() - start) / CALLS;
}

static vmkit_sandbox *
make_ready(const char *program)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config = bench_config_new(program);
    vmkit_sandbox *sandbox;
    bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
    bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
    if (outcome.kind != VMKIT_OUTCOME_READY)
        bench_die("the guest ended with outcome %u before it was ready", outcome.kind);
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

void
bench_call(const struct bench_options *options, struct bench_result *result)
{
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 1.3;

    struct floor_guest floor;
    struct floor_plan plan = {0};
    floor_guest_new(&floor, bench_guest(options, "syscall"), &plan);
    floor_guest_run(&floor, &plan);

    vmkit_sandbox *sandbox = make_ready(bench_guest(options, "call"));
    uint64_t address;
    bench_vmkit(vmkit_sandbox_find_symbol(sandbox, "nothing", &address, &bench_error));
    uint8_t bytes[64] = {1};
    const struct vmkit_argument real[] = {{.kind = VMKIT_ARGUMENT_DOUBLE, .real = 3}},
                                buffer[] = {{.kind = VMKIT_ARGUMENT_IN_OUT,
                                             .data = bytes,
                                             .size = sizeof bytes}};
    const struct {
        const char *name;
        struct vmkit_call call;
    } variants[] = {
        {"by_name", {.size = sizeof(struct vmkit_call), .symbol = "nothing"}},
        {"limited",
         {.size = sizeof(struct vmkit_call),
          .address = address,
          .cpu_time_limit_ns = 1000000000,
          .wall_time_limit_ns = 1000000000}},
        {"buffer",
         {.size = sizeof(struct vmkit_call),
          .symbol = "first",
          .arguments = buffer,
          .argument_count = 1}},
        {"double",
         {.size = sizeof(struct vmkit_call),
          .symbol = "half",
          .arguments = real,
          .argument_count = 1,
          .result_kind = VMKIT_RESULT_DOUBLE}},
    };
    enum { VARIANTS = sizeof variants / sizeof variants[0] };
    struct bench_samples samples[VARIANTS] = {0};
    const struct vmkit_call call = {.size = sizeof call, .address = address};
    time_calls(sandbox, &call);

    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        double start = bench_now();
        floor_guest_run(&floor, &plan);
        bench_add(&result->floor, (bench_now() - start) / CALLS);
        bench_add(&result->library, time_calls(sandbox, &call));
        for (size_t j = 0; i % 5 == 0 && j < VARIANTS; j++)
            bench_add(&samples[j], time_calls(sandbox, &variants[j].call));
    }
    for (size_t j = 0; j < VARIANTS; j++)
        bench_extra_median(result, variants[j].name, &samples[j]);
    bench_extra(result, "calls_per_sample", CALLS);
    vmkit_sandbox_unref(sandbox);
    floor_guest_free(&floor);
}
