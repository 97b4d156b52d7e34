/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rng.h"

#include "guest.h"
#include "harness.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATA (RAM_GPA + 0x80000)

static struct guest guest;

static void
set_up(uint64_t rate)
{
    struct vmk_virtio_device *device;
    guest_init(&guest);
    ck_assert_int_eq(vmk_virtio_rng_new(guest.loop, rate, &device, NULL), 0);
    guest_attach(&guest, device);
    guest_bring_up(&guest, UINT64_MAX, 1, 16);
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool
is_zero(uint64_t gpa, uint32_t size)
{
    const uint8_t *bytes = test_board_at(&guest.board, gpa);
    for (uint32_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

START_TEST(buffers_are_filled_and_nothing_beside_them)
{
    uint32_t written;
    set_up(0);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_ID), 4);
    for (int i = 0; i < 100; i++) {
        memset(test_board_at(&guest.board, DATA), 0, 0x4000);
        guest_give(&guest, 0, DATA + 64, 1000, true);
        guest_await(&guest, 0, &written);
        ck_assert_uint_eq(written, 1000);
        ck_assert(is_zero(DATA, 64) && is_zero(DATA + 1064, 64));
        ck_assert(!is_zero(DATA + 64, 500) && !is_zero(DATA + 564, 500));
    }
    ck_assert_uint_gt(test_board_take_pulses(&guest.board, GUEST_GSI), 0);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_large_buffer_is_filled_in_part)
{
    uint32_t written;
    set_up(0);
    guest_give(&guest, 0, DATA, 0x40000, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 16384);
    ck_assert(!is_zero(DATA, 16384) && is_zero(DATA + 16384, 0x40000 - 16384));
    /* One that has nothing to write to comes back too. */
    guest_give(&guest, 0, DATA, 16, false);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 0);
    guest_clear(&guest);
}
END_TEST

/* The first second's bytes are there at once; what comes beyond takes its time. */
START_TEST(no_more_than_the_rate_comes_through)
{
    uint64_t total = 0;
    uint32_t written;
    set_up(4096);
    double start = now();
    while (total < 4096 + 2048) {
        guest_give(&guest, 0, DATA, 512, true);
        guest_await(&guest, 0, &written);
        ck_assert_uint_ge(written, 1);
        total += written;
    }
    ck_assert(now() - start >= 0.45);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_reset_takes_buffers_back_that_wait_for_the_rate)
{
    uint32_t written;
    set_up(1);
    guest_give(&guest, 0, DATA, 1, true);
    guest_await(&guest, 0, &written);
    guest_give(&guest, 0, DATA + 0x100, 512, true);
    guest_settle(&guest);
    guest_write(&guest, VIRTIO_MMIO_STATUS, 0);
    usleep(1500000);
    ck_assert(is_zero(DATA + 0x100, 512));
    guest_bring_up(&guest, UINT64_MAX, 1, 16);
    guest_give(&guest, 0, DATA + 0x100, 512, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 1);
    guest_clear(&guest);
}
END_TEST

START_TEST(a_broken_queue_needs_a_reset_and_works_after_it)
{
    uint32_t written;
    set_up(0);
    guest_give(&guest, 0, 0x10, 16, true);
    while (atomic_load(&guest.failures) == 0)
        usleep(100);
    guest_settle(&guest);
    ck_assert_str_eq(guest.reason, "bytes [0x10, +0x10) are not in memory");
    ck_assert_uint_ne(guest_read(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    guest_bring_up(&guest, UINT64_MAX, 1, 16);
    guest_give(&guest, 0, DATA, 16, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(written, 16);
    ck_assert_uint_eq(atomic_load(&guest.failures), 1);
    guest_clear(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("rng");
    TCase *cases = tcase_create("rng");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, buffers_are_filled_and_nothing_beside_them);
    tcase_add_test(cases, a_large_buffer_is_filled_in_part);
    tcase_add_test(cases, no_more_than_the_rate_comes_through);
    tcase_add_test(cases, a_reset_takes_buffers_back_that_wait_for_the_rate);
    tcase_add_test(cases, a_broken_queue_needs_a_reset_and_works_after_it);
    suite_add_tcase(suite, cases);
    return suite;
}
