/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a thousand forks of one snapshot of 64 MiB in one process, each of which has run
 * and written to some pages, and stands still: KiB each, beyond the pages that it wrote. The floor
 * is a bare VM over a copy of the same image. Each side is measured in a process of its own.
 */
#include "usage.h"
#include "warm.h"

#define FORKS 1000
#define PAGES 16

struct side {
    const struct bench_options *options;
    struct bench_warm warm;
    bool is_warm;
};

/* The process that is measured makes what it forks from, with the first fork. */
static struct bench_warm *
get_warm(struct side *side)
{
    if (!side->is_warm)
        bench_warm_new(&side->warm, side->options, PAGES);
    side->is_warm = true;
    return &side->warm;
}

static void
fill_with_library(void *user_data, size_t count)
{
    const struct bench_warm *warm = get_warm(user_data);
    for (size_t i = 0; i < count; i++) {
        vmkit_sandbox *sandbox;
        bench_vmkit(vmkit_snapshot_fork(warm->snapshot, NULL, &sandbox, &bench_error));
        bench_run_to_ready(sandbox);
    }
}

static void
fill_with_floors(void *user_data, size_t count)
{
    struct bench_warm *warm = get_warm(user_data);
    for (size_t i = 0; i < count; i++) {
        struct floor_plan plan = {0};
        struct floor_guest guest;
        floor_guest_fork(&guest, &warm->image);
        floor_guest_run(&guest, &plan);
    }
}

void
bench_fork_density(const struct bench_options *options, struct bench_result *result)
{
    struct side side = {.options = options};
    size_t count = bench_rounds(options, FORKS);
    result->unit = "KiB";
    result->goal_kind = BENCH_MEDIAN_AT_MOST;
    result->goal = 200;
    bench_raise_file_limit();
    double written = PAGES * 4;
    struct bench_usage library = bench_measure_apart(fill_with_library, &side, count);
    struct bench_usage floor = bench_measure_apart(fill_with_floors, &side, count);
    bench_add(&result->library, library.user - written);
    bench_add(&result->floor, floor.user - written);
    bench_extra(result, "forks", (double)count);
    bench_extra(result, "written", written);
    bench_extra(result, "user", library.user);
    bench_extra(result, "resident", library.resident);
    bench_extra(result, "kernel", library.kernel);
    bench_extra(result, "floor_resident", floor.resident);
    bench_extra(result, "floor_kernel", floor.kernel);
}
