/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test sees of the library's errors. Each call of a test that takes `ret_error` is led here
 * by a header that observe.py writes, and held to what doc/errors.md promises of every call. With
 * VMKIT_TEST_OBSERVED set, the process appends a line "FUNCTION ERRNO PLACE" to the file of that
 * name for each errno that a function gave, when it ends.
 */
#ifndef VMK_TEST_OBSERVE_H
#define VMK_TEST_OBSERVE_H

#include <vmkit/error.h>

/* A call from `place` that returned `result`. `before` is what *ret_error held. Ends the process
 * with a message when the error is not as promised. */
void
observe(const char *function, const char *place, int result, const vmkit_error *before,
        vmkit_error **ret_error);

#endif
