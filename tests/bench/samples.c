/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double
bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

size_t
bench_rounds(const struct bench_options *options, size_t full)
{
    return options->quick ? (full + 9) / 10 : full;
}

void
bench_add(struct bench_samples *samples, double value)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity == 0 ? 256 : samples->capacity * 2;
        samples->values = realloc(samples->values, samples->capacity * sizeof *samples->values);
        if (samples->values == NULL)
            bench_die("no memory for %zu samples", samples->capacity);
    }
    samples->values[samples->count++] = value;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
bench_percentile(const struct bench_samples *samples, double percent)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->values, samples->count, sizeof *samples->values, compare);
    double rank = percent / 100 * (double)(samples->count - 1);
    size_t below = (size_t)rank, above = below + 1 < samples->count ? below + 1 : below;
    double part = rank - (double)below;
    return samples->values[below] * (1 - part) + samples->values[above] * part;
}

double
bench_median(const struct bench_samples *samples)
{
    return bench_percentile(samples, 50);
}

void
bench_free(struct bench_samples *samples)
{
    free(samples->values);
    *samples = (struct bench_samples){0};
}

void
bench_extra(struct bench_result *result, const char *name, double value)
{
    if (result->extra_count == BENCH_EXTRAS)
        bench_die("%s: more than %d further figures", result->name, BENCH_EXTRAS);
    result->extras[result->extra_count].name = name;
    result->extras[result->extra_count++].value = value;
}

void
bench_extra_median(struct bench_result *result, const char *name, struct bench_samples *samples)
{
    bench_extra(result, name, bench_median(samples));
    bench_free(samples);
}

void
bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

int
bench_check(int result, const char *call)
{
    if (result < 0)
        bench_die("%s: %s", call, strerror(result == -1 ? errno : -result));
    return result;
}

char *
bench_guest(const struct bench_options *options, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/bench_guest_%s", options->guests, name);
    return path;
}
