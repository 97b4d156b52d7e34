/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that is ready, from which others are forked: what the benchmarks of snapshots share. */
#ifndef VMK_BENCH_WARM_H
#define VMK_BENCH_WARM_H

#include "sandbox.h"

/* The same program, ready, as a snapshot of the library's and as an image for floors. Forks of it
 * write to the first `pages` pages of their table before they are ready again. */
struct bench_warm {
    vmkit_snapshot *snapshot;
    struct floor_image image;
};

void
bench_warm_new(struct bench_warm *warm, const struct bench_options *options, uint64_t pages);

void
bench_warm_free(struct bench_warm *warm);

/* The snapshot alone, with a limit of memory in bytes, or 0 for the default. */
vmkit_snapshot *
bench_snapshot_new(const char *program, const struct bench_input *input, uint64_t memory);

/* Run a sandbox until it is ready. */
void
bench_run_to_ready(vmkit_sandbox *sandbox);

#endif
