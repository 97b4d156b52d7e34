/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"
#include "harness.h"

#include <errno.h>
#include <string.h>

static int
serve(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    return VMKIT_HANDLED;
}

static void
count(void *user_data)
{
    ++*(int *)user_data;
}

/* Replace *bus by one with a handler more. */
static int
add(struct vmk_bus **bus, enum vmkit_space space, uint64_t start, uint64_t size, void *user_data,
    vmkit_error **error)
{
    struct vmk_bus_handler handler = {serve, user_data == NULL ? NULL : count, user_data};
    struct vmk_bus *old = *bus;
    int result = vmk_bus_new_with(old, space, start, size, &handler, bus, error);
    if (result == 0)
        vmk_bus_unref(old);
    return result;
}

/* The call's last argument is `&error`. */
#define ASSERT_REFUSED(call, err, message)                       \
    do {                                                         \
        vmkit_error *error = NULL;                               \
        ck_assert_int_eq(call, -(err));                          \
        ck_assert_str_eq(vmk_error_get_message(error), message); \
        vmk_error_unref(error);                                  \
    } while (0)

START_TEST(an_access_finds_the_range_that_holds_all_of_it)
{
    struct vmk_bus *bus = NULL;
    int marks[3];
    uint64_t start = 0;
    for (int i = 0; i < 3; i++) {
        struct vmk_bus_handler handler = {serve, NULL, &marks[i]};
        struct vmk_bus *old = bus;
        ck_assert_int_eq(vmk_bus_new_with(old, VMKIT_SPACE_MMIO, 0x3000 - 0x1000u * (uint32_t)i,
                                          0x100, &handler, &bus, NULL),
                         0);
        vmk_bus_unref(old);
    }
    ck_assert_ptr_eq(vmk_bus_find(bus, VMKIT_SPACE_MMIO, 0x2000, 4, &start)->user_data, &marks[1]);
    ck_assert_uint_eq(start, 0x2000);
    ck_assert_ptr_eq(vmk_bus_find(bus, VMKIT_SPACE_MMIO, 0x30ff, 1, &start)->user_data, &marks[0]);
    ck_assert_ptr_eq(vmk_bus_find(bus, VMKIT_SPACE_MMIO, 0x10f8, 8, &start)->user_data, &marks[2]);
    ck_assert_ptr_null(vmk_bus_find(bus, VMKIT_SPACE_MMIO, 0x10fd, 4, &start));
    ck_assert_ptr_null(vmk_bus_find(bus, VMKIT_SPACE_MMIO, 0xfff, 1, &start));
    ck_assert_ptr_null(vmk_bus_find(bus, VMKIT_SPACE_MMIO, 0x2100, 1, &start));
    ck_assert_ptr_null(vmk_bus_find(bus, VMKIT_SPACE_PIO, 0x2000, 1, &start));
    ck_assert_ptr_null(vmk_bus_find(NULL, VMKIT_SPACE_PIO, 0x2000, 1, &start));
    vmk_bus_unref(bus);
}
END_TEST

START_TEST(ranges_that_overlap_are_refused_by_both_names)
{
    struct vmk_bus *bus = NULL;
    ck_assert_int_eq(add(&bus, VMKIT_SPACE_PIO, 0x3f8, 8, NULL, NULL), 0);
    ASSERT_REFUSED(add(&bus, VMKIT_SPACE_PIO, 0x3ff, 1, NULL, &error), EEXIST,
                   "ports [0x3ff, 0x400) overlap those of the handler of [0x3f8, 0x400)");
    ASSERT_REFUSED(add(&bus, VMKIT_SPACE_PIO, 0x3f0, 9, NULL, &error), EEXIST,
                   "ports [0x3f0, 0x3f9) overlap those of the handler of [0x3f8, 0x400)");
    ck_assert_int_eq(add(&bus, VMKIT_SPACE_PIO, 0x3f0, 8, NULL, NULL), 0);
    ck_assert_int_eq(add(&bus, VMKIT_SPACE_PIO, 0x400, 1, NULL, NULL), 0);
    ck_assert_int_eq(add(&bus, VMKIT_SPACE_MMIO, 0x3f8, 8, NULL, NULL), 0);
    vmk_bus_unref(bus);
}
END_TEST

START_TEST(ranges_beyond_the_last_address_are_refused)
{
    struct vmk_bus *bus = NULL;
    ASSERT_REFUSED(add(&bus, VMKIT_SPACE_PIO, 0xffff, 2, NULL, &error), ERANGE,
                   "ports [0xffff, +0x2) go beyond the last one, 0xffff");
    ASSERT_REFUSED(add(&bus, VMKIT_SPACE_MMIO, UINT64_MAX, 1, NULL, &error), ERANGE,
                   "addresses [0xffffffffffffffff, +0x1) go beyond the last one, "
                   "0xfffffffffffffffe");
    ASSERT_REFUSED(add(&bus, VMKIT_SPACE_PIO, 0x80, 0, NULL, &error), EINVAL,
                   "the handler at 0x80 has no ports");
    ASSERT_REFUSED(add(&bus, (enum vmkit_space)7, 0x80, 1, NULL, &error), EINVAL,
                   "address space 7 is not known");
    ck_assert_ptr_null(bus);
    ck_assert_int_eq(add(&bus, VMKIT_SPACE_PIO, 0, 0x10000, NULL, NULL), 0);
    vmk_bus_unref(bus);
}
END_TEST

START_TEST(a_handler_is_released_when_the_last_bus_that_has_it_goes)
{
    struct vmk_bus *bus = NULL;
    struct vmk_bus *held, *without;
    int released = 0;
    uint64_t start;
    ck_assert_int_eq(add(&bus, VMKIT_SPACE_PIO, 0x10, 1, &released, NULL), 0);
    held = vmk_bus_ref(bus);
    ck_assert_int_eq(vmk_bus_new_without(bus, VMKIT_SPACE_PIO, 0x10, &without, NULL), 0);
    vmk_bus_unref(bus);
    ck_assert_ptr_null(vmk_bus_find(without, VMKIT_SPACE_PIO, 0x10, 1, &start));
    ck_assert_ptr_nonnull(vmk_bus_find(held, VMKIT_SPACE_PIO, 0x10, 1, &start));
    ck_assert_int_eq(released, 0);
    vmk_bus_unref(held);
    ck_assert_int_eq(released, 1);
    ASSERT_REFUSED(vmk_bus_new_without(without, VMKIT_SPACE_PIO, 0x10, &bus, &error), ENOENT,
                   "no handler of ports begins at 0x10");
    vmk_bus_unref(without);
    ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(a_thousand_handlers_are_each_found)
{
    struct vmk_bus *bus = NULL;
    uint64_t start;
    /* In an order that is none. */
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert_int_eq(add(&bus, VMKIT_SPACE_MMIO, (i * 7919 % 1000) * 16, 8, NULL, NULL), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_ptr_nonnull(vmk_bus_find(bus, VMKIT_SPACE_MMIO, i * 16 + 4, 4, &start));
        ck_assert_uint_eq(start, i * 16);
        ck_assert_ptr_null(vmk_bus_find(bus, VMKIT_SPACE_MMIO, i * 16 + 8, 1, &start));
    }
    vmk_bus_unref(bus);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("bus");
    TCase *tcase = tcase_create("bus");

    tcase_add_test(tcase, an_access_finds_the_range_that_holds_all_of_it);
    tcase_add_test(tcase, ranges_that_overlap_are_refused_by_both_names);
    tcase_add_test(tcase, ranges_beyond_the_last_address_are_refused);
    tcase_add_test(tcase, a_handler_is_released_when_the_last_bus_that_has_it_goes);
    tcase_add_test(tcase, a_thousand_handlers_are_each_found);
    suite_add_tcase(suite, tcase);
    return suite;
}
