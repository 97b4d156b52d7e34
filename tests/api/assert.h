/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases of the public API assert. */
#ifndef VMK_TEST_API_ASSERT_H
#define VMK_TEST_API_ASSERT_H

#include "harness.h"

#include <vmkit/vmkit.h>

#include <string.h>

/* Assert that a call, whose last argument is `&error`, succeeds. */
#define ASSERT_OK(expression)                                                         \
    do {                                                                              \
        vmkit_error *error = NULL;                                                    \
        int assert_result = (expression);                                             \
        ck_assert_msg(assert_result == 0, "%s is %d: %s", #expression, assert_result, \
                      vmkit_error_get_message(error));                                \
    } while (0)

/* Assert that it fails with an errno and a kind, and that the message says `part`. */
#define ASSERT_FAILS(expression, err, kind, part)                                         \
    do {                                                                                  \
        vmkit_error *error = NULL;                                                        \
        int assert_result = (expression);                                                 \
        ck_assert_int_eq(assert_result, -(err));                                          \
        ck_assert_ptr_nonnull(error);                                                     \
        ck_assert_int_eq(vmkit_error_get_errno(error), -(err));                           \
        ck_assert_uint_eq(vmkit_error_get_kind(error), (kind));                           \
        ck_assert_msg(strstr(vmkit_error_get_message(error), (part)) != NULL,             \
                      "\"%s\" is not in \"%s\"", (part), vmkit_error_get_message(error)); \
        vmkit_error_unref(error);                                                         \
    } while (0)

#define ASSERT_INVALID(expression, part) \
    ASSERT_FAILS(expression, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, part)

#endif
