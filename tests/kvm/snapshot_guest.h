/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes that run guests/snapshot.c: a template that is ready, forks of it that do what they are
 * told, and a comparison of two of them in everything that a guest can see.
 */
#ifndef VMK_TEST_SNAPSHOT_GUEST_H
#define VMK_TEST_SNAPSHOT_GUEST_H

#include "guests/snapshot.h"
#include "sandbox/snapshot.h"

#include <check.h>
#include <vmkit/snapshot.h>

/* A call that fills in the `error` of where it stands. */
#define EXPECT(call)                                                          \
    do {                                                                      \
        int expect_result = (call);                                           \
        ck_assert_msg(expect_result == 0, "%s: %d, %s", #call, expect_result, \
                      vmkit_error_get_message(error));                        \
    } while (0)

/* What is made with NULL has the limits of a test: 64 MiB and 60 s. */
vmkit_sandbox_config *
snapshot_guest_configure(void);

/* A sandbox that was run until it was ready. `config` may be NULL. */
vmkit_sandbox *
snapshot_guest_new(const vmkit_sandbox_config *config);

/* A snapshot of one, which is all that is left of it; in tests that are built with
 * SNAPSHOT_FROM_FILE, one that was saved and opened. */
vmkit_snapshot *
snapshot_guest_take(const vmkit_sandbox_config *config);

/* One of a sandbox that stays. */
vmkit_snapshot *
snapshot_guest_snapshot(vmkit_sandbox *sandbox);

vmkit_sandbox *
snapshot_guest_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config);

/* Have a sandbox that is ready do something when it goes on. */
void
snapshot_guest_tell(vmkit_sandbox *sandbox, const char *command, uint64_t argument);

/* Tell it, run it, and check how it comes back. */
void
snapshot_guest_do(vmkit_sandbox *sandbox, const char *command, uint64_t argument,
                  enum vmkit_outcome_kind kind);

/* What its last command set as its result. */
uint64_t
snapshot_guest_result(vmkit_sandbox *sandbox);

/* What it shares with its tests. */
struct guest_shared
snapshot_guest_get_shared(vmkit_sandbox *sandbox);

/* The same for a command that leaves the sandbox ready: what it set as its result. */
uint64_t
snapshot_guest_ask(vmkit_sandbox *sandbox, const char *command, uint64_t argument);

/* Write a word of its memory for it. */
void
snapshot_guest_poke(vmkit_sandbox *sandbox, uint64_t va, uint64_t word);

void
snapshot_guest_reset(vmkit_sandbox *sandbox);

/* All that was kept of its standard output, with a NUL; until the next call. */
const char *
snapshot_guest_output(vmkit_sandbox *sandbox);

/* Fail unless a guest cannot tell the one from the other, but for its random bytes. */
void
snapshot_guest_compare(vmkit_sandbox *sandbox, vmkit_sandbox *other);

/* The same of two that need not have the same page tables, as one that came from a file. */
void
snapshot_guest_compare_restored(vmkit_sandbox *sandbox, vmkit_sandbox *other);

/* What a file has that the snapshot was saved to: a memfd, and the snapshot that is opened of it.
 * `level` of compression. */
int
snapshot_guest_save(vmkit_snapshot *snapshot, uint32_t level);

vmkit_snapshot *
snapshot_guest_open(int fd, uint64_t flags);

/* Fail unless two files have the same bytes. */
void
snapshot_guest_compare_files(int one, int other);

/* How many aligned words of guest memory, in use or not, are the canary. */
uint64_t
snapshot_guest_count_canaries(vmkit_sandbox *sandbox);

#endif
