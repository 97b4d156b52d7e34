/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that wrote to N pages is brought back to its snapshot, and writes to them again: from
 * vmkit_sandbox_reset() until the guest stands still once more.
 *
 * The floor does the same with bare ioctls: it reads KVM's dirty log, sets the vCPU, brings the
 * pages back and runs the guest. It knows which pages those are, and brings them back in each of
 * three ways: by copying them, by MADV_DONTNEED of a private mapping, and by mapping them anew. The
 * one with the least median is the floor. All four have a guest of their own and take turns.
 */
#include "guest.h"
#include "warm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ROUNDS 1000
#define PAGE 4096

static void
copy_pages(const struct floor_guest *guest, const struct floor_image *image, size_t size)
{
    memcpy(guest->memory + FLOOR_TABLE, image->memory + FLOOR_TABLE, size);
}

static void
drop_pages(const struct floor_guest *guest, const struct floor_image *image, size_t size)
{
    (void)image;
    BENCH_CHECK(madvise(guest->memory + FLOOR_TABLE, size, MADV_DONTNEED));
}

static void
map_pages(const struct floor_guest *guest, const struct floor_image *image, size_t size)
{
    if (mmap(guest->memory + FLOOR_TABLE, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, image->fd, FLOOR_TABLE) == MAP_FAILED)
        bench_die("mapping pages anew: %s", strerror(errno));
}

static const struct way {
    const char *name;
    void (*bring_back)(const struct floor_guest *guest, const struct floor_image *image,
                       size_t size);
    bool is_slow; /* A fault of KVM for each page. */
} ways[] = {
    {"copy", copy_pages, false}, {"dontneed", drop_pages, true}, {"remap", map_pages, true}};

enum { WAYS = sizeof ways / sizeof ways[0] };

static double
time_floor(struct floor_guest *guest, struct floor_image *image, const struct way *way, size_t size)
{
    struct floor_plan plan = {0};
    double start = bench_now();
    floor_guest_rewind(guest, image);
    if (size != 0)
        way->bring_back(guest, image, size);
    floor_guest_run(guest, &plan);
    return bench_now() - start;
}

static double
time_library(vmkit_sandbox *sandbox, struct bench_samples *resets)
{
    double start = bench_now();
    bench_vmkit(vmkit_sandbox_reset(sandbox, &bench_error));
    double middle = bench_now();
    bench_run_to_ready(sandbox);
    double end = bench_now();
    bench_add(resets, middle - start);
    return end - start;
}

/* The samples of the cheapest way become the floor. */
static void
choose_floor(struct bench_result *result, struct bench_samples *samples)
{
    size_t best = 0;
    for (size_t i = 1; i < WAYS; i++)
        best = bench_median(&samples[i]) < bench_median(&samples[best]) ? i : best;
    for (size_t i = 0; i < WAYS; i++)
        bench_extra(result, ways[i].name, bench_median(&samples[i]));
    result->floor = samples[best];
    samples[best] = (struct bench_samples){0};
    for (size_t i = 0; i < WAYS; i++)
        bench_free(&samples[i]);
}

static void
measure(const struct bench_options *options, struct bench_result *result, size_t pages)
{
    struct bench_warm warm;
    struct floor_guest floors[WAYS];
    struct floor_plan plan = {0};
    struct bench_samples samples[WAYS] = {0}, resets = {0}, ignored = {0};
    vmkit_sandbox *sandbox;

    result->unit = "us";
    result->goal_kind = BENCH_RATIO_AT_MOST;
    result->goal = pages == 0 ? 1.5 : 1.3;
    bench_warm_new(&warm, options, pages);
    bench_vmkit(vmkit_snapshot_fork(warm.snapshot, NULL, &sandbox, &bench_error));
    bench_run_to_ready(sandbox);
    time_library(sandbox, &ignored);
    for (size_t i = 0; i < WAYS; i++) {
        floor_guest_fork(&floors[i], &warm.image);
        floor_guest_run(&floors[i], &plan);
        time_floor(&floors[i], &warm.image, &ways[i], pages * PAGE);
    }

    /* The ways that are far from the best take turns more rarely: they take long. */
    size_t rounds = bench_rounds(options, ROUNDS), rare = pages < 100 ? 10 : pages / 10;
    for (size_t i = 0; i < rounds; i++) {
        bench_add(&result->library, time_library(sandbox, &resets));
        for (size_t j = 0; j < WAYS; j++) {
            size_t way = (i + j) % WAYS;
            if (ways[way].is_slow && i % rare != 0)
                continue;
            bench_add(&samples[way],
                      time_floor(&floors[way], &warm.image, &ways[way], pages * PAGE));
        }
    }
    choose_floor(result, samples);
    bench_extra_median(result, "reset_alone", &resets);
    bench_extra(result, "memory_mib", (double)BENCH_TABLE_SIZE / 1048576);

    for (size_t i = 0; i < WAYS; i++)
        floor_guest_free(&floors[i]);
    vmkit_sandbox_unref(sandbox);
    bench_warm_free(&warm);
    bench_free(&ignored);
}

void
bench_reset_0(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 0);
}

void
bench_reset_10(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 10);
}

void
bench_reset_100(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 100);
}

void
bench_reset_1000(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 1000);
}

void
bench_reset_4000(const struct bench_options *options, struct bench_result *result)
{
    measure(options, result, 4000);
}
