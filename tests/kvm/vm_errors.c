/* SPDX-License-Identifier: Apache-2.0 */
/* The documented errors of the raw VM's calls that need a VM to be shown. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct guest guest;

static void
setup(void)
{
    static const uint8_t code[] = {0xf4};
    guest_new_real(&guest, code, sizeof code);
}

static void
teardown(void)
{
    guest_free(&guest);
}

START_TEST(a_configuration_refuses_what_makes_no_sense)
{
    vmkit_vm_config *config = NULL;
    vmkit_vm *vm = NULL;
    ASSERT_INVALID(vmkit_vm_config_new(NULL, &error), "ret_config is NULL");
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
    ASSERT_INVALID(vmkit_vm_config_set_interrupt_controller(config, 3, 0, &error),
                   "interrupt controller 3 is not known");
    ASSERT_INVALID(vmkit_vm_config_set_interrupt_controller(
                       config, VMKIT_INTERRUPT_CONTROLLER_KERNEL, 24, &error),
                   "24 pins");
    ASSERT_FAILS(vmkit_vm_config_set_interrupt_controller(config, VMKIT_INTERRUPT_CONTROLLER_SPLIT,
                                                          4097, &error),
                 ERANGE, VMKIT_ERROR_LIMIT, "4097 pins");
    ASSERT_INVALID(vmkit_vm_config_set_kvm_fd(config, -1, &error), "descriptor -1 is not open");
    ASSERT_INVALID(vmkit_vm_config_set_kvm_path(NULL, "/dev/kvm", &error), "config is NULL");
    ASSERT_INVALID(vmkit_vm_new(config, NULL, &error), "ret_vm is NULL");

    ASSERT_OK(vmkit_vm_config_set_kvm_path(config, "/nowhere/kvm", &error));
    ASSERT_FAILS(vmkit_vm_new(config, &vm, &error), ENODEV, VMKIT_ERROR_KVM_MISSING,
                 "/nowhere/kvm is not there");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ASSERT_OK(vmkit_vm_config_set_kvm_fd(config, null, &error));
    close(null);
    ASSERT_FAILS(vmkit_vm_new(config, &vm, &error), ENODEV, VMKIT_ERROR_KVM_MISSING,
                 "is not of a KVM device");
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    ASSERT_OK(vmkit_vm_config_set_kvm_fd(config, kvm, &error));
    close(kvm);
    ASSERT_OK(vmkit_vm_new(config, &vm, &error));
    vmkit_vm_unref(vm);
    vmkit_vm_config_unref(vmkit_vm_config_ref(config));
    vmkit_vm_config_unref(config);
    vmkit_vm_config_unref(NULL);
}
END_TEST

START_TEST(memory_is_refused_with_the_reason)
{
    vmkit_memory *memory = NULL;
    uint8_t byte;
    void *pointer;
    ASSERT_OK(vmkit_memory_new_anonymous(0x2000, 0, &memory, &error));
    ASSERT_FAILS(vmkit_vm_add_memory(guest.vm, 0xff000, memory, 0, 0x2000, 0, &error), EEXIST,
                 VMKIT_ERROR_OVERLAP, "memory region [0xff000, 0x101000) overlaps [0x0, 0x100000)");
    ASSERT_INVALID(vmkit_vm_add_memory(guest.vm, 0x200001, memory, 0, 0x2000, 0, &error),
                   "not all are multiples of the page size");
    ASSERT_INVALID(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 0x2000, 8, &error),
                   "flags 0x8");
    ASSERT_INVALID(vmkit_vm_add_memory(guest.vm, 0x200000, NULL, 0, 0x2000, 0, &error),
                   "memory is NULL");
    ASSERT_INVALID(vmkit_vm_add_memory(NULL, 0x200000, memory, 0, 0x2000, 0, &error), "vm is NULL");
    ASSERT_FAILS(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0x1000, 0x2000, 0, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "beyond the memory's 0x2000 bytes");
    ASSERT_FAILS(vmkit_vm_remove_memory(guest.vm, 0x1000, &error), ENOENT, VMKIT_ERROR_NOT_FOUND,
                 "no memory region begins at 0x1000");
    ASSERT_FAILS(vmkit_vm_read(guest.vm, GUEST_MEMORY, &byte, 1, &error), EFAULT,
                 VMKIT_ERROR_OUT_OF_RANGE, "no memory at guest address 0x100000");
    ASSERT_INVALID(vmkit_vm_read(guest.vm, 0, NULL, 1, &error), "destination is NULL");
    ASSERT_INVALID(vmkit_vm_write(guest.vm, 0, NULL, 1, &error), "source is NULL");
    ASSERT_OK(vmkit_vm_read(guest.vm, 0, NULL, 0, &error));
    ASSERT_FAILS(vmkit_vm_get_pointer(guest.vm, 0xfffff, 2, &pointer, &error), EFAULT,
                 VMKIT_ERROR_OUT_OF_RANGE, "beyond the memory region");
    ASSERT_OK(vmkit_vm_get_pointer(guest.vm, 0x1234, 4, &pointer, &error));
    ck_assert_ptr_eq(pointer, guest.memory + 0x1234);
    vmkit_memory_unref(memory);
}
END_TEST

START_TEST(a_region_that_was_removed_can_be_added_again_and_again)
{
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_memory_new_anonymous(0x1000, 0, &memory, &error));
    for (uint64_t i = 0; i < 40; i++) {
        ASSERT_OK(
            vmkit_vm_add_memory(guest.vm, 0x200000 + i * 0x1000, memory, 0, 0x1000, 0, &error));
        if (i % 2 == 0)
            ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0x200000 + i * 0x1000, &error));
    }
    vmkit_memory_unref(memory);
}
END_TEST

START_TEST(a_vcpu_number_is_used_once_and_has_a_limit)
{
    vmkit_vcpu *vcpu = NULL;
    ASSERT_FAILS(vmkit_vcpu_new(guest.vm, 0, &vcpu, &error), EEXIST, VMKIT_ERROR_EXISTS,
                 "vCPU 0 was made before");
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 1, &vcpu, &error));
    vmkit_vcpu_unref(vcpu);
    ASSERT_FAILS(vmkit_vcpu_new(guest.vm, 1, &vcpu, &error), EEXIST, VMKIT_ERROR_EXISTS,
                 "vCPU 1 was made before: a VM uses each number once");
    ASSERT_FAILS(vmkit_vcpu_new(guest.vm, UINT32_MAX, &vcpu, &error), ERANGE, VMKIT_ERROR_LIMIT,
                 "vCPU 4294967295 is beyond the last number");
    ASSERT_INVALID(vmkit_vcpu_new(NULL, 1, &vcpu, &error), "vm is NULL");
    ASSERT_INVALID(vmkit_vcpu_new(guest.vm, 1, NULL, &error), "ret_vcpu is NULL");
    ck_assert_uint_eq(vmkit_vcpu_get_id(guest.vcpu), 0);
    ck_assert_uint_eq(vmkit_vcpu_get_id(NULL), UINT32_MAX);
    ck_assert_ptr_eq(vmkit_vcpu_get_vm(guest.vcpu), guest.vm);
    ck_assert_ptr_null(vmkit_vcpu_get_vm(NULL));
}
END_TEST

START_TEST(a_run_needs_its_record)
{
    struct {
        struct vmkit_exit exit;
        uint64_t of_a_later_release;
    } later = {.exit.size = sizeof later.exit - 1, .of_a_later_release = UINT64_MAX};
    ASSERT_INVALID(vmkit_vcpu_run(guest.vcpu, NULL, &error), "exit is NULL");
    ASSERT_INVALID(vmkit_vcpu_run(guest.vcpu, &later.exit, &error), "exit->size is");
    ASSERT_INVALID(vmkit_vcpu_run(NULL, &later.exit, &error), "vcpu is NULL");
    ASSERT_INVALID(vmkit_vcpu_set_exit_value(NULL, 0, &error), "vcpu is NULL");
    ASSERT_FAILS(vmkit_vcpu_set_exit_value(guest.vcpu, 0, &error), ENXIO, VMKIT_ERROR_WRONG_STATE,
                 "does not wait");
    vmkit_vcpu_kick(NULL);
    later.exit.size = sizeof later;
    ASSERT_OK(vmkit_vcpu_run(guest.vcpu, &later.exit, &error));
    ck_assert_uint_eq(later.exit.size, sizeof later);
    ck_assert_uint_eq(later.exit.reason, VMKIT_EXIT_HALT);
    ck_assert_uint_eq(later.of_a_later_release, 0);
}
END_TEST

/* What a caller of release 0.1 sets, whatever the records have grown to since. */
START_TEST(records_of_the_first_release_are_taken)
{
    union {
        uint32_t size;
        struct vmkit_exit exit;
        struct vmkit_x86_regs regs;
        struct vmkit_x86_sregs sregs;
        struct vmkit_x86_fpu fpu;
        struct vmkit_x86_debug_regs debug;
        struct vmkit_x86_events events;
    } record;
#define CHECK_FIRST_SIZE(first_size, call)            \
    do {                                              \
        memset(&record, 0, sizeof record);            \
        record.size = (first_size)-1;                 \
        ASSERT_INVALID(call, "set it to sizeof");     \
        record.size = (first_size);                   \
        ASSERT_OK(call);                              \
        ck_assert_uint_eq(record.size, (first_size)); \
    } while (0)
    CHECK_FIRST_SIZE(200, vmkit_vcpu_run(guest.vcpu, &record.exit, &error));
    CHECK_FIRST_SIZE(152, vmkit_vcpu_get_x86_regs(guest.vcpu, &record.regs, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_regs(guest.vcpu, &record.regs, &error));
    CHECK_FIRST_SIZE(320, vmkit_vcpu_get_x86_sregs(guest.vcpu, &record.sregs, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_sregs(guest.vcpu, &record.sregs, &error));
    CHECK_FIRST_SIZE(424, vmkit_vcpu_get_x86_fpu(guest.vcpu, &record.fpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_fpu(guest.vcpu, &record.fpu, &error));
    CHECK_FIRST_SIZE(56, vmkit_vcpu_get_x86_debug_regs(guest.vcpu, &record.debug, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_debug_regs(guest.vcpu, &record.debug, &error));
    CHECK_FIRST_SIZE(32, vmkit_vcpu_get_x86_events(guest.vcpu, &record.events, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_events(guest.vcpu, &record.events, &error));
}
END_TEST

START_TEST(registers_need_records_and_sane_values)
{
    struct vmkit_x86_regs regs = {.size = 4};
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    struct vmkit_x86_msr msr = {.index = 0x12345678};
    struct vmkit_x86_cpuid leaf;
    uint32_t count = 0;
    uint8_t byte;
    ASSERT_INVALID(vmkit_vcpu_get_x86_regs(guest.vcpu, &regs, &error), "regs->size is 4");
    ASSERT_INVALID(vmkit_vcpu_set_x86_regs(guest.vcpu, NULL, &error), "regs is NULL");
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(guest.vcpu, &sregs, &error));
    sregs.cr4 |= UINT64_C(1) << 40;
    ASSERT_INVALID(vmkit_vcpu_set_x86_sregs(guest.vcpu, &sregs, &error), "KVM_SET_SREGS");
    ASSERT_INVALID(vmkit_vcpu_get_x86_msrs(guest.vcpu, &msr, 1, &error),
                   "MSR 0x12345678 cannot be read");
    ASSERT_INVALID(vmkit_vcpu_set_x86_msrs(guest.vcpu, &msr, 1, &error),
                   "MSR 0x12345678 cannot be set to that value");
    ASSERT_FAILS(vmkit_vcpu_get_x86_msrs(guest.vcpu, &msr, 4097, &error), E2BIG, VMKIT_ERROR_LIMIT,
                 "4097 MSRs");
    ASSERT_INVALID(vmkit_vcpu_get_x86_msrs(guest.vcpu, NULL, 1, &error), "msrs is NULL");
    ASSERT_FAILS(vmkit_vcpu_get_x86_cpuid(guest.vcpu, &leaf, 1, &count, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "there is room for 1");
    ck_assert_uint_gt(count, 1);
    ASSERT_INVALID(vmkit_vcpu_set_x86_cpuid(guest.vcpu, &leaf, 0, &error), "without CPUID leaves");
    ASSERT_FAILS(vmkit_vcpu_set_x86_cpuid(guest.vcpu, &leaf, 257, &error), E2BIG, VMKIT_ERROR_LIMIT,
                 "257 CPUID leaves");
    ASSERT_FAILS(vmkit_vcpu_get_x86_xsave(guest.vcpu, &byte, 1, &error), ERANGE,
                 VMKIT_ERROR_INVALID_ARGUMENT, "and there are 1");
    ASSERT_FAILS(vmkit_vcpu_set_x86_real_mode(guest.vcpu, 0x10000, 0, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "address 0x10000");
    ASSERT_INVALID(vmkit_vcpu_set_x86_long_mode(guest.vcpu, 0, 0, 0x10001, 0, &error),
                   "0x10001 is not a multiple of 4096");
    ASSERT_INVALID(vmkit_vcpu_set_x86_long_mode(guest.vcpu, 0, 0, 0x10000, 2, &error), "flags 0x2");
    ASSERT_FAILS(vmkit_vm_write_x86_identity_map(guest.vm, 0, 0, 0, NULL, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "an identity map of 0 bytes");
    ASSERT_FAILS(vmkit_vm_write_x86_identity_map(guest.vm, 0xff000, 1 << 30, 0, NULL, &error),
                 EFAULT, VMKIT_ERROR_OUT_OF_RANGE, "no memory at guest address 0x100000");
}
END_TEST

START_TEST(state_that_is_set_is_read_back)
{
    static uint8_t xsave[1 << 16];
    struct vmkit_x86_fpu fpu = {.size = sizeof fpu};
    struct vmkit_x86_debug_regs debug = {.size = sizeof debug};
    struct vmkit_x86_events events = {.size = sizeof events};
    struct vmkit_x86_msr msrs[2] = {{.index = 0xc0000081, .value = 0x1234000000000000},
                                    {.index = 0xc0000082, .value = 0xfff000}};
    struct vmkit_x86_cpuid leaves[256];
    uint64_t xcr0 = 0, size = 0;
    uint32_t count, state = 9;
    ASSERT_OK(vmkit_vcpu_set_x86_msrs(guest.vcpu, msrs, 2, &error));
    msrs[0].value = msrs[1].value = 0;
    ASSERT_OK(vmkit_vcpu_get_x86_msrs(guest.vcpu, msrs, 2, &error));
    ck_assert_uint_eq(msrs[0].value, 0x1234000000000000);
    ck_assert_uint_eq(msrs[1].value, 0xfff000);

    ASSERT_OK(vmkit_vcpu_get_x86_fpu(guest.vcpu, &fpu, &error));
    memset(fpu.xmm[3], 0x5c, sizeof fpu.xmm[3]);
    ASSERT_OK(vmkit_vcpu_set_x86_fpu(guest.vcpu, &fpu, &error));
    memset(&fpu.xmm, 0, sizeof fpu.xmm);
    ASSERT_OK(vmkit_vcpu_get_x86_fpu(guest.vcpu, &fpu, &error));
    ck_assert_uint_eq(fpu.xmm[3][15], 0x5c);

    /* XMM3 lies at 160 + 3 * 16 of the standard layout (Intel SDM 1, 13.4.1). */
    ck_assert_uint_le(vmkit_vcpu_get_x86_xsave_size(guest.vcpu), sizeof xsave);
    ASSERT_OK(vmkit_vcpu_get_x86_xsave(guest.vcpu, xsave, sizeof xsave, &error));
    ck_assert_uint_eq(xsave[160 + 48], 0x5c);
    xsave[160 + 48] = 0x77;
    ASSERT_OK(vmkit_vcpu_set_x86_xsave(guest.vcpu, xsave, sizeof xsave, &error));
    ASSERT_OK(vmkit_vcpu_get_x86_fpu(guest.vcpu, &fpu, &error));
    ck_assert_uint_eq(fpu.xmm[3][0], 0x77);

    ASSERT_OK(vmkit_vcpu_get_x86_xcr0(guest.vcpu, &xcr0, &error));
    ck_assert_uint_eq(xcr0 & 1, 1);
    ASSERT_OK(vmkit_vcpu_set_x86_xcr0(guest.vcpu, 3, &error));
    ASSERT_OK(vmkit_vcpu_get_x86_xcr0(guest.vcpu, &xcr0, &error));
    ck_assert_uint_eq(xcr0, 3);

    ASSERT_OK(vmkit_vcpu_get_x86_debug_regs(guest.vcpu, &debug, &error));
    debug.address[2] = 0x4000;
    ASSERT_OK(vmkit_vcpu_set_x86_debug_regs(guest.vcpu, &debug, &error));
    debug.address[2] = 0;
    ASSERT_OK(vmkit_vcpu_get_x86_debug_regs(guest.vcpu, &debug, &error));
    ck_assert_uint_eq(debug.address[2], 0x4000);

    ASSERT_OK(vmkit_vcpu_get_x86_events(guest.vcpu, &events, &error));
    ck_assert_uint_eq(events.nmi_pending, 0);
    ASSERT_OK(vmkit_vcpu_set_x86_events(guest.vcpu, &events, &error));
    ASSERT_OK(vmkit_vcpu_get_x86_mp_state(guest.vcpu, &state, &error));
    ck_assert_uint_eq(state, VMKIT_X86_RUNNABLE);
    ASSERT_OK(vmkit_vcpu_set_x86_mp_state(guest.vcpu, state, &error));

    ASSERT_OK(vmkit_vcpu_get_x86_cpuid(guest.vcpu, leaves, 256, &count, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_cpuid(guest.vcpu, leaves, count, &error));
    ASSERT_OK(vmkit_vm_write_x86_identity_map(guest.vm, GUEST_TABLES, (3ull << 30) + 1, 0, &size,
                                              &error));
    ck_assert_uint_eq(size, 6 * 4096);
}
END_TEST

START_TEST(doorbells_and_interrupts_need_what_they_need)
{
    struct vmkit_route route = {.gsi = 1, .kind = 7};
    int fd = eventfd(0, EFD_CLOEXEC);
    ASSERT_INVALID(vmkit_vm_add_ioeventfd(guest.vm, 3, 0, 1, 0, 0, fd, &error),
                   "address space 3 is not known");
    ASSERT_INVALID(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0, 8, 0, 0, fd, &error),
                   "write of 8 bytes");
    ASSERT_INVALID(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_MMIO, 0, 0, VMKIT_IOEVENTFD_MATCH,
                                          0, fd, &error),
                   "write of 0 bytes");
    ASSERT_INVALID(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0, 1, 2, 0, fd, &error),
                   "flags 0x2");
    ASSERT_INVALID(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0, 1, 0, 0, -1, &error),
                   "descriptor -1 is not open");
    ASSERT_FAILS(vmkit_vm_add_irqfd(guest.vm, fd, 0, -1, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "without an interrupt controller");
    ASSERT_FAILS(vmkit_vm_remove_irqfd(guest.vm, fd, 0, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "without an interrupt controller");
    ASSERT_FAILS(vmkit_vm_set_irq_line(guest.vm, 0, 1, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "without an interrupt controller in the kernel");
    ASSERT_INVALID(vmkit_vm_set_irq_line(guest.vm, 0, 2, &error), "neither 0 nor 1");
    ASSERT_FAILS(vmkit_vm_signal_msi(guest.vm, 0xfee00000, 0x20, &error), ENOTSUP,
                 VMKIT_ERROR_WRONG_STATE, "without an interrupt controller");
    ASSERT_FAILS(vmkit_vm_set_routes(guest.vm, &route, 1, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "without an interrupt controller");
    ASSERT_FAILS(vmkit_vm_set_routes(guest.vm, &route, 4097, &error), E2BIG, VMKIT_ERROR_LIMIT,
                 "4097 interrupt routes");
    ASSERT_INVALID(vmkit_vm_set_routes(guest.vm, NULL, 1, &error), "routes is NULL");
    close(fd);
}
END_TEST

START_TEST(routes_and_messages_work_with_a_split_controller)
{
    struct vmkit_route route = {.gsi = 1, .kind = 7};
    vmkit_vm_config *config = NULL;
    vmkit_vm *vm = NULL;
    int fd = eventfd(0, EFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, VMKIT_INTERRUPT_CONTROLLER_SPLIT, 24,
                                                       &error));
    ASSERT_OK(vmkit_vm_new(config, &vm, &error));
    ASSERT_INVALID(vmkit_vm_set_routes(vm, &route, 1, &error),
                   "interrupt line 1 has a route of the unknown kind 7");
    route.kind = VMKIT_ROUTE_MSI;
    route.msi_address = 0xfee00000;
    route.msi_data = 0x31;
    ASSERT_OK(vmkit_vm_set_routes(vm, &route, 1, &error));
    ASSERT_OK(vmkit_vm_add_irqfd(vm, fd, 1, -1, &error));
    ASSERT_FAILS(vmkit_vm_add_irqfd(vm, fd, 1, -1, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "for line 1: ");
    ASSERT_OK(vmkit_vm_remove_irqfd(vm, fd, 1, &error));
    ASSERT_FAILS(vmkit_vm_add_irqfd(vm, fd, 4096, -1, &error), EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                 "interrupt line 4096 is beyond the last one, 4095");
    ASSERT_OK(vmkit_vm_add_irqfd(vm, fd, 4095, -1, &error));
    ASSERT_OK(vmkit_vm_remove_irqfd(vm, fd, 4095, &error));
    ASSERT_INVALID(vmkit_vm_add_irqfd(vm, null, 1, -1, &error), "KVM_IRQFD of descriptor");
    route.gsi = 4096;
    ASSERT_FAILS(vmkit_vm_set_routes(vm, &route, 1, &error), EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                 "interrupt line 4096");
    ASSERT_INVALID(vmkit_vm_add_irqfd(vm, -1, 1, -1, &error), "descriptor -1 is not open");
    ASSERT_FAILS(vmkit_vm_set_irq_line(vm, 1, 1, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "in the kernel");
    ASSERT_OK(vmkit_vm_set_routes(vm, NULL, 0, &error));
    vmkit_vm_unref(vm);
    vmkit_vm_config_unref(config);
    close(null);
    close(fd);
}
END_TEST

START_TEST(lines_and_pins_that_are_not_there_are_refused)
{
    struct vmkit_route route = {.gsi = 1, .kind = VMKIT_ROUTE_PIN, .chip = 2, .pin = 24};
    struct guest kernel;
    static const uint8_t code[] = {0xf4};
    guest_new(&kernel, VMKIT_INTERRUPT_CONTROLLER_KERNEL, code, sizeof code);
    ASSERT_FAILS(vmkit_vm_set_irq_line(kernel.vm, 4096, 1, &error), EINVAL,
                 VMKIT_ERROR_OUT_OF_RANGE, "interrupt line 4096 is beyond the last one, 4095");
    ASSERT_FAILS(vmkit_vm_set_routes(kernel.vm, &route, 1, &error), EINVAL,
                 VMKIT_ERROR_OUT_OF_RANGE,
                 "line 1 leads to pin 24 of controller 2, whose last one is 23");
    route.chip = 3;
    ASSERT_FAILS(vmkit_vm_set_routes(kernel.vm, &route, 1, &error), EINVAL,
                 VMKIT_ERROR_OUT_OF_RANGE, "controller 3, which is not there");
    route.chip = 1;
    route.pin = 7;
    ASSERT_OK(vmkit_vm_set_routes(kernel.vm, &route, 1, &error));
    guest_free(&kernel);
}
END_TEST

START_TEST(the_probe_finds_this_host_usable)
{
    vmkit_host *host = NULL;
    ASSERT_OK(vmkit_host_probe(VMKIT_HOST_PROBE_MEASURE, &host, &error));
    ck_assert_uint_eq(vmkit_host_get_status(host), VMKIT_HOST_USABLE);
    ck_assert_str_eq(vmkit_host_get_reason(host), "");
    ck_assert_uint_eq(vmkit_host_get_api_version(host), 12);
    ck_assert_int_eq(vmkit_host_has_capability(host, VMKIT_CAPABILITY_USER_MEMORY), 1);
    ck_assert_int_eq(vmkit_host_has_capability(host, 63), 0);
    ck_assert_uint_ge(vmkit_host_get_max_vcpus(host), 1);
    ck_assert_uint_ge(vmkit_host_get_max_regions(host), 32);
    ck_assert_uint_ne(vmkit_host_get_supervisor_mode(host), VMKIT_SUPERVISOR_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(vmkit_host_get_advice(host), "KVM can be used"));
    vmkit_host_unref(host);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_errors");
    TCase *tcase = tcase_create("vm_errors");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_configuration_refuses_what_makes_no_sense);
    tcase_add_test(tcase, memory_is_refused_with_the_reason);
    tcase_add_test(tcase, a_region_that_was_removed_can_be_added_again_and_again);
    tcase_add_test(tcase, a_vcpu_number_is_used_once_and_has_a_limit);
    tcase_add_test(tcase, a_run_needs_its_record);
    tcase_add_test(tcase, records_of_the_first_release_are_taken);
    tcase_add_test(tcase, registers_need_records_and_sane_values);
    tcase_add_test(tcase, state_that_is_set_is_read_back);
    tcase_add_test(tcase, doorbells_and_interrupts_need_what_they_need);
    tcase_add_test(tcase, routes_and_messages_work_with_a_split_controller);
    tcase_add_test(tcase, lines_and_pins_that_are_not_there_are_refused);
    tcase_add_test(tcase, the_probe_finds_this_host_usable);
    suite_add_tcase(suite, tcase);
    return suite;
}
