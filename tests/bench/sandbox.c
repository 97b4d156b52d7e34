/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

vmkit_sandbox_config *
bench_config_new(const char *program)
{
    vmkit_sandbox_config *config;
    bench_vmkit(vmkit_sandbox_config_new(&config, &bench_error));
    bench_vmkit(vmkit_sandbox_config_set_program_path(config, program, &bench_error));
    return config;
}

void
bench_expect_exit(const struct vmkit_sandbox_outcome *outcome)
{
    if (outcome->kind != VMKIT_OUTCOME_EXITED || outcome->exit_status != 0)
        bench_die("the guest ended with outcome %u, status %d, signal %d", outcome->kind,
                  outcome->exit_status, outcome->signal);
}

void
bench_plan_faults(struct floor_plan *plan, uint64_t faults)
{
    /* The last ones: at the start lie the pages of code, at the end those of data. */
    if (faults > plan->length)
        bench_die("the library takes %llu faults, the guest touches %zu pages",
                  (unsigned long long)faults, plan->length);
    plan->learn = false;
    plan->count = (size_t)faults;
    size_t first = plan->length - plan->count;
    for (size_t i = 0; i < plan->count; i++)
        plan->pages[i] = plan->pages[first + i];
}
