/* SPDX-License-Identifier: Apache-2.0 */
/* What a raw VM says that cannot be made, or whose KVM lacks something or takes no more. */
#include "calls.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static vmkit_vm_config *config;
static struct stage stage;

static void
set_up(void)
{
    memset(&stage, 0, sizeof stage);
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
}

static void
tear_down(void)
{
    vmkit_vcpu_unref(stage.vcpu);
    vmkit_vm_unref(stage.vm);
    vmkit_memory_unref(stage.memory);
    vmkit_vm_config_unref(config);
}

static int
make_vm(vmkit_error **ret_error)
{
    vmkit_vm_unref(stage.vm);
    stage.vm = NULL;
    return vmkit_vm_new(config, &stage.vm, ret_error);
}

/* A VM of a KVM that answers `value` about `capability`. The case is in a process of its own, since
 * what KVM can do is asked once. */
static void
make_vm_of(unsigned long capability, int value)
{
    ASSERT_OK(WITH_IOCTL_ANSWER(KVM_CHECK_EXTENSION, capability, value, make_vm(&error)));
}

static bool
fail_new(enum fault_call call, unsigned number, int err, int expected, uint32_t kind)
{
    vmkit_error *error = NULL;
    fault_begin(call, number, err);
    int result = make_vm(&error);
    bool reached = fault_end() >= number;
    ck_assert_msg(result == (reached ? -expected : 0), "call %u: %d, %s", number, result,
                  vmkit_error_get_message(error));
    if (reached)
        ck_assert_uint_eq(vmkit_error_get_kind(error), kind);
    vmkit_error_unref(error);
    return reached;
}

START_TEST(each_call_of_kvm_that_a_new_vm_makes_may_fail)
{
    static const struct {
        int err;
        int expected;
        uint32_t kind;
    } errors[] = {
        {EIO, EIO, VMKIT_ERROR_KVM_FAILED},
        {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
        {EPERM, EIO, VMKIT_ERROR_KVM_FAILED},
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        unsigned number = 1;
        ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, (uint32_t)_i, 0, &error));
        while (fail_new(FAULT_IOCTL, number, errors[i].err, errors[i].expected, errors[i].kind))
            number++;
        ck_assert_uint_gt(number, 2);
    }
}
END_TEST

START_TEST(each_allocation_of_a_new_vm_may_fail)
{
    unsigned number = 1;
    while (fail_new(FAULT_ALLOCATE, number, ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY))
        number++;
    ck_assert_uint_gt(number, 4);
}
END_TEST

START_TEST(a_host_without_descriptors_is_said)
{
    struct rlimit old, none;
    int lowest = dup(0);
    close(lowest);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (unsigned more = 0; more < 2; more++) {
        none = (struct rlimit){(rlim_t)lowest + more, old.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        ASSERT_FAILS(make_vm(&error), EMFILE, VMKIT_ERROR_LIMIT, "Too many open files");
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, ENFILE, make_vm(&error)), ENFILE, VMKIT_ERROR_LIMIT,
                 "opening /dev/kvm: Too many open files in system");
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_CREATE_VM, ENFILE, make_vm(&error)), ENFILE,
                 VMKIT_ERROR_LIMIT, "KVM_CREATE_VM: Too many open files in system");

    ASSERT_OK(make_vm(&error));
    none.rlim_cur = (rlim_t)dup(0);
    close((int)none.rlim_cur);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ASSERT_FAILS(vmkit_vcpu_new(stage.vm, 0, &stage.vcpu, &error), EMFILE, VMKIT_ERROR_LIMIT,
                 "KVM_CREATE_VCPU: Too many open files");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ASSERT_FAILS(
        WITH_IOCTL_FAULT(KVM_CREATE_VCPU, ENFILE, vmkit_vcpu_new(stage.vm, 0, &stage.vcpu, &error)),
        ENFILE, VMKIT_ERROR_LIMIT, "KVM_CREATE_VCPU: Too many open files in system");
    ck_assert_ptr_null(stage.vcpu);
}
END_TEST

START_TEST(another_version_of_kvm_is_said)
{
    ASSERT_FAILS(WITH_IOCTL_ANSWER(KVM_GET_API_VERSION, 0, 11, make_vm(&error)), ENOTSUP,
                 VMKIT_ERROR_KVM_INCAPABLE, "KVM speaks API version 11, the library speaks 12");
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    ASSERT_OK(vmkit_vm_config_set_kvm_fd(config, kvm, &error));
    close(kvm);
    ASSERT_FAILS(WITH_IOCTL_ANSWER(KVM_GET_API_VERSION, 0, 11, make_vm(&error)), ENOTSUP,
                 VMKIT_ERROR_KVM_INCAPABLE, "KVM speaks API version 11, the library speaks 12");
}
END_TEST

START_TEST(an_interrupt_controller_that_kvm_lacks_is_said)
{
    static const struct {
        uint32_t controller;
        unsigned long capability;
        const char *part;
    } rows[] = {
        {VMKIT_INTERRUPT_CONTROLLER_SPLIT, KVM_CAP_SPLIT_IRQCHIP, "\"split-irqchip\""},
        {VMKIT_INTERRUPT_CONTROLLER_KERNEL, KVM_CAP_IRQCHIP, "\"irqchip\""},
    };
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, rows[_i].controller, 0, &error));
    ASSERT_FAILS(WITH_IOCTL_ANSWER(KVM_CHECK_EXTENSION, rows[_i].capability, 0, make_vm(&error)),
                 ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, rows[_i].part);
}
END_TEST

static const struct {
    unsigned long capability;
    const char *call;
    const char *name;
} capabilities[] = {
    {KVM_CAP_IOEVENTFD, "vm_add_ioeventfd", "\"ioeventfd\""},
    {KVM_CAP_IOEVENTFD, "vm_remove_ioeventfd", "\"ioeventfd\""},
    {KVM_CAP_IRQFD, "vm_add_irqfd", "\"irqfd\""},
    {KVM_CAP_IRQFD, "vm_remove_irqfd", "\"irqfd\""},
    {KVM_CAP_IRQ_ROUTING, "vm_set_routes", "\"irq-routing\""},
    {KVM_CAP_SIGNAL_MSI, "vm_signal_msi", "\"signal-msi\""},
    {KVM_CAP_USER_NMI, "vcpu_nmi", "\"user-nmi\""},
    {KVM_CAP_DEBUGREGS, "vcpu_get_x86_debug_regs", "\"debug-registers\""},
    {KVM_CAP_DEBUGREGS, "vcpu_set_x86_debug_regs", "\"debug-registers\""},
    {KVM_CAP_VCPU_EVENTS, "vcpu_get_x86_events", "\"vcpu-events\""},
    {KVM_CAP_VCPU_EVENTS, "vcpu_set_x86_events", "\"vcpu-events\""},
    {KVM_CAP_XCRS, "vcpu_get_x86_xcr0", "\"xcrs\""},
    {KVM_CAP_XCRS, "vcpu_set_x86_xcr0", "\"xcrs\""},
    {KVM_CAP_MP_STATE, "vcpu_get_x86_mp_state", "\"mp-state\""},
    {KVM_CAP_MP_STATE, "vcpu_set_x86_mp_state", "\"mp-state\""},
};

#define CAPABILITIES ((int)(sizeof capabilities / sizeof capabilities[0]))

START_TEST(a_call_that_needs_what_kvm_lacks_says_so)
{
    const struct call *call = call_find(capabilities[_i].call);
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, call->controller, 0, &error));
    make_vm_of(capabilities[_i].capability, 0);
    ASSERT_OK(vmkit_vcpu_new(stage.vm, 0, &stage.vcpu, &error));
    stage.debug_regs.size = sizeof stage.debug_regs;
    stage.events.size = sizeof stage.events;
    check_failure(call, &stage, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, capabilities[_i].name);
}
END_TEST

START_TEST(read_only_memory_that_kvm_lacks_is_said)
{
    make_vm_of(KVM_CAP_READONLY_MEM, 0);
    ASSERT_OK(vmkit_memory_new_anonymous(0x1000, 0, &stage.memory, &error));
    ASSERT_FAILS(
        vmkit_vm_add_memory(stage.vm, 0, stage.memory, 0, 0x1000, VMKIT_REGION_READ_ONLY, &error),
        ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, "\"readonly-memory\"");
}
END_TEST

START_TEST(a_kvm_that_takes_no_more_is_said)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    make_vm_of(KVM_CAP_NR_MEMSLOTS, 2);
    ASSERT_OK(vmkit_memory_new_anonymous(0x1000, 0, &stage.memory, &error));
    for (uint64_t gpa = 0; gpa < 0x2000; gpa += 0x1000)
        ASSERT_OK(vmkit_vm_add_memory(stage.vm, gpa, stage.memory, 0, 0x1000, 0, &error));
    ASSERT_FAILS(vmkit_vm_add_memory(stage.vm, 0x2000, stage.memory, 0, 0x1000, 0, &error), ENOSPC,
                 VMKIT_ERROR_LIMIT, "all 2 memory regions that this host allows a VM are in use");
    ASSERT_FAILS(
        WITH_IOCTL_FAULT(KVM_IOEVENTFD, ENOSPC,
                         vmkit_vm_add_ioeventfd(stage.vm, VMKIT_SPACE_PIO, 0, 1, 0, 0, fd, &error)),
        ENOSPC, VMKIT_ERROR_LIMIT, "KVM_IOEVENTFD of descriptor");
    close(fd);
}
END_TEST

static int
refuse(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    return VMKIT_HANDLED;
}

START_TEST(a_handler_needs_a_range_of_its_own)
{
    ASSERT_OK(make_vm(&error));
    ASSERT_OK(vmkit_vm_add_handler(stage.vm, VMKIT_SPACE_PIO, 0x10, 4, refuse, NULL, NULL, &error));
    ASSERT_FAILS(
        vmkit_vm_add_handler(stage.vm, VMKIT_SPACE_PIO, 0x13, 1, refuse, NULL, NULL, &error),
        EEXIST, VMKIT_ERROR_OVERLAP, "0x13");
    ASSERT_FAILS(
        vmkit_vm_add_handler(stage.vm, VMKIT_SPACE_PIO, 0xffff, 2, refuse, NULL, NULL, &error),
        ERANGE, VMKIT_ERROR_OUT_OF_RANGE, "0xffff");
    ASSERT_INVALID(vmkit_vm_add_handler(stage.vm, 9, 0, 1, refuse, NULL, NULL, &error), "9");
    ASSERT_INVALID(
        vmkit_vm_add_handler(stage.vm, VMKIT_SPACE_MMIO, 0x1000, 0, refuse, NULL, NULL, &error),
        "0x1000");
    ASSERT_INVALID(
        vmkit_vm_add_handler(stage.vm, VMKIT_SPACE_PIO, 0x20, 1, NULL, NULL, NULL, &error),
        "callback is NULL");
    ASSERT_FAILS(vmkit_vm_remove_handler(stage.vm, VMKIT_SPACE_PIO, 0x11, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, "0x11");
}
END_TEST

START_TEST(memory_for_reading_only_is_not_written)
{
    int fd = memfd_create("read-only", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 0x4000), 0);
    ASSERT_OK(make_vm(&error));
    ASSERT_OK(vmkit_memory_new_fd(fd, 0, 0x4000, VMKIT_MEMORY_READ_ONLY, &stage.memory, &error));
    close(fd);
    ASSERT_INVALID(vmkit_vm_add_memory(stage.vm, 0, stage.memory, 0, 0x4000, 0, &error),
                   "needs a read-only region");
    ASSERT_OK(
        vmkit_vm_add_memory(stage.vm, 0, stage.memory, 0, 0x4000, VMKIT_REGION_READ_ONLY, &error));
    ASSERT_FAILS(vmkit_vm_write(stage.vm, 0x10, "x", 1, &error), EROFS,
                 VMKIT_ERROR_INVALID_ARGUMENT, "address 0x10 is mapped for reading only");
    ASSERT_FAILS(vmkit_vm_write_x86_identity_map(stage.vm, 0, 1 << 21, 0, NULL, &error), EROFS,
                 VMKIT_ERROR_INVALID_ARGUMENT, "address 0x0 is mapped for reading only");
}
END_TEST

START_TEST(numbers_beyond_a_limit_are_said)
{
    struct vmkit_x86_msr msr = {.index = 0xc0000082};
    ASSERT_OK(make_vm(&error));
    ASSERT_OK(vmkit_vcpu_new(stage.vm, 0, &stage.vcpu, &error));
    ASSERT_FAILS(vmkit_vcpu_get_x86_msrs(stage.vcpu, &msr, 4097, &error), E2BIG, VMKIT_ERROR_LIMIT,
                 "4097 MSRs are more than the 4096 of one call");
    ASSERT_FAILS(vmkit_vcpu_set_x86_msrs(stage.vcpu, &msr, 4097, &error), E2BIG, VMKIT_ERROR_LIMIT,
                 "4097 MSRs are more than the 4096 of one call");
    ASSERT_FAILS(vmkit_vcpu_get_x86_xsave(stage.vcpu, stage.xsave, 511, &error), ERANGE,
                 VMKIT_ERROR_INVALID_ARGUMENT, "and there are 511");
    ASSERT_FAILS(vmkit_vcpu_set_x86_xsave(stage.vcpu, stage.xsave, 511, &error), ERANGE,
                 VMKIT_ERROR_INVALID_ARGUMENT, "and there are 511");
}
END_TEST

START_TEST(a_message_to_no_vcpu_is_not_taken)
{
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, VMKIT_INTERRUPT_CONTROLLER_SPLIT, 0,
                                                       &error));
    ASSERT_OK(make_vm(&error));
    ASSERT_OK(vmkit_vm_signal_msi(stage.vm, 0xfee00000, 0x31, &error));
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_kvm");
    TCase *tcase = tcase_create("errors_kvm");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, each_call_of_kvm_that_a_new_vm_makes_may_fail, 0, 3);
    tcase_add_test(tcase, each_allocation_of_a_new_vm_may_fail);
    tcase_add_test(tcase, a_host_without_descriptors_is_said);
    tcase_add_test(tcase, another_version_of_kvm_is_said);
    tcase_add_loop_test(tcase, an_interrupt_controller_that_kvm_lacks_is_said, 0, 2);
    tcase_add_loop_test(tcase, a_call_that_needs_what_kvm_lacks_says_so, 0, CAPABILITIES);
    tcase_add_test(tcase, read_only_memory_that_kvm_lacks_is_said);
    tcase_add_test(tcase, a_kvm_that_takes_no_more_is_said);
    tcase_add_test(tcase, a_handler_needs_a_range_of_its_own);
    tcase_add_test(tcase, memory_for_reading_only_is_not_written);
    tcase_add_test(tcase, numbers_beyond_a_limit_are_said);
    tcase_add_test(tcase, a_message_to_no_vcpu_is_not_taken);
    suite_add_tcase(suite, tcase);
    return suite;
}
