/* SPDX-License-Identifier: Apache-2.0 */
/* The library says what doc/errors.md quotes of it. The document's path is in VMKIT_TEST_DOCUMENT.
 */
#include "harness.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char document[65536];

static void
setup(void)
{
    FILE *file = fopen(getenv("VMKIT_TEST_DOCUMENT"), "r");
    ck_assert_ptr_nonnull(file);
    size_t size = fread(document, 1, sizeof document - 1, file);
    ck_assert_uint_gt(size, 1000);
    ck_assert_uint_lt(size, sizeof document - 1);
    document[size] = '\0';
    fclose(file);
}

/* The section of the kind quotes the message as it is. */
static void
check_quoted(int result, vmkit_error *error, uint32_t kind, int err)
{
    char heading[64], quote[256];
    ck_assert_int_eq(result, -err);
    ck_assert_ptr_nonnull(error);
    ck_assert_uint_eq(vmkit_error_get_kind(error), kind);
    snprintf(heading, sizeof heading, "\n### `%s`\n", vmkit_error_kind_get_name(kind));
    snprintf(quote, sizeof quote, "\n> %s\n", vmkit_error_get_message(error));
    const char *section = strstr(document, heading);
    ck_assert_msg(section != NULL, "there is no section of %s", vmkit_error_kind_get_name(kind));
    const char *end = strstr(section + 1, "\n### ");
    const char *found = strstr(section, quote);
    ck_assert_msg(found != NULL && (end == NULL || found < end),
                  "the section of %s does not quote: %s", vmkit_error_kind_get_name(kind),
                  vmkit_error_get_message(error));
    vmkit_error_unref(error);
}

#define CHECK_QUOTED(expression, kind, err)             \
    do {                                                \
        vmkit_error *error = NULL;                      \
        int check_result = (expression);                \
        check_quoted(check_result, error, (kind), err); \
    } while (0)

static vmkit_vm *
new_vm(const char *kvm_path, vmkit_error **ret_error, int *ret_result)
{
    vmkit_vm_config *config = NULL;
    vmkit_vm *vm = NULL;
    ck_assert_int_eq(vmkit_vm_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmkit_vm_config_set_kvm_path(config, kvm_path, NULL), 0);
    *ret_result = vmkit_vm_new(config, &vm, ret_error);
    vmkit_vm_config_unref(config);
    return vm;
}

START_TEST(calls_without_kvm)
{
    vmkit_memory *memory = NULL;
    vmkit_error *why = NULL;
    int result;
    CHECK_QUOTED(vmkit_memory_new_anonymous(4097, 0, &memory, &error), VMKIT_ERROR_INVALID_ARGUMENT,
                 EINVAL);
    CHECK_QUOTED(vmkit_memory_new_anonymous(UINT64_C(1) << 50, 0, &memory, &error),
                 VMKIT_ERROR_OUT_OF_MEMORY, ENOMEM);
    new_vm("/dev/no-kvm", &why, &result);
    check_quoted(result, why, VMKIT_ERROR_KVM_MISSING, ENODEV);
    new_vm("/dev/null", &why, &result);
    check_quoted(result, why, VMKIT_ERROR_KVM_FAILED, EIO);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    CHECK_QUOTED(vmkit_memory_new_fd(fd, 0, 4096, 0, &memory, &error), VMKIT_ERROR_IO, EACCES);
    close(fd);
}
END_TEST

START_TEST(configurations)
{
    static const char text[100] = "#!/bin/sh\n";
    vmkit_sandbox_config *config = NULL;
    vmkit_sandbox *sandbox = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    CHECK_QUOTED(vmkit_sandbox_config_add_folder(config, "/proc", "/data", 0, &error),
                 VMKIT_ERROR_NOT_SUPPORTED, EACCES);
    ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, "/", "/data", 0, NULL), 0);
    CHECK_QUOTED(vmkit_sandbox_config_add_folder(config, "/", "/data", 0, &error),
                 VMKIT_ERROR_EXISTS, EEXIST);
    vmkit_sandbox_config_set_program_path(config, "/no/such/program", NULL);
    CHECK_QUOTED(vmkit_sandbox_new(config, &sandbox, &error), VMKIT_ERROR_NOT_FOUND, ENOENT);
    vmkit_sandbox_config_set_program_memory(config, text, sizeof text, NULL);
    CHECK_QUOTED(vmkit_sandbox_new(config, &sandbox, &error), VMKIT_ERROR_BAD_IMAGE, ENOEXEC);
    vmkit_sandbox_config_unref(config);
}
END_TEST

static int
run_again(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct vmkit_exit left = {.size = sizeof left};
    (void)user_data;
    (void)access;
    CHECK_QUOTED(vmkit_vcpu_run(vcpu, &left, &error), VMKIT_ERROR_BUSY, EBUSY);
    return -ECANCELED;
}

START_TEST(a_virtual_machine)
{
    static const uint8_t code[] = {0xe6, 0x10}; /* out %al, $0x10 */
    struct vmkit_exit left = {.size = sizeof left};
    vmkit_memory *memory = NULL;
    vmkit_vcpu *vcpu = NULL, *other = NULL;
    char buffer[16];
    int result;
    vmkit_error *why = NULL;
    vmkit_vm *vm = new_vm(NULL, &why, &result);
    ck_assert_msg(result == 0, "%s", vmkit_error_get_message(why));
    ck_assert_int_eq(vmkit_memory_new_anonymous(0x4000, 0, &memory, NULL), 0);
    ck_assert_int_eq(vmkit_vm_add_memory(vm, 0x2000, memory, 0, 0x2000, 0, NULL), 0);
    CHECK_QUOTED(vmkit_vm_add_memory(vm, 0x1000, memory, 0, 0x2000, 0, &error), VMKIT_ERROR_OVERLAP,
                 EEXIST);
    vmkit_memory_unref(memory);
    CHECK_QUOTED(vmkit_vm_read(vm, 0x3ff8, buffer, 16, &error), VMKIT_ERROR_OUT_OF_RANGE, EFAULT);
    ck_assert_int_eq(vmkit_vcpu_new(vm, 0, &vcpu, NULL), 0);
    CHECK_QUOTED(vmkit_vcpu_set_exit_value(vcpu, 1, &error), VMKIT_ERROR_WRONG_STATE, ENXIO);
    ck_assert_int_eq(
        vmkit_vm_add_handler(vm, VMKIT_SPACE_PIO, 0x10, 1, run_again, NULL, NULL, NULL), 0);
    ck_assert_int_eq(vmkit_vm_write(vm, 0x2000, code, sizeof code, NULL), 0);
    ck_assert_int_eq(vmkit_vcpu_set_x86_real_mode(vcpu, 0x2000, 0x4000, NULL), 0);
    CHECK_QUOTED(vmkit_vcpu_run(vcpu, &left, &error), VMKIT_ERROR_CANCELLED, ECANCELED);
    ck_assert_int_eq(vmkit_vcpu_new(vm, UINT32_MAX, &other, &why), -ERANGE);
    ck_assert_uint_eq(vmkit_error_get_kind(why), VMKIT_ERROR_LIMIT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(why), " is beyond the last number "));
    vmkit_error_unref(why);
    vmkit_vcpu_unref(vcpu);
    vmkit_vm_unref(vm);
}
END_TEST

START_TEST(a_file_that_is_no_snapshot)
{
    char folder[] = "/tmp/vmkit-doc-errors.XXXXXX";
    vmkit_snapshot_file *file = NULL;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    int fd = open("warm.snapshot", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, folder, sizeof folder), (ssize_t)sizeof folder);
    close(fd);
    CHECK_QUOTED(vmkit_snapshot_file_open_path("warm.snapshot", 0, &file, &error),
                 VMKIT_ERROR_BAD_SNAPSHOT, EINVAL);
    ck_assert_int_eq(unlink("warm.snapshot"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors");
    TCase *tcase = tcase_create("quoted");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, calls_without_kvm);
    tcase_add_test(tcase, configurations);
    tcase_add_test(tcase, a_virtual_machine);
    tcase_add_test(tcase, a_file_that_is_no_snapshot);
    suite_add_tcase(suite, tcase);
    return suite;
}
