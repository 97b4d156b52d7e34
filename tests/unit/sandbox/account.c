/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "sandbox/account.h"

START_TEST(charges_up_to_the_limit_and_no_further)
{
    struct vmk_memory_account account;
    vmk_memory_account_init(&account, 8192);

    ck_assert(vmk_memory_account_try_charge(&account, 4096));
    ck_assert(!vmk_memory_account_try_charge(&account, 4097));
    ck_assert_uint_eq(account.used, 4096);
    ck_assert(vmk_memory_account_try_charge(&account, 4096));
    ck_assert(!vmk_memory_account_try_charge(&account, 1));
    ck_assert(vmk_memory_account_try_charge(&account, 0));
    ck_assert_uint_eq(account.used, 8192);
}
END_TEST

START_TEST(a_charge_that_would_wrap_is_refused)
{
    struct vmk_memory_account account;
    vmk_memory_account_init(&account, UINT64_MAX);

    ck_assert(vmk_memory_account_try_charge(&account, 1));
    ck_assert(!vmk_memory_account_try_charge(&account, UINT64_MAX));
    ck_assert_uint_eq(account.used, 1);
}
END_TEST

START_TEST(the_peak_stays_when_memory_is_given_back)
{
    struct vmk_memory_account account;
    vmk_memory_account_init(&account, 8192);

    ck_assert(vmk_memory_account_try_charge(&account, 8000));
    vmk_memory_account_uncharge(&account, 7000);
    ck_assert_uint_eq(account.used, 1000);
    ck_assert_uint_eq(account.peak, 8000);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_account");
    TCase *tcase = tcase_create("sandbox_account");

    tcase_add_test(tcase, charges_up_to_the_limit_and_no_further);
    tcase_add_test(tcase, a_charge_that_would_wrap_is_refused);
    tcase_add_test(tcase, the_peak_stays_when_memory_is_given_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
