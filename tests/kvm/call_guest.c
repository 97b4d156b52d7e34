/* SPDX-License-Identifier: Apache-2.0 */
#include "call_guest.h"

#include <check.h>
#include <string.h>

vmkit_sandbox_config *call_config;
vmkit_sandbox *call_sandbox;
struct vmkit_sandbox_outcome call_outcome;

static void
give_up(const char *what, vmkit_error *error)
{
    ck_abort_msg("%s: %s", what, error == NULL ? "?" : vmkit_error_get_message(error));
}

void
call_guest_configure(const struct guest_image *image, const char *how)
{
    call_config = guest_configure(image, (const char *const[]){"call", how, NULL});
    ck_assert_int_eq(
        vmkit_sandbox_config_set_wall_time_limit(call_config, 60000 * MILLISECOND, NULL), 0);
}

void
call_guest_start(void)
{
    vmkit_error *error = NULL;
    memset(&call_outcome, 0, sizeof call_outcome);
    call_outcome.size = sizeof call_outcome;
    if (vmkit_sandbox_new(call_config, &call_sandbox, &error) < 0)
        give_up("new", error);
    call_guest_run(VMKIT_OUTCOME_READY);
}

void
call_guest_set_up(void)
{
    call_guest_configure(&guest_call, "once");
    call_guest_start();
}

void
call_guest_tear_down(void)
{
    vmkit_sandbox_unref(call_sandbox);
    vmkit_sandbox_config_unref(call_config);
    call_sandbox = NULL;
    call_config = NULL;
}

static void
check_kind(const char *what, enum vmkit_outcome_kind kind)
{
    if (call_outcome.kind != kind)
        ck_abort_msg("%s: kind %u, not %u; status %d, signal %d at 0x%llx, limit %u, ip 0x%llx",
                     what, call_outcome.kind, kind, call_outcome.exit_status, call_outcome.signal,
                     (unsigned long long)call_outcome.fault_address, call_outcome.limit,
                     (unsigned long long)call_outcome.instruction_pointer);
}

uint64_t
call_guest_call(const char *symbol, uint32_t result_kind, const struct vmkit_argument *arguments,
                size_t count)
{
    const struct vmkit_call call = {.size = sizeof call,
                                    .symbol = symbol,
                                    .arguments = arguments,
                                    .argument_count = (uint32_t)count,
                                    .result_kind = result_kind};
    call_guest_end(&call, VMKIT_OUTCOME_RETURNED);
    ck_assert_int_eq(call_outcome.exit_status, 0);
    ck_assert_int_eq(call_outcome.signal, 0);
    ck_assert_uint_eq(call_outcome.limit, 0);
    return call_outcome.result;
}

void
call_guest_end(const struct vmkit_call *call, enum vmkit_outcome_kind kind)
{
    vmkit_error *error = NULL;
    if (vmkit_sandbox_call(call_sandbox, call, &call_outcome, &error) < 0)
        give_up(call->symbol != NULL ? call->symbol : "call", error);
    check_kind(call->symbol != NULL ? call->symbol : "call", kind);
}

void
call_guest_refuse(const struct vmkit_call *call, int result, const char *word)
{
    vmkit_error *error = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome, .kind = 77};
    ck_assert_int_eq(vmkit_sandbox_call(call_sandbox, call, &outcome, &error), result);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(vmkit_error_get_errno(error), result);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "\"%s\" lacks \"%s\"",
                  vmkit_error_get_message(error), word);
    ck_assert_uint_eq(outcome.kind, 77);
    vmkit_error_unref(error);
    ck_assert_int_eq(vmkit_sandbox_call(call_sandbox, call, &outcome, NULL), result);
}

void
call_guest_run(enum vmkit_outcome_kind kind)
{
    vmkit_error *error = NULL;
    if (vmkit_sandbox_run(call_sandbox, &call_outcome, &error) < 0)
        give_up("run", error);
    check_kind("run", kind);
}
