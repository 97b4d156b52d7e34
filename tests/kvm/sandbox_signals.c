/* SPDX-License-Identifier: Apache-2.0 */
/* A program that lives by signals gives in a sandbox what it gives natively. VMKIT_TEST_GUEST names
 * it. */
#include "harness.h"

#include <vmkit/vmkit.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define OUTPUT_ROOM 16384

/* What the guest prints on the host itself, where SIGABRT ends it. */
static void
run_natively(const char *path, char output[OUTPUT_ROOM])
{
    char command[4096];
    snprintf(command, sizeof command, "exec '%s'", path);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    output[fread(output, 1, OUTPUT_ROOM - 1, pipe)] = '\0';
    int status = pclose(pipe);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}

START_TEST(signals_are_those_of_the_host)
{
    char native[OUTPUT_ROOM];
    char served[OUTPUT_ROOM];
    const void *data;
    uint64_t size;
    vmkit_sandbox_config *config = NULL;
    vmkit_sandbox *sandbox = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    const char *path = getenv("VMKIT_TEST_GUEST");
    ck_assert_ptr_nonnull(path);

    run_natively(path, native);
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_program_path(config, path, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, &size, NULL), 0);
    ck_assert_uint_gt(size, 500);
    ck_assert_uint_lt(size, OUTPUT_ROOM);
    memcpy(served, data, size);
    served[size] = '\0';
    ck_assert_str_eq(served, native);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(outcome.signal, SIGABRT);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_signals");
    TCase *tcase = tcase_create("sandbox_signals");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, signals_are_those_of_the_host);
    suite_add_tcase(suite, tcase);
    return suite;
}
