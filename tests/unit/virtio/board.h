/* SPDX-License-Identifier: Apache-2.0 */
/* A board without a machine: two regions of RAM, lines that count, handlers and descriptors that
 * can be looked at. */
#ifndef VMK_TEST_BOARD_H
#define VMK_TEST_BOARD_H

#include "bus/board.h"

#include <stdatomic.h>

#define RAM_GPA UINT64_C(0x100000)
#define RAM_SIZE UINT64_C(0x100000)
#define HIGH_GPA UINT64_C(0x100000000)
#define HIGH_SIZE UINT64_C(0x10000)
#define LINES 32
#define DOORBELLS 64

struct test_doorbell {
    uint64_t address;
    uint64_t value;
    int fd;
};

struct test_board {
    struct vmk_board board;
    uint8_t *ram;
    uint8_t *high;
    struct vmk_bus *bus;
    struct test_doorbell doorbells[DOORBELLS];
    uint32_t doorbell_count;
    int irqfds[LINES]; /* -1 without one */
    atomic_uint pulses[LINES];
    bool without_eventfds; /* as on a KVM that lacks both */
    atomic_ullong noted;   /* bytes that note_write() was told of */
};

void
test_board_init(struct test_board *board);

void
test_board_clear(struct test_board *board);

/* Where a guest-physical address is. */
void *
test_board_at(struct test_board *board, uint64_t gpa);

/* What a vCPU would do. A write that a doorbell takes does not reach the handler. */
uint64_t
test_board_read(struct test_board *board, uint64_t address, uint32_t length);

void
test_board_write(struct test_board *board, uint64_t address, uint32_t length, uint64_t value);

/* How often the line was pulsed since the last call. */
uint32_t
test_board_take_pulses(struct test_board *board, uint32_t gsi);

#endif
