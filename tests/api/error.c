/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <vmkit/vmkit.h>

#include <string.h>

START_TEST(no_error_reads_as_success)
{
    ck_assert_int_eq(vmkit_error_get_errno(NULL), 0);
    ck_assert_uint_eq(vmkit_error_get_kind(NULL), 0);
    ck_assert_str_eq(vmkit_error_get_message(NULL), "no error");
    ck_assert_ptr_null(vmkit_error_ref(NULL));
    vmkit_error_unref(NULL);
}
END_TEST

START_TEST(every_kind_has_a_name_of_its_own)
{
    for (uint32_t kind = VMKIT_ERROR_INVALID_ARGUMENT; kind <= VMKIT_ERROR_BAD_SNAPSHOT; kind++) {
        const char *name = vmkit_error_kind_get_name(kind);

        ck_assert_str_ne(name, "unknown");
        ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        for (uint32_t other = VMKIT_ERROR_INVALID_ARGUMENT; other < kind; other++)
            ck_assert_str_ne(name, vmkit_error_kind_get_name(other));
    }
}
END_TEST

START_TEST(a_number_that_is_no_kind_is_unknown)
{
    ck_assert_str_eq(vmkit_error_kind_get_name(0), "unknown");
    ck_assert_str_eq(vmkit_error_kind_get_name(UINT32_MAX), "unknown");
}
END_TEST

START_TEST(the_names_that_bindings_rely_on_do_not_move)
{
    ck_assert_str_eq(vmkit_error_kind_get_name(1), "invalid-argument");
    ck_assert_str_eq(vmkit_error_kind_get_name(3), "kvm-missing");
    ck_assert_str_eq(vmkit_error_kind_get_name(15), "bad-image");
    ck_assert_str_eq(vmkit_error_kind_get_name(17), "cancelled");
    ck_assert_str_eq(vmkit_error_kind_get_name(18), "bad-snapshot");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("error");
    TCase *tcase = tcase_create("error");

    tcase_add_test(tcase, no_error_reads_as_success);
    tcase_add_test(tcase, every_kind_has_a_name_of_its_own);
    tcase_add_test(tcase, a_number_that_is_no_kind_is_unknown);
    tcase_add_test(tcase, the_names_that_bindings_rely_on_do_not_move);
    suite_add_tcase(suite, tcase);
    return suite;
}
