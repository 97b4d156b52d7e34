/* SPDX-License-Identifier: Apache-2.0 */
#include "warm.h"

#include "guest.h"

void
bench_run_to_ready(vmkit_sandbox *sandbox)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
    if (outcome.kind != VMKIT_OUTCOME_READY)
        bench_die("the guest ended with outcome %u, status %d, signal %d", outcome.kind,
                  outcome.exit_status, outcome.signal);
}

vmkit_snapshot *
bench_snapshot_new(const char *program, const struct bench_input *input, uint64_t memory)
{
    vmkit_snapshot *snapshot;
    vmkit_sandbox *sandbox;
    vmkit_sandbox_config *config = bench_config_new(program);
    bench_vmkit(vmkit_sandbox_config_set_input(config, input, sizeof *input, &bench_error));
    if (memory != 0)
        bench_vmkit(vmkit_sandbox_config_set_memory_limit(config, memory, &bench_error));
    bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
    bench_run_to_ready(sandbox);
    bench_vmkit(vmkit_sandbox_snapshot(sandbox, &snapshot, &bench_error));
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    return snapshot;
}

void
bench_warm_new(struct bench_warm *warm, const struct bench_options *options, uint64_t pages)
{
    const char *program = bench_guest(options, "reset");
    struct floor_plan plan = {.table_size = BENCH_TABLE_SIZE, .input.pages = pages};
    struct floor_guest guest;
    floor_guest_new(&guest, program, &plan);
    floor_guest_run(&guest, &plan);
    floor_image_take(&warm->image, &guest);
    floor_guest_free(&guest);
    warm->snapshot = bench_snapshot_new(program, &plan.input, 0);
}

void
bench_warm_free(struct bench_warm *warm)
{
    vmkit_snapshot_unref(warm->snapshot);
    floor_image_free(&warm->image);
}
