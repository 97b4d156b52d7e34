/* SPDX-License-Identifier: Apache-2.0 */
/* One allocation after the other fails, from the configuration of a sandbox to its end. */
#include "allocator.h"
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All calls up to the first that fails. */
static int
go(vmkit_sandbox_config **config, vmkit_sandbox **sandbox, vmkit_error **error)
{
    static const char *const arguments[] = {"probe", "exit", NULL};
    static const char *const environment[] = {"A=b", NULL};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    size_t size = (size_t)(guest_probe.end - guest_probe.data);
    int r = vmkit_sandbox_config_new(config, error);
    if (r == 0)
        r = vmkit_sandbox_config_set_program_memory(*config, guest_probe.data, size, error);
    if (r == 0)
        r = vmkit_sandbox_config_set_arguments(*config, arguments, error);
    if (r == 0)
        r = vmkit_sandbox_config_set_environment(*config, environment, error);
    if (r == 0)
        r = vmkit_sandbox_config_set_working_directory(*config, "/tmp", error);
    if (r == 0)
        r = vmkit_sandbox_config_set_input(*config, "input", 5, error);
    if (r == 0)
        r = vmkit_sandbox_config_add_folder(*config, "/usr", "/a/folder", 0, error);
    if (r == 0)
        r = vmkit_sandbox_new(*config, sandbox, error);
    if (r == 0)
        r = vmkit_sandbox_run(*sandbox, &outcome, error);
    return r;
}

static int
lowest_free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

/* Whether the allocation of that number was reached. */
static bool
go_without(unsigned number)
{
    vmkit_sandbox_config *config = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    allocator_fail(number);
    int result = go(&config, &sandbox, &error);
    bool reached = allocator_count() >= number;
    allocator_fail(0);

    ck_assert_msg(result == 0 || result == -ENOMEM || result == -E2BIG, "allocation %u: %d, %s",
                  number, result, vmkit_error_get_message(error));
    ck_assert_int_eq(vmkit_error_get_errno(error), result);
    vmkit_error_unref(error);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    return reached;
}

START_TEST(each_allocation_of_a_sandbox_may_fail)
{
    /* The first run reads, once for the process, what KVM can do. */
    go_without(0);
    int first = lowest_free_descriptor();
    unsigned number = 1;
    while (go_without(number)) {
        ck_assert_msg(lowest_free_descriptor() == first, "allocation %u: descriptor %d, not %d",
                      number, lowest_free_descriptor(), first);
        number++;
    }
    ck_assert_uint_gt(number, 40);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("allocations");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, each_allocation_of_a_sandbox_may_fail);
    suite_add_tcase(suite, tcase);
    return suite;
}
