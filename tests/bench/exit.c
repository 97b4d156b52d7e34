/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exit that a registered handler serves, PIO and MMIO: from the guest's write to the callback
 * and back into the guest. The floor is a loop of KVM_RUN that looks at the exit's reason. Both
 * run the same bytes in real mode, in turns of EXITS exits; the handler ends the library's turn.
 * The VMs are made anew SETUPS times, so that no accident of where a VM lies decides.
 */
#include "floor.h"
#include "raw.h"

#define SETUPS 10
#define ROUNDS 60
#define EXITS 500

#define PORT 0x10

/* 1: out %al, $PORT; jmp 1b */
static const uint8_t pio_code[] = {0xe6, PORT, 0xeb, 0xfc};

/* mov $(FLOOR_VM_MEMORY / 16), %ax; mov %ax, %ds; 1: mov %al, 0; jmp 1b */
static const uint8_t mmio_code[] = {
    0xb8, FLOOR_VM_MEMORY >> 4 & 0xff, FLOOR_VM_MEMORY >> 12, 0x8e, 0xd8, 0xa2, 0x00, 0x00, 0xeb,
    0xfb};

static int
count_exit(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    unsigned *count = user_data;
    return ++*count % EXITS == 0 ? VMKIT_HANDLED_STOP : VMKIT_HANDLED;
}

static double
run_library(const struct bench_raw *raw)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    double start = bench_now();
    bench_vmkit(vmkit_vcpu_run(raw->vcpu, &exit, &bench_error));
    double end = bench_now();
    if (exit.reason != VMKIT_EXIT_STOPPED)
        bench_die("the library's run ended with reason %u", exit.reason);
    return (end - start) / EXITS;
}

static double
run_floor(const struct floor_vm *floor, uint32_t reason)
{
    double start = bench_now();
    for (int i = 0; i < EXITS; i++)
        floor_vm_run(floor, reason);
    return (bench_now() - start) / EXITS;
}

struct subject {
    uint32_t space;
    uint64_t address;
    const uint8_t *code;
    size_t size;
};

static void
measure_setup(const struct subject *subject, size_t rounds, struct bench_result *result)
{
    struct floor_vm floor;
    struct bench_raw raw;
    unsigned count = 0;
    uint32_t reason = subject->space == VMKIT_SPACE_PIO ? KVM_EXIT_IO : KVM_EXIT_MMIO;
    floor_vm_new(&floor, subject->code, subject->size);
    bench_raw_new(&raw, subject->code, subject->size);
    bench_vmkit(vmkit_vm_add_handler(raw.vm, subject->space, subject->address, 1, count_exit, NULL,
                                     &count, &bench_error));

    /* The first turns hold what each does once. */
    run_library(&raw);
    run_floor(&floor, reason);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, run_library(&raw));
        bench_add(&result->floor, run_floor(&floor, reason));
        if (i % 2 != 0)
            bench_add(&result->library, run_library(&raw));
    }
    bench_raw_free(&raw);
    floor_vm_free(&floor);
}

static void
measure(const struct bench_options *options, struct bench_result *result,
        const struct subject *subject)
{
    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = 1.05;
    for (int i = 0; i < SETUPS; i++)
        measure_setup(subject, bench_rounds(options, ROUNDS), result);
    bench_extra(result, "exits_per_sample", EXITS);
}

void
bench_exit_pio(const struct bench_options *options, struct bench_result *result)
{
    static const struct subject subject = {
        .space = VMKIT_SPACE_PIO, .address = PORT, .code = pio_code, .size = sizeof pio_code};
    measure(options, result, &subject);
}

void
bench_exit_mmio(const struct bench_options *options, struct bench_result *result)
{
    static const struct subject subject = {.space = VMKIT_SPACE_MMIO,
                                           .address = FLOOR_VM_MEMORY,
                                           .code = mmio_code,
                                           .size = sizeof mmio_code};
    measure(options, result, &subject);
}
