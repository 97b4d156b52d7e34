/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep.h"

#include "harness.h"

#include <errno.h>
#include <stdbool.h>

/* More than any call makes; those behind the first are looked at here and there; where that takes
 * long, the first are half as many. */
#define CALLS_EACH 64
#define CALLS_MAX 100000

static void
sweep_all(const char *name, void (*prepare)(void), sweep_act act, enum fault_call call, int err,
          int expected, int other)
{
    unsigned hits = 0, number = 1, each = CALLS_EACH / harness_get_step(2);
    for (bool reached = true; reached; number += number < each ? 1 : number / 8) {
        vmkit_error *error = NULL;
        ck_assert_uint_lt(number, CALLS_MAX);
        if (prepare != NULL)
            prepare();
        fault_begin(call, number, err);
        int result = act(&error);
        reached = fault_end() >= number;
        ck_assert_msg(result == 0 || (reached && (result == -expected || result == -other)),
                      "%s: call %u of kind %d: %d, %s", name, number, call, result,
                      vmkit_error_get_message(error));
        hits += result == -expected;
        vmkit_error_unref(error);
    }
    ck_assert_msg(hits > 0, "%s: errno %d of kind %d comes from none of %u calls", name, expected,
                  call, number - 1);
}

void
sweep(const char *name, sweep_act act, enum fault_call call, int err, int expected)
{
    sweep_all(name, NULL, act, call, err, expected, expected);
}

void
sweep_prepared(const char *name, void (*prepare)(void), sweep_act act, enum fault_call call,
               int err, int expected)
{
    sweep_all(name, prepare, act, call, err, expected, EIO);
}

void
sweep_loosely(const char *name, sweep_act act, enum fault_call call, int err, int expected)
{
    sweep_all(name, NULL, act, call, err, expected, EIO);
}
