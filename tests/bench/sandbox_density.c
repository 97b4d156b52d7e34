/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a thousand sandboxes in one process, each of which has run a static hello to its
 * end and is not freed: KiB each, beyond the pages that the guest touched.
 *
 * Which pages those are is learned from the floor, which shows its guest a page only when that asks
 * for it; a page that the library read ahead and the guest never looked at is overhead. Of the
 * library's sandboxes only the pages that the guest may write to are subtracted: one that it only
 * reads may be shared by all of them, and if it is not, that is overhead too. User space is the
 * process's proportional set (Pss of smaps_rollup: its resident set, in which a shared page counts
 * once). Kernel memory is what the machine's slabs, page tables (those of KVM too) and vmalloc
 * areas grew by. The floor is a bare vCPU whose guest gets pages of its own, when it touches them.
 * Each side is measured in a process of its own, so that neither finds what the other left behind.
 */
#include "sandbox.h"
#include "usage.h"

#define SANDBOXES 1000

static void
fill_with_library(void *program, size_t count)
{
    vmkit_sandbox_config *config = bench_config_new(program);
    for (size_t i = 0; i < count; i++) {
        struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
        vmkit_sandbox *sandbox;
        bench_vmkit(vmkit_sandbox_new(config, &sandbox, &bench_error));
        bench_vmkit(vmkit_sandbox_run(sandbox, &outcome, &bench_error));
        bench_expect_exit(&outcome);
    }
}

static void
fill_with_floors(void *program, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct floor_plan plan = {.learn = true};
        struct floor_guest guest;
        floor_guest_new(&guest, program, &plan);
        floor_guest_run(&guest, &plan);
    }
}

static struct floor_plan
learn_touched(const char *program)
{
    struct floor_plan plan = {.learn = true};
    struct floor_guest guest;
    floor_guest_new(&guest, program, &plan);
    floor_guest_run(&guest, &plan);
    floor_guest_free(&guest);
    return plan;
}

void
bench_sandbox_density(const struct bench_options *options, struct bench_result *result)
{
    result->unit = "KiB";
    result->goal_kind = BENCH_MEDIAN_AT_MOST;
    result->goal = 300;

    char *program = bench_guest(options, "hello");
    size_t count = bench_rounds(options, SANDBOXES);
    bench_raise_file_limit();

    struct floor_plan plan = learn_touched(program);
    double touched = (double)plan.length * 4, touched_own = (double)plan.own * 4;
    struct bench_usage library = bench_measure_apart(fill_with_library, program, count);
    struct bench_usage floor = bench_measure_apart(fill_with_floors, program, count);
    bench_add(&result->library, library.user - touched_own);
    bench_add(&result->floor, floor.user - touched);
    bench_extra(result, "sandboxes", (double)count);
    bench_extra(result, "guest_touched", touched);
    bench_extra(result, "guest_touched_own", touched_own);
    bench_extra(result, "user", library.user);
    bench_extra(result, "resident", library.resident);
    bench_extra(result, "kernel", library.kernel);
    bench_extra(result, "floor_resident", floor.resident);
    bench_extra(result, "floor_kernel", floor.kernel);
}
