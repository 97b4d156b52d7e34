/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fork whose KVM calls fail, each in turn, while it is made, runs and is reset: a clean error,
 * and nothing left behind; and what was made can be reset when KVM works again.
 */
#include "harness.h"
#include "kvm/ops.h"
#include "kvm/system.h"
#include "snapshot_guest.h"
#include "usage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct saboteur {
    int calls;
    int fail_at; /* -1: never */
    int err;
    bool failed;
};

static bool
sabotage(struct saboteur *saboteur)
{
    bool fail = saboteur->calls++ == saboteur->fail_at;
    saboteur->failed = saboteur->failed || fail;
    return fail;
}

static int
sabotaged_ioctl(void *context, int fd, unsigned long request, uintptr_t argument)
{
    struct saboteur *saboteur = context;
    if (sabotage(saboteur))
        return -saboteur->err;
    return vmk_kvm_default_ops.ioctl(NULL, fd, request, argument);
}

static int
sabotaged_map(void *context, int fd, size_t size, void **ret_address)
{
    struct saboteur *saboteur = context;
    if (sabotage(saboteur))
        return -saboteur->err;
    return vmk_kvm_default_ops.map(NULL, fd, size, ret_address);
}

static int
plain_open(void *context, const char *path)
{
    return vmk_kvm_default_ops.open(NULL, path);
}

static void
plain_unmap(void *context, void *address, size_t size)
{
    vmk_kvm_default_ops.unmap(NULL, address, size);
}

static void
plain_close(void *context, int fd)
{
    vmk_kvm_default_ops.close(NULL, fd);
}

static int
lowest_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static int
run(vmkit_sandbox *sandbox, const char *command, uint64_t argument, vmkit_error **ret_error)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    snapshot_guest_tell(sandbox, command, argument);
    return vmk_sandbox_run(sandbox, &outcome, ret_error);
}

/* What is done with a fork, step by step, until one fails. */
static int
use(vmkit_sandbox *sandbox, const char *command, vmkit_error **ret_error)
{
    int r = 0;
    for (int i = 0; i < 2 && r == 0; i++) {
        r = run(sandbox, command, 1, ret_error);
        if (r == 0)
            r = vmk_sandbox_reset(sandbox, ret_error);
    }
    return r;
}

static void
check_error(int r, vmkit_error *error, int fail_at)
{
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strlen(vmkit_error_get_message(error)) > 10, "call %d: %s", fail_at,
                  vmkit_error_get_message(error));
    ck_assert_int_eq(vmkit_error_get_errno(error), r);
}

/* It takes no more than a KVM that works. */
static void
recover(vmkit_sandbox *sandbox, vmkit_sandbox *pristine)
{
    snapshot_guest_reset(sandbox);
    snapshot_guest_compare(sandbox, pristine);
    ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
}

/* True when nothing failed any more. */
static bool
live(vmkit_snapshot *snapshot, vmkit_sandbox *pristine, const char *command, int fail_at, int err)
{
    struct saboteur saboteur = {.fail_at = -1, .err = err};
    const struct vmk_kvm_ops ops = {.open = plain_open,
                                    .ioctl = sabotaged_ioctl,
                                    .map = sabotaged_map,
                                    .unmap = plain_unmap,
                                    .close = plain_close,
                                    .context = &saboteur};
    struct vmk_kvm_system *system = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_kvm_system_open(&ops, NULL, &system, NULL), 0);
    saboteur.calls = 0;
    saboteur.fail_at = fail_at;
    int r = vmk_snapshot_fork(snapshot, NULL, system, &sandbox, &error);
    if (r == 0)
        r = use(sandbox, command, &error);
    if (r < 0)
        check_error(r, error, fail_at);
    ck_assert_msg(r == 0 || saboteur.failed, "call %d: %s", fail_at,
                  vmkit_error_get_message(error));
    saboteur.fail_at = -1;
    if (sandbox != NULL)
        recover(sandbox, pristine);
    vmkit_sandbox_unref(sandbox);
    vmkit_error_unref(error);
    vmk_kvm_system_unref(system);
    return !saboteur.failed;
}

static void
fail_all(const char *command, int err)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_sandbox *pristine = snapshot_guest_fork(snapshot, NULL);
    ck_assert(live(snapshot, pristine, command, -1, 0));
    ck_assert(live(snapshot, pristine, command, -1, 0));
    int fd = lowest_fd(), tried = 0, each = 60 / (int)harness_get_step(3);
    unsigned long mappings = usage_count_mappings(NULL);
    for (int i = 0; i < 10000 && !live(snapshot, pristine, command, i, err);
         i += i < each ? 1 : i / 6)
        tried++;
    ck_assert_int_gt(tried, 15);
    ck_assert_int_eq(lowest_fd(), fd);
    ck_assert_uint_le(usage_count_mappings(NULL), mappings + 20);
    vmkit_sandbox_unref(pristine);
    vmkit_snapshot_unref(snapshot);
}

START_TEST(a_life_of_a_fork)
{
    static const int errors[] = {EIO, ENOMEM, EINVAL};
    fail_all("touch", errors[_i]);
}
END_TEST

START_TEST(a_life_that_ends)
{
    static const char *const commands[] = {"soil-end", "exit", "ports", "split"};
    fail_all(commands[_i], EIO);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_failures");
    TCase *tcase = tcase_create("snapshot_failures");

    tcase_set_timeout(tcase, 250);
    tcase_add_loop_test(tcase, a_life_of_a_fork, 0, 3);
    tcase_add_loop_test(tcase, a_life_that_ends, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite;
}
