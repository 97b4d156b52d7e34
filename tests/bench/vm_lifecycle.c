/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw VM from nothing through its first instruction to nothing: VM, memory, vCPU, registers, one
 * exit, and all of it freed; against the ioctls that do the same.
 */
#include "floor.h"
#include "raw.h"

#define ROUNDS 500

/* out %al, $0x10 */
static const uint8_t code[] = {0xe6, 0x10};

static double
run_library(void)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    struct bench_raw raw;
    double start = bench_now();
    bench_raw_new(&raw, code, sizeof code);
    bench_vmkit(vmkit_vcpu_run(raw.vcpu, &exit, &bench_error));
    bench_raw_free(&raw);
    double end = bench_now();
    if (exit.reason != VMKIT_EXIT_PIO)
        bench_die("the library's run ended with reason %u", exit.reason);
    return end - start;
}

static double
run_floor(void)
{
    struct floor_vm vm;
    double start = bench_now();
    floor_vm_new(&vm, code, sizeof code);
    floor_vm_run(&vm, KVM_EXIT_IO);
    floor_vm_free(&vm);
    return bench_now() - start;
}

void
bench_vm_lifecycle(const struct bench_options *options, struct bench_result *result)
{
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 1.2;
    run_library();
    run_floor();
    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, run_library());
        bench_add(&result->floor, run_floor());
        if (i % 2 != 0)
            bench_add(&result->library, run_library());
    }
}
