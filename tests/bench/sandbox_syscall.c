/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A system call that does nothing: from the guest to the library and back.
 *
 * The floor is a SYSCALL that leaves a bare vCPU by an OUT and is answered through the registers
 * that are shared with it (KVM_CAP_SYNC_REGS). Both guests run the same program, in turns of
 * BENCH_BATCH calls: the floor's turn is taken inside of the output callback that ends the
 * library's.
 */
#include "guest.h"
#include "sandbox.h"

#define ROUNDS 500
#define CALLS (BENCH_BATCH + 1)

struct turns {
    vmkit_sandbox *sandbox;
    struct bench_result *result;
    struct floor_guest floor;
    struct floor_plan plan;
    size_t rounds;
    size_t done;
    double start;
};

static int64_t
take_turn(void *user_data, const void *data, uint64_t size)
{
    struct turns *turns = user_data;
    double library_end = bench_now();
    floor_guest_run(&turns->floor, &turns->plan);
    double floor_end = bench_now();

    /* The first turns hold what each guest does once. */
    if (turns->done++ > 0) {
        bench_add(&turns->result->library, (library_end - turns->start) / CALLS);
        bench_add(&turns->result->floor, (floor_end - library_end) / CALLS);
    }
    if (turns->done > turns->rounds)
        vmkit_sandbox_kill(turns->sandbox);
    turns->start = bench_now();
    return (int64_t)size;
}

void
bench_sandbox_syscall(const struct bench_options *options, struct bench_result *result)
{
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 1.15;

    const char *program = bench_guest(options, "syscall");
    struct turns turns = {.result = result, .rounds = bench_rounds(options, ROUNDS)};
    floor_guest_new(&turns.floor, program, &turns.plan);

    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_config *config = bench_config_new(program);
    bench_vmkit(vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, take_turn,
                                                         &turns, &bench_error));
    bench_vmkit(vmkit_sandbox_new(config, &turns.sandbox, &bench_error));
    bench_vmkit(vmkit_sandbox_run(turns.sandbox, &outcome, &bench_error));
    if (outcome.kind != VMKIT_OUTCOME_KILLED)
        bench_die("the guest ended with outcome %u", outcome.kind);
    bench_extra(result, "calls_per_sample", CALLS);

    vmkit_sandbox_unref(turns.sandbox);
    vmkit_sandbox_config_unref(config);
    floor_guest_free(&turns.floor);
}
