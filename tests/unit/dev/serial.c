/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/serial.h"

#include "fake_board.h"
#include "harness.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>

#define PORT 0x3f8
#define GSI 4

/* Offsets, and the bits that the tests name. */
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
enum { READY = 0x01, EMPTY = 0x60, LISTENS = 0x03, OUT2 = 0x08, LOOP = 0x10 };
enum { IIR_NONE = 0x01, IIR_EMPTY = 0x02, IIR_RECEIVED = 0x04, IIR_TIMEOUT = 0x0c };

struct port {
    struct fake_board board;
    struct vmk_serial *serial;
    unsigned changes;
};

static void
note_change(void *user_data)
{
    struct port *port = user_data;
    port->changes++;
}

static void
port_init(struct port *port)
{
    fake_board_init(&port->board);
    port->changes = 0;
    const struct vmk_serial_options options = {.board = fake_board_get(&port->board),
                                               .port = PORT,
                                               .gsi = GSI,
                                               .changed = note_change,
                                               .user_data = port};
    ck_assert_int_eq(vmk_serial_new(&options, &port->serial, NULL), 0);
}

static void
port_clear(struct port *port)
{
    vmk_serial_unref(port->serial);
    fake_board_clear(&port->board);
}

static unsigned
get(struct port *port, unsigned offset)
{
    return (unsigned)fake_board_in(&port->board, PORT + offset, 1);
}

static void
set(struct port *port, unsigned offset, unsigned value)
{
    ck_assert_int_eq(fake_board_out(&port->board, PORT + offset, 1, value), VMKIT_HANDLED);
}

START_TEST(what_the_guest_sends_is_taken_in_order)
{
    struct port port;
    char taken[8] = "";
    port_init(&port);
    ck_assert_uint_eq(get(&port, LSR), EMPTY);
    for (const char *at = "hello"; *at != 0; at++)
        set(&port, DATA, (unsigned char)*at);
    ck_assert_uint_eq(port.changes, 1);
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, taken, 3), 3);
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, taken + 3, 5), 2);
    ck_assert_str_eq(taken, "hello");
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, taken, 8), 0);
    set(&port, DATA, '!');
    ck_assert_uint_eq(port.changes, 2);
    port_clear(&port);
}
END_TEST

START_TEST(a_full_queue_makes_the_transmitter_busy_and_loses_nothing)
{
    struct port port;
    static uint8_t taken[VMK_SERIAL_QUEUE + 1];
    port_init(&port);
    set(&port, MCR, OUT2);
    unsigned sent = 0;
    while ((get(&port, LSR) & EMPTY) != 0)
        set(&port, DATA, sent++ % 251);
    ck_assert_uint_eq(sent, VMK_SERIAL_QUEUE);
    set(&port, IER, 0x02);
    ck_assert(!port.board.levels[GSI]);
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, taken, 1), 1);
    ck_assert(port.board.levels[GSI]);
    ck_assert_uint_eq(get(&port, IIR), IIR_EMPTY);
    ck_assert_uint_eq(get(&port, LSR), EMPTY);
    set(&port, DATA, sent++ % 251);
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, taken + 1, sizeof taken - 1),
                      VMK_SERIAL_QUEUE);
    for (unsigned i = 0; i < sent; i++)
        ck_assert_uint_eq(taken[i], i % 251);
    port_clear(&port);
}
END_TEST

START_TEST(input_waits_until_the_guest_listens)
{
    struct port port;
    port_init(&port);
    ck_assert_uint_eq(vmk_serial_put_input(port.serial, "ab", 2), 2);
    ck_assert_uint_eq(get(&port, LSR), EMPTY);
    ck_assert_uint_eq(get(&port, DATA), 0);
    /* A driver that starts empties the FIFOs. */
    set(&port, IIR, 0x07);
    set(&port, MCR, LISTENS);
    ck_assert_uint_eq(get(&port, LSR), EMPTY | READY);
    ck_assert_uint_eq(get(&port, DATA), 'a');
    ck_assert_uint_eq(get(&port, DATA), 'b');
    ck_assert_uint_eq(get(&port, LSR), EMPTY);
    ck_assert_uint_eq(get(&port, DATA), 0);
    port_clear(&port);
}
END_TEST

START_TEST(input_of_64_kib_comes_whole_and_room_is_told)
{
    struct port port;
    static uint8_t bytes[VMK_SERIAL_QUEUE];
    port_init(&port);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    ck_assert_uint_eq(vmk_serial_get_input_room(port.serial), VMK_SERIAL_QUEUE);
    ck_assert_uint_eq(vmk_serial_put_input(port.serial, bytes, sizeof bytes), sizeof bytes);
    ck_assert_uint_eq(vmk_serial_put_input(port.serial, "x", 1), 0);
    set(&port, MCR, LISTENS);
    ck_assert_uint_eq(port.changes, 0);
    ck_assert_uint_eq(get(&port, DATA), bytes[0]);
    ck_assert_uint_eq(port.changes, 1);
    for (size_t i = 1; i < sizeof bytes; i++)
        ck_assert_uint_eq(get(&port, DATA), bytes[i]);
    ck_assert_uint_eq(port.changes, 1);
    ck_assert_uint_eq(vmk_serial_get_input_room(port.serial), VMK_SERIAL_QUEUE);
    port_clear(&port);
}
END_TEST

START_TEST(interrupts_come_by_priority_and_go_when_they_are_served)
{
    struct port port;
    port_init(&port);
    set(&port, IER, 0x03);
    ck_assert(!port.board.levels[GSI]);
    set(&port, MCR, LISTENS | OUT2);
    ck_assert(port.board.levels[GSI]);
    vmk_serial_put_input(port.serial, "k", 1);
    ck_assert_uint_eq(get(&port, IIR), IIR_RECEIVED);
    ck_assert_uint_eq(get(&port, DATA), 'k');
    ck_assert_uint_eq(get(&port, IIR), IIR_EMPTY);
    ck_assert_uint_eq(get(&port, IIR), IIR_NONE);
    ck_assert(!port.board.levels[GSI]);
    set(&port, DATA, 'x');
    ck_assert(port.board.levels[GSI]);
    ck_assert_uint_eq(get(&port, IIR), IIR_EMPTY);
    /* Asking for it anew tells again that there is room. */
    set(&port, IER, 0x01);
    set(&port, IER, 0x03);
    ck_assert_uint_eq(get(&port, IIR), IIR_EMPTY);
    port_clear(&port);
}
END_TEST

START_TEST(fewer_bytes_than_the_fifos_level_time_out)
{
    struct port port;
    port_init(&port);
    set(&port, MCR, LISTENS | OUT2);
    set(&port, IIR, 0x81); /* FIFOs, a level of 8 */
    set(&port, IER, 0x01);
    vmk_serial_put_input(port.serial, "1234567", 7);
    ck_assert_uint_eq(get(&port, IIR), 0xc0 | IIR_TIMEOUT);
    vmk_serial_put_input(port.serial, "8", 1);
    ck_assert_uint_eq(get(&port, IIR), 0xc0 | IIR_RECEIVED);
    ck_assert(port.board.levels[GSI]);
    port_clear(&port);
}
END_TEST

START_TEST(a_loop_shows_the_guest_its_own_bytes_and_lines)
{
    struct port port;
    port_init(&port);
    vmk_serial_put_input(port.serial, "h", 1);
    set(&port, MCR, LOOP | 0x0a);
    ck_assert_uint_eq(get(&port, MSR), 0x90);
    set(&port, MCR, LOOP | 0x05);
    ck_assert_uint_eq(get(&port, MSR), 0x60);
    set(&port, DATA, 'g');
    ck_assert_uint_eq(get(&port, DATA), 'g');
    ck_assert_uint_eq(get(&port, LSR), EMPTY);
    /* Its own are gone with the FIFO, the host's byte is not. */
    set(&port, DATA, 'g');
    set(&port, IIR, 0x02);
    ck_assert_uint_eq(get(&port, LSR), EMPTY);
    set(&port, MCR, LISTENS);
    ck_assert_uint_eq(get(&port, MSR), 0xb0);
    ck_assert_uint_eq(get(&port, DATA), 'h');
    char byte;
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, &byte, 1), 0);
    port_clear(&port);
}
END_TEST

START_TEST(registers_keep_what_they_have_bits_for)
{
    struct port port;
    port_init(&port);
    set(&port, SCR, 0xa5);
    ck_assert_uint_eq(get(&port, SCR), 0xa5);
    set(&port, IER, 0xff);
    ck_assert_uint_eq(get(&port, IER), 0x0f);
    set(&port, LCR, 0x83);
    set(&port, DATA, 0x34);
    set(&port, IER, 0x12);
    ck_assert_uint_eq(get(&port, DATA), 0x34);
    ck_assert_uint_eq(get(&port, IER), 0x12);
    ck_assert_uint_eq(get(&port, LCR), 0x83);
    set(&port, LCR, 0x03);
    ck_assert_uint_eq(get(&port, IER), 0x0f);
    set(&port, MCR, 0xff);
    ck_assert_uint_eq(get(&port, MCR), 0x1f);
    set(&port, MCR, LISTENS | OUT2);
    ck_assert(port.board.levels[GSI]);
    char byte;
    ck_assert_uint_eq(vmk_serial_take_output(port.serial, &byte, 1), 0);
    vmk_serial_reset(port.serial);
    ck_assert(!port.board.levels[GSI]);
    ck_assert_uint_eq(get(&port, SCR) | get(&port, IER) | get(&port, LCR) | get(&port, MCR), 0);
    port_clear(&port);
}
END_TEST

START_TEST(a_guest_that_writes_anything_anywhere_does_no_harm)
{
    struct port port;
    uint32_t random = 12345;
    char bytes[64];
    port_init(&port);
    for (unsigned i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        unsigned offset = random >> 28 & 7;
        if ((random >> 27 & 1) != 0)
            set(&port, offset, random >> 8 & 0xff);
        else
            ck_assert_uint_le(get(&port, offset), 0xff);
        if (i % 1000 == 0)
            vmk_serial_put_input(port.serial, bytes, sizeof bytes);
        if (i % 3000 == 0)
            vmk_serial_take_output(port.serial, bytes, sizeof bytes);
    }
    vmk_serial_reset(port.serial);
    ck_assert(!port.board.levels[GSI]);
    port_clear(&port);
}
END_TEST

START_TEST(ports_that_are_taken_are_refused)
{
    struct port port;
    struct vmk_serial *second = NULL;
    vmkit_error *error = NULL;
    port_init(&port);
    const struct vmk_serial_options options = {
        .board = fake_board_get(&port.board), .port = PORT + 4, .gsi = 3};
    ck_assert_int_eq(vmk_serial_new(&options, &second, &error), -EEXIST);
    ck_assert_ptr_null(second);
    ck_assert_str_eq(vmk_error_get_message(error),
                     "ports [0x3fc, 0x404) overlap those of the handler of [0x3f8, 0x400)");
    vmk_error_unref(error);
    port_clear(&port);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("serial");
    TCase *tcase = tcase_create("serial");

    tcase_add_test(tcase, what_the_guest_sends_is_taken_in_order);
    tcase_add_test(tcase, a_full_queue_makes_the_transmitter_busy_and_loses_nothing);
    tcase_add_test(tcase, input_waits_until_the_guest_listens);
    tcase_add_test(tcase, input_of_64_kib_comes_whole_and_room_is_told);
    tcase_add_test(tcase, interrupts_come_by_priority_and_go_when_they_are_served);
    tcase_add_test(tcase, fewer_bytes_than_the_fifos_level_time_out);
    tcase_add_test(tcase, a_loop_shows_the_guest_its_own_bytes_and_lines);
    tcase_add_test(tcase, registers_keep_what_they_have_bits_for);
    tcase_add_test(tcase, a_guest_that_writes_anything_anywhere_does_no_harm);
    tcase_add_test(tcase, ports_that_are_taken_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
