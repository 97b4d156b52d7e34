/* SPDX-License-Identifier: Apache-2.0 */
/* A memfd whose contents are made when they are touched. */
#include "harness.h"
#include "mem/demand.h"
#include "mem/image.h"
#include "util/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE VMK_DEMAND_PAGE
#define PIECE (16 * PAGE)
#define PIECES 8
#define SIZE (PIECES * PIECE - 3 * PAGE) /* The last one is shorter. */

static struct vmk_demand *demand;
static atomic_int made[PIECES], released;
static atomic_int broken_piece;

/* Each page holds its number, from 1 on. */
static int
make(void *user_data, uint64_t offset, uint8_t *to, size_t size, vmkit_error **ret_error)
{
    ck_assert_ptr_eq(user_data, &released);
    ck_assert_uint_eq(offset % PIECE, 0);
    ck_assert_uint_eq(size, offset + PIECE <= SIZE ? PIECE : SIZE % PIECE);
    int piece = (int)(offset / PIECE);
    atomic_fetch_add(&made[piece], 1);
    if (piece == broken_piece)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "piece %d is damaged",
                             piece);
    for (size_t i = 0; i < size; i += PAGE)
        memset(to + i, (int)((offset + i) / PAGE + 1), PAGE);
    return 0;
}

static void
release(void *user_data)
{
    atomic_fetch_add(&released, 1);
}

static const struct vmk_demand_source source = {make, release, &released};

static void
set_up(void)
{
    broken_piece = -1;
    memset(made, 0, sizeof made);
    released = 0;
    ck_assert_int_eq(vmk_demand_new(SIZE, PIECE, &source, &demand, NULL), 0);
}

static void
tear_down(void)
{
    vmk_demand_free(demand);
    ck_assert_int_eq(released, 1);
}

static uint8_t *
map(uint64_t offset, uint64_t size)
{
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, vmk_demand_get_fd(demand),
                       (off_t)offset);
    ck_assert_ptr_ne(at, MAP_FAILED);
    ck_assert_int_eq(vmk_demand_watch(demand, at, size, offset, NULL), 0);
    return at;
}

static void
unmap(uint8_t *at, uint64_t size)
{
    vmk_demand_forget(demand, at, size);
    munmap(at, size);
}

static int
count_made(void)
{
    int count = 0;
    for (int i = 0; i < PIECES; i++)
        count += made[i];
    return count;
}

START_TEST(only_what_is_touched_is_made_and_once)
{
    uint8_t *one = map(0, SIZE), *other = map(2 * PIECE, PIECE);
    ck_assert_int_eq(count_made(), 0);
    ck_assert_int_eq(one[2 * PIECE + 5 * PAGE + 7], 2 * 16 + 5 + 1);
    ck_assert_int_eq(count_made(), 1);
    ck_assert_int_eq(other[0], 2 * 16 + 1);
    ck_assert_int_eq(one[SIZE - 1], SIZE / PAGE);
    ck_assert_int_eq(count_made(), 2);
    ck_assert_int_eq(vmk_demand_check(demand, NULL), 0);
    unmap(one, SIZE);
    unmap(other, PIECE);
}
END_TEST

START_TEST(a_page_that_is_written_first_has_the_rest_of_its_contents)
{
    uint8_t *at = map(0, SIZE), *other = map(0, SIZE);
    at[PAGE + 1] = 0xee;
    ck_assert_int_eq(at[PAGE], 2);
    ck_assert_int_eq(at[PAGE + 1], 0xee);
    ck_assert_int_eq(other[PAGE + 1], 2);
    unmap(at, SIZE);
    unmap(other, SIZE);
}
END_TEST

START_TEST(what_is_read_from_the_descriptor_is_made_before)
{
    uint8_t bytes[2] = {0};
    ck_assert_int_eq(vmk_demand_make(demand, PIECE - 1, 2, NULL), 0);
    ck_assert_int_eq(count_made(), 2);
    ck_assert_int_eq(pread(vmk_demand_get_fd(demand), bytes, 2, PIECE - 1), 2);
    ck_assert_int_eq(bytes[0], 16);
    ck_assert_int_eq(bytes[1], 17);
}
END_TEST

static void *
read_all(void *data)
{
    const volatile uint8_t *at = data;
    for (uint64_t i = 0; i < SIZE; i += PAGE) {
        if (at[i] != (uint8_t)(i / PAGE + 1))
            return data;
    }
    return NULL;
}

START_TEST(many_threads_and_mappings_find_each_piece_made_once)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    uint8_t *maps[THREADS];
    void *wrong;
    for (int i = 0; i < THREADS; i++)
        maps[i] = map(0, SIZE);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all, maps[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
    ck_assert_int_eq(count_made(), PIECES);
    for (int i = 0; i < THREADS; i++)
        unmap(maps[i], SIZE);
}
END_TEST

START_TEST(a_piece_that_cannot_be_made_is_zeros_and_an_error_from_then_on)
{
    vmkit_error *error = NULL;
    uint8_t *at = map(0, SIZE);
    broken_piece = 3;
    ck_assert_int_eq(at[0], 1);
    ck_assert_int_eq(vmk_demand_check(demand, NULL), 0);
    ck_assert_int_eq(at[3 * PIECE], 0);
    ck_assert_int_eq(at[3 * PIECE + PAGE], 0);
    ck_assert_int_eq(made[3], 1);
    ck_assert_int_eq(vmk_demand_check(demand, &error), -EIO);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    ck_assert_str_eq(vmk_error_get_message(error), "piece 3 is damaged");
    vmk_error_unref(error);
    ck_assert_int_eq(at[4 * PIECE], 4 * 16 + 1);
    unmap(at, SIZE);
}
END_TEST

START_TEST(a_child_of_fork_cannot_watch_and_frees_its_copy)
{
    pid_t child = fork();
    if (child == 0) {
        uint8_t *at = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, vmk_demand_get_fd(demand), 0);
        bool refused = vmk_demand_watch(demand, at, SIZE, 0, NULL) == -EIO;
        vmk_demand_free(demand);
        _exit(refused ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    /* The parent's goes on. */
    uint8_t *at = map(0, SIZE);
    ck_assert_int_eq(at[5 * PIECE], 5 * 16 + 1);
    unmap(at, SIZE);
}
END_TEST

/* Of a process that keeps its memory locked, the host fills a mapping as soon as it is made. */
START_TEST(memory_that_the_process_locks_has_its_contents)
{
    struct vmk_image_store *store = NULL;
    struct vmk_image_builder *builder = NULL;
    struct vmk_image *image = NULL;
    struct vmkit_memory *memory = NULL;
    struct vmk_demand *own = NULL;
    ck_assert_int_eq(vmk_demand_new(SIZE, PIECE, &source, &own, NULL), 0);
    ck_assert_int_eq(vmk_image_store_new_demand(own, &store, NULL), 0);
    const struct vmk_image_run run = {.address = 0, .size = SIZE, .store = store, .offset = 0};
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add_run(builder, &run, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    vmk_image_store_unref(store);

    ck_assert_int_eq(mlockall(MCL_FUTURE), 0);
    int result = vmk_memory_new_copy(image, 0, SIZE, &memory, NULL);
    ck_assert_int_eq(munlockall(), 0);
    ck_assert_int_eq(result, 0);
    uint8_t *at = vmk_memory_get_pointer(memory);
    for (size_t page = 0; page < SIZE / PAGE; page++)
        ck_assert_int_eq(at[page * PAGE + 9], (int)page + 1);
    vmk_memory_unref(memory);
    vmk_image_unref(image);
    ck_assert_int_eq(released, 1);
    released = 0;
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("mem_demand");
    TCase *tcase = tcase_create("demand");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_what_is_touched_is_made_and_once);
    tcase_add_test(tcase, a_page_that_is_written_first_has_the_rest_of_its_contents);
    tcase_add_test(tcase, what_is_read_from_the_descriptor_is_made_before);
    tcase_add_test(tcase, many_threads_and_mappings_find_each_piece_made_once);
    tcase_add_test(tcase, a_piece_that_cannot_be_made_is_zeros_and_an_error_from_then_on);
    tcase_add_test(tcase, memory_that_the_process_locks_has_its_contents);
    tcase_add_test(tcase, a_child_of_fork_cannot_watch_and_frees_its_copy);
    suite_add_tcase(suite, tcase);
    return suite;
}
