/* SPDX-License-Identifier: Apache-2.0 */
/* What configurations say on a host that fails. No KVM is needed. */
#include "../api/assert.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static vmkit_sandbox_config *config;
static vmkit_vm_config *vm_config;
static int folder_fd;

static void
set_up(void)
{
    ASSERT_OK(vmkit_sandbox_config_new(&config, &error));
    ASSERT_OK(vmkit_vm_config_new(&vm_config, &error));
    folder_fd = open("/tmp", O_PATH | O_CLOEXEC);
}

static void
tear_down(void)
{
    vmkit_sandbox_config_unref(config);
    vmkit_vm_config_unref(vm_config);
    close(folder_fd);
}

static int
new_config(vmkit_error **ret_error)
{
    vmkit_sandbox_config *made = NULL;
    int result = vmkit_sandbox_config_new(&made, ret_error);
    vmkit_sandbox_config_unref(made);
    return result;
}

static int
new_vm_config(vmkit_error **ret_error)
{
    vmkit_vm_config *made = NULL;
    int result = vmkit_vm_config_new(&made, ret_error);
    vmkit_vm_config_unref(made);
    return result;
}

#define CALL(name, ...)                              \
    static int name(vmkit_error **ret_error)         \
    {                                                \
        return vmkit_##name(__VA_ARGS__, ret_error); \
    }

static const char *const strings[] = {"A=1", "B=2", NULL};

CALL(vm_config_set_kvm_path, vm_config, "/dev/kvm")
CALL(sandbox_config_set_program_path, config, "/bin/true")
CALL(sandbox_config_set_program_fd, config, 0)
CALL(sandbox_config_set_program_memory, config, "x", 1)
CALL(sandbox_config_set_arguments, config, strings)
CALL(sandbox_config_set_environment, config, strings)
CALL(sandbox_config_set_working_directory, config, "/tmp")
CALL(sandbox_config_set_input, config, "x", 1)
CALL(sandbox_config_set_stream_fd, config, VMKIT_STREAM_STDOUT, 1)
CALL(sandbox_config_add_folder, config, "/tmp", "/a", 0)
CALL(sandbox_config_add_folder_fd, config, folder_fd, "/b", 0)

static const struct {
    const char *name;
    int (*make)(vmkit_error **ret_error);
} calls[] = {
    {"sandbox_config_new", new_config},
    {"vm_config_new", new_vm_config},
    {"vm_config_set_kvm_path", vm_config_set_kvm_path},
    {"sandbox_config_set_program_path", sandbox_config_set_program_path},
    {"sandbox_config_set_program_fd", sandbox_config_set_program_fd},
    {"sandbox_config_set_program_memory", sandbox_config_set_program_memory},
    {"sandbox_config_set_arguments", sandbox_config_set_arguments},
    {"sandbox_config_set_environment", sandbox_config_set_environment},
    {"sandbox_config_set_working_directory", sandbox_config_set_working_directory},
    {"sandbox_config_set_input", sandbox_config_set_input},
    {"sandbox_config_set_stream_fd", sandbox_config_set_stream_fd},
    {"sandbox_config_add_folder", sandbox_config_add_folder},
    {"sandbox_config_add_folder_fd", sandbox_config_add_folder_fd},
};

START_TEST(each_allocation_that_fails_is_ENOMEM)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        unsigned number = 0, seen;
        do {
            vmkit_error *error = NULL;
            fault_begin(FAULT_ALLOCATE, ++number, ENOMEM);
            int result = calls[i].make(&error);
            seen = fault_end();
            ck_assert_msg(result == (seen >= number ? -ENOMEM : 0), "%s, allocation %u: %d, %s",
                          calls[i].name, number, result, vmkit_error_get_message(error));
            if (result < 0)
                ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_OUT_OF_MEMORY);
            vmkit_error_unref(error);
        } while (seen >= number);
        ck_assert_msg(number > 1, "%s allocates nothing", calls[i].name);
    }
}
END_TEST

/* The error of a call that fails for another reason, without memory for its message. */
START_TEST(an_error_without_memory_for_its_message_keeps_errno_and_kind)
{
    static const char part[] = "out of memory, even for the message that says of what";
    ASSERT_FAILS(WITH_FAULT(FAULT_ALLOCATE, ENOMEM,
                            vmkit_sandbox_config_set_program_path(config, "", &error)),
                 EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, part);
    ASSERT_FAILS(WITH_FAULT(FAULT_ALLOCATE, ENOMEM,
                            vmkit_sandbox_config_set_open_files_limit(config, 4097, &error)),
                 ERANGE, VMKIT_ERROR_OUT_OF_RANGE, part);
    ASSERT_FAILS(WITH_FAULT(FAULT_ALLOCATE, ENOMEM, new_config(&error)), ENOMEM,
                 VMKIT_ERROR_OUT_OF_MEMORY, part);
    vmkit_error *error = NULL;
    fault_begin(FAULT_ALLOCATE, 0, ENOMEM);
    int result = vmkit_sandbox_config_set_user(config, UINT32_MAX, 0, &error);
    ck_assert_uint_eq(fault_end(), 1);
    ck_assert_int_eq(result, -EINVAL);
    ck_assert_ptr_eq(vmkit_error_ref(error), error);
    vmkit_error_unref(error);
    vmkit_error_unref(error);
    ck_assert_int_eq(vmkit_error_get_errno(error), -EINVAL);
    ck_assert_str_eq(vmkit_error_get_message(error), part);
    vmkit_error_unref(error);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_duplicated_is_said)
{
    static const struct {
        int err;
        int expected;
        uint32_t kind;
    } errors[] = {
        {EMFILE, EMFILE, VMKIT_ERROR_LIMIT},
        /* No number above those of the standard streams is allowed. */
        {EINVAL, EMFILE, VMKIT_ERROR_LIMIT},
        {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        ASSERT_FAILS(
            WITH_FAULT(FAULT_DUPLICATE, errors[i].err, sandbox_config_set_program_fd(&error)),
            errors[i].expected, errors[i].kind, "cannot duplicate descriptor 0 for the program");
        ASSERT_FAILS(
            WITH_FAULT(FAULT_DUPLICATE, errors[i].err, sandbox_config_set_stream_fd(&error)),
            errors[i].expected, errors[i].kind, "cannot duplicate descriptor 1 for stream 1");
        ASSERT_FAILS(WITH_FAULT(FAULT_DUPLICATE, errors[i].err,
                                vmkit_sandbox_config_add_folder_fd(config, 0, "/c", 0, &error)),
                     errors[i].expected, errors[i].kind,
                     "cannot duplicate descriptor 0 for guest path \"/c\"");
    }
    ASSERT_FAILS(
        WITH_FAULT(FAULT_DUPLICATE, EMFILE, vmkit_vm_config_set_kvm_fd(vm_config, 0, &error)),
        EMFILE, VMKIT_ERROR_LIMIT, "duplicating descriptor 0: Too many open files");
}
END_TEST

START_TEST(a_folder_that_cannot_be_opened_is_said)
{
    static const struct {
        int err;
        int expected;
        uint32_t kind;
    } rows[] = {
        {ENOENT, ENOENT, VMKIT_ERROR_NOT_FOUND},     {EACCES, EACCES, VMKIT_ERROR_IO},
        {ENFILE, ENFILE, VMKIT_ERROR_LIMIT},         {EMFILE, EMFILE, VMKIT_ERROR_LIMIT},
        {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY}, {EPERM, EIO, VMKIT_ERROR_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, rows[i].err, sandbox_config_add_folder(&error)),
                     rows[i].expected, rows[i].kind, "cannot open \"/tmp\" to show it at \"/a\"");
    ASSERT_FAILS(WITH_FAULT(FAULT_STATUS, EIO, sandbox_config_add_folder(&error)), EIO,
                 VMKIT_ERROR_IO, "cannot inspect the folder for guest path \"/a\"");
    ASSERT_FAILS(WITH_FAULT(FAULT_STATUS, EPERM,
                            vmkit_sandbox_config_add_folder_fd(config, 0, "/a", 0, &error)),
                 EIO, VMKIT_ERROR_IO, "cannot inspect the folder for guest path \"/a\"");
}
END_TEST

START_TEST(a_folder_by_its_path_is_refused_with_the_reason)
{
    static char name[300], path[5000];
    char folder[] = "/tmp/vmkit-errors-XXXXXX", loop[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(loop, sizeof loop, "%s/loop", folder);
    ck_assert_int_eq(symlink("loop", loop), 0);
    snprintf(path, sizeof path, "%s/below", loop);
    ASSERT_FAILS(vmkit_sandbox_config_add_folder(config, path, "/a", 0, &error), ELOOP,
                 VMKIT_ERROR_IO, "Too many levels of symbolic links");
    unlink(loop);
    rmdir(folder);
    ASSERT_FAILS(vmkit_sandbox_config_add_folder(config, "/proc", "/a", 0, &error), EACCES,
                 VMKIT_ERROR_NOT_SUPPORTED, "procfs");
    ASSERT_FAILS(vmkit_sandbox_config_add_folder(config, "/dev/null", "/a", 0, &error), ENOTDIR,
                 VMKIT_ERROR_INVALID_ARGUMENT, "neither a folder nor a regular file");

    memset(path, '/', sizeof path - 1);
    ASSERT_FAILS(vmkit_sandbox_config_add_folder(config, "/tmp", path, 0, &error), ENAMETOOLONG,
                 VMKIT_ERROR_LIMIT, "a guest path of 4999 bytes is above the limit of 4095");
    memset(name, 'n', sizeof name - 1);
    name[0] = '/';
    ASSERT_FAILS(vmkit_sandbox_config_add_folder(config, "/tmp", name, 0, &error), ENAMETOOLONG,
                 VMKIT_ERROR_LIMIT,
                 "a name of 298 bytes in a guest path is above the limit of 255");
    ASSERT_FAILS(vmkit_sandbox_config_add_folder(config, name, "/a", 0, &error), ENAMETOOLONG,
                 VMKIT_ERROR_IO, "File name too long");
}
END_TEST

START_TEST(a_folder_by_its_descriptor_is_refused_with_the_reason)
{
    static char name[300];
    int folder = open("/tmp", O_PATH | O_CLOEXEC), proc = open("/proc", O_PATH | O_CLOEXEC);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ASSERT_OK(vmkit_sandbox_config_add_folder_fd(config, folder, "/a", 0, &error));
    ASSERT_FAILS(vmkit_sandbox_config_add_folder_fd(config, folder, "/a", 0, &error), EEXIST,
                 VMKIT_ERROR_EXISTS, "guest path \"/a\" is taken");
    ASSERT_FAILS(vmkit_sandbox_config_add_folder_fd(config, proc, "/b", 0, &error), EACCES,
                 VMKIT_ERROR_NOT_SUPPORTED, "procfs");
    ASSERT_FAILS(vmkit_sandbox_config_add_folder_fd(config, null, "/b", 0, &error), ENOTDIR,
                 VMKIT_ERROR_INVALID_ARGUMENT, "neither a folder nor a regular file");
    memset(name, 'n', sizeof name - 1);
    name[0] = '/';
    ASSERT_FAILS(vmkit_sandbox_config_add_folder_fd(config, folder, name, 0, &error), ENAMETOOLONG,
                 VMKIT_ERROR_LIMIT, "a name of 298 bytes");
    ASSERT_INVALID(vmkit_sandbox_config_add_folder_fd(config, -1, "/b", 0, &error),
                   "descriptor -1 for guest path \"/b\" is not open");
    close(folder);
    close(proc);
    close(null);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_config");
    TCase *tcase = tcase_create("errors_config");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, each_allocation_that_fails_is_ENOMEM);
    tcase_add_test(tcase, an_error_without_memory_for_its_message_keeps_errno_and_kind);
    tcase_add_test(tcase, a_descriptor_that_cannot_be_duplicated_is_said);
    tcase_add_test(tcase, a_folder_that_cannot_be_opened_is_said);
    tcase_add_test(tcase, a_folder_by_its_path_is_refused_with_the_reason);
    tcase_add_test(tcase, a_folder_by_its_descriptor_is_refused_with_the_reason);
    suite_add_tcase(suite, tcase);
    return suite;
}
