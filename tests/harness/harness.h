/* SPDX-License-Identifier: Apache-2.0 */
/* What a C test gives to the common main(): one suite, made with Check. */
#ifndef VMK_TEST_HARNESS_H
#define VMK_TEST_HARNESS_H

#include <check.h>

/* Defined by the test: a suite with all of its cases. The runner frees it. */
Suite *
make_suite(void);

/* Of many cases that differ in little, every how many are run: all on a machine by itself, one in
 * `step` where Check's times are multiplied, as for sanitizers and in the lab. */
unsigned
harness_get_step(unsigned step);

#endif
