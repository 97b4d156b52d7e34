/* SPDX-License-Identifier: Apache-2.0 */
#include "library.h"

vmkit_error *bench_error;

void
bench_vmkit(int result)
{
    if (result < 0)
        bench_die("%s (%d)", bench_error != NULL ? vmkit_error_get_message(bench_error) : "failed",
                  result);
}
