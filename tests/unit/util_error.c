/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "util/error.h"

#include <errno.h>
#include <string.h>

START_TEST(a_set_error_keeps_its_errno_kind_and_message)
{
    vmkit_error *error = NULL;
    int result = vmk_error_set(&error, EINVAL, VMKIT_ERROR_OVERLAP, "slot %d of %s", 3, "four");

    ck_assert_int_eq(result, -EINVAL);
    ck_assert_int_eq(vmk_error_get_errno(error), -EINVAL);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_OVERLAP);
    ck_assert_str_eq(vmk_error_get_message(error), "slot 3 of four");
    vmk_error_unref(error);
}
END_TEST

START_TEST(without_a_place_for_the_error_only_the_errno_is_returned)
{
    ck_assert_int_eq(vmk_error_set(NULL, EBUSY, VMKIT_ERROR_BUSY, "x"), -EBUSY);
    ck_assert_int_eq(vmk_error_set_errno(NULL, EPIPE, VMKIT_ERROR_IO, "x"), -EIO);
}
END_TEST

START_TEST(a_failed_call_says_the_reason_after_the_message)
{
    vmkit_error *error = NULL;
    int result = vmk_error_set_errno(&error, ENOENT, VMKIT_ERROR_IO, "cannot open %s", "/a");

    ck_assert_int_eq(result, -ENOENT);
    ck_assert_str_eq(vmk_error_get_message(error), "cannot open /a: No such file or directory");
    vmk_error_unref(error);
}
END_TEST

START_TEST(an_errno_outside_of_the_public_list_becomes_EIO)
{
    vmkit_error *error = NULL;

    ck_assert_int_eq(vmk_error_filter(EPIPE), EIO);
    ck_assert_int_eq(vmk_error_filter(0), EIO);
    ck_assert_int_eq(vmk_error_filter(EROFS), EROFS);
    ck_assert_int_eq(vmk_error_set_errno(&error, EPIPE, VMKIT_ERROR_IO, "write"), -EIO);
    ck_assert_int_eq(vmk_error_get_errno(error), -EIO);
    ck_assert_str_eq(vmk_error_get_message(error), "write: Broken pipe");
    vmk_error_unref(error);
}
END_TEST

START_TEST(a_long_message_is_kept_whole)
{
    static char text[5000];
    vmkit_error *error = NULL;

    memset(text, 'a', sizeof text - 1);
    vmk_error_set(&error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "%s!", text);
    ck_assert_uint_eq(strlen(vmk_error_get_message(error)), sizeof text);
    ck_assert_int_eq(vmk_error_get_message(error)[sizeof text - 1], '!');
    vmk_error_unref(error);
}
END_TEST

START_TEST(an_error_lives_until_its_last_reference)
{
    vmkit_error *error = NULL;

    vmk_error_set(&error, EINVAL, VMKIT_ERROR_LIMIT, "kept");
    ck_assert_ptr_eq(vmk_error_ref(error), error);
    vmk_error_unref(error);
    ck_assert_str_eq(vmk_error_get_message(error), "kept");
    vmk_error_unref(error);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("util_error");
    TCase *tcase = tcase_create("util_error");

    tcase_add_test(tcase, a_set_error_keeps_its_errno_kind_and_message);
    tcase_add_test(tcase, without_a_place_for_the_error_only_the_errno_is_returned);
    tcase_add_test(tcase, a_failed_call_says_the_reason_after_the_message);
    tcase_add_test(tcase, an_errno_outside_of_the_public_list_becomes_EIO);
    tcase_add_test(tcase, a_long_message_is_kept_whole);
    tcase_add_test(tcase, an_error_lives_until_its_last_reference);
    suite_add_tcase(suite, tcase);
    return suite;
}
