/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever needs KVM, on a host where it is missing, or where this user may not open it. The device
 * is another path where the call takes one, and /dev/kvm that cannot be opened where it does not.
 */
#include "../api/assert.h"
#include "../kvm/sandbox_guest.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static vmkit_sandbox_config *sandbox_config;
static vmkit_vm_config *vm_config;
static vmkit_host *host;

static void
set_up(void)
{
    sandbox_config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "exit", "0", NULL});
    ASSERT_OK(vmkit_vm_config_new(&vm_config, &error));
    host = NULL;
}

static void
tear_down(void)
{
    vmkit_sandbox_config_unref(sandbox_config);
    vmkit_vm_config_unref(vm_config);
    vmkit_host_unref(host);
}

static int
make_vm(const vmkit_vm_config *config, vmkit_error **ret_error)
{
    vmkit_vm *vm = NULL;
    int result = vmkit_vm_new(config, &vm, ret_error);
    vmkit_vm_unref(vm);
    return result;
}

static int
make_sandbox(vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = NULL;
    int result = vmkit_sandbox_new(sandbox_config, &sandbox, ret_error);
    vmkit_sandbox_unref(sandbox);
    return result;
}

static void
check_host(uint32_t status, const char *reason, const char *advice)
{
    ck_assert_uint_eq(vmkit_host_get_status(host), status);
    ck_assert_msg(strstr(vmkit_host_get_reason(host), reason) != NULL, "%s",
                  vmkit_host_get_reason(host));
    ck_assert_msg(strstr(vmkit_host_get_advice(host), advice) != NULL, "%s",
                  vmkit_host_get_advice(host));
    ck_assert_uint_eq(vmkit_host_get_max_vcpus(host), 0);
    vmkit_host_unref(host);
    host = NULL;
}

START_TEST(a_kvm_that_is_missing_is_said_by_all)
{
    static const char part[] = "/dev/kvm is not there: this host has no KVM";
    static const int errors[] = {ENOENT, ENXIO, ENODEV, ENOTDIR};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, errors[i], make_vm(NULL, &error)), ENODEV,
                     VMKIT_ERROR_KVM_MISSING, part);
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, errors[i], make_sandbox(&error)), ENODEV,
                     VMKIT_ERROR_KVM_MISSING, part);
        ASSERT_OK(WITH_FAULT(FAULT_OPEN, errors[i], vmkit_host_probe(0, &host, &error)));
        check_host(VMKIT_HOST_NO_DEVICE, part, "/dev/kvm is not there; ");
    }
}
END_TEST

START_TEST(a_kvm_that_may_not_be_opened_is_said_by_all)
{
    static const char part[] = "/dev/kvm may not be opened for reading and writing by this user";
    static const int errors[] = {EACCES, EPERM};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, errors[i], make_vm(NULL, &error)), EACCES,
                     VMKIT_ERROR_KVM_PERMISSION, part);
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, errors[i], make_sandbox(&error)), EACCES,
                     VMKIT_ERROR_KVM_PERMISSION, part);
        ASSERT_OK(WITH_FAULT(FAULT_OPEN, errors[i], vmkit_host_probe(0, &host, &error)));
        check_host(VMKIT_HOST_NO_PERMISSION, part, "");
    }
}
END_TEST

/* A device of which the kernel itself says no, to a user that is not root. */
START_TEST(a_device_without_the_right_is_forbidden_to_a_user)
{
    char folder[] = "/tmp/vmkit-errors-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chmod(folder, 0755), 0);
    snprintf(path, sizeof path, "%s/kvm", folder);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0400);
    ck_assert_int_ge(fd, 0);
    close(fd);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    ASSERT_OK(vmkit_vm_config_set_kvm_path(vm_config, path, &error));
    ASSERT_FAILS(make_vm(vm_config, &error), EACCES, VMKIT_ERROR_KVM_PERMISSION,
                 "may not be opened for reading and writing by this user");
    ASSERT_OK(vmkit_host_probe_path(path, 0, &host, &error));
    check_host(VMKIT_HOST_NO_PERMISSION, path, "run as root");
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    unlink(path);
    rmdir(folder);
}
END_TEST

START_TEST(paths_that_lead_to_no_device_are_said)
{
    static const struct {
        const char *path;
        int err;
        uint32_t kind;
        uint32_t status;
        const char *part;
        const char *advice;
    } rows[] = {
        {"/nowhere/kvm", ENODEV, VMKIT_ERROR_KVM_MISSING, VMKIT_HOST_NO_DEVICE,
         "/nowhere/kvm is not there", "/nowhere/kvm is not there; "},
        {"/dev/null/kvm", ENODEV, VMKIT_ERROR_KVM_MISSING, VMKIT_HOST_NO_DEVICE,
         "/dev/null/kvm is not there", "/dev/null/kvm is not there; "},
        {"/tmp", EIO, VMKIT_ERROR_KVM_FAILED, VMKIT_HOST_BROKEN, "opening /tmp: Is a directory",
         "/tmp is something else than KVM: name its device"},
        {"/dev/null", EIO, VMKIT_ERROR_KVM_FAILED, VMKIT_HOST_BROKEN,
         "KVM_GET_API_VERSION: this is no KVM device: Inappropriate ioctl for device",
         "/dev/null is something else than KVM: name its device"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ASSERT_OK(vmkit_vm_config_set_kvm_path(vm_config, rows[i].path, &error));
        ASSERT_FAILS(make_vm(vm_config, &error), rows[i].err, rows[i].kind, rows[i].part);
        ASSERT_OK(vmkit_host_probe_path(rows[i].path, 0, &host, &error));
        check_host(rows[i].status, rows[i].part, rows[i].advice);
    }
}
END_TEST

START_TEST(a_descriptor_of_something_else_is_no_device)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ASSERT_OK(vmkit_vm_config_set_kvm_fd(vm_config, null, &error));
    close(null);
    ASSERT_FAILS(make_vm(vm_config, &error), ENODEV, VMKIT_ERROR_KVM_MISSING,
                 "is not of a KVM device");
    ASSERT_FAILS(WITH_FAULT(FAULT_DUPLICATE, EMFILE, make_vm(vm_config, &error)), EMFILE,
                 VMKIT_ERROR_LIMIT, "duplicating descriptor");
}
END_TEST

START_TEST(a_probe_without_memory_says_that_alone)
{
    for (unsigned number = 1; number <= 2; number++) {
        fault_begin(FAULT_ALLOCATE, number, ENOMEM);
        ASSERT_FAILS(vmkit_host_probe(0, &host, &error), ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                     "no memory for a h");
        ck_assert_uint_ge(fault_end(), number);
        fault_begin(FAULT_ALLOCATE, number, ENOMEM);
        ASSERT_FAILS(vmkit_host_probe_path("/nowhere/kvm", 0, &host, &error), ENOMEM,
                     VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a h");
        ck_assert_uint_ge(fault_end(), number);
    }
    ck_assert_ptr_null(host);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_no_kvm");
    TCase *tcase = tcase_create("errors_no_kvm");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_kvm_that_is_missing_is_said_by_all);
    tcase_add_test(tcase, a_kvm_that_may_not_be_opened_is_said_by_all);
    tcase_add_test(tcase, a_device_without_the_right_is_forbidden_to_a_user);
    tcase_add_test(tcase, paths_that_lead_to_no_device_are_said);
    tcase_add_test(tcase, a_descriptor_of_something_else_is_no_device);
    tcase_add_test(tcase, a_probe_without_memory_says_that_alone);
    suite_add_tcase(suite, tcase);
    return suite;
}
