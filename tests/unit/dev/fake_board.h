/* SPDX-License-Identifier: Apache-2.0 */
/* A board for tests: a bus, and lines that only remember their levels. */
#ifndef VMK_TEST_FAKE_BOARD_H
#define VMK_TEST_FAKE_BOARD_H

#include "bus/board.h"

#define FAKE_BOARD_LINES 16

struct fake_board {
    struct vmk_bus *bus;
    bool levels[FAKE_BOARD_LINES];
    unsigned rises[FAKE_BOARD_LINES];
    /* How many handlers may be added before it says -ENOSPC; negative: any number. */
    int room;
};

void
fake_board_init(struct fake_board *fake);

void
fake_board_clear(struct fake_board *fake);

struct vmk_board
fake_board_get(struct fake_board *fake);

/* The guest's accesses; every port has to have a handler. */
uint64_t
fake_board_in(struct fake_board *fake, uint64_t port, uint32_t length);

/* What the handler returned. */
int
fake_board_out(struct fake_board *fake, uint64_t port, uint32_t length, uint64_t value);

#endif
