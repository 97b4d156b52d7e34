/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What many of one thing take, measured in a process of their own. User space is the process's
 * proportional set (Pss of smaps_rollup: its resident set, in which a shared page counts once).
 * Kernel memory is what the machine's slabs, page tables (those of KVM too) and vmalloc areas grew
 * by.
 */
#ifndef VMK_BENCH_USAGE_H
#define VMK_BENCH_USAGE_H

#include <stddef.h>

/* KiB each. */
struct bench_usage {
    double user;
    double resident;
    double kernel;
};

/* Make `count` of them, and keep them. */
typedef void
bench_fill_fn(void *user_data, size_t count);

struct bench_usage
bench_measure_apart(bench_fill_fn *fill, void *user_data, size_t count);

/* As many open files as this process may have. */
void
bench_raise_file_limit(void);

#endif
