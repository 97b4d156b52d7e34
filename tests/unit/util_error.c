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

START_TEST(an_errno_that_the_call_does_not_document_becomes_EIO)
{
    uint64_t known = VMK_ERRNO(EINVAL) | VMK_ERRNO(EEXIST);
    vmkit_error *error = NULL;

    ck_assert_int_eq(vmk_error_set_known(NULL, EEXIST, known, VMKIT_ERROR_IO, "x"), -EEXIST);
    ck_assert_int_eq(vmk_error_set_known(NULL, EPERM, known, VMKIT_ERROR_IO, "x"), -EIO);
    ck_assert_int_eq(vmk_error_set_known(NULL, ENOTSUP, UINT64_MAX, VMKIT_ERROR_IO, "x"), -EIO);
    ck_assert_int_eq(vmk_error_set_known(NULL, -1, UINT64_MAX, VMKIT_ERROR_IO, "x"), -EIO);
    ck_assert_int_eq(vmk_error_set_known(&error, EPERM, known, VMKIT_ERROR_IO, "%d", 7), -EIO);
    ck_assert_int_eq(vmk_error_get_errno(error), -EIO);
    ck_assert_str_eq(vmk_error_get_message(error), "7: Operation not permitted");
    vmk_error_unref(error);
}
END_TEST

START_TEST(some_errnos_have_a_kind_of_their_own)
{
    static const struct {
        int err;
        enum vmkit_error_kind kind;
    } rows[] = {{ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
                {EMFILE, VMKIT_ERROR_LIMIT},
                {ENFILE, VMKIT_ERROR_LIMIT},
                {EACCES, VMKIT_ERROR_IO}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vmkit_error *error = NULL;
        vmk_error_set_errno(&error, rows[i].err, VMKIT_ERROR_IO, "x");
        ck_assert_int_eq(vmk_error_get_kind(error), rows[i].kind);
        vmk_error_unref(error);
    }
}
END_TEST

START_TEST(a_kept_error_is_handed_over)
{
    vmkit_error *kept = NULL, *error = NULL;

    vmk_error_set(&kept, ENOSPC, VMKIT_ERROR_LIMIT, "kept");
    vmk_error_ref(kept);
    ck_assert_int_eq(vmk_error_hand_over(kept, NULL), -ENOSPC);
    ck_assert_int_eq(vmk_error_hand_over(kept, &error), -ENOSPC);
    ck_assert_ptr_eq(error, kept);
    vmk_error_unref(error);
}
END_TEST

START_TEST(a_message_is_one_line_of_utf8_whatever_is_named)
{
    vmkit_error *error = NULL;

    vmk_error_set_errno(&error, ENOENT, VMKIT_ERROR_IO, "no \"%s\" or \"%.3s\"",
                        "a\nb\x1b[0m\x7f\xff\xc3", "gr\xc3\xbc");
    ck_assert_str_eq(vmk_error_get_message(error),
                     "no \"a?b?[0m???\" or \"gr?\": No such file or directory");
    vmk_error_unref(error);
    vmk_error_set(&error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "%s", "gr\xc3\xbc\xc3\x9f");
    ck_assert_str_eq(vmk_error_get_message(error), "gr\xc3\xbc\xc3\x9f");
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
    tcase_add_test(tcase, an_errno_that_the_call_does_not_document_becomes_EIO);
    tcase_add_test(tcase, some_errnos_have_a_kind_of_their_own);
    tcase_add_test(tcase, a_kept_error_is_handed_over);
    tcase_add_test(tcase, a_message_is_one_line_of_utf8_whatever_is_named);
    tcase_add_test(tcase, a_long_message_is_kept_whole);
    tcase_add_test(tcase, an_error_lives_until_its_last_reference);
    suite_add_tcase(suite, tcase);
    return suite;
}
