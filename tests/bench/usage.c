/* SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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

static struct bench_usage
read_usage(void)
{
    return (struct bench_usage){.user = read_kib("/proc/self/smaps_rollup", "Pss:"),
                                .resident = read_kib("/proc/self/status", "VmRSS:"),
                                .kernel = read_kernel_kib()};
}

/* One first, for what a process needs once; then all the others, whose memory is counted. */
static void
measure(bench_fill_fn *fill, void *user_data, size_t count, int fd)
{
    fill(user_data, 1);
    struct bench_usage before = read_usage();
    fill(user_data, count);
    struct bench_usage after = read_usage(), each;
    each.user = (after.user - before.user) / (double)count;
    each.resident = (after.resident - before.resident) / (double)count;
    each.kernel = (after.kernel - before.kernel) / (double)count;
    if (write(fd, &each, sizeof each) != sizeof each)
        bench_die("telling what was measured");
}

struct bench_usage
bench_measure_apart(bench_fill_fn *fill, void *user_data, size_t count)
{
    struct bench_usage each;
    int fds[2], status;
    BENCH_CHECK(pipe(fds));
    fflush(stdout);
    pid_t child = (pid_t)BENCH_CHECK(fork());
    if (child == 0) {
        measure(fill, user_data, count, fds[1]);
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

void
bench_raise_file_limit(void)
{
    struct rlimit files = {0};
    BENCH_CHECK(getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = files.rlim_max;
    BENCH_CHECK(setrlimit(RLIMIT_NOFILE, &files));
}
