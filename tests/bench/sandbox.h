/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmarks of the sandbox share. */
#ifndef VMK_BENCH_SANDBOX_H
#define VMK_BENCH_SANDBOX_H

#include "floor.h"
#include "library.h"

/* A configuration that runs the program in a file, with defaults. */
vmkit_sandbox_config *
bench_config_new(const char *program);

/* The guest has to have exited with status 0. */
void
bench_expect_exit(const struct vmkit_sandbox_outcome *outcome);

/* Turn what a floor has learned into a plan in which `faults` pages are missing at first. */
void
bench_plan_faults(struct floor_plan *plan, uint64_t faults);

#endif
