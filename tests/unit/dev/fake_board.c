/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_board.h"

#include "util/error.h"

#include <check.h>
#include <errno.h>
#include <string.h>

static int
add_handler(void *data, enum vmkit_space space, uint64_t address, uint64_t size,
            const struct vmk_bus_handler *handler, vmkit_error **ret_error)
{
    struct fake_board *fake = data;
    struct vmk_bus *old = fake->bus;
    if (fake->room == 0)
        return vmk_error_set(ret_error, ENOSPC, VMKIT_ERROR_LIMIT, "the board is full");
    int result = vmk_bus_new_with(old, space, address, size, handler, &fake->bus, ret_error);
    if (result < 0)
        return result;
    fake->room--;
    vmk_bus_unref(old);
    return 0;
}

static void
set_line(void *data, uint32_t gsi, bool level)
{
    struct fake_board *fake = data;
    ck_assert_uint_lt(gsi, FAKE_BOARD_LINES);
    ck_assert_int_ne(fake->levels[gsi], level);
    fake->levels[gsi] = level;
    fake->rises[gsi] += level;
}

static const struct vmk_board_ops ops = {.add_handler = add_handler, .set_line = set_line};

void
fake_board_init(struct fake_board *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->room = -1;
}

void
fake_board_clear(struct fake_board *fake)
{
    vmk_bus_unref(fake->bus);
}

struct vmk_board
fake_board_get(struct fake_board *fake)
{
    return (struct vmk_board){&ops, fake};
}

static int
access_port(struct fake_board *fake, uint64_t port, struct vmkit_access *access)
{
    uint64_t start;
    const struct vmk_bus_handler *handler =
        vmk_bus_find(fake->bus, VMKIT_SPACE_PIO, port, access->length, &start);
    ck_assert_ptr_nonnull(handler);
    access->size = sizeof *access;
    access->space = VMKIT_SPACE_PIO;
    access->address = port;
    access->offset = port - start;
    return handler->callback(handler->user_data, NULL, access);
}

uint64_t
fake_board_in(struct fake_board *fake, uint64_t port, uint32_t length)
{
    struct vmkit_access access = {.length = length, .value = UINT64_MAX};
    ck_assert_int_eq(access_port(fake, port, &access), VMKIT_HANDLED);
    return access.value & ((UINT64_C(1) << 8 * length) - 1);
}

int
fake_board_out(struct fake_board *fake, uint64_t port, uint32_t length, uint64_t value)
{
    struct vmkit_access access = {.length = length, .is_write = 1, .value = value};
    return access_port(fake, port, &access);
}
