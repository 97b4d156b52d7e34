/* SPDX-License-Identifier: Apache-2.0 */
/* Every KVM call, made to fail in turn: a clean error, and nothing left behind. */
#include "harness.h"
#include "kvm/x86_64.h"
#include "saboteur.h"
#include "vm/host.h"
#include "vm/vcpu.h"
#include "vm/x86_64.h"
#include "usage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int
use_registers(struct vmkit_vcpu *vcpu, vmkit_error **error)
{
    static uint8_t xsave[1 << 16];
    struct vmk_kvm_vcpu *kvm = vmk_vcpu_get_kvm(vcpu);
    struct vmkit_x86_sregs sregs;
    struct vmkit_x86_fpu fpu;
    struct vmkit_x86_events events;
    struct vmkit_x86_debug_regs debug;
    struct vmkit_x86_msr tsc = {.index = 0xc0000080};
    struct vmkit_x86_cpuid leaves[VMK_KVM_X86_CPUID_LIMIT];
    uint32_t count, state;
    uint64_t xcr0;
    int result = vmk_vcpu_set_x86_real_mode(vcpu, 0x1000, 0x8000, error);
    result = result < 0 ? result : vmk_kvm_x86_get_sregs(kvm, &sregs, error);
    result = result < 0 ? result : vmk_kvm_x86_get_fpu(kvm, &fpu, error);
    result = result < 0 ? result : vmk_kvm_x86_set_fpu(kvm, &fpu, error);
    result = result < 0 ? result : vmk_kvm_x86_get_xsave(kvm, xsave, error);
    result = result < 0 ? result : vmk_kvm_x86_set_xsave(kvm, xsave, error);
    result = result < 0 ? result : vmk_kvm_x86_get_xcr0(kvm, &xcr0, error);
    result = result < 0 ? result : vmk_kvm_x86_set_xcr0(kvm, xcr0, error);
    result = result < 0 ? result : vmk_kvm_x86_get_msrs(kvm, &tsc, 1, error);
    result = result < 0 ? result : vmk_kvm_x86_set_msrs(kvm, &tsc, 1, error);
    result = result < 0 ? result : vmk_kvm_x86_get_cpuid(kvm, leaves, &count, error);
    result = result < 0 ? result : vmk_kvm_x86_set_cpuid(kvm, leaves, count, error);
    result = result < 0 ? result : vmk_kvm_x86_get_debug_regs(kvm, &debug, error);
    result = result < 0 ? result : vmk_kvm_x86_set_debug_regs(kvm, &debug, error);
    result = result < 0 ? result : vmk_kvm_x86_get_events(kvm, &events, error);
    result = result < 0 ? result : vmk_kvm_x86_set_events(kvm, &events, error);
    result = result < 0 ? result : vmk_kvm_x86_get_mp_state(kvm, &state, error);
    result = result < 0 ? result : vmk_kvm_x86_set_mp_state(kvm, state, error);
    return result;
}

/* out %al,$0x10; hlt */
static const uint8_t code[] = {0xe6, 0x10, 0xf4};

static int
run_to_halt(struct vmkit_vcpu *vcpu, vmkit_error **error)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    int result = vmk_vcpu_interrupt(vcpu, 0x20, error);
    result = result < 0 ? result : vmk_vcpu_nmi(vcpu, error);
    result = result < 0 ? result : vmk_vcpu_run(vcpu, &exit, error);
    if (result < 0)
        return result;
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
    result = vmk_vcpu_finish_access(vcpu, error);
    result = result < 0 ? result : vmk_vcpu_run(vcpu, &exit, error);
    if (result == 0)
        ck_assert_uint_eq(exit.reason, VMKIT_EXIT_HALT);
    return result;
}

static int
use_vm(struct vmkit_vm *vm, struct vmkit_memory *memory, vmkit_error **error)
{
    struct vmkit_vcpu *vcpu = NULL;
    uint64_t dirty = 1;
    struct vmk_kvm_doorbell doorbell = {.address = 0x500, .size = 1, .pio = true};
    int result = vmk_vm_keep_dirty_log(vm, error);
    result = result < 0 ? result : vmk_vm_add_memory(vm, 0, memory, 0, 0x10000, false, error);
    result = result < 0 ? result : vmk_vm_add_memory(vm, 0x20000, memory, 0, 0x1000, true, error);
    result = result < 0 ? result : vmk_vm_write(vm, 0x1000, code, sizeof code, error);
    doorbell.fd = eventfd(0, EFD_CLOEXEC);
    result = result < 0 ? result : vmk_vm_set_ioeventfd(vm, &doorbell, true, error);
    result = result < 0 ? result : vmk_vm_set_ioeventfd(vm, &doorbell, false, error);
    close(doorbell.fd);
    result = result < 0 ? result : vmk_vcpu_new(vm, 0, &vcpu, error);
    result = result < 0 ? result : use_registers(vcpu, error);
    result = result < 0 ? result : run_to_halt(vcpu, error);
    result = result < 0
                 ? result
                 : vmk_kvm_vm_set_slot(vmk_vm_get_kvm(vm), 9, VMK_KVM_SLOT_DIRTY_LOG, 0x40000,
                                       0x1000, vmk_memory_get_pointer(memory), error);
    result = result < 0 ? result : vmk_kvm_vm_get_dirty_log(vmk_vm_get_kvm(vm), 9, &dirty, error);
    result = result < 0 ? result : vmk_kvm_vm_delete_slot(vmk_vm_get_kvm(vm), 9, error);
    result = result < 0 ? result : vmk_vm_add_logged_memory(vm, 0x40000, memory, 0, 0x1000, error);
    result = result < 0 ? result : vmk_vm_get_dirty_log(vm, 0x40000, &dirty, error);
    result = result < 0 ? result : vmk_vm_clear_dirty_log(vm, 0x40000, &dirty, error);
    result = result < 0 ? result : vmk_vm_remove_memory(vm, 0x20000, error);
    vmk_vcpu_unref(vcpu);
    return result;
}

/* All that a VM does in its life. */
static int
live(struct saboteur *saboteur, enum vmk_vm_irqchip irqchip, struct vmkit_memory *memory,
     vmkit_error **error)
{
    struct vmk_kvm_ops ops = saboteur_get_ops(saboteur);
    struct vmk_vm_options options = {.real_mode = true, .irqchip = irqchip, .split_pins = 24};
    struct vmkit_vm *vm = NULL;
    int result = vmk_kvm_system_open(&ops, NULL, &options.system, error);
    if (result < 0)
        return result;
    result = vmk_vm_new(&options, &vm, error);
    vmk_kvm_system_unref(options.system);
    if (result == 0 && irqchip == VMK_VM_IRQCHIP_NONE)
        result = use_vm(vm, memory, error);
    if (result == 0 && irqchip == VMK_VM_IRQCHIP_SPLIT) {
        struct vmkit_route route = {.gsi = 5, .kind = VMKIT_ROUTE_MSI, .msi_address = 0xfee00000};
        int fd = eventfd(0, EFD_CLOEXEC);
        result = vmk_vm_set_routes(vm, &route, 1, error);
        result = result < 0 ? result : vmk_vm_set_irqfd(vm, fd, 5, -1, true, error);
        result = result < 0 ? result : vmk_vm_set_irqfd(vm, fd, 5, -1, false, error);
        close(fd);
    }
    vmk_vm_unref(vm);
    return result;
}

static void
fail_each_call(enum vmk_vm_irqchip irqchip, int err, int least)
{
    struct vmkit_memory *memory;
    struct saboteur saboteur;
    int result;
    ck_assert_int_eq(vmk_memory_new_anonymous(0x10000, 0, &memory, NULL), 0);
    unsigned long descriptors = usage_count_descriptors();
    int at = 0;
    do {
        vmkit_error *error = NULL;
        saboteur = (struct saboteur){.fail_at = at++, .err = err};
        result = live(&saboteur, irqchip, memory, &error);
        ck_assert_msg(saboteur.failed == (result < 0), "call %d: result %d, %s", at - 1, result,
                      result < 0 ? vmkit_error_get_message(error) : "");
        if (result < 0) {
            ck_assert_ptr_nonnull(error);
            ck_assert_int_eq(vmkit_error_get_errno(error), result);
            ck_assert_uint_gt(strlen(vmkit_error_get_message(error)), 8);
        }
        vmkit_error_unref(error);
        ck_assert_uint_eq(usage_count_descriptors(), descriptors);
        ck_assert_uint_eq(usage_count_mappings("kvm-vcpu"), 0);
    } while (saboteur.failed);
    ck_assert_int_eq(result, 0);
    ck_assert_int_ge(at, least);
    vmk_memory_unref(memory);
}

START_TEST(each_call_that_fails_with_EIO_is_a_clean_error)
{
    fail_each_call(VMK_VM_IRQCHIP_NONE, EIO, 60);
}
END_TEST

START_TEST(each_call_that_fails_with_ENOMEM_is_a_clean_error)
{
    fail_each_call(VMK_VM_IRQCHIP_NONE, ENOMEM, 60);
}
END_TEST

START_TEST(each_call_of_a_split_interrupt_controller_that_fails_is_a_clean_error)
{
    fail_each_call(VMK_VM_IRQCHIP_SPLIT, EINVAL, 30);
}
END_TEST

START_TEST(a_vm_whose_run_failed_with_EIO_says_so_for_ever)
{
    struct saboteur saboteur = {.fail_at = -1, .err = EIO};
    struct vmk_kvm_ops ops = saboteur_get_ops(&saboteur);
    struct vmk_vm_options options = {0};
    struct vmkit_vm *vm;
    struct vmkit_vcpu *vcpu;
    struct vmkit_exit exit = {.size = sizeof exit};
    vmkit_error *error = NULL;
    uint8_t byte;
    ck_assert_int_eq(vmk_kvm_system_open(&ops, NULL, &options.system, NULL), 0);
    ck_assert_int_eq(vmk_vm_new(&options, &vm, NULL), 0);
    vmk_kvm_system_unref(options.system);
    ck_assert_int_eq(vmk_vcpu_new(vm, 0, &vcpu, NULL), 0);
    /* The next call is KVM_SET_SIGNAL_MASK, the one after it KVM_RUN. */
    saboteur.fail_at = saboteur.calls + 1;
    ck_assert_int_eq(vmk_vcpu_run(vcpu, &exit, &error), -EIO);
    ck_assert_str_eq(vmkit_error_get_message(error), "running vCPU 0 failed: Input/output error");
    vmkit_error_unref(error);
    ck_assert_int_eq(vmk_vcpu_run(vcpu, &exit, &error), -EIO);
    ck_assert_str_eq(vmkit_error_get_message(error), "the VM has failed: running vCPU 0 failed");
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_WRONG_STATE);
    vmkit_error_unref(error);
    ck_assert_int_eq(vmk_vm_read(vm, 0, &byte, 1, NULL), -EIO);
    ck_assert_int_eq(vmk_vm_remove_memory(vm, 0, NULL), -EIO);
    ck_assert_int_eq(vmk_vcpu_lock(vcpu, NULL), -EIO);
    ck_assert_int_eq(vmk_vcpu_interrupt(vcpu, 1, NULL), -EIO);
    vmk_vcpu_unref(vcpu);
    vmk_vm_unref(vm);
}
END_TEST

START_TEST(a_probe_that_fails_in_any_call_is_a_status_and_leaves_nothing)
{
    struct saboteur saboteur;
    unsigned long descriptors = usage_count_descriptors();
    int at = 0;
    do {
        struct vmkit_host *host = NULL;
        saboteur = (struct saboteur){.fail_at = at++, .err = EIO};
        struct vmk_kvm_ops ops = saboteur_get_ops(&saboteur);
        ck_assert_int_eq(vmk_host_probe(&ops, NULL, true, &host, NULL), 0);
        ck_assert_int_eq(vmk_host_get_status(host),
                         saboteur.failed ? VMKIT_HOST_BROKEN : VMKIT_HOST_USABLE);
        ck_assert_int_eq(vmk_host_get_supervisor_mode(host) == VMKIT_SUPERVISOR_UNKNOWN,
                         saboteur.failed);
        vmk_host_unref(host);
        ck_assert_uint_eq(usage_count_descriptors(), descriptors);
        ck_assert_uint_eq(usage_count_mappings("kvm-vcpu"), 0);
    } while (saboteur.failed);
    ck_assert_int_ge(at, 35);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("failures");
    TCase *tcase = tcase_create("failures");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_call_that_fails_with_EIO_is_a_clean_error);
    tcase_add_test(tcase, each_call_that_fails_with_ENOMEM_is_a_clean_error);
    tcase_add_test(tcase, each_call_of_a_split_interrupt_controller_that_fails_is_a_clean_error);
    tcase_add_test(tcase, a_vm_whose_run_failed_with_EIO_says_so_for_ever);
    tcase_add_test(tcase, a_probe_that_fails_in_any_call_is_a_status_and_leaves_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
