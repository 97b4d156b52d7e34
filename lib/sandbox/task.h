/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small attributes of the guest process that a program may set and read back: nice value,
 * dumpable flag, resource limits lowered by the guest. All zeros is how a process starts.
 */
#ifndef VMK_SANDBOX_TASK_H
#define VMK_SANDBOX_TASK_H

#include <stdbool.h>
#include <stdint.h>

#define VMK_RLIMIT_COUNT 16

struct vmk_process;

struct vmk_rlimit_override {
    bool set;
    uint64_t current;
    uint64_t maximum;
};

struct vmk_task {
    int32_t nice;
    int32_t scheduler; /* SCHED_OTHER, SCHED_BATCH or SCHED_IDLE */
    uint32_t personality;
    int32_t parent_death_signal;
    bool not_dumpable;
    bool keep_capabilities;
    bool no_new_privileges;
    uint64_t timer_slack_ns; /* 0: the default */
    uint64_t robust_list;
    uint64_t robust_list_size;
    uint64_t clear_child_tid;
    struct vmk_rlimit_override rlimits[VMK_RLIMIT_COUNT];
    uint64_t cpu_limit_earliest_ns; /* RLIMIT_CPU is quiet up to this CPU time. */
};

/* The soft and hard limit in force for a resource (RLIMIT_*, below VMK_RLIMIT_COUNT). UINT64_MAX is
 * no limit. Either out-parameter may be NULL. */
void
vmk_task_get_rlimit(const struct vmk_process *process, uint32_t resource, uint64_t *ret_current,
                    uint64_t *ret_maximum);

/* The CPU time of the run, in nanoseconds, at which the guest's own RLIMIT_CPU sends a signal next;
 * UINT64_MAX for never. */
uint64_t
vmk_task_next_cpu_limit_ns(const struct vmk_process *process);

/* The signal that RLIMIT_CPU sends at `cpu_ns` of CPU time, and on to the next one: SIGXCPU,
 * SIGKILL, or 0. */
int
vmk_task_exceed_cpu_limit(struct vmk_process *process, uint64_t cpu_ns);

#endif
