/* SPDX-License-Identifier: Apache-2.0 */
/* What a snapshot of a raw VM that cannot be taken says, and a VM that cannot be made from one. */
#include "../kvm/guest.h"
#include "sweep.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct guest guest;
static vmkit_snapshot *snapshot;
static vmkit_vm_config *config;
static uint64_t flags;

static void
set_up(void)
{
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc};
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    config = NULL;
    flags = 0;
}

static void
tear_down(void)
{
    vmkit_vm_config_unref(config);
    vmkit_snapshot_unref(snapshot);
    guest_free(&guest);
}

static int
take(vmkit_snapshot *parent, vmkit_error **ret_error)
{
    vmkit_snapshot *taken = NULL;
    int result = vmkit_vm_snapshot(guest.vm, parent, flags, &taken, ret_error);
    vmkit_snapshot_unref(taken);
    return result;
}

static int
take_alone(vmkit_error **ret_error)
{
    return take(NULL, ret_error);
}

static int
restore(vmkit_error **ret_error)
{
    vmkit_vcpu *vcpu = NULL;
    vmkit_vm *vm = NULL;
    int result =
        vmkit_vm_new_from_snapshot(snapshot, config, flags, &vcpu, 1, NULL, &vm, ret_error);
    vmkit_vcpu_unref(vcpu);
    vmkit_vm_unref(vm);
    return result;
}

START_TEST(arguments_are_checked)
{
    vmkit_vcpu *vcpu = NULL;
    vmkit_vm *vm = NULL;
    struct vmkit_snapshot_info info = {.size = 8};
    flags = 2;
    ASSERT_INVALID(take(NULL, &error), "0x2");
    ASSERT_INVALID(restore(&error), "0x2");
    ASSERT_INVALID(vmkit_vm_snapshot(guest.vm, NULL, 0, NULL, &error), "ret_snapshot is NULL");
    ASSERT_INVALID(vmkit_vm_new_from_snapshot(NULL, NULL, 0, &vcpu, 1, NULL, &vm, &error),
                   "snapshot is NULL");
    ASSERT_INVALID(vmkit_vm_new_from_snapshot(snapshot, NULL, 0, NULL, 1, NULL, &vm, &error),
                   "ret_vcpus is NULL");
    ASSERT_FAILS(vmkit_vm_new_from_snapshot(snapshot, NULL, 0, NULL, 0, NULL, &vm, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "1 vCPUs, and there is room for 0");
    ASSERT_INVALID(vmkit_snapshot_get_info(NULL, &info, &error), "snapshot is NULL");
    ASSERT_INVALID(vmkit_snapshot_get_info(snapshot, &info, &error), "size is 8");
    ASSERT_FAILS(vmkit_vm_note_write(guest.vm, UINT64_MAX - 1, 2, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "go round the end");
}
END_TEST

START_TEST(memory_that_cannot_be_copied_is_said)
{
    vmkit_memory *memory = NULL;
    int fd = memfd_create("short", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 0x4000), 0);
    ASSERT_OK(vmkit_memory_new_fd(fd, 0, 0x4000, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 0x4000, 0, &error));
    ASSERT_OK(take(NULL, &error));
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ASSERT_FAILS(take(NULL, &error), EFAULT, VMKIT_ERROR_IO, "0x200000");
    ck_assert_int_eq(ftruncate(fd, 0x4000), 0);
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0x200000, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 0x3000, 0, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x300000, memory, 0x1000, 0x3000, 0, &error));
    ASSERT_FAILS(take(NULL, &error), ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                 "0x200000 and 0x300000 have a part of their memory in common");
    vmkit_memory_unref(memory);
    close(fd);
}
END_TEST

START_TEST(a_snapshot_that_the_host_has_nothing_for_is_said)
{
    static const struct {
        enum fault_call call;
        int err, expected;
    } rows[] = {{FAULT_MEMFD, EMFILE, EMFILE}, {FAULT_MEMFD, ENFILE, ENFILE},
                {FAULT_MEMFD, ENOMEM, ENOMEM}, {FAULT_RESIZE, EFBIG, EIO},
                {FAULT_WRITE, ENOSPC, ENOMEM}, {FAULT_WRITE, EIO, EIO},
                {FAULT_SEAL, EBUSY, EIO},      {FAULT_ALLOCATE, ENOMEM, ENOMEM}};
    for (flags = 0; flags <= VMKIT_VM_SNAPSHOT_TRACK; flags++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            sweep("vmkit_vm_snapshot", take_alone, rows[i].call, rows[i].err, rows[i].expected);
    }
}
END_TEST

START_TEST(a_vm_that_the_host_has_nothing_for_is_said)
{
    for (flags = 0; flags <= VMKIT_VM_SNAPSHOT_TRACK; flags++) {
        sweep("vmkit_vm_new_from_snapshot", restore, FAULT_ALLOCATE, ENOMEM, ENOMEM);
        sweep("vmkit_vm_new_from_snapshot", restore, FAULT_MAP, ENOMEM, ENOMEM);
        sweep("vmkit_vm_new_from_snapshot", restore, FAULT_IOCTL, ENOMEM, ENOMEM);
        sweep("vmkit_vm_new_from_snapshot", restore, FAULT_IOCTL, EIO, EIO);
        sweep("vmkit_vm_new_from_snapshot", restore, FAULT_IOCTL, EPERM, EIO);
        sweep_loosely("vmkit_vm_new_from_snapshot", restore, FAULT_IOCTL, EINVAL, EINVAL);
    }
}
END_TEST

START_TEST(a_kvm_that_is_missing_or_forbidden_is_said)
{
    static const struct {
        int err, expected;
        uint32_t kind;
    } rows[] = {{ENOENT, ENODEV, VMKIT_ERROR_KVM_MISSING},
                {EACCES, EACCES, VMKIT_ERROR_KVM_PERMISSION},
                {EMFILE, EMFILE, VMKIT_ERROR_LIMIT},
                {ENFILE, ENFILE, VMKIT_ERROR_LIMIT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, rows[i].err, restore(&error)), rows[i].expected,
                     rows[i].kind, "/dev/kvm");
}
END_TEST

/* A snapshot of two memory regions, opened by a process that has not yet asked what KVM can do. */
static void
open_foreign(void)
{
    int status = -1, fd = memfd_create("foreign", MFD_CLOEXEC);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        vmkit_memory *memory = NULL;
        set_up();
        ASSERT_OK(vmkit_memory_new_anonymous(0x1000, 0, &memory, &error));
        ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 0x1000, 0, &error));
        vmkit_snapshot_unref(snapshot);
        ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
        ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error));
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error));
    close(fd);
}

static const struct {
    unsigned long capability;
    int answer;
    int err;
    uint32_t kind;
    const char *part;
} lacks[] = {
    {KVM_CAP_IMMEDIATE_EXIT, 0, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, "\"immediate-exit\""},
    {KVM_CAP_NR_MEMSLOTS, 1, ENOSPC, VMKIT_ERROR_LIMIT, "all 1 memory regions"},
};

START_TEST(a_kvm_that_has_less_than_the_snapshot_is_said)
{
    open_foreign();
    ASSERT_FAILS(WITH_IOCTL_ANSWER(KVM_CHECK_EXTENSION, lacks[_i].capability, lacks[_i].answer,
                                   restore(&error)),
                 lacks[_i].err, lacks[_i].kind, lacks[_i].part);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static struct guest copy;

/* One that has run; of two, the second has been reset before. */
static void
make_copy(void)
{
    guest_free(&copy);
    copy = (struct guest){.exit.size = sizeof copy.exit};
    ASSERT_OK(
        vmkit_vm_new_from_snapshot(snapshot, NULL, flags, &copy.vcpu, 1, NULL, &copy.vm, &error));
    guest_run(&copy, VMKIT_EXIT_PIO);
}

static void
make_used_copy(void)
{
    make_copy();
    ASSERT_OK(vmkit_vm_reset(copy.vm, &error));
    guest_run(&copy, VMKIT_EXIT_PIO);
}

static int
reset(vmkit_error **ret_error)
{
    return vmkit_vm_reset(copy.vm, ret_error);
}

static int
reset_inside(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    ASSERT_FAILS(reset(&error), EBUSY, VMKIT_ERROR_BUSY, "inside of a callback");
    return VMKIT_HANDLED_STOP;
}

START_TEST(a_reset_that_cannot_be_is_said)
{
    ASSERT_INVALID(vmkit_vm_reset(NULL, &error), "vm is NULL");
    ASSERT_FAILS(vmkit_vm_reset(guest.vm, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "not made from a snapshot");
    make_copy();
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, EAGAIN, reset(&error)), EAGAIN, VMKIT_ERROR_LIMIT,
                 "RLIMIT_NPROC");
    ASSERT_OK(
        vmkit_vm_add_handler(copy.vm, VMKIT_SPACE_PIO, 0x10, 1, reset_inside, NULL, NULL, &error));
    guest_run(&copy, VMKIT_EXIT_STOPPED);
    guest_free(&copy);
    copy = (struct guest){0};
}
END_TEST

START_TEST(a_reset_that_the_host_has_nothing_for_is_said)
{
    for (flags = 0; flags <= VMKIT_VM_SNAPSHOT_TRACK; flags++) {
        sweep_prepared("vmkit_vm_reset", make_copy, reset, FAULT_ALLOCATE, ENOMEM, ENOMEM);
        sweep_prepared("vmkit_vm_reset", make_copy, reset, FAULT_IOCTL, EIO, EIO);
        sweep_prepared("vmkit_vm_reset", make_used_copy, reset, FAULT_IOCTL, EINVAL, EIO);
    }
    guest_free(&copy);
    copy = (struct guest){0};
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_vm_snapshot");
    TCase *tcase = tcase_create("errors_vm_snapshot");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, memory_that_cannot_be_copied_is_said);
    tcase_add_test(tcase, a_snapshot_that_the_host_has_nothing_for_is_said);
    tcase_add_test(tcase, a_vm_that_the_host_has_nothing_for_is_said);
    tcase_add_test(tcase, a_kvm_that_is_missing_or_forbidden_is_said);
    tcase_add_test(tcase, a_reset_that_cannot_be_is_said);
    tcase_add_test(tcase, a_reset_that_the_host_has_nothing_for_is_said);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("errors_vm_snapshot_foreign");
    tcase_add_loop_test(tcase, a_kvm_that_has_less_than_the_snapshot_is_said, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
