/* SPDX-License-Identifier: Apache-2.0 */
/* The library's calls, checked. */
#ifndef VMK_BENCH_LIBRARY_H
#define VMK_BENCH_LIBRARY_H

#include "bench.h"

#include <vmkit/vmkit.h>

/* For the calls that bench_vmkit() checks. */
extern vmkit_error *bench_error;

/* End the benchmark with the library's own sentence when a call failed. */
void
bench_vmkit(int result);

#endif
