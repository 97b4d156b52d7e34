/* SPDX-License-Identifier: Apache-2.0 */
/* A record that grew in a second release, between the callers and the libraries of both. */
#include "api/record.h"
#include "harness.h"

struct first {
    uint32_t size;
    uint32_t a;
    uint64_t b;
};

struct second {
    uint32_t size;
    uint32_t a;
    uint64_t b;
    uint64_t c;
};

static int
check(const struct second *record, vmkit_error **ret_error)
{
    VMK_API_CHECK_RECORD(record, b);
    return 0;
}

static int
check_size(uint32_t size)
{
    const struct second record = {.size = size};
    return check(&record, NULL);
}

START_TEST(sizes_from_the_first_release_on_are_taken)
{
    ck_assert_int_eq(check_size(0), -EINVAL);
    ck_assert_int_eq(check_size(sizeof(struct first) - 1), -EINVAL);
    ck_assert_int_eq(check_size(sizeof(struct first)), 0);
    ck_assert_int_eq(check_size(sizeof(struct second) - 1), 0);
    ck_assert_int_eq(check_size(sizeof(struct second)), 0);
    ck_assert_int_eq(check_size(sizeof(struct second) + 1), 0);
    ck_assert_int_eq(check_size(VMK_RECORD_MAX), 0);
    ck_assert_int_eq(check_size(VMK_RECORD_MAX + 1), -EINVAL);
    ck_assert_int_eq(check(NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(the_message_names_the_size_and_what_it_can_be)
{
    const struct second record = {.size = 15};
    vmkit_error *error = NULL;
    ck_assert_int_eq(check(&record, &error), -EINVAL);
    ck_assert_str_eq(vmk_error_get_message(error), "record->size is 15, not 16 to 65536: set it to "
                                                   "sizeof *record before the call");
    vmk_error_unref(error);
}
END_TEST

START_TEST(an_older_caller_gets_the_fields_that_it_has)
{
    const struct second full = {.size = sizeof full, .a = 1, .b = 2, .c = 3};
    struct {
        struct first record;
        uint64_t behind;
    } caller = {.record.size = sizeof caller.record, .behind = 0x5a};
    vmk_record_store(&caller.record, caller.record.size, &full, sizeof full);
    ck_assert_uint_eq(caller.record.size, sizeof(struct first));
    ck_assert_uint_eq(caller.record.a, 1);
    ck_assert_uint_eq(caller.record.b, 2);
    ck_assert_uint_eq(caller.behind, 0x5a);
}
END_TEST

START_TEST(a_newer_caller_gets_zero_for_what_the_library_does_not_know)
{
    const struct first full = {.size = sizeof full, .a = 1, .b = 2};
    struct second record = {.size = sizeof record, .c = 3};
    vmk_record_store(&record, record.size, &full, sizeof full);
    ck_assert_uint_eq(record.size, sizeof(struct second));
    ck_assert_uint_eq(record.b, 2);
    ck_assert_uint_eq(record.c, 0);
}
END_TEST

START_TEST(what_an_older_caller_cannot_say_is_zero)
{
    const struct {
        struct first record;
        uint64_t behind;
    } caller = {.record = {.size = sizeof caller.record, .a = 1, .b = 2}, .behind = 0x5a};
    struct second full;
    memset(&full, 0xff, sizeof full);
    vmk_record_load(&full, sizeof full, &caller.record, caller.record.size);
    ck_assert_uint_eq(full.size, sizeof full);
    ck_assert_uint_eq(full.a, 1);
    ck_assert_uint_eq(full.b, 2);
    ck_assert_uint_eq(full.c, 0);
}
END_TEST

START_TEST(what_a_newer_caller_says_beyond_is_not_read)
{
    const struct second record = {.size = sizeof record, .a = 1, .b = 2, .c = 3};
    struct {
        struct first full;
        uint64_t behind;
    } library = {.behind = 0x5a};
    vmk_record_load(&library.full, sizeof library.full, &record, record.size);
    ck_assert_uint_eq(library.full.size, sizeof library.full);
    ck_assert_uint_eq(library.full.b, 2);
    ck_assert_uint_eq(library.behind, 0x5a);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("record");
    TCase *tcase = tcase_create("record");

    tcase_add_test(tcase, sizes_from_the_first_release_on_are_taken);
    tcase_add_test(tcase, the_message_names_the_size_and_what_it_can_be);
    tcase_add_test(tcase, an_older_caller_gets_the_fields_that_it_has);
    tcase_add_test(tcase, a_newer_caller_gets_zero_for_what_the_library_does_not_know);
    tcase_add_test(tcase, what_an_older_caller_cannot_say_is_zero);
    tcase_add_test(tcase, what_a_newer_caller_says_beyond_is_not_read);
    suite_add_tcase(suite, tcase);
    return suite;
}
