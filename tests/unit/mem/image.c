/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that stands still, and memory that begins as a copy of it. */
#include "harness.h"
#include "mem/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((uint64_t)VMK_IMAGE_PAGE)
#define PAGES 512
#define SIZE (PAGES * PAGE)

static struct vmkit_memory *memory;
static uint8_t *bytes;

static void
set_up(void)
{
    ck_assert_int_eq(vmk_memory_new_anonymous(SIZE, 0, &memory, NULL), 0);
    bytes = vmk_memory_get_pointer(memory);
}

static void
tear_down(void)
{
    vmk_memory_unref(memory);
}

/* The whole memory at `address`, on top of `base`. */
static struct vmk_image *
take(struct vmk_image *base, uint64_t address)
{
    struct vmk_image_builder *builder;
    struct vmk_image *image;
    ck_assert_int_eq(vmk_image_builder_new(base, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add(builder, address, memory, 0, SIZE, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    return image;
}

static void
assert_holds(const struct vmk_image *image, uint64_t address, const uint8_t *expected)
{
    uint8_t *buffer = malloc(SIZE);
    ck_assert_int_eq(vmk_image_read(image, address, buffer, SIZE), 0);
    ck_assert_mem_eq(buffer, expected, SIZE);
    free(buffer);
}

static uint64_t
count_changed(const struct vmk_image *image, const struct vmk_image *other)
{
    struct vmk_image_run run;
    uint64_t count = 0, at = 0;
    while (vmk_image_find_changed(image, other, at, VMK_IMAGE_LIMIT, &run)) {
        count += run.size / PAGE;
        at = run.address + run.size;
    }
    return count;
}

START_TEST(an_image_keeps_what_the_memory_held)
{
    uint8_t *former = calloc(1, SIZE);
    bytes[3 * PAGE] = 1;
    bytes[200 * PAGE + 5] = 2;
    bytes[SIZE - 1] = 3;
    memcpy(former, bytes, SIZE);
    struct vmk_image *image = take(NULL, 0x40000000);
    memset(bytes, 0xee, SIZE);
    assert_holds(image, 0x40000000, former);
    ck_assert_uint_eq(vmk_image_get_data_size(image), 3 * PAGE);
    free(former);
    vmk_image_unref(image);
}
END_TEST

START_TEST(pages_near_to_each_other_are_one_run)
{
    struct vmk_image_run run;
    bytes[3 * PAGE] = bytes[5 * PAGE] = bytes[100 * PAGE] = 1;
    struct vmk_image *image = take(NULL, 0);
    vmk_image_find(image, 0, &run);
    ck_assert_ptr_null(run.store);
    ck_assert_uint_eq(run.size, 3 * PAGE);
    vmk_image_find(image, 4 * PAGE, &run);
    ck_assert_ptr_nonnull(run.store);
    ck_assert_uint_eq(run.size, 2 * PAGE);
    vmk_image_find(image, 6 * PAGE, &run);
    ck_assert_ptr_null(run.store);
    ck_assert_uint_eq(run.size, 94 * PAGE);
    vmk_image_find(image, 101 * PAGE, &run);
    ck_assert_ptr_null(run.store);
    ck_assert_uint_eq(run.size, VMK_IMAGE_LIMIT - 101 * PAGE);
    vmk_image_unref(image);
}
END_TEST

START_TEST(copies_do_not_see_each_others_writes)
{
    struct vmkit_memory *one, *other;
    memset(bytes, 7, SIZE);
    struct vmk_image *image = take(NULL, 0);
    ck_assert_int_eq(vmk_memory_new_copy(image, 0, SIZE, &one, NULL), 0);
    ck_assert_int_eq(vmk_memory_new_copy(image, 0, SIZE, &other, NULL), 0);
    ((uint8_t *)vmk_memory_get_pointer(one))[PAGE] = 8;
    ck_assert_uint_eq(((uint8_t *)vmk_memory_get_pointer(other))[PAGE], 7);
    ck_assert_uint_eq(((uint8_t *)vmk_memory_get_pointer(one))[PAGE], 8);
    assert_holds(image, 0, bytes);
    /* They outlive it. */
    vmk_image_unref(image);
    ck_assert_uint_eq(((uint8_t *)vmk_memory_get_pointer(other))[2 * PAGE], 7);
    vmk_memory_unref(one);
    vmk_memory_unref(other);
}
END_TEST

START_TEST(a_copy_may_begin_anywhere_and_is_zero_between_the_runs)
{
    struct vmkit_memory *copy;
    bytes[100 * PAGE] = 1;
    bytes[300 * PAGE] = 3;
    struct vmk_image *image = take(NULL, 0x100000);
    ck_assert_int_eq(vmk_memory_new_copy(image, 0x100000 + 100 * PAGE, 150 * PAGE, &copy, NULL), 0);
    const uint8_t *there = vmk_memory_get_pointer(copy);
    ck_assert_mem_eq(there, bytes + 100 * PAGE, 150 * PAGE);
    vmk_memory_unref(copy);
    /* Nothing of the image at all. */
    ck_assert_int_eq(vmk_memory_new_copy(NULL, 0, PAGE, &copy, NULL), 0);
    ck_assert_uint_eq(((uint8_t *)vmk_memory_get_pointer(copy))[0], 0);
    vmk_memory_unref(copy);
    vmk_image_unref(image);
}
END_TEST

START_TEST(on_top_of_another_only_what_changed_is_stored)
{
    memset(bytes, 7, SIZE);
    struct vmk_image *base = take(NULL, 0);
    bytes[10 * PAGE] = 8;
    bytes[11 * PAGE] = 9;
    memset(bytes + 400 * PAGE, 0, PAGE); /* a page that is zero now */
    bytes[20 * PAGE] = 7;                /* written, and the same */
    struct vmk_image *image = take(base, 0);
    ck_assert_uint_eq(count_changed(image, base), 3);
    ck_assert_uint_eq(count_changed(image, image), 0);
    ck_assert_uint_eq(count_changed(image, NULL), PAGES - 1);
    vmk_image_unref(base);
    /* The former one's pages stay as long as they are needed. */
    assert_holds(image, 0, bytes);
    vmk_image_unref(image);
}
END_TEST

START_TEST(what_is_taken_over_from_the_base_is_not_read)
{
    struct vmk_image_builder *builder;
    struct vmk_image *image;
    memset(bytes, 7, SIZE);
    struct vmk_image *base = take(NULL, 0);
    uint8_t *former = malloc(SIZE);
    memcpy(former, bytes, SIZE);
    memset(bytes, 9, SIZE);
    ck_assert_int_eq(vmk_image_builder_new(base, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add_base(builder, 0, 5 * PAGE, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add(builder, 5 * PAGE, memory, 5 * PAGE, PAGE, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add_base(builder, 6 * PAGE, SIZE - 6 * PAGE, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    memset(former + 5 * PAGE, 9, PAGE);
    assert_holds(image, 0, former);
    ck_assert_uint_eq(count_changed(image, base), 1);
    free(former);
    vmk_image_unref(base);
    vmk_image_unref(image);
}
END_TEST

START_TEST(what_is_added_comes_in_order_and_in_whole_pages)
{
    struct vmk_image_builder *builder;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add(builder, 0x10000, memory, 0, PAGE, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add(builder, 0x10000, memory, 0, PAGE, &error), -EINVAL);
    ck_assert_str_eq(
        vmkit_error_get_message(error),
        "a snapshot's memory range [0x10000, +0x1000) is not of whole pages above 0x11000");
    vmkit_error_unref(error);
    ck_assert_int_eq(vmk_image_builder_add_base(builder, 0x20001, PAGE, NULL), -EINVAL);
    ck_assert_int_eq(vmk_image_builder_add_base(builder, VMK_IMAGE_LIMIT, PAGE, NULL), -EINVAL);
    ck_assert_int_eq(vmk_image_builder_add_base(builder, 0x20000, UINT64_MAX - 4095, NULL),
                     -EINVAL);
    vmk_image_builder_free(builder);
}
END_TEST

START_TEST(memory_that_is_not_there_is_an_error)
{
    struct vmk_image_builder *builder;
    struct vmkit_memory *lost;
    vmkit_error *error = NULL;
    int fd = (int)syscall(SYS_memfd_create, "shrinks", 0);
    ck_assert_int_eq(ftruncate(fd, 2 * PAGE), 0);
    ck_assert_int_eq(vmk_memory_new_fd(fd, 0, 2 * PAGE, 0, &lost, NULL), 0);
    ck_assert_int_eq(ftruncate(fd, PAGE), 0);
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add(builder, 0x5000, lost, 0, 2 * PAGE, &error), -EFAULT);
    ck_assert_str_eq(vmkit_error_get_message(error),
                     "the memory behind guest addresses [0x5000, +0x2000) is not accessible");
    vmkit_error_unref(error);
    vmk_image_builder_free(builder);
    vmk_memory_unref(lost);
    close(fd);
}
END_TEST

static void
note_release(void *user_data)
{
    *(int *)user_data += 1;
}

START_TEST(a_store_of_a_file_is_released_with_the_last_image)
{
    struct vmk_image_store *store;
    struct vmk_image_builder *builder;
    struct vmk_image *image, *second;
    int released = 0, fd = (int)syscall(SYS_memfd_create, "file", 0);
    ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
    ck_assert_int_eq(pwrite(fd, "abc", 3, (off_t)PAGE), 3);
    ck_assert_int_eq(vmk_image_store_new(fd, note_release, &released, &store, NULL), 0);
    const struct vmk_image_run run = {0x7000, 2 * PAGE, store, PAGE};
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add_run(builder, &run, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    vmk_image_store_unref(store);

    ck_assert_int_eq(vmk_image_builder_new(image, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add_base(builder, 0x7000, PAGE, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &second, NULL), 0);
    vmk_image_builder_free(builder);
    vmk_image_unref(image);
    ck_assert_int_eq(released, 0);
    char text[4] = {0};
    uint8_t page[VMK_IMAGE_PAGE];
    ck_assert_int_eq(vmk_image_read(second, 0x7000, page, sizeof page), 0);
    memcpy(text, page, 3);
    ck_assert_str_eq(text, "abc");
    vmk_image_unref(second);
    ck_assert_int_eq(released, 1);
    close(fd);
}
END_TEST

/* The same sequence in every run. */
static uint32_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(*seed >> 33);
}

START_TEST(generations_on_top_of_each_other_hold_what_memory_held)
{
    uint64_t seed = 7;
    uint8_t *models[8];
    struct vmk_image *images[8];
    for (int generation = 0; generation < 8; generation++) {
        for (int i = 0; i < 60; i++) {
            uint8_t *page = bytes + next_random(&seed) % PAGES * PAGE;
            if (next_random(&seed) % 3 == 0)
                memset(page, 0, PAGE);
            else
                page[next_random(&seed) % PAGE] = (uint8_t)next_random(&seed);
        }
        models[generation] = malloc(SIZE);
        memcpy(models[generation], bytes, SIZE);
        images[generation] = take(generation == 0 ? NULL : images[generation - 1], 0x200000);
    }
    for (int generation = 0; generation < 8; generation++) {
        struct vmkit_memory *copy;
        assert_holds(images[generation], 0x200000, models[generation]);
        ck_assert_int_eq(vmk_memory_new_copy(images[generation], 0x200000, SIZE, &copy, NULL), 0);
        ck_assert_mem_eq(vmk_memory_get_pointer(copy), models[generation], SIZE);
        vmk_memory_unref(copy);
        vmk_image_unref(images[generation]);
        free(models[generation]);
    }
}
END_TEST

START_TEST(an_image_in_very_many_places_is_copied_with_few_mappings)
{
    struct vmk_image_builder *builder;
    struct vmk_image *image;
    struct vmk_image_store *store;
    struct vmkit_memory *copy;
    const uint64_t count = 70000; /* more than a process may have */
    int fd = (int)syscall(SYS_memfd_create, "file", 0);
    ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
    ck_assert_int_eq(pwrite(fd, "abc", 3, (off_t)PAGE), 3);
    ck_assert_int_eq(vmk_image_store_new(fd, NULL, NULL, &store, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    for (uint64_t i = 0; i < count; i++) {
        const struct vmk_image_run run = {2 * i * PAGE, PAGE, store, PAGE};
        ck_assert_int_eq(vmk_image_builder_add_run(builder, &run, NULL), 0);
    }
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    vmk_image_store_unref(store);
    ck_assert_int_eq(vmk_memory_new_copy(image, 0, 2 * count * PAGE, &copy, NULL), 0);
    const uint8_t *there = vmk_memory_get_pointer(copy);
    ck_assert_mem_eq(there + 2 * (count - 1) * PAGE, "abc", 3);
    ck_assert_uint_eq(there[(2 * count - 1) * PAGE], 0);
    vmk_memory_unref(copy);
    vmk_image_unref(image);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("mem_image");
    TCase *tcase = tcase_create("image");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_image_keeps_what_the_memory_held);
    tcase_add_test(tcase, pages_near_to_each_other_are_one_run);
    tcase_add_test(tcase, copies_do_not_see_each_others_writes);
    tcase_add_test(tcase, a_copy_may_begin_anywhere_and_is_zero_between_the_runs);
    tcase_add_test(tcase, on_top_of_another_only_what_changed_is_stored);
    tcase_add_test(tcase, what_is_taken_over_from_the_base_is_not_read);
    tcase_add_test(tcase, what_is_added_comes_in_order_and_in_whole_pages);
    tcase_add_test(tcase, memory_that_is_not_there_is_an_error);
    tcase_add_test(tcase, a_store_of_a_file_is_released_with_the_last_image);
    tcase_add_test(tcase, generations_on_top_of_each_other_hold_what_memory_held);
    tcase_add_test(tcase, an_image_in_very_many_places_is_copied_with_few_mappings);
    suite_add_tcase(suite, tcase);
    return suite;
}
