/* SPDX-License-Identifier: Apache-2.0 */
/* A system call that fails from here on, in this process and its children, as under the filter of a
 * container. */
#ifndef VMK_TEST_FORBID_H
#define VMK_TEST_FORBID_H

/* Have the call with this number fail with `err`. */
void
forbid_call(long number, int err);

#endif
