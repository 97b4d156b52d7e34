/* SPDX-License-Identifier: Apache-2.0 */
/* What the functions of vmkit/call.h refuse without a sandbox, and that the records are as a
 * binding lays them out. No KVM is needed. */
#include "harness.h"

#include <vmkit/call.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

static void
check_sentence(vmkit_error *error, const char *word)
{
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(vmkit_error_get_errno(error), -EINVAL);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_INVALID_ARGUMENT);
    ck_assert_str_eq(vmkit_error_get_message(error), word);
    vmkit_error_unref(error);
}

START_TEST(a_sandbox_is_needed)
{
    struct vmkit_call call = {.size = sizeof call, .symbol = "f"};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    uint64_t value;
    ck_assert_int_eq(vmkit_sandbox_call(NULL, &call, &outcome, &error), -EINVAL);
    check_sentence(error, "sandbox is NULL");
    struct vmkit_request request = {.size = sizeof request};
    ck_assert_int_eq(vmkit_sandbox_request(NULL, &request, &value, &outcome, &error), -EINVAL);
    check_sentence(error, "sandbox is NULL");
    ck_assert_int_eq(vmkit_sandbox_find_symbol(NULL, "f", &value, &error), -EINVAL);
    check_sentence(error, "sandbox is NULL");
    ck_assert_int_eq(vmkit_sandbox_read_memory(NULL, 0, &value, 8, &error), -EINVAL);
    check_sentence(error, "sandbox is NULL");
    ck_assert_int_eq(vmkit_sandbox_write_memory(NULL, 0, &value, 8, &error), -EINVAL);
    check_sentence(error, "sandbox is NULL");
}
END_TEST

START_TEST(the_records_have_no_holes)
{
    ck_assert_uint_eq(sizeof(struct vmkit_argument), 40);
    ck_assert_uint_eq(offsetof(struct vmkit_argument, integer), 8);
    ck_assert_uint_eq(offsetof(struct vmkit_argument, real), 16);
    ck_assert_uint_eq(offsetof(struct vmkit_argument, data), 24);
    ck_assert_uint_eq(offsetof(struct vmkit_argument, size), 32);
    ck_assert_uint_eq(sizeof(struct vmkit_call), 56);
    ck_assert_uint_eq(offsetof(struct vmkit_call, arguments), 8);
    ck_assert_uint_eq(offsetof(struct vmkit_call, symbol), 16);
    ck_assert_uint_eq(offsetof(struct vmkit_call, address), 24);
    ck_assert_uint_eq(offsetof(struct vmkit_call, result_kind), 32);
    ck_assert_uint_eq(offsetof(struct vmkit_call, cpu_time_limit_ns), 40);
    ck_assert_uint_eq(offsetof(struct vmkit_call, wall_time_limit_ns), 48);
    ck_assert_uint_eq(sizeof(struct vmkit_request), 56);
    ck_assert_uint_eq(offsetof(struct vmkit_request, data), 8);
    ck_assert_uint_eq(offsetof(struct vmkit_request, data_size), 16);
    ck_assert_uint_eq(offsetof(struct vmkit_request, reply), 24);
    ck_assert_uint_eq(offsetof(struct vmkit_request, reply_capacity), 32);
    ck_assert_uint_eq(offsetof(struct vmkit_request, cpu_time_limit_ns), 40);
    ck_assert_uint_eq(offsetof(struct vmkit_request, wall_time_limit_ns), 48);
    ck_assert_uint_eq(offsetof(struct vmkit_sandbox_outcome, result), 40);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("api_call");
    TCase *tests = tcase_create("call");
    tcase_add_test(tests, a_sandbox_is_needed);
    tcase_add_test(tests, the_records_have_no_holes);
    suite_add_tcase(suite, tests);
    return suite;
}
