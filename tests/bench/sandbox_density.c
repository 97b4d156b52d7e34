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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SANDBOXES 1000

struct usage {
    double user; /* KiB each. */
    double resident;
    double kernel;
};

/* The figure behind "key" in a file of lines "key: figure kB". */
static double
read_kib(const char *path, const char *key)
{
    char line[256];
    double value = -1;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        bench_die("%s cannot be read", path);
    while (value < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtod(line + strlen(key), NULL);
    }
    fclose(file);
    if (value < 0)
        bench_die("%s has no %s", path, key);
    return value;
}

static double
read_kernel_kib(void)
{
    static const char *const keys[] = {"Slab:", "PageTables:", "SecPageTables:", "VmallocUsed:"};
    double sum = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        sum += read_kib("/proc/meminfo", keys[i]);
    return sum;
}

static struct usage
read_usage(void)
{
    return (struct usage){.user = read_kib("/proc/self/smaps_rollup", "Pss:"),
                          .resident = read_kib("/proc/self/status", "VmRSS:"),
                          .kernel = read_kernel_kib()};
}

static void
fill_with_library(const char *program, size_t count)
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
fill_with_floors(const char *program, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct floor_plan plan = {.learn = true};
        struct floor_guest guest;
        floor_guest_new(&guest, program, &plan);
        floor_guest_run(&guest, &plan);
    }
}

/* One first, for what a process needs once; then all the others, whose memory is counted. */
static void
measure(void (*fill)(const char *program, size_t count), const char *program, size_t count, int fd)
{
    fill(program, 1);
    struct usage before = read_usage();
    fill(program, count);
    struct usage after = read_usage(), each;
    each.user = (after.user - before.user) / (double)count;
    each.resident = (after.resident - before.resident) / (double)count;
    each.kernel = (after.kernel - before.kernel) / (double)count;
    if (write(fd, &each, sizeof each) != sizeof each)
        bench_die("telling what was measured");
}

static struct usage
measure_apart(void (*fill)(const char *program, size_t count), const char *program, size_t count)
{
    struct usage each;
    int fds[2], status;
    BENCH_CHECK(pipe(fds));
    fflush(stdout);
    pid_t child = (pid_t)BENCH_CHECK(fork());
    if (child == 0) {
        measure(fill, program, count, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    bool whole = read(fds[0], &each, sizeof each) == sizeof each;
    close(fds[0]);
    BENCH_CHECK(waitpid(child, &status, 0));
    if (!whole || status != 0)
        bench_die("the process that was to be measured ended with wait status %d", status);
    return each;
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

    const char *program = bench_guest(options, "hello");
    size_t count = bench_rounds(options, SANDBOXES);
    struct rlimit files = {0};
    BENCH_CHECK(getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = files.rlim_max;
    BENCH_CHECK(setrlimit(RLIMIT_NOFILE, &files));

    struct floor_plan plan = learn_touched(program);
    double touched = (double)plan.length * 4, touched_own = (double)plan.own * 4;
    struct usage library = measure_apart(fill_with_library, program, count);
    struct usage floor = measure_apart(fill_with_floors, program, count);
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
