/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's clocks in plain nanoseconds, and the way to and from the guest's structures. */
#ifndef VMK_SANDBOX_CLOCK_H
#define VMK_SANDBOX_CLOCK_H

#include "sandbox/guest_abi.h"

#include <stdbool.h>
#include <stdint.h>

struct vmk_process;

/* Clocks of the host that begin anew when it starts: monotonic, raw monotonic and boot time. A
 * guest that goes on from a snapshot goes on by what they were there, on whichever host. */
#define VMK_CLOCK_KEPT 3

/* What they are for the guest by now. */
void
vmk_clock_take(const struct vmk_process *process, uint64_t ret_readings[VMK_CLOCK_KEPT]);

/* Have them go on from there; NULL: as the host's. */
void
vmk_clock_continue(struct vmk_process *process, const uint64_t readings[VMK_CLOCK_KEPT]);

/* Whether `clock` counts CPU time: the two named ones, or one that is derived from a process or
 * thread number (clock_getcpuclockid(3)). */
bool
vmk_clock_is_cpu(int32_t clock);

/* Now by one of the guest's clocks. 0 or -EINVAL. */
int
vmk_clock_read(const struct vmk_process *process, int32_t clock, uint64_t *ret_ns);

uint64_t
vmk_clock_get_resolution(int32_t clock);

/* Whether timers and sleeps can go by this clock. 0, -EINVAL for no clock, -EOPNOTSUPP for one that
 * has none, -EPERM for one that would wake the host. */
int
vmk_clock_check_timer(const struct vmk_process *process, int32_t clock);

/* a + b, or UINT64_MAX where the sum does not fit. */
uint64_t
vmk_clock_add(uint64_t a, uint64_t b);

/* Nanoseconds of a checked time, UINT64_MAX where they do not fit. 0 or -EINVAL. */
int
vmk_clock_from_timespec(const struct vmk_guest_timespec *time, uint64_t *ret_ns);

int
vmk_clock_from_timeval(const struct vmk_guest_timeval *time, uint64_t *ret_ns);

struct vmk_guest_timespec
vmk_clock_to_timespec(uint64_t ns);

struct vmk_guest_timeval
vmk_clock_to_timeval(uint64_t ns);

/* Read a struct timespec of the guest. 0, -EFAULT or -EINVAL. */
int
vmk_clock_read_timespec(const struct vmk_process *process, uint64_t va, uint64_t *ret_ns);

#endif
