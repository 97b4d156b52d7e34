/* SPDX-License-Identifier: Apache-2.0 */
/* An address space over frames that no VM knows. */
#ifndef VMK_TEST_SANDBOX_MEMORY_FIXTURE_H
#define VMK_TEST_SANDBOX_MEMORY_FIXTURE_H

#include "sandbox/account.h"
#include "sandbox/file.h"
#include "sandbox/process.h"
#include "sandbox/space.h"

#define PAGE UINT64_C(4096)
#define LARGE (UINT64_C(2) << 20)
#define MIB (UINT64_C(1) << 20)
#define RW (VMK_PAGE_READ | VMK_PAGE_WRITE)

struct memory_fixture {
    struct vmk_process process;
    struct vmk_memory_account account;
    struct vmk_frames *frames;
    struct vmk_space space;
    uint64_t grown; /* What the VM was told of. */
    unsigned grow_calls;
    int grow_result;
};

extern struct memory_fixture memory;

/* A fresh space under a limit, in place of the one before. */
void
memory_reset(uint64_t limit);

void
memory_free(void);

/* Map [start, start + size) without a file. */
int
memory_map(uint64_t start, uint64_t size, unsigned rights);

/* A file whose byte at each offset is offset / 4096 + 1, `size` bytes long. `*destroyed` is set
 * when it goes. The caller holds the one reference. */
struct vmk_file *
memory_file(uint64_t size, bool *destroyed);

#endif
