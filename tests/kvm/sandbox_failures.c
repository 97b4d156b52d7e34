/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox whose KVM calls fail, each in turn: a clean error, and nothing left behind. */
#include "harness.h"
#include "kvm/system.h"
#include "saboteur.h"
#include "sandbox/sandbox.h"
#include "sandbox_guest.h"
#include "usage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
lowest_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* Open KVM, make a sandbox, run it, free all. True when nothing failed any more. */
static bool
live(const vmkit_sandbox_config *config, int fail_at, int err)
{
    struct saboteur saboteur = {.fail_at = fail_at, .err = err};
    const struct vmk_kvm_ops ops = saboteur_get_ops(&saboteur);
    struct vmk_kvm_system *system = NULL;
    vmkit_sandbox *sandbox = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    int r = vmk_kvm_system_open(&ops, NULL, &system, &error);
    if (r == 0)
        r = vmk_sandbox_new(config, system, &sandbox, &error);
    if (r == 0)
        r = vmk_sandbox_run(sandbox, &outcome, &error);
    if (r < 0) {
        ck_assert_msg(saboteur.failed, "call %d: %s", fail_at, vmkit_error_get_message(error));
        ck_assert_ptr_nonnull(error);
        ck_assert_uint_gt(strlen(vmkit_error_get_message(error)), 10);
        ck_assert_int_eq(vmkit_error_get_errno(error), r);
    } else {
        /* A failure on the way of a signal may cost the program its life, and no more. */
        ck_assert(outcome.kind == VMKIT_OUTCOME_EXITED || outcome.kind == VMKIT_OUTCOME_SIGNALLED ||
                  outcome.kind == VMKIT_OUTCOME_LIMIT);
        if (!saboteur.failed)
            ck_assert_int_eq(outcome.exit_status, 0);
    }
    vmkit_error_unref(error);
    if (sandbox != NULL)
        vmk_sandbox_unref(sandbox);
    vmk_kvm_system_unref(system);
    return !saboteur.failed;
}

/* Each of the first hundred and twenty calls, or of forty where that takes long, then fewer and
 * fewer. */
static void
fail_all(const char *const *arguments, int err)
{
    vmkit_sandbox_config *config = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    vmkit_sandbox_config_set_program_memory(config, guest_probe.data,
                                            (uint64_t)(guest_probe.end - guest_probe.data), NULL);
    vmkit_sandbox_config_set_arguments(config, arguments, NULL);
    ck_assert(live(config, -1, 0));
    ck_assert(live(config, -1, 0));
    int fd = lowest_fd(), tried = 0, each = 120 / (int)harness_get_step(3);
    unsigned long mappings = usage_count_mappings(NULL);
    for (int i = 0; i < 100000 && !live(config, i, err); i += i < each ? 1 : i / 6)
        tried++;
    ck_assert_int_gt(tried, 40);
    ck_assert_int_eq(lowest_fd(), fd);
    /* The C library's own come and go; one of each life would be hundreds. */
    ck_assert_uint_le(usage_count_mappings(NULL), mappings + 20);
    ck_assert(live(config, -1, 0));
    vmkit_sandbox_config_unref(config);
}

START_TEST(a_short_life)
{
    static const int errors[] = {EIO, ENOMEM};
    fail_all((const char *const[]){"probe", "touch", "9000000", NULL}, errors[_i]);
}
END_TEST

START_TEST(a_life_with_handlers)
{
    fail_all((const char *const[]){"probe", "repair", NULL}, EIO);
}
END_TEST

START_TEST(a_life_with_pages_that_change)
{
    fail_all((const char *const[]){"probe", "large", NULL}, EIO);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_failures");
    TCase *tcase = tcase_create("sandbox_failures");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_short_life, 0, 2);
    tcase_add_test(tcase, a_life_with_handlers);
    tcase_add_test(tcase, a_life_with_pages_that_change);
    suite_add_tcase(suite, tcase);
    return suite;
}
