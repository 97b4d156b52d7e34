/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd(2): what a read and a write do to the counter. */
#include "harness.h"

#include "fake_guest.h"
#include "sandbox/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>

#define VALUES FAKE_BASE
#define VECTOR (FAKE_BASE + 256)

static uint64_t counter;

static void
make_counter(uint64_t flags)
{
    const uint64_t values[] = {5, 7, 9};
    fake_start();
    int64_t fd = fake_call(eventfd2, 0, EFD_NONBLOCK | flags);
    ck_assert_int_ge(fd, 3);
    counter = (uint64_t)fd;
    fake_put(VALUES, values, sizeof values);
}

static uint64_t
get(uint64_t va)
{
    uint64_t value;
    memcpy(&value, fake_at(va), sizeof value);
    return value;
}

/* Read the counter, which goes back to 0. */
static uint64_t
take(void)
{
    int64_t r = fake_call(read, counter, FAKE_BASE + 512, 8);
    ck_assert(r == 8 || r == -EAGAIN);
    return r == 8 ? get(FAKE_BASE + 512) : 0;
}

static int64_t
write_pieces(uint64_t first, uint64_t second)
{
    const struct vmk_guest_iovec pieces[] = {{VALUES, first}, {VALUES + 8, second}};
    fake_put(VECTOR, pieces, sizeof pieces);
    return fake_call(writev, counter, VECTOR, 2);
}

START_TEST(a_write_adds_its_first_8_bytes_and_no_more)
{
    make_counter(0);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 8), 8);
    ck_assert_uint_eq(take(), 5);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 16), 8);
    ck_assert_uint_eq(take(), 5);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 23), 8);
    ck_assert_uint_eq(take(), 5);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 4 << 20), 8);
    ck_assert_uint_eq(take(), 5);
}
END_TEST

START_TEST(less_than_8_bytes_are_refused)
{
    make_counter(0);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 7), -EINVAL);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 0), -EINVAL);
    ck_assert_int_eq(fake_call(write, counter, FAKE_WILD, 8), -EFAULT);
    ck_assert_uint_eq(take(), 0);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 8), 8);
    ck_assert_int_eq(fake_call(read, counter, VALUES, 7), -EINVAL);
    ck_assert_int_eq(fake_call(read, counter, VALUES, 0), -EINVAL);
    ck_assert_uint_eq(take(), 5);
}
END_TEST

START_TEST(each_piece_of_a_vector_is_a_write_of_its_own)
{
    const struct vmk_guest_iovec bad[] = {{VALUES, 8}, {FAKE_WILD, 8}};
    make_counter(0);
    ck_assert_int_eq(write_pieces(8, 8), 16);
    ck_assert_uint_eq(take(), 12);
    ck_assert_int_eq(write_pieces(4, 4), -EINVAL);
    ck_assert_uint_eq(take(), 0);
    /* The first takes less than it is offered, and ends the call. */
    ck_assert_int_eq(write_pieces(16, 8), 8);
    ck_assert_uint_eq(take(), 5);
    ck_assert_int_eq(write_pieces(8, 4), 8);
    ck_assert_uint_eq(take(), 5);
    fake_put(VECTOR, bad, sizeof bad);
    ck_assert_int_eq(fake_call(writev, counter, VECTOR, 2), 8);
    ck_assert_uint_eq(take(), 5);
    ck_assert_int_eq(fake_call(writev, counter, VECTOR, 0), 0);
}
END_TEST

START_TEST(a_read_may_be_in_pieces_and_takes_8_bytes)
{
    const struct vmk_guest_iovec halves[] = {{VALUES + 64, 4}, {VALUES + 68, 4}};
    make_counter(0);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 8), 8);
    ck_assert_int_eq(fake_call(read, counter, VALUES + 64, 16), 8);
    ck_assert_uint_eq(get(VALUES + 64), 5);
    ck_assert_uint_eq(get(VALUES + 72), 0);
    ck_assert_int_eq(fake_call(write, counter, VALUES + 8, 8), 8);
    fake_put(VECTOR, halves, sizeof halves);
    ck_assert_int_eq(fake_call(readv, counter, VECTOR, 2), 8);
    ck_assert_uint_eq(get(VALUES + 64), 7);
}
END_TEST

START_TEST(a_semaphore_counts_down_by_one)
{
    make_counter(EFD_SEMAPHORE);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 8), 8);
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(take(), 1);
    ck_assert_int_eq(fake_call(read, counter, FAKE_BASE + 512, 8), -EAGAIN);
}
END_TEST

START_TEST(the_counter_ends_below_its_largest_number)
{
    uint64_t most = UINT64_MAX - 1, over = UINT64_MAX, one = 1;
    make_counter(0);
    fake_put(VALUES, &over, sizeof over);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 8), -EINVAL);
    fake_put(VALUES, &most, sizeof most);
    fake_put(VALUES + 8, &one, sizeof one);
    ck_assert_int_eq(fake_call(write, counter, VALUES, 8), 8);
    ck_assert_int_eq(fake_call(write, counter, VALUES + 8, 8), -EAGAIN);
    ck_assert_int_eq(write_pieces(8, 8), -EAGAIN);
    ck_assert_uint_eq(take(), most);
    ck_assert_int_eq(fake_call(eventfd2, 0, 2), -EINVAL);
}
END_TEST

START_TEST(a_file_is_not_copied_into_a_counter)
{
    make_counter(0);
    int64_t fd = fake_open("/tmp/values", O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fake_call(write, (uint64_t)fd, VALUES, 16), 16);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(fake_call(sendfile, counter, (uint64_t)fd, 0, 16), -EINVAL);
    ck_assert_uint_eq(take(), 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_eventfd");
    TCase *tcase = tcase_create("sandbox_eventfd");

    tcase_add_checked_fixture(tcase, fake_set_up, fake_tear_down);
    tcase_add_test(tcase, a_write_adds_its_first_8_bytes_and_no_more);
    tcase_add_test(tcase, less_than_8_bytes_are_refused);
    tcase_add_test(tcase, each_piece_of_a_vector_is_a_write_of_its_own);
    tcase_add_test(tcase, a_read_may_be_in_pieces_and_takes_8_bytes);
    tcase_add_test(tcase, a_semaphore_counts_down_by_one);
    tcase_add_test(tcase, the_counter_ends_below_its_largest_number);
    tcase_add_test(tcase, a_file_is_not_copied_into_a_counter);
    suite_add_tcase(suite, tcase);
    return suite;
}
