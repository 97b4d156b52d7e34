/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests/snapshot.c and its tests agree on. The program fills its memory, declares itself
 * ready with the address of its command in the first argument, and does what the command says when
 * it goes on; then it is ready again.
 */
#ifndef VMK_TEST_GUEST_SNAPSHOT_H
#define VMK_TEST_GUEST_SNAPSHOT_H

#include <stdint.h>

/* Read from the standard input when it is empty. */
#define GUEST_COMMAND_SIZE 64

#define GUEST_TABLE_PAGES 1024

/* What a guest leaves wherever it can, and must be nowhere afterwards. */
#define GUEST_CANARY UINT64_C(0x5ca1ab1e0ddba11d)

/* Where nothing is mapped but what "split" maps: two pages, and four that were moved there. */
#define GUEST_FAR UINT64_C(0x10000000000)
#define GUEST_MOVED (GUEST_FAR + 16 * 4096)

struct guest_shared {
    char command[GUEST_COMMAND_SIZE];
    uint64_t argument;
    uint64_t result;
    uint64_t table;  /* the address of GUEST_TABLE_PAGES pages */
    uint64_t region; /* that of a mapping of 64 pages */
};

#endif
