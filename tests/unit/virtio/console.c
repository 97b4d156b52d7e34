/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/console.h"

#include "guest.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATA (RAM_GPA + 0x80000)
#define CONTROL (RAM_GPA + 0x60000)
#define PIECE 4096
#define PIECES 64
#define MEBIBYTE (UINT64_C(1) << 20)
#define MULTIPORT VMK_VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT)

static struct guest guest;
static struct vmk_virtio_device *console;

static void
set_up(const struct vmk_virtio_console_port *ports, uint32_t count)
{
    guest_init(&guest);
    ck_assert_int_eq(vmk_virtio_console_new(guest.loop, ports, count, &console, NULL), 0);
    guest_attach(&guest, console);
    guest_bring_up(&guest, UINT64_MAX, count == 1 ? 2 : 2 * count + 2, 64);
}

static struct vmk_virtio_console_port
make_port(void)
{
    return (struct vmk_virtio_console_port){.input_fd = -1, .output_fd = -1};
}

static uint8_t
pattern(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 11);
}

/* Hand in `total` bytes of the pattern, from `at` on, as the device takes them. */
static void
guest_prints(uint32_t queue, uint64_t at, uint64_t total)
{
    uint64_t end = at + total;
    uint32_t slot = 0, out = 0, written;
    while (at < end || out > 0) {
        if (at == end || out == 60) {
            guest_await(&guest, queue, &written);
            ck_assert_uint_eq(written, 0);
            out--;
            continue;
        }
        uint64_t gpa = DATA + (uint64_t)PIECE * (slot++ % PIECES);
        uint32_t size = (uint32_t)(end - at < PIECE ? end - at : PIECE - slot % 7);
        uint8_t *bytes = test_board_at(&guest.board, gpa);
        for (uint32_t i = 0; i < size; i++)
            bytes[i] = pattern(at + i);
        ck_assert_int_ge(guest_give(&guest, queue, gpa, size, false), 0);
        at += size;
        out++;
    }
}

struct reader {
    int fd;
    uint64_t total;
    bool is_slow;
    bool is_right;
};

static void *
read_all(void *data)
{
    struct reader *reader = data;
    static uint8_t bytes[40000];
    unsigned seed = 1;
    reader->is_right = true;
    for (uint64_t done = 0; done < reader->total;) {
        ssize_t count = read(reader->fd, bytes, 1 + (size_t)rand_r(&seed) % sizeof bytes);
        if (count <= 0) {
            reader->is_right = false;
            break;
        }
        for (ssize_t i = 0; i < count; i++)
            reader->is_right &= bytes[i] == pattern(done + (uint64_t)i);
        done += (uint64_t)count;
        if (reader->is_slow && rand_r(&seed) % 4 == 0)
            usleep(2000);
    }
    return NULL;
}

static void
make_channel(bool is_socket, int fds[2])
{
    if (is_socket)
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    else
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
}

START_TEST(ten_mebibytes_reach_a_slow_sink_unchanged)
{
    struct vmk_virtio_console_port port = make_port();
    struct vmk_virtio_console_stats stats;
    struct reader reader = {.total = 10 * MEBIBYTE / harness_get_step(5), .is_slow = true};
    pthread_t thread;
    int fds[2];
    make_channel(_i == 1, fds);
    port.output_fd = fds[1];
    set_up(&port, 1);
    /* The device has a descriptor of its own, and leaves the embedder's as it is. */
    ck_assert_int_eq(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    close(fds[1]);
    reader.fd = fds[0];
    ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &reader), 0);
    guest_prints(1, 0, reader.total);
    pthread_join(thread, NULL);
    ck_assert(reader.is_right);
    vmk_virtio_console_get_stats(console, 0, &stats);
    ck_assert_uint_eq(stats.output, reader.total);
    ck_assert_uint_eq(stats.dropped, 0);
    guest_clear(&guest);
    close(fds[0]);
}
END_TEST

START_TEST(a_sink_that_nobody_reads_blocks_neither_loop_nor_reset)
{
    struct vmk_virtio_console_port port = make_port();
    struct vmk_virtio_console_stats stats, later;
    uint32_t written;
    int fds[2];
    make_channel(_i == 1, fds);
    port.output_fd = fds[1];
    set_up(&port, 1);
    for (uint32_t i = 0; i < 60; i++)
        guest_give(&guest, 1, DATA + (uint64_t)i * 8000, 8000, false);
    guest_settle(&guest);
    vmk_virtio_console_get_stats(console, 0, &stats);
    ck_assert_uint_lt(stats.output, 480000);
    guest_settle(&guest);
    vmk_virtio_console_get_stats(console, 0, &later);
    ck_assert_uint_eq(later.output, stats.output);
    /* The rest is forgotten with the reset. */
    guest_bring_up(&guest, UINT64_MAX, 2, 64);
    guest_give(&guest, 1, DATA, 1, false);
    for (uint64_t left = stats.output + 1; left > 0;) {
        uint8_t bytes[4096];
        ssize_t count = read(fds[0], bytes, left < sizeof bytes ? left : sizeof bytes);
        ck_assert_int_gt(count, 0);
        left -= (uint64_t)count;
    }
    guest_await(&guest, 1, &written);
    guest_clear(&guest);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_sink_without_a_reader_drops_what_comes)
{
    struct vmk_virtio_console_port port = make_port();
    struct vmk_virtio_console_stats stats;
    int fds[2];
    make_channel(_i == 1, fds);
    port.output_fd = fds[1];
    set_up(&port, 1);
    close(fds[0]);
    close(fds[1]);
    guest_prints(1, 0, 100000);
    vmk_virtio_console_get_stats(console, 0, &stats);
    ck_assert_uint_eq(stats.dropped, 100000);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_file_takes_everything)
{
    struct vmk_virtio_console_port port = make_port();
    char path[] = "/tmp/vmkit-console-XXXXXX";
    struct reader reader = {.total = MEBIBYTE};
    int fd = mkstemp(path);
    unlink(path);
    port.output_fd = port.input_fd = fd;
    set_up(&port, 1);
    guest_prints(1, 0, MEBIBYTE);
    lseek(fd, 0, SEEK_SET);
    reader.fd = fd;
    read_all(&reader);
    ck_assert(reader.is_right);
    guest_clear(&guest);
    close(fd);
}
END_TEST

struct taker {
    atomic_ullong taken;
    atomic_uint refused;
    atomic_bool is_right;
};

/* Takes a third of it, or nothing each third time. */
static size_t
take_some(void *data, const void *bytes, size_t size)
{
    struct taker *taker = data;
    uint64_t taken = atomic_load(&taker->taken);
    size_t count = taken % 3 == 2 && atomic_load(&taker->refused) % 2 == 0 ? 0 : size / 3 + 1;
    count = count < size ? count : size;
    for (size_t i = 0; i < count; i++)
        if (((const uint8_t *)bytes)[i] != pattern(taken + i))
            atomic_store(&taker->is_right, false);
    atomic_store(&taker->taken, taken + count);
    if (count < size) {
        atomic_fetch_add(&taker->refused, 1);
        /* From inside of the callback, as from anywhere. */
        vmk_virtio_console_resume(console, 0);
    }
    return count;
}

START_TEST(a_callback_takes_what_it_likes_and_gets_the_rest_later)
{
    struct taker taker;
    struct vmk_virtio_console_port port = make_port();
    port.output = take_some;
    port.output_data = &taker;
    atomic_init(&taker.taken, 0);
    atomic_init(&taker.refused, 0);
    atomic_init(&taker.is_right, true);
    set_up(&port, 1);
    guest_prints(1, 0, 300000);
    ck_assert_uint_eq(atomic_load(&taker.taken), 300000);
    ck_assert(atomic_load(&taker.is_right));
    ck_assert_uint_gt(atomic_load(&taker.refused), 10);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_full_buffer_makes_the_guest_wait)
{
    struct vmk_virtio_console_port port = make_port();
    uint8_t bytes[600];
    uint64_t done = 0;
    port.buffer_size = 1000;
    set_up(&port, 1);
    for (uint32_t i = 0; i < 3000; i++)
        *(uint8_t *)test_board_at(&guest.board, DATA + i) = pattern(i);
    guest_give(&guest, 1, DATA, 3000, false);
    guest_settle(&guest);
    ck_assert_int_eq(guest.drivers[1].used_ring->idx, 0);
    while (done < 3000) {
        size_t count = vmk_virtio_console_read(console, 0, bytes, sizeof bytes);
        for (size_t i = 0; i < count; i++)
            ck_assert_uint_eq(bytes[i], pattern(done + i));
        done += count;
        guest_settle(&guest);
    }
    ck_assert_uint_eq(vmk_virtio_console_read(console, 0, bytes, sizeof bytes), 0);
    ck_assert_uint_eq(guest.drivers[1].used_ring->idx, 1);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_buffer_of_the_latest_bytes_never_makes_it_wait)
{
    struct vmk_virtio_console_port port = make_port();
    struct vmk_virtio_console_stats stats;
    uint8_t bytes[2000];
    port.buffer_size = 1000;
    port.keep_latest = true;
    set_up(&port, 1);
    guest_prints(1, 0, 50000);
    ck_assert_uint_eq(vmk_virtio_console_read(console, 0, bytes, sizeof bytes), 1000);
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(bytes[i], pattern(49000 + i));
    vmk_virtio_console_get_stats(console, 0, &stats);
    ck_assert_uint_eq(stats.dropped, 49000);
    guest_clear(&guest);
}
END_TEST

struct writer {
    int fd;
    uint64_t total;
};

static void *
write_all(void *data)
{
    struct writer *writer = data;
    uint8_t bytes[5000];
    for (uint64_t done = 0; done < writer->total;) {
        size_t size = sizeof bytes < writer->total - done ? sizeof bytes : writer->total - done;
        for (size_t i = 0; i < size; i++)
            bytes[i] = pattern(done + i);
        ssize_t count = writer->fd >= 0
                            ? write(writer->fd, bytes, size)
                            : (ssize_t)vmk_virtio_console_write(console, 0, bytes, size);
        if (count < 0)
            break;
        if (count == 0)
            usleep(200);
        done += (uint64_t)count;
    }
    return NULL;
}

/* From a pipe, a socket and the call: the guest reads at its leisure, and nothing is lost. */
START_TEST(input_waits_for_a_guest_that_is_slow)
{
    struct vmk_virtio_console_port port = make_port();
    struct writer writer = {.fd = -1, .total = MEBIBYTE / harness_get_step(4)};
    pthread_t thread;
    uint32_t written;
    int fds[2] = {-1, -1};
    if (_i < 2) {
        make_channel(_i == 1, fds);
        port.input_fd = fds[0];
        writer.fd = fds[1];
    }
    set_up(&port, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all, &writer), 0);
    usleep(20000);
    for (uint64_t done = 0; done < writer.total;) {
        uint32_t size = 1 + (uint32_t)(done * 7 % 6000);
        const uint8_t *bytes = test_board_at(&guest.board, DATA);
        guest_give(&guest, 0, DATA, size, true);
        guest_await(&guest, 0, &written);
        ck_assert(written >= 1 && written <= size);
        for (uint32_t i = 0; i < written; i++)
            ck_assert_uint_eq(bytes[i], pattern(done + i));
        done += written;
    }
    pthread_join(thread, NULL);
    guest_clear(&guest);
    if (_i < 2) {
        close(fds[0]);
        close(fds[1]);
    }
}
END_TEST

START_TEST(input_that_ended_keeps_nothing_busy)
{
    struct vmk_virtio_console_port port = make_port();
    struct vmk_virtio_console_stats stats;
    uint32_t written;
    int fds[2];
    make_channel(false, fds);
    port.input_fd = fds[0];
    set_up(&port, 1);
    ck_assert_int_eq(write(fds[1], "end", 3), 3);
    close(fds[1]);
    guest_give(&guest, 0, DATA, 100, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 3);
    guest_give(&guest, 0, DATA, 100, true);
    guest_settle(&guest);
    ck_assert_int_eq(driver_take(&guest.drivers[0], &written), -1);
    /* What is written by hand comes all the same. */
    ck_assert_uint_eq(vmk_virtio_console_write(console, 0, "x", 1), 1);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 1);
    vmk_virtio_console_get_stats(console, 0, &stats);
    ck_assert_uint_eq(stats.input, 4);
    guest_clear(&guest);
    close(fds[0]);
}
END_TEST

START_TEST(input_beyond_its_room_is_not_taken)
{
    struct vmk_virtio_console_port port = make_port();
    static uint8_t bytes[20000];
    set_up(&port, 1);
    ck_assert_uint_eq(vmk_virtio_console_write(console, 0, bytes, sizeof bytes), 16384);
    ck_assert_uint_eq(vmk_virtio_console_write(console, 0, bytes, sizeof bytes), 0);
    ck_assert_uint_eq(vmk_virtio_console_write(console, 1, bytes, sizeof bytes), 0);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_single_port_is_resized_by_its_configuration)
{
    struct vmk_virtio_console_port port = make_port();
    set_up(&port, 1);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_ID), 3);
    vmk_virtio_console_resize(console, 0, 132, 43);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG), 43u << 16 | 132);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG + 4), 1);
    ck_assert_uint_ne(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG, 0);
    ck_assert_uint_ge(test_board_take_pulses(&guest.board, GUEST_GSI), 1);
    guest_clear(&guest);
}
END_TEST

static void
say(uint32_t id, uint16_t event, uint16_t value)
{
    uint32_t written;
    struct virtio_console_control message = {id, event, value};
    memcpy(test_board_at(&guest.board, CONTROL), &message, sizeof message);
    guest_give(&guest, 3, CONTROL, sizeof message, false);
    guest_await(&guest, 3, &written);
}

/* The next message to the guest is this one, and `rest` follows. */
static void
hear(uint32_t id, uint16_t event, const void *rest, uint32_t size)
{
    uint32_t written;
    struct virtio_console_control message;
    guest_give(&guest, 2, CONTROL + 0x100, 256, true);
    guest_await(&guest, 2, &written);
    memcpy(&message, test_board_at(&guest.board, CONTROL + 0x100), sizeof message);
    ck_assert_uint_eq(message.id, id);
    ck_assert_uint_eq(message.event, event);
    ck_assert_uint_eq(message.value, 1);
    ck_assert_uint_eq(written, sizeof message + size);
    if (size > 0)
        ck_assert_mem_eq(test_board_at(&guest.board, CONTROL + 0x108), rest, size);
}

START_TEST(several_ports_are_told_of_and_work)
{
    static const uint16_t size[2] = {80, 25};
    struct vmk_virtio_console_port ports[3] = {make_port(), make_port(), make_port()};
    uint8_t bytes[100];
    uint32_t written;
    ports[1].name = "org.example.agent";
    ports[1].buffer_size = ports[2].buffer_size = 5000;
    set_up(ports, 3);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_CONFIG + 4), 3);
    vmk_virtio_console_resize(console, 0, 80, 25);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (uint32_t i = 0; i < 3; i++)
        hear(i, VIRTIO_CONSOLE_PORT_ADD, NULL, 0);
    say(0, VIRTIO_CONSOLE_PORT_READY, 1);
    hear(0, VIRTIO_CONSOLE_CONSOLE_PORT, NULL, 0);
    hear(0, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);
    hear(0, VIRTIO_CONSOLE_RESIZE, size, sizeof size);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    hear(1, VIRTIO_CONSOLE_PORT_NAME, "org.example.agent", 17);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);

    /* Nothing is sent to a port that nobody has open. */
    vmk_virtio_console_write(console, 1, "hello", 5);
    guest_give(&guest, 4, DATA, 100, true);
    guest_settle(&guest);
    ck_assert_int_eq(driver_take(&guest.drivers[4], &written), -1);
    say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    guest_await(&guest, 4, &written);
    ck_assert_uint_eq(written, 5);
    ck_assert_mem_eq(test_board_at(&guest.board, DATA), "hello", 5);

    guest_prints(7, 0, 100);
    guest_prints(5, 50, 50);
    ck_assert_uint_eq(vmk_virtio_console_read(console, 2, bytes, 100), 100);
    ck_assert_uint_eq(bytes[99], pattern(99));
    ck_assert_uint_eq(vmk_virtio_console_read(console, 1, bytes, 100), 50);
    ck_assert_uint_eq(bytes[0], pattern(50));
    guest_clear(&guest);
}
END_TEST

START_TEST(control_messages_that_make_no_sense_do_nothing)
{
    struct vmk_virtio_console_port ports[2] = {make_port(), make_port()};
    uint32_t written;
    set_up(ports, 2);
    for (uint16_t event = 0; event < 12; event++) {
        say(2, event, 1);
        say(UINT32_MAX, event, 0);
    }
    say(0, UINT16_MAX, 1);
    /* A message that is cut, and one of no bytes to read. */
    guest_give(&guest, 3, CONTROL, 7, false);
    guest_await(&guest, 3, &written);
    guest_give(&guest, 3, CONTROL, 8, true);
    guest_await(&guest, 3, &written);
    /* Asked for again and again, with no room for an answer: each is told once. */
    for (uint32_t i = 0; i < 300; i++)
        say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    guest_settle(&guest);
    /* The first round of events had a DEVICE_READY with a port that counts for nothing. */
    hear(0, VIRTIO_CONSOLE_PORT_ADD, NULL, 0);
    hear(1, VIRTIO_CONSOLE_PORT_ADD, NULL, 0);
    hear(1, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);
    guest_give(&guest, 2, CONTROL + 0x100, 256, true);
    guest_settle(&guest);
    ck_assert_int_eq(driver_take(&guest.drivers[2], &written), -1);
    ck_assert_uint_eq(atomic_load(&guest.failures), 0);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_driver_without_multiport_has_the_first_port)
{
    struct vmk_virtio_console_port ports[2] = {make_port(), make_port()};
    uint8_t bytes[4];
    uint32_t written;
    ports[0].buffer_size = 100;
    set_up(ports, 2);
    guest_bring_up(&guest, ~MULTIPORT, 2, 16);
    guest_prints(1, 0, 4);
    ck_assert_uint_eq(vmk_virtio_console_read(console, 0, bytes, 4), 4);
    vmk_virtio_console_write(console, 0, "in", 2);
    guest_give(&guest, 0, DATA, 10, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 2);
    guest_clear(&guest);
}
END_TEST

static void
assert_refused(const struct vmk_virtio_console_port *ports, uint32_t count, int err,
               const char *message)
{
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_virtio_console_new(guest.loop, ports, count, &console, &error), -err);
    ck_assert_str_eq(vmk_error_get_message(error), message);
    vmk_error_unref(error);
}

START_TEST(what_cannot_be_a_console_is_refused)
{
    struct vmk_virtio_console_port ports[17] = {make_port(), make_port()};
    guest_init(&guest);
    assert_refused(ports, 0, EINVAL, "a console of 0 ports: 1 to 16 there can be");
    assert_refused(ports, 17, EINVAL, "a console of 17 ports: 1 to 16 there can be");
    ports[1].name = "a name that is longer than the sixty-three bytes that there can be";
    assert_refused(ports, 2, ENAMETOOLONG, "the name of port 1 has 66 bytes, and 63 are the most");
    ports[0].output_fd = 12345;
    assert_refused(ports, 1, EINVAL, "descriptor 12345 is not open");
    vmk_loop_free(guest.loop);
    test_board_clear(&guest.board);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("console");
    TCase *cases = tcase_create("console");
    tcase_set_timeout(cases, 100);
    tcase_add_loop_test(cases, ten_mebibytes_reach_a_slow_sink_unchanged, 0, 2);
    tcase_add_loop_test(cases, a_sink_that_nobody_reads_blocks_neither_loop_nor_reset, 0, 2);
    tcase_add_loop_test(cases, a_sink_without_a_reader_drops_what_comes, 0, 2);
    tcase_add_test(cases, a_file_takes_everything);
    tcase_add_test(cases, a_callback_takes_what_it_likes_and_gets_the_rest_later);
    tcase_add_test(cases, a_full_buffer_makes_the_guest_wait);
    tcase_add_test(cases, a_buffer_of_the_latest_bytes_never_makes_it_wait);
    tcase_add_loop_test(cases, input_waits_for_a_guest_that_is_slow, 0, 3);
    tcase_add_test(cases, input_that_ended_keeps_nothing_busy);
    tcase_add_test(cases, input_beyond_its_room_is_not_taken);
    tcase_add_test(cases, a_single_port_is_resized_by_its_configuration);
    tcase_add_test(cases, several_ports_are_told_of_and_work);
    tcase_add_test(cases, control_messages_that_make_no_sense_do_nothing);
    tcase_add_test(cases, a_driver_without_multiport_has_the_first_port);
    tcase_add_test(cases, what_cannot_be_a_console_is_refused);
    suite_add_tcase(suite, cases);
    return suite;
}
