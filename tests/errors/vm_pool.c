/* SPDX-License-Identifier: Apache-2.0 */
/* What a pool of raw VMs says that cannot be made, or has no VM to give. */
#include "../kvm/guest.h"
#include "sweep.h"

#include <vmkit/pool.h>

#include <errno.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct guest guest;
static vmkit_snapshot *snapshot;
static vmkit_pool *pool;

static int
make(vmkit_error **ret_error)
{
    vmkit_pool *made = NULL;
    int result = vmkit_pool_new_vms(snapshot, NULL, 1, 1, &made, ret_error);
    vmkit_pool_unref(made);
    return result;
}

/* What is taken and released keeps its place, and its vCPU. */
static void
renew_pool(void)
{
    vmkit_pool_unref(pool);
    pool = NULL;
    ASSERT_OK(vmkit_pool_new_vms(snapshot, NULL, 0, 4, &pool, &error));
}

static int
take(vmkit_error **ret_error)
{
    vmkit_vcpu *vcpu = NULL;
    vmkit_vm *vm = NULL;
    int result = vmkit_pool_take_vm(pool, 0, &vcpu, 1, NULL, &vm, ret_error);
    vmkit_vm_unref(vm);
    return result;
}

static void
set_up(void)
{
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc};
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    pool = NULL;
    renew_pool();
}

static void
tear_down(void)
{
    vmkit_pool_unref(pool);
    vmkit_snapshot_unref(snapshot);
    guest_free(&guest);
}

START_TEST(arguments_are_checked)
{
    vmkit_pool *made = NULL;
    vmkit_vcpu *vcpu = NULL;
    vmkit_vm *vm = NULL;
    uint32_t count = 0;
    ASSERT_INVALID(vmkit_pool_new_vms(NULL, NULL, 0, 1, &made, &error), "snapshot is NULL");
    ASSERT_INVALID(vmkit_pool_new_vms(snapshot, NULL, 0, 1, NULL, &error), "ret_pool is NULL");
    ASSERT_INVALID(vmkit_pool_new_vms(snapshot, NULL, 2, 1, &made, &error), "2 warm raw VMs");
    ASSERT_FAILS(vmkit_pool_new_vms(snapshot, NULL, 0, 0, &made, &error), ERANGE, VMKIT_ERROR_LIMIT,
                 "1 to 65536");
    ASSERT_FAILS(vmkit_pool_new_vms(snapshot, NULL, 0, 65537, &made, &error), ERANGE,
                 VMKIT_ERROR_LIMIT, "1 to 65536");
    ck_assert_ptr_null(made);
    ASSERT_INVALID(vmkit_pool_take_vm(NULL, 0, &vcpu, 1, NULL, &vm, &error), "pool is NULL");
    ASSERT_INVALID(vmkit_pool_take_vm(pool, 0, NULL, 1, NULL, &vm, &error), "ret_vcpus is NULL");
    ASSERT_INVALID(vmkit_pool_take_vm(pool, 0, &vcpu, 1, NULL, NULL, &error), "ret_vm is NULL");
    ASSERT_FAILS(vmkit_pool_take_vm(pool, 0, NULL, 0, &count, &vm, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "1 vCPUs, and there is room for 0");
    ck_assert_uint_eq(count, 1);
    ASSERT_INVALID(vmkit_pool_give_back_vm(NULL, guest.vm, &error), "pool is NULL");
    ASSERT_INVALID(vmkit_pool_give_back_vm(pool, NULL, &error), "vm is NULL");
    ASSERT_INVALID(vmkit_pool_give_back_vm(pool, guest.vm, &error), "not taken from this pool");
}
END_TEST

static int
give_back_inside(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    ASSERT_FAILS(vmkit_pool_give_back_vm(pool, user_data, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 0 is running");
    return VMKIT_HANDLED_STOP;
}

START_TEST(a_vm_that_is_taken_or_runs_is_said)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    vmkit_vcpu *vcpu = NULL;
    vmkit_vm *vms[4];
    for (int i = 0; i < 4; i++)
        ASSERT_OK(vmkit_pool_take_vm(pool, 0, &vcpu, 1, NULL, &vms[i], &error));
    ASSERT_FAILS(take(&error), EAGAIN, VMKIT_ERROR_LIMIT, "all 4 raw VMs of the pool are taken");
    ASSERT_OK(vmkit_vm_add_handler(vms[3], VMKIT_SPACE_PIO, 0x10, 1, give_back_inside, NULL, vms[3],
                                   &error));
    ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_STOPPED);
    for (int i = 0; i < 4; i++)
        ASSERT_OK(vmkit_pool_give_back_vm(pool, vms[i], &error));
    ASSERT_OK(take(&error));
}
END_TEST

/* A reset that fails is no error: the VM is released, whether it has failed before or by that. */
START_TEST(a_reset_that_fails_costs_the_vm_alone)
{
    static const unsigned long requests[] = {KVM_SET_REGS, KVM_GET_DIRTY_LOG, KVM_RUN};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct vmkit_exit exit = {.size = sizeof exit};
        struct vmkit_pool_stats stats = {.size = sizeof stats};
        vmkit_vcpu *vcpu = NULL;
        vmkit_vm *vm = NULL;
        renew_pool();
        ASSERT_OK(vmkit_pool_take_vm(pool, 0, &vcpu, 1, NULL, &vm, &error));
        ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
        ASSERT_OK(WITH_IOCTL_FAULT(requests[i], EIO, vmkit_pool_give_back_vm(pool, vm, &error)));
        ASSERT_OK(vmkit_pool_get_stats(pool, &stats, &error));
        ck_assert_uint_eq(stats.discarded, 1);
        ck_assert_uint_eq(stats.resets, 0);
        ck_assert_uint_eq(stats.taken, 0);
        ck_assert_uint_eq(stats.idle, 0);
        ASSERT_OK(take(&error));
    }
}
END_TEST

START_TEST(a_pool_that_the_host_has_nothing_for_is_said)
{
    static const struct {
        enum fault_call call;
        int err, expected;
    } rows[] = {{FAULT_ALLOCATE, ENOMEM, ENOMEM}, {FAULT_MAP, ENOMEM, ENOMEM},
                {FAULT_IOCTL, ENOMEM, ENOMEM},    {FAULT_IOCTL, EIO, EIO},
                {FAULT_IOCTL, EPERM, EIO},        {FAULT_IOCTL, EMFILE, EMFILE},
                {FAULT_IOCTL, ENFILE, ENFILE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sweep_prepared("vmkit_pool_new_vms", renew_pool, make, rows[i].call, rows[i].err,
                       rows[i].expected);
        sweep_prepared("vmkit_pool_take_vm", renew_pool, take, rows[i].call, rows[i].err,
                       rows[i].expected);
    }
    sweep_loosely("vmkit_pool_new_vms", make, FAULT_IOCTL, EINVAL, EINVAL);
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
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, rows[i].err, make(&error)), rows[i].expected,
                     rows[i].kind, "/dev/kvm");
}
END_TEST

START_TEST(a_pool_of_sandboxes_is_none_of_vms)
{
    vmkit_pool *made = NULL;
    vmkit_sandbox *sandbox = NULL;
    ASSERT_FAILS(vmkit_pool_new(snapshot, NULL, 0, 1, &made, &error), ENOTSUP,
                 VMKIT_ERROR_WRONG_STATE, "of a raw VM");
    ASSERT_FAILS(vmkit_pool_take(pool, 0, &sandbox, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "one of raw VMs, not of sandboxes");
}
END_TEST

/* In the child; the parent looks at its status. */
static _Noreturn void
try_all_in_child(vmkit_vm *taken)
{
    ASSERT_FAILS(take(&error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
    ASSERT_OK(vmkit_pool_give_back_vm(pool, taken, &error));
    /* The snapshot is the child's as well. */
    ASSERT_OK(make(&error));
    vmkit_pool_unref(pool);
    _exit(0);
}

START_TEST(a_child_of_fork_has_the_snapshot_alone)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    vmkit_vcpu *vcpu = NULL;
    vmkit_vm *vm = NULL;
    int status = -1;
    ASSERT_OK(vmkit_pool_take_vm(pool, 0, &vcpu, 1, NULL, &vm, &error));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        try_all_in_child(vm);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_pool_give_back_vm(pool, vm, &error));
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

START_TEST(a_kvm_with_too_few_regions_is_said)
{
    open_foreign();
    ASSERT_FAILS(WITH_IOCTL_ANSWER(KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS, 1, make(&error)),
                 ENOSPC, VMKIT_ERROR_LIMIT, "all 1 memory regions");
    pool = NULL;
    renew_pool();
    ASSERT_FAILS(take(&error), ENOSPC, VMKIT_ERROR_LIMIT, "all 1 memory regions");
    vmkit_pool_unref(pool);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_vm_pool");
    TCase *tcase = tcase_create("errors_vm_pool");

    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, a_vm_that_is_taken_or_runs_is_said);
    tcase_add_test(tcase, a_reset_that_fails_costs_the_vm_alone);
    tcase_add_test(tcase, a_pool_that_the_host_has_nothing_for_is_said);
    tcase_add_test(tcase, a_kvm_that_is_missing_or_forbidden_is_said);
    tcase_add_test(tcase, a_pool_of_sandboxes_is_none_of_vms);
    tcase_add_test(tcase, a_child_of_fork_has_the_snapshot_alone);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("errors_vm_pool_foreign");
    tcase_add_test(tcase, a_kvm_with_too_few_regions_is_said);
    suite_add_tcase(suite, tcase);
    return suite;
}
