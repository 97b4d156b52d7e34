/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for several files at once: what poll, select and epoll have in common. */
#ifndef VMK_SANDBOX_POLL_H
#define VMK_SANDBOX_POLL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct vmk_file;
struct vmk_process;

struct vmk_poll_entry {
    struct vmk_file *file; /* lent; NULL: nothing to wait for, `ready` stays */
    short events;          /* POLLIN and its like */
    short ready;
    short *told; /* NULL, or what was reported already: it is not, before anything else is */
};

/* Ask a file that is not NULL now; whether it is ready. */
bool
vmk_poll_check(struct vmk_poll_entry *entry);

/* How many entries are ready: at once, or after a wait that ends at `deadline_ns` of
 * CLOCK_MONOTONIC (UINT64_MAX: never, 0: at once). -EINTR, -ENOMEM. */
int
vmk_poll_wait(struct vmk_process *process, struct vmk_poll_entry *entries, uint32_t count,
              uint64_t deadline_ns);

/* The deadline of a timeout from now on; UINT64_MAX for one that never comes. */
uint64_t
vmk_poll_deadline(uint64_t nanoseconds);

/* poll(2) and select(2) with the timeout already here. */
int64_t
vmk_poll_serve(struct vmk_process *process, uint64_t fds, uint64_t count, uint64_t deadline_ns);

int64_t
vmk_select_serve(struct vmk_process *process, const uint64_t args[6], uint64_t deadline_ns);

#endif
