/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's process over memory that no VM knows, to be saved and loaded: its system calls are made
 * by calling them, and reach its memory by its own page tables.
 */
#ifndef VMK_TEST_SANDBOX_STATE_GUEST_H
#define VMK_TEST_SANDBOX_STATE_GUEST_H

#include "sandbox/account.h"
#include "sandbox/config.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/state.h"
#include "sandbox/syscall.h"
#include "usermode_regs.h"
#include "util/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory that a guest has from its start: strings go to the first half, results to the second. */
#define STATE_BASE UINT64_C(0x40000000)
#define STATE_SIZE UINT64_C(0x200000)
#define STATE_RESULT (STATE_BASE + STATE_SIZE / 2)

struct state_guest {
    struct vmk_process process;
    struct vmk_user_regs regs;
    struct vmk_memory_account account;
    struct vmk_frames *frames;
    struct vmk_space space;
    uint64_t next_string;
    struct vmk_bytes loaded; /* What its files in memory share. */
};

/* A process of `config` that did nothing yet. */
void
state_start(struct state_guest *guest, const vmkit_sandbox_config *config);

/* An empty process with the limits of `config`, to be loaded. */
void
state_prepare(struct state_guest *guest, const vmkit_sandbox_config *config);

/* Free all; what was charged has to be given back. */
void
state_end(struct state_guest *guest);

/* Save, which has to succeed. The caller clears the bytes. */
struct vmk_bytes
state_save(struct state_guest *guest);

/* Load an empty process, which has to succeed, and takes the bytes over. `config` may be NULL. */
void
state_load(struct state_guest *guest, vmkit_sandbox_config *config, struct vmk_bytes bytes);

/* Save `from`, load `to` under `config`, which may be NULL, and end `from`. What `to` saves has to
 * be the same. */
void
state_move(struct state_guest *from, struct state_guest *to, vmkit_sandbox_config *config);

/* Loading has to fail with this errno and a message that contains `message`. */
void
state_load_fails(const struct vmk_bytes *bytes, vmkit_sandbox_config *config, int err,
                 const char *message);

/* Saving has to fail likewise. */
void
state_save_fails(struct state_guest *guest, int err, const char *message);

/* Guest memory. */
uint64_t
state_put(struct state_guest *guest, const void *data, size_t size);

uint64_t
state_string(struct state_guest *guest, const char *text);

void
state_get(struct state_guest *guest, uint64_t va, void *data, size_t size);

#define state_call(guest, name, ...) \
    vmk_sys_##name(&(guest)->process, (const uint64_t[6]){__VA_ARGS__})

int64_t
state_open(struct state_guest *guest, const char *path, uint64_t flags, uint64_t mode);

int64_t
state_write(struct state_guest *guest, int64_t fd, const char *text);

/* What read(2) of up to 4,095 bytes gives, valid until the next call; NULL for an error. */
const char *
state_read(struct state_guest *guest, int64_t fd);

#endif
