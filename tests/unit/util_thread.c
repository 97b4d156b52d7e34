/* SPDX-License-Identifier: Apache-2.0 */
/* vmk_thread_get_id(): threads are told apart, also where their other numbers are used again. */
#include "harness.h"
#include "util/thread.h"

#include <pthread.h>
#include <string.h>

static void *
get_twice(void *user_data)
{
    uint64_t *ids = user_data;
    ids[0] = vmk_thread_get_id();
    ids[1] = vmk_thread_get_id();
    return NULL;
}

START_TEST(a_thread_keeps_its_number_and_nobody_else_has_it)
{
    uint64_t seen[64][2];
    pthread_t threads[2];
    get_twice(seen[0]);
    for (size_t i = 1; i < 63; i += 2) {
        for (size_t j = 0; j < 2; j++)
            ck_assert_int_eq(pthread_create(&threads[j], NULL, get_twice, seen[i + j]), 0);
        for (size_t j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
    }
    for (size_t i = 0; i < 63; i++) {
        ck_assert_uint_ne(seen[i][0], 0);
        ck_assert_uint_eq(seen[i][0], seen[i][1]);
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(seen[i][0], seen[j][0]);
    }
    ck_assert_uint_eq(vmk_thread_get_id(), seen[0][0]);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("util_thread");
    TCase *tests = tcase_create("thread");
    tcase_add_test(tests, a_thread_keeps_its_number_and_nobody_else_has_it);
    suite_add_tcase(suite, tests);
    return suite;
}
