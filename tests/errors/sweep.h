/* SPDX-License-Identifier: Apache-2.0 */
/* Have each call of the host that a call of the library makes fail, one after the other. */
#ifndef VMK_TEST_ERRORS_SWEEP_H
#define VMK_TEST_ERRORS_SWEEP_H

#include "../api/assert.h"
#include "faults.h"

/* A call of the library, which undoes by itself what it made. */
typedef int (*sweep_act)(vmkit_error **ret_error);

/* Each of them fails with `err`, in a call of its own: that gives `expected`, at least once, or 0
 * where the library makes do. */
void
sweep(const char *name, sweep_act act, enum fault_call call, int err, int expected);

/* The same, with `prepare` before each of them, when nothing fails. */
void
sweep_prepared(const char *name, void (*prepare)(void), sweep_act act, enum fault_call call,
               int err, int expected);

/* The same as the first; what KVM or the host cannot do may be EIO as well. */
void
sweep_loosely(const char *name, sweep_act act, enum fault_call call, int err, int expected);

#endif
