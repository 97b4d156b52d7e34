/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <vmkit/vmkit.h>

START_TEST(the_library_and_the_headers_have_one_version)
{
    ck_assert_uint_eq(vmkit_get_version(), VMKIT_VERSION);
}
END_TEST

START_TEST(a_version_packs_major_minor_and_patch)
{
    ck_assert_uint_eq(VMKIT_VERSION_ENCODE(1, 2, 3), 0x010203);
    ck_assert_uint_eq(VMKIT_VERSION, ((uint32_t)VMKIT_VERSION_MAJOR << 16) |
                                         (VMKIT_VERSION_MINOR << 8) | VMKIT_VERSION_PATCH);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("version");
    TCase *tcase = tcase_create("version");

    tcase_add_test(tcase, the_library_and_the_headers_have_one_version);
    tcase_add_test(tcase, a_version_packs_major_minor_and_patch);
    suite_add_tcase(suite, tcase);
    return suite;
}
