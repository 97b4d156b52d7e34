/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* There is one board at a time. */
static uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
static uint8_t high[HIGH_SIZE] __attribute__((aligned(4096)));

static int
add_handler(void *data, enum vmkit_space space, uint64_t address, uint64_t size,
            const struct vmk_bus_handler *handler, vmkit_error **ret_error)
{
    struct test_board *board = data;
    struct vmk_bus *old = board->bus;
    int result = vmk_bus_new_with(old, space, address, size, handler, &board->bus, ret_error);
    if (result == 0)
        vmk_bus_unref(old);
    return result;
}

static int
remove_handler(void *data, enum vmkit_space space, uint64_t address, vmkit_error **ret_error)
{
    struct test_board *board = data;
    struct vmk_bus *old = board->bus;
    int result = vmk_bus_new_without(old, space, address, &board->bus, ret_error);
    if (result == 0)
        vmk_bus_unref(old);
    return result;
}

static void
set_line(void *data, uint32_t gsi, bool level)
{
    struct test_board *board = data;
    if (level)
        atomic_fetch_add(&board->pulses[gsi], 1);
}

static int
set_irqfd(void *data, int fd, uint32_t gsi, int resample_fd, bool assign, vmkit_error **ret_error)
{
    struct test_board *board = data;
    if (board->without_eventfds)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, "no irqfd");
    if (gsi >= LINES)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_OUT_OF_RANGE, "no line %u", gsi);
    board->irqfds[gsi] = assign ? fd : -1;
    return 0;
}

static int
set_doorbell(void *data, enum vmkit_space space, uint64_t address, uint32_t size, bool match,
             uint64_t value, int fd, bool assign, vmkit_error **ret_error)
{
    struct test_board *board = data;
    if (board->without_eventfds)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, "no ioeventfd");
    ck_assert(match && size == 4 && space == VMKIT_SPACE_MMIO);
    if (assign) {
        ck_assert_uint_lt(board->doorbell_count, DOORBELLS);
        board->doorbells[board->doorbell_count++] = (struct test_doorbell){address, value, fd};
        return 0;
    }
    for (uint32_t i = 0; i < board->doorbell_count; i++) {
        struct test_doorbell *bell = &board->doorbells[i];
        if (bell->address == address && bell->value == value && bell->fd == fd) {
            *bell = board->doorbells[--board->doorbell_count];
            return 0;
        }
    }
    return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND, "no doorbell");
}

static int
find_memory(void *data, uint64_t gpa, struct vmk_board_memory *ret_memory)
{
    struct test_board *board = data;
    if (gpa >= RAM_GPA && gpa - RAM_GPA < RAM_SIZE)
        *ret_memory = (struct vmk_board_memory){RAM_GPA, RAM_SIZE, board->ram};
    else if (gpa >= HIGH_GPA && gpa - HIGH_GPA < HIGH_SIZE)
        *ret_memory = (struct vmk_board_memory){HIGH_GPA, HIGH_SIZE, board->high};
    else
        return -EFAULT;
    return 0;
}

static void
note_write(void *data, uint64_t gpa, uint64_t size)
{
    struct test_board *board = data;
    atomic_fetch_add(&board->noted, size);
}

static const struct vmk_board_ops ops = {
    .add_handler = add_handler,
    .remove_handler = remove_handler,
    .set_line = set_line,
    .set_irqfd = set_irqfd,
    .set_doorbell = set_doorbell,
    .find_memory = find_memory,
    .note_write = note_write,
};

void
test_board_init(struct test_board *board)
{
    memset(board, 0, sizeof *board);
    board->board = (struct vmk_board){&ops, board};
    board->ram = ram;
    board->high = high;
    memset(board->ram, 0, RAM_SIZE);
    memset(board->high, 0, HIGH_SIZE);
    for (int i = 0; i < LINES; i++)
        board->irqfds[i] = -1;
}

void
test_board_clear(struct test_board *board)
{
    vmk_bus_unref(board->bus);
}

void *
test_board_at(struct test_board *board, uint64_t gpa)
{
    struct vmk_board_memory memory;
    ck_assert_int_eq(find_memory(board, gpa, &memory), 0);
    return memory.hva + (gpa - memory.gpa);
}

static uint64_t
access_handler(struct test_board *board, uint64_t address, uint32_t length, bool is_write,
               uint64_t value)
{
    uint64_t start;
    const struct vmk_bus_handler *handler =
        vmk_bus_find(board->bus, VMKIT_SPACE_MMIO, address, length, &start);
    ck_assert_ptr_nonnull(handler);
    struct vmkit_access access = {
        .size = sizeof access,
        .space = VMKIT_SPACE_MMIO,
        .address = address,
        .offset = address - start,
        .length = length,
        .is_write = is_write,
        .value = value,
    };
    ck_assert_int_eq(handler->callback(handler->user_data, NULL, &access), VMKIT_HANDLED);
    return length == 8 ? access.value : access.value & ((UINT64_C(1) << length * 8) - 1);
}

uint64_t
test_board_read(struct test_board *board, uint64_t address, uint32_t length)
{
    return access_handler(board, address, length, false, UINT64_MAX);
}

void
test_board_write(struct test_board *board, uint64_t address, uint32_t length, uint64_t value)
{
    static const uint64_t one = 1;
    for (uint32_t i = 0; i < board->doorbell_count; i++) {
        const struct test_doorbell *bell = &board->doorbells[i];
        if (bell->address == address && length == 4 && bell->value == value) {
            ck_assert_int_eq(write(bell->fd, &one, sizeof one), sizeof one);
            return;
        }
    }
    access_handler(board, address, length, true, value);
}

uint32_t
test_board_take_pulses(struct test_board *board, uint32_t gsi)
{
    uint64_t count = 0;
    uint32_t pulses = atomic_exchange(&board->pulses[gsi], 0);
    if (board->irqfds[gsi] >= 0 && read(board->irqfds[gsi], &count, sizeof count) > 0)
        pulses += (uint32_t)count;
    return pulses;
}
