/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox that runs guests/pause.c, and a thread that pauses it at a time of the test's choice.
 */
#ifndef VMK_TEST_PAUSE_GUEST_H
#define VMK_TEST_PAUSE_GUEST_H

#include "guests/pause.h"
#include "sandbox_guest.h"

#include <vmkit/snapshot.h>

#define MILLISECOND UINT64_C(1000000)

extern vmkit_sandbox_config *pause_config;
extern vmkit_sandbox *pause_sandbox;
extern struct vmkit_sandbox_outcome pause_outcome;

/* Make them, and the thread. `how` is the program's argument. */
void
pause_make(const char *how);

/* For the fixture, whether or not they were made. */
void
pause_tear_down(void);

/* Pause `target` so many nanoseconds from now; pause_wait() returns when that was done. */
void
pause_after(vmkit_sandbox *target, uint64_t delay_ns);

void
pause_wait(void);

void
pause_run_any(vmkit_sandbox *sandbox);

/* Run it, and check how it comes back. */
void
pause_run(vmkit_sandbox *sandbox, enum vmkit_outcome_kind kind);

vmkit_snapshot *
pause_take(vmkit_sandbox *sandbox);

/* A variable of 64 bits of the program. */
uint64_t
pause_read(vmkit_sandbox *sandbox, const char *symbol);

#endif
