/* SPDX-License-Identifier: Apache-2.0 */
/* What making and running a sandbox say on a host that fails. */
#include "../api/assert.h"
#include "../kvm/sandbox_guest.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static vmkit_sandbox_config *config;
static vmkit_sandbox *sandbox;

static void
set_up(void)
{
    config = guest_configure(&guest_probe, (const char *const[]){"probe", "exit", "0", NULL});
    sandbox = NULL;
}

static void
tear_down(void)
{
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}

static int
make(vmkit_error **ret_error)
{
    vmkit_sandbox_unref(sandbox);
    sandbox = NULL;
    return vmkit_sandbox_new(config, &sandbox, ret_error);
}

static int
run(vmkit_error **ret_error)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    return vmkit_sandbox_run(sandbox, &outcome, ret_error);
}

static const struct {
    int err;
    int expected;
    uint32_t kind;
} kvm_errors[] = {
    {EIO, EIO, VMKIT_ERROR_KVM_FAILED},
    {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
    /* None that KVM tells of itself. */
    {EPERM, EIO, VMKIT_ERROR_KVM_FAILED},
};

#define KVM_ERRORS ((int)(sizeof kvm_errors / sizeof kvm_errors[0]))

/* Whether `act` made a call of that number, which failed. */
static bool
fail_call(int (*act)(vmkit_error **ret_error), enum fault_call call, unsigned number, int err,
          int expected, uint32_t kind)
{
    vmkit_error *error = NULL;
    fault_begin(call, number, err);
    int result = act(&error);
    bool reached = fault_end() >= number;
    ck_assert_msg(result == (reached ? -expected : 0), "call %u: %d, %s", number, result,
                  vmkit_error_get_message(error));
    if (reached)
        ck_assert_msg(vmkit_error_get_kind(error) == kind, "call %u: kind %s, %s", number,
                      vmkit_error_kind_get_name(vmkit_error_get_kind(error)),
                      vmkit_error_get_message(error));
    vmkit_error_unref(error);
    return reached;
}

START_TEST(each_call_of_kvm_that_a_new_sandbox_makes_may_fail)
{
    unsigned number = 1;
    while (fail_call(make, FAULT_IOCTL, number, kvm_errors[_i].err, kvm_errors[_i].expected,
                     kvm_errors[_i].kind))
        number++;
    /* What KVM can do is asked for first. */
    ck_assert_uint_gt(number, 10);
}
END_TEST

START_TEST(each_allocation_of_a_new_sandbox_may_fail)
{
    /* The configuration's image of the program is made, and stays. */
    ASSERT_OK(make(&error));
    unsigned number = 1;
    while (fail_call(make, FAULT_ALLOCATE, number, ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY))
        number++;
    ck_assert_uint_gt(number, 30);
}
END_TEST

START_TEST(each_mapping_of_a_new_sandbox_may_fail)
{
    ASSERT_OK(make(&error));
    unsigned number = 1;
    while (fail_call(make, FAULT_MAP, number, ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY))
        number++;
    ck_assert_uint_gt(number, 3);
}
END_TEST

START_TEST(a_kvm_that_is_missing_or_forbidden_is_said)
{
    static const struct {
        int err;
        int expected;
        uint32_t kind;
        const char *part;
    } rows[] = {
        {ENOENT, ENODEV, VMKIT_ERROR_KVM_MISSING, "/dev/kvm is not there"},
        {ENXIO, ENODEV, VMKIT_ERROR_KVM_MISSING, "/dev/kvm is not there"},
        {ENODEV, ENODEV, VMKIT_ERROR_KVM_MISSING, "/dev/kvm is not there"},
        {EACCES, EACCES, VMKIT_ERROR_KVM_PERMISSION, "/dev/kvm may not be opened"},
        {EPERM, EACCES, VMKIT_ERROR_KVM_PERMISSION, "/dev/kvm may not be opened"},
        {EMFILE, EMFILE, VMKIT_ERROR_LIMIT, "opening /dev/kvm: Too many open files"},
        {ENFILE, ENFILE, VMKIT_ERROR_LIMIT, "opening /dev/kvm: Too many open files in system"},
        {EBUSY, EIO, VMKIT_ERROR_KVM_FAILED, "opening /dev/kvm: Device or resource busy"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, rows[i].err, make(&error)), rows[i].expected,
                     rows[i].kind, rows[i].part);
}
END_TEST

static const struct {
    unsigned long request;
    unsigned long argument;
    int answer;
    const char *part;
} incapable[] = {
    {KVM_GET_API_VERSION, 0, 11, "KVM speaks API version 11, the library speaks 12"},
    {KVM_GET_VCPU_MMAP_SIZE, 0, 64, "KVM shares 64 bytes with a vCPU"},
    {KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY, 0, "lacks the capability \"user-memory\""},
    {KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT, 0, "lacks the capability \"immediate-exit\""},
    {KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP, 0, "lacks the capability \"split-irqchip\""},
    {KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS, 0, "KVM shares the registers 0x0"},
};

#define INCAPABLE ((int)(sizeof incapable / sizeof incapable[0]))

/* What KVM can do is asked once: each case is in a process of its own. */
START_TEST(a_kvm_that_lacks_what_is_needed_is_said)
{
    ASSERT_FAILS(WITH_IOCTL_ANSWER(incapable[_i].request, incapable[_i].argument,
                                   incapable[_i].answer, make(&error)),
                 ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, incapable[_i].part);
}
END_TEST

START_TEST(an_eventfd_that_cannot_be_made_is_said)
{
    ASSERT_FAILS(WITH_FAULT(FAULT_EVENTFD, EMFILE, make(&error)), EMFILE, VMKIT_ERROR_LIMIT,
                 "eventfd(2) for a sandbox: Too many open files");
    ASSERT_FAILS(WITH_FAULT(FAULT_EVENTFD, ENFILE, make(&error)), ENFILE, VMKIT_ERROR_LIMIT,
                 "eventfd(2) for a sandbox: Too many open files in system");
    ASSERT_FAILS(WITH_FAULT(FAULT_EVENTFD, ENOMEM, make(&error)), ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                 "eventfd(2) for a sandbox");
    ASSERT_FAILS(WITH_FAULT(FAULT_EVENTFD, ENODEV, make(&error)), EIO, VMKIT_ERROR_IO,
                 "eventfd(2) for a sandbox: No such device");
}
END_TEST

/* The image that is shared between sandboxes saves time, and no more. */
START_TEST(a_program_without_an_image_of_its_own_runs)
{
    static const enum fault_call faults[] = {FAULT_MEMFD, FAULT_RESIZE, FAULT_SEAL};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        ASSERT_OK(WITH_FAULT(faults[i], ENOMEM, make(&error)));
        ASSERT_OK(run(&error));
    }
}
END_TEST

START_TEST(a_program_that_cannot_be_read_is_said)
{
    int fd = memfd_create("program", MFD_CLOEXEC);
    size_t size = (size_t)(guest_probe.end - guest_probe.data);
    ck_assert_int_eq(write(fd, guest_probe.data, size), (ssize_t)size);
    ASSERT_OK(vmkit_sandbox_config_set_program_fd(config, fd, &error));
    close(fd);
    ASSERT_FAILS(WITH_FAULT(FAULT_READ, EIO, make(&error)), EIO, VMKIT_ERROR_IO,
                 "/program: reading the ELF header: Input/output error");
    ASSERT_FAILS(WITH_FAULT(FAULT_READ, EPERM, make(&error)), EIO, VMKIT_ERROR_IO,
                 "/program: reading the ELF header: Operation not permitted");
    ASSERT_FAILS(WITH_FAULT(FAULT_STATUS, EIO, make(&error)), EIO, VMKIT_ERROR_IO,
                 "cannot inspect program \"program\": Input/output error");

    /* The rest of it is read again, should the image not be made. */
    ASSERT_OK((fault_begin(FAULT_READ, 3, EIO), make(&error)));
    ck_assert_uint_ge(fault_end(), 3);
}
END_TEST

START_TEST(a_host_without_random_bytes_is_said)
{
    ASSERT_FAILS(WITH_FAULT(FAULT_RANDOM, EAGAIN, make(&error)), EAGAIN, VMKIT_ERROR_LIMIT,
                 "random");
    ASSERT_OK(make(&error));
}
END_TEST

START_TEST(a_program_that_cannot_be_opened_is_said)
{
    ASSERT_OK(vmkit_sandbox_config_set_program_path(config, "/bin/true", &error));
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, EMFILE, make(&error)), EMFILE, VMKIT_ERROR_LIMIT,
                 "cannot open program \"/bin/true\": Too many open files");
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, ENFILE, make(&error)), ENFILE, VMKIT_ERROR_LIMIT,
                 "cannot open program \"/bin/true\": Too many open files in system");
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, EPERM, make(&error)), EIO, VMKIT_ERROR_IO,
                 "cannot open program \"/bin/true\": Operation not permitted");
}
END_TEST

START_TEST(figures_need_their_record)
{
    struct vmkit_sandbox_stats stats = {.size = sizeof stats - 1};
    ASSERT_OK(make(&error));
    ASSERT_INVALID(vmkit_sandbox_get_stats(NULL, &stats, &error), "sandbox is NULL");
    ASSERT_INVALID(vmkit_sandbox_get_stats(sandbox, NULL, &error), "stats is NULL");
    ASSERT_INVALID(vmkit_sandbox_get_stats(sandbox, &stats, &error), "stats->size is");
}
END_TEST

START_TEST(a_child_of_fork_cannot_run_it)
{
    int status = -1;
    ASSERT_OK(make(&error));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        ASSERT_FAILS(run(&error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ASSERT_OK(run(&error));
}
END_TEST

START_TEST(a_program_above_its_memory_limit_is_said)
{
    static char text[900000];
    const char *const arguments[] = {"probe", text, NULL};
    memset(text, 'x', sizeof text - 1);
    ASSERT_OK(vmkit_sandbox_config_set_memory_limit(config, 1 << 20, &error));
    ASSERT_OK(vmkit_sandbox_config_set_arguments(config, arguments, &error));
    ASSERT_FAILS(make(&error), E2BIG, VMKIT_ERROR_LIMIT, "the memory limit of 1048576 bytes");
}
END_TEST

START_TEST(a_run_that_kvm_ends_is_an_error)
{
    static const struct {
        int err;
        int expected;
        uint32_t kind;
    } rows[] = {
        {EIO, EIO, VMKIT_ERROR_KVM_FAILED},    {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
        {EFAULT, EIO, VMKIT_ERROR_KVM_FAILED}, {EINVAL, EIO, VMKIT_ERROR_KVM_FAILED},
        {EAGAIN, EAGAIN, VMKIT_ERROR_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ASSERT_OK(make(&error));
        ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, rows[i].err, run(&error)), rows[i].expected,
                     rows[i].kind, "running the sandbox at 0x");
    }
}
END_TEST

/* What fails on the way of a fault may cost the program its life, and no more. */
START_TEST(each_call_of_kvm_that_a_run_makes_may_fail)
{
    unsigned number = 0;
    bool reached = true;
    while (reached && ++number <= 40) {
        ASSERT_OK(make(&error));
        fault_begin(FAULT_IOCTL, number, kvm_errors[_i].err);
        int result = run(NULL);
        reached = fault_end() >= number;
        ck_assert_msg(result == 0 || result == -kvm_errors[_i].expected || result == -EIO,
                      "call %u: %d", number, result);
    }
    ck_assert_uint_gt(number, 2);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_sandbox");
    TCase *tcase = tcase_create("errors_sandbox");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, each_call_of_kvm_that_a_new_sandbox_makes_may_fail, 0, KVM_ERRORS);
    tcase_add_test(tcase, each_allocation_of_a_new_sandbox_may_fail);
    tcase_add_test(tcase, each_mapping_of_a_new_sandbox_may_fail);
    tcase_add_test(tcase, a_kvm_that_is_missing_or_forbidden_is_said);
    tcase_add_loop_test(tcase, a_kvm_that_lacks_what_is_needed_is_said, 0, INCAPABLE);
    tcase_add_test(tcase, an_eventfd_that_cannot_be_made_is_said);
    tcase_add_test(tcase, a_program_without_an_image_of_its_own_runs);
    tcase_add_test(tcase, a_program_that_cannot_be_read_is_said);
    tcase_add_test(tcase, a_host_without_random_bytes_is_said);
    tcase_add_test(tcase, a_program_that_cannot_be_opened_is_said);
    tcase_add_test(tcase, figures_need_their_record);
    tcase_add_test(tcase, a_child_of_fork_cannot_run_it);
    tcase_add_test(tcase, a_program_above_its_memory_limit_is_said);
    tcase_add_test(tcase, a_run_that_kvm_ends_is_an_error);
    tcase_add_loop_test(tcase, each_call_of_kvm_that_a_run_makes_may_fail, 0, KVM_ERRORS);
    suite_add_tcase(suite, tcase);
    return suite;
}
