/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "mem/regions.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct vmkit_memory *memory;
static struct vmk_regions regions;

static void
setup(void)
{
    ck_assert_int_eq(vmk_memory_new_anonymous(0x10000, 0, &memory, NULL), 0);
    regions = (struct vmk_regions){0};
}

static void
teardown(void)
{
    vmk_regions_clear(&regions);
    vmk_memory_unref(memory);
}

static int
add(uint64_t gpa, uint64_t offset, uint64_t size, vmkit_error **error)
{
    struct vmk_region region = {.gpa = gpa, .size = size, .offset = offset, .memory = memory};
    return vmk_regions_add(&regions, &region, error);
}

/* The call's last argument is `&error`. */
#define ASSERT_REFUSED(call, err, message)                       \
    do {                                                         \
        vmkit_error *error = NULL;                               \
        ck_assert_int_eq(call, -(err));                          \
        ck_assert_str_eq(vmk_error_get_message(error), message); \
        vmk_error_unref(error);                                  \
    } while (0)

START_TEST(an_address_finds_its_region)
{
    ck_assert_int_eq(add(0x8000, 0, 0x2000, NULL), 0);
    ck_assert_int_eq(add(0x1000, 0x4000, 0x1000, NULL), 0);
    ck_assert_ptr_null(vmk_regions_find(&regions, 0xfff));
    ck_assert_uint_eq(vmk_regions_find(&regions, 0x1000)->gpa, 0x1000);
    ck_assert_uint_eq(vmk_regions_find(&regions, 0x1fff)->gpa, 0x1000);
    ck_assert_ptr_null(vmk_regions_find(&regions, 0x2000));
    ck_assert_uint_eq(vmk_regions_find(&regions, 0x9fff)->gpa, 0x8000);
    ck_assert_ptr_null(vmk_regions_find(&regions, 0xa000));
    ck_assert_ptr_eq(vmk_regions_find(&regions, 0x1000)->hva,
                     (uint8_t *)vmk_memory_get_pointer(memory) + 0x4000);
}
END_TEST

START_TEST(an_overlap_is_refused_with_both_ranges)
{
    ck_assert_int_eq(add(0x2000, 0, 0x2000, NULL), 0);
    ASSERT_REFUSED(add(0x1000, 0, 0x2000, &error), EEXIST,
                   "memory region [0x1000, 0x3000) overlaps [0x2000, 0x4000)");
    ASSERT_REFUSED(add(0x3000, 0, 0x1000, &error), EEXIST,
                   "memory region [0x3000, 0x4000) overlaps [0x2000, 0x4000)");
    ck_assert_int_eq(add(0x1000, 0, 0x1000, NULL), 0);
    ck_assert_int_eq(add(0x4000, 0, 0x1000, NULL), 0);
    ck_assert_uint_eq(regions.count, 3);
}
END_TEST

START_TEST(numbers_of_another_form_are_refused)
{
    ASSERT_REFUSED(add(0x1000, 0, 0, &error), EINVAL, "memory region at 0x1000 is empty");
    ASSERT_REFUSED(add(0x1001, 0, 0x1000, &error), EINVAL,
                   "memory region at 0x1001 of 0x1000 bytes from offset 0x0: not all are multiples "
                   "of the page size 4096");
    ASSERT_REFUSED(add(0, 0xf000, 0x2000, &error), ERANGE,
                   "memory range [0xf000, +0x2000) goes beyond the memory's 0x10000 bytes");
    ASSERT_REFUSED(add(0, UINT64_MAX - 0xfff, 0x1000, &error), ERANGE,
                   "memory range [0xfffffffffffff000, +0x1000) goes beyond the memory's 0x10000 "
                   "bytes");
    ASSERT_REFUSED(add(UINT64_MAX - 0xfff, 0, 0x1000, &error), ERANGE,
                   "memory region [0xfffffffffffff000, +0x1000) goes beyond the last guest address "
                   "0xfffffffffffff");
    ASSERT_REFUSED(add(0, 0, UINT64_MAX - 0xfff, &error), ERANGE,
                   "memory region [0x0, +0xfffffffffffff000) goes beyond the last guest address "
                   "0xfffffffffffff");
    ck_assert_uint_eq(regions.count, 0);
}
END_TEST

START_TEST(bytes_are_copied_across_regions_that_touch)
{
    uint8_t bytes[0x2000], back[0x2000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31);
    ck_assert_int_eq(add(0x1000, 0x8000, 0x1000, NULL), 0);
    ck_assert_int_eq(add(0x2000, 0x3000, 0x1000, NULL), 0);
    ck_assert_int_eq(vmk_regions_write(&regions, 0x1800, bytes, 0x1000, NULL), 0);
    ck_assert_int_eq(vmk_regions_read(&regions, 0x1800, back, 0x1000, NULL), 0);
    ck_assert_mem_eq(bytes, back, 0x1000);
    uint8_t *base = vmk_memory_get_pointer(memory);
    ck_assert_mem_eq(base + 0x8800, bytes, 0x800);
    ck_assert_mem_eq(base + 0x3000, bytes + 0x800, 0x800);

    ASSERT_REFUSED(vmk_regions_read(&regions, 0x2800, back, 0x1000, &error), EFAULT,
                   "no memory at guest address 0x3000 of [0x2800, +0x1000)");
    ASSERT_REFUSED(vmk_regions_write(&regions, 0x800, back, 0x1000, &error), EFAULT,
                   "no memory at guest address 0x800 of [0x800, +0x1000)");
    ASSERT_REFUSED(vmk_regions_read(&regions, UINT64_MAX, back, 2, &error), EFAULT,
                   "no memory at guest address 0xffffffffffffffff of [0xffffffffffffffff, +0x2)");
    ck_assert_int_eq(vmk_regions_read(&regions, 0x9000, NULL, 0, NULL), 0);
}
END_TEST

START_TEST(a_pointer_is_given_inside_of_one_region_only)
{
    void *pointer = NULL;
    ck_assert_int_eq(add(0x1000, 0x8000, 0x1000, NULL), 0);
    ck_assert_int_eq(add(0x2000, 0x3000, 0x1000, NULL), 0);
    ck_assert_int_eq(vmk_regions_get_pointer(&regions, 0x1ff0, 0x10, &pointer, NULL), 0);
    ck_assert_ptr_eq(pointer, (uint8_t *)vmk_memory_get_pointer(memory) + 0x8ff0);
    ASSERT_REFUSED(vmk_regions_get_pointer(&regions, 0x1ff0, 0x11, &pointer, &error), EFAULT,
                   "guest addresses [0x1ff0, +0x11) go beyond the memory region [0x1000, 0x2000)");
    ASSERT_REFUSED(vmk_regions_get_pointer(&regions, 0x1ff0, UINT64_MAX, &pointer, &error), EFAULT,
                   "guest addresses [0x1ff0, +0xffffffffffffffff) go beyond the memory region "
                   "[0x1000, 0x2000)");
    ASSERT_REFUSED(vmk_regions_get_pointer(&regions, 0x3000, 1, &pointer, &error), EFAULT,
                   "no memory at guest address 0x3000 of [0x3000, +0x1)");
}
END_TEST

START_TEST(a_removed_region_is_gone_and_its_place_is_free)
{
    ck_assert_int_eq(add(0x1000, 0, 0x1000, NULL), 0);
    ck_assert_int_eq(add(0x2000, 0, 0x1000, NULL), 0);
    ck_assert_int_eq(add(0x3000, 0, 0x1000, NULL), 0);
    vmk_regions_remove(&regions, 0x2000);
    vmk_regions_remove(&regions, 0x2800);
    ck_assert_uint_eq(regions.count, 2);
    ck_assert_ptr_null(vmk_regions_find(&regions, 0x2000));
    ck_assert_uint_eq(vmk_regions_find(&regions, 0x3000)->gpa, 0x3000);
    ck_assert_int_eq(add(0x2000, 0x1000, 0x1000, NULL), 0);
}
END_TEST

START_TEST(memory_without_the_right_to_write_needs_a_read_only_region)
{
    struct vmkit_memory *rom = NULL;
    int fd = memfd_create("rom", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 0x1000), 0);
    ck_assert_int_eq(pwrite(fd, "rom", 3, 0), 3);
    ck_assert_int_eq(vmk_memory_new_fd(fd, 0, 0x1000, VMKIT_MEMORY_READ_ONLY, &rom, NULL), 0);
    struct vmk_region region = {.gpa = 0x5000, .size = 0x1000, .memory = rom};
    ASSERT_REFUSED(vmk_regions_add(&regions, &region, &error), EINVAL,
                   "memory that is mapped for reading only needs a read-only region");
    region.read_only = true;
    ck_assert_int_eq(vmk_regions_add(&regions, &region, NULL), 0);
    ASSERT_REFUSED(vmk_regions_write(&regions, 0x5000, "x", 1, &error), EROFS,
                   "the memory at guest address 0x5000 is mapped for reading only");
    char text[4] = {0};
    ck_assert_int_eq(vmk_regions_read(&regions, 0x5000, text, 3, NULL), 0);
    ck_assert_str_eq(text, "rom");
    vmk_memory_unref(rom);
    close(fd);
}
END_TEST

START_TEST(what_is_written_is_noted_by_page)
{
    ck_assert_int_eq(add(0x1000, 0, 0x4000, NULL), 0);
    ck_assert_int_eq(add(0x8000, 0x4000, 0x2000, NULL), 0);
    ck_assert_int_eq(add(0xa000, 0x6000, 0x2000, NULL), 0);
    ck_assert_int_eq(vmk_region_track(&regions.entries[0], NULL), 0);
    ck_assert_int_eq(vmk_region_track(&regions.entries[1], NULL), 0);
    vmk_regions_note_write(&regions, 0x1fff, 1);
    ck_assert_uint_eq(regions.entries[0].written[0], 1);
    vmk_regions_note_write(&regions, 0x1fff, 2);
    ck_assert_uint_eq(regions.entries[0].written[0], 3);
    vmk_regions_note_write(&regions, 0x2000, 0);
    /* Over holes, over what is not noted, and from before the first one. */
    vmk_regions_note_write(&regions, 0x4fff, 0x10000);
    ck_assert_uint_eq(regions.entries[0].written[0], 0xb);
    ck_assert_uint_eq(regions.entries[1].written[0], 3);
    ck_assert_ptr_null(regions.entries[2].written);
    ck_assert_int_eq(vmk_region_track(&regions.entries[1], NULL), 0);
    ck_assert_uint_eq(regions.entries[1].written[0], 0);
    vmk_regions_note_write(&regions, 0, 0x9000);
    ck_assert_uint_eq(regions.entries[1].written[0], 1);
    vmk_regions_note_write(&regions, 0xf000, 0x1000);
    ck_assert_uint_eq(regions.entries[1].written[0], 1);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("regions");
    TCase *tcase = tcase_create("regions");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_address_finds_its_region);
    tcase_add_test(tcase, an_overlap_is_refused_with_both_ranges);
    tcase_add_test(tcase, numbers_of_another_form_are_refused);
    tcase_add_test(tcase, bytes_are_copied_across_regions_that_touch);
    tcase_add_test(tcase, a_pointer_is_given_inside_of_one_region_only);
    tcase_add_test(tcase, a_removed_region_is_gone_and_its_place_is_free);
    tcase_add_test(tcase, memory_without_the_right_to_write_needs_a_read_only_region);
    tcase_add_test(tcase, what_is_written_is_noted_by_page);
    suite_add_tcase(suite, tcase);
    return suite;
}
