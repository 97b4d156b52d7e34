/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmarks share: a clock, samples, and one line of JSON for a result.
 *
 * A benchmark measures the library and its floor (the bare ioctls, or the native program) in turns
 * within one run, so that what else the machine does falls on both. It reports the medians and
 * their ratio, and holds that to a goal.
 */
#ifndef VMK_BENCH_H
#define VMK_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_samples {
    double *values;
    size_t count;
    size_t capacity;
};

struct bench_options {
    bool quick;         /* A tenth of the rounds: to see that it works, not to quote. */
    const char *guests; /* Folder of the guest programs. */
};

enum bench_goal {
    BENCH_NO_GOAL,
    BENCH_RATIO_AT_MOST,
    BENCH_RATIO_AT_LEAST,
    BENCH_MEDIAN_AT_MOST,
};

#define BENCH_EXTRAS 16

struct bench_result {
    const char *name;
    const char *unit;
    struct bench_samples library;
    struct bench_samples floor;
    bool more_is_better; /* The ratio is floor / library, so that 1 is as good as the floor. */
    enum bench_goal goal_kind;
    double goal;
    size_t extra_count;
    struct {
        const char *name;
        double value;
    } extras[BENCH_EXTRAS];
};

/* One benchmark: fills in `result`. Whatever cannot work ends the program with bench_die(). */
typedef void
bench_run_fn(const struct bench_options *options, struct bench_result *result);

bench_run_fn bench_exit_pio;
bench_run_fn bench_exit_mmio;
bench_run_fn bench_vm_lifecycle;
bench_run_fn bench_sandbox_cold_start;
bench_run_fn bench_sandbox_syscall;
bench_run_fn bench_call;
bench_run_fn bench_sandbox_cpu;
bench_run_fn bench_sandbox_memory;
bench_run_fn bench_sandbox_density;
bench_run_fn bench_reset_0;
bench_run_fn bench_reset_10;
bench_run_fn bench_reset_100;
bench_run_fn bench_reset_1000;
bench_run_fn bench_reset_4000;
bench_run_fn bench_fork;
bench_run_fn bench_fork_density;
bench_run_fn bench_call_reset;
bench_run_fn bench_save_raw;
bench_run_fn bench_save_zlib;
bench_run_fn bench_restore_128m;
bench_run_fn bench_restore_4g;

/* Microseconds of CLOCK_MONOTONIC. */
double
bench_now(void);

/* How many rounds to do of `full` ones. */
size_t
bench_rounds(const struct bench_options *options, size_t full);

void
bench_add(struct bench_samples *samples, double value);

double
bench_median(const struct bench_samples *samples);

/* The value that `percent` of the samples do not exceed. */
double
bench_percentile(const struct bench_samples *samples, double percent);

void
bench_free(struct bench_samples *samples);

void
bench_extra(struct bench_result *result, const char *name, double value);

/* A further median of its own, whose samples are freed. */
void
bench_extra_median(struct bench_result *result, const char *name, struct bench_samples *samples);

/* Print the line. Whether the goal holds. */
bool
bench_print(const struct bench_result *result);

/* The line that describes the machine. */
void
bench_print_machine(void);

/* Path of a guest program, in a static buffer. */
char *
bench_guest(const struct bench_options *options, const char *name);

_Noreturn void
bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `result` must not be negative: a return value of the library, or of a system call. */
#define BENCH_CHECK(call) bench_check((call), #call)

int
bench_check(int result, const char *call);

#endif
