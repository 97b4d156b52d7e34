/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmarks by name. tests/bench/run builds and calls this. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

static const struct benchmark {
    const char *name;
    bench_run_fn *run;
    const char *text;
} benchmarks[] = {
    {"exit_pio", bench_exit_pio, "a port access that a handler serves"},
    {"exit_mmio", bench_exit_mmio, "an MMIO access that a handler serves"},
    {"vm_lifecycle", bench_vm_lifecycle, "make a raw VM, run an instruction, free it"},
    {"sandbox_cold_start", bench_sandbox_cold_start, "make, run and free a static hello"},
    {"sandbox_syscall", bench_sandbox_syscall, "a system call that does nothing"},
    {"call", bench_call, "a call of a function that does nothing"},
    {"sandbox_cpu", bench_sandbox_cpu, "a program that computes, inside and outside"},
    {"sandbox_memory", bench_sandbox_memory, "a program that touches memory, inside and outside"},
    {"sandbox_density", bench_sandbox_density, "memory of a thousand sandboxes"},
    {"reset_0", bench_reset_0, "back to the snapshot, and a run that writes no page"},
    {"reset_10", bench_reset_10, "the same with 10 pages of 4 KiB written"},
    {"reset_100", bench_reset_100, "the same with 100"},
    {"reset_1000", bench_reset_1000, "the same with 1,000"},
    {"reset_4000", bench_reset_4000, "the same with 4,000"},
    {"fork", bench_fork, "a fork of 64 MiB, to its first exit"},
    {"fork_density", bench_fork_density, "memory of a thousand forks of 64 MiB"},
    {"restore_128m", bench_restore_128m, "a fork from a file with 64 MiB of data"},
    {"restore_4g", bench_restore_4g, "the same where the guest has 4 GiB of memory"},
    {"call_reset", bench_call_reset, "a call and a reset, against a cold start"},
    {"save_raw", bench_save_raw, "a snapshot of 128 MiB to a file, raw"},
    {"save_zlib", bench_save_zlib, "a snapshot of 32 MiB to a file, compressed"},
};

#define COUNT (sizeof benchmarks / sizeof benchmarks[0])

static int
usage(int status)
{
    fputs("usage: bench [--quick] [--guests DIR] [--list | --machine | NAME...]\n"
          "Prints a line of JSON for the machine and one for each benchmark; all without a NAME.\n"
          "Exit status 0 when every goal holds, 1 when one does not, 2 when one cannot run.\n",
          status == 0 ? stdout : stderr);
    return status;
}

static const struct benchmark *
find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(benchmarks[i].name, name) == 0)
            return &benchmarks[i];
    }
    return NULL;
}

static bool
run(const struct benchmark *benchmark, const struct bench_options *options)
{
    struct bench_result result = {.name = benchmark->name};
    benchmark->run(options, &result);
    bool holds = bench_print(&result);
    bench_free(&result.library);
    bench_free(&result.floor);
    return holds;
}

int
main(int argc, char **argv)
{
    struct bench_options options = {.guests = "."};
    bool machine = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            options.quick = true;
        else if (strcmp(argv[i], "--machine") == 0)
            machine = true;
        else if (strcmp(argv[i], "--guests") == 0 && i + 1 < argc)
            options.guests = argv[++i];
        else if (strcmp(argv[i], "--help") == 0)
            return usage(0);
        else if (strcmp(argv[i], "--list") == 0)
            break;
        else
            return usage(2);
    }
    if (i < argc && strcmp(argv[i], "--list") == 0) {
        for (size_t j = 0; j < COUNT; j++)
            printf("%-20s %s\n", benchmarks[j].name, benchmarks[j].text);
        return 0;
    }
    for (int j = i; j < argc; j++) {
        if (find(argv[j]) == NULL) {
            fprintf(stderr, "bench: there is no benchmark \"%s\" (--list names them)\n", argv[j]);
            return 2;
        }
    }

    bool hold = true;
    if (machine)
        bench_print_machine();
    for (int j = i; j < argc; j++)
        hold = run(find(argv[j]), &options) && hold;
    for (size_t j = 0; i == argc && !machine && j < COUNT; j++)
        hold = run(&benchmarks[j], &options) && hold;
    return hold ? 0 : 1;
}
