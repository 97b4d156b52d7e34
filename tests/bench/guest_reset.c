/* SPDX-License-Identifier: Apache-2.0 */
/* A table in memory; each time that the program goes on from where it is ready, it writes to as
 * many of the table's pages as its input says. */
#include "guest.h"

#include <vmkit/guest.h>

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static __attribute__((used, noinline)) void
nothing(void)
{
    __asm__ volatile("");
}

int
main(void)
{
    struct bench_input input;
    volatile uint64_t *table =
        mmap((void *)(uintptr_t)BENCH_TABLE, BENCH_TABLE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (table == MAP_FAILED || read(0, &input, sizeof input) != sizeof input)
        return 1;
    if (input.untouched != 0 &&
        mmap(NULL, input.untouched, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        return 1;
    for (uint64_t i = 0; i < BENCH_TABLE_SIZE / PAGE; i++)
        table[i * PAGE / sizeof *table] = i + 1;
    for (;;) {
        if (vmkit_guest_ready() != 0)
            return 1;
        for (uint64_t i = 0; i < input.pages; i++)
            table[i * PAGE / sizeof *table]++;
    }
}
