/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the guest's memory, its vCPU and the run loop, so that system calls and signals are
 * tested without a VM. Memory is flat: [FAKE_BASE, FAKE_BASE + FAKE_SIZE) can be read and written,
 * its last FAKE_READ_ONLY bytes only read, and nothing else touched. Time stands still but for a
 * wait, which goes on to its deadline or to the next timer.
 */
#ifndef VMK_TEST_SANDBOX_FAKE_PROCESS_H
#define VMK_TEST_SANDBOX_FAKE_PROCESS_H

#include "sandbox/account.h"
#include "sandbox/process.h"

#include "usermode_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_BASE UINT64_C(0x100000)
#define FAKE_SIZE UINT64_C(0x40000)
#define FAKE_READ_ONLY UINT64_C(0x1000)
#define FAKE_PID 7
#define FAKE_GENERATION UINT64_C(0xffffffff12345ff8)

/* x87, SSE and AVX */
#define FAKE_XSTATE_SIZE 832

struct fake {
    struct vmk_process process;
    struct vmk_user_regs regs;
    struct vmk_memory_account account;
    uint8_t memory[FAKE_SIZE];
    uint8_t xstate[FAKE_XSTATE_SIZE];
    uint64_t syscall_args[6]; /* Where it stands, */
    int64_t syscall_result;   /* and what it gets. */
    uint64_t now_ns;
    uint64_t cpu_ns;
    unsigned timers_armed;
    unsigned waits;
    uint64_t last_deadline_ns;
    /* A wait that nothing ends returns -EINTR and sets this. */
    bool waited_for_ever;
    /* Called at the start of a wait, for what happens meanwhile. */
    void (*during_wait)(void);
};

extern struct fake fake;

/* A fresh process with signals of its own; frees the one before. */
void
fake_reset(void);

/* Call a system call by its function with up to six arguments. */
#define fake_call(function, ...) vmk_sys_##function(&fake.process, (const uint64_t[6]){__VA_ARGS__})

/* Guest memory at `va`, which must be in reach. */
void *
fake_at(uint64_t va);

uint64_t
fake_get64(uint64_t va);

uint32_t
fake_get32(uint64_t va);

void
fake_put64(uint64_t va, uint64_t value);

#endif
