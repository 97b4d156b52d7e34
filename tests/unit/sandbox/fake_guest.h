/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest process without a VM, for the tests of its files: memory is one flat piece at
 * FAKE_BASE, whose last page may only be read, and system calls are made by calling them.
 */
#ifndef VMK_TEST_FAKE_GUEST_H
#define VMK_TEST_FAKE_GUEST_H

#include "sandbox/config.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"

#include <stddef.h>
#include <stdint.h>

#define FAKE_BASE UINT64_C(0x100000)
#define FAKE_SIZE ((size_t)8 << 20)
#define FAKE_READ_ONLY (FAKE_BASE + FAKE_SIZE - 4096)
#define FAKE_WILD UINT64_C(0xdeadbeef000)

struct fake_guest {
    struct vmk_process process;
    struct vmk_memory_account account;
    vmkit_sandbox_config *config;
};

extern struct fake_guest fake;

/* For a checked fixture: a configuration with defaults, to be changed before fake_start(). */
void
fake_set_up(void);

void
fake_tear_down(void);

void
fake_start(void);

/* Guest memory. fake_at() gives the host's pointer; fake_put() copies something there. */
void *
fake_at(uint64_t va);

uint64_t
fake_put(uint64_t va, const void *data, size_t size);

/* Put a string at a place of its own for each of the first few calls; its address. */
uint64_t
fake_string(const char *text);

/* Make a system call by name. */
#define fake_call(name, ...) vmk_sys_##name(&fake.process, (const uint64_t[6]){__VA_ARGS__})

/* write(2) and read(2) of a string; the result. */
int64_t
fake_write(int64_t fd, const char *text);

/* What read(2) of up to 4,096 bytes gives, as a string that is valid until the next call; NULL for
 * an error. */
const char *
fake_read(int64_t fd);

/* openat(AT_FDCWD, path, flags, mode). */
int64_t
fake_open(const char *path, uint64_t flags, uint64_t mode);

#endif
