/* SPDX-License-Identifier: Apache-2.0 */
/* The whole state of a vCPU of the host's KVM, moved to a vCPU of another VM. */
#include "harness.h"

#include "arch/vcpu_state.h"
#include "kvm/x86_64_state.h"
#include "vm/vcpu.h"
#include "vm/x86_64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY 0x10000
#define CODE 0x1000
#define NMI_HANDLER 0x2000
#define HANDLER 0x3000
#define STACK 0x8000

/* inc %ax; out %al,$0x10; jmp to the inc */
static const uint8_t code[] = {0x40, 0xe6, 0x10, 0xeb, 0xfb};
/* mov $0x77,%bl; hlt */
static const uint8_t nmi_handler[] = {0xb3, 0x77, 0xf4};
/* mov $0x55,%bl; hlt */
static const uint8_t handler[] = {0xb3, 0x55, 0xf4};

struct machine {
    struct vmkit_vm *vm;
    struct vmkit_memory *memory;
    struct vmkit_vcpu *vcpu;
    struct vmk_kvm_vcpu *kvm;
    enum vmk_arch_controllers controllers;
};

static void
put_vector(struct machine *machine, uint32_t vector, uint16_t offset)
{
    const uint16_t entry[] = {offset, 0};
    memcpy((uint8_t *)vmk_memory_get_pointer(machine->memory) + 4 * (size_t)vector, entry,
           sizeof entry);
}

static void
machine_new(struct machine *machine, enum vmk_vm_irqchip irqchip)
{
    const struct vmk_vm_options options = {.real_mode = true,
                                           .irqchip = irqchip,
                                           .split_pins = irqchip == VMK_VM_IRQCHIP_SPLIT ? 24 : 0};
    uint8_t *bytes;
    machine->controllers = (enum vmk_arch_controllers)irqchip;
    ck_assert_int_eq(vmk_vm_new(&options, &machine->vm, NULL), 0);
    ck_assert_int_eq(vmk_memory_new_anonymous(MEMORY, 0, &machine->memory, NULL), 0);
    ck_assert_int_eq(vmk_vm_add_memory(machine->vm, 0, machine->memory, 0, MEMORY, false, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_new(machine->vm, 0, &machine->vcpu, NULL), 0);
    machine->kvm = vmk_vcpu_get_kvm(machine->vcpu);
    bytes = vmk_memory_get_pointer(machine->memory);
    memcpy(bytes + CODE, code, sizeof code);
    memcpy(bytes + NMI_HANDLER, nmi_handler, sizeof nmi_handler);
    memcpy(bytes + HANDLER, handler, sizeof handler);
    put_vector(machine, 2, NMI_HANDLER);
    put_vector(machine, 6, HANDLER);
    put_vector(machine, 0x40, HANDLER);
}

static void
machine_free(struct machine *machine)
{
    vmk_vcpu_unref(machine->vcpu);
    vmk_vm_unref(machine->vm);
    vmk_memory_unref(machine->memory);
}

static void
save(struct machine *machine, struct vmk_bytes *bytes)
{
    vmkit_error *error = NULL;
    ck_assert_msg(vmk_vcpu_state_save(machine->kvm, machine->controllers, bytes, &error) == 0, "%s",
                  vmkit_error_get_message(error));
}

static void
load(struct machine *machine, const struct vmk_bytes *bytes)
{
    struct vmk_vcpu_state_clock clock = {0};
    vmkit_error *error = NULL;
    ck_assert_msg(vmk_vcpu_state_load(machine->kvm, machine->controllers, bytes->data, bytes->size,
                                      &clock, &error) == 0,
                  "%s", vmkit_error_get_message(error));
}

static void
run(struct machine *machine, uint32_t reason)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    vmkit_error *error = NULL;
    ck_assert_msg(vmk_vcpu_run(machine->vcpu, &exit, &error) == 0, "%s",
                  vmkit_error_get_message(error));
    ck_assert_uint_eq(exit.reason, reason);
}

static uint64_t
get_rbx(struct machine *machine)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    ck_assert_int_eq(vmk_vcpu_get_x86_regs(machine->vcpu, &regs, NULL), 0);
    return regs.rbx;
}

/* In the middle of the loop, with the access done. */
static void
start(struct machine *machine)
{
    ck_assert_int_eq(vmk_vcpu_set_x86_real_mode(machine->vcpu, CODE, STACK, NULL), 0);
    for (int i = 0; i < 5; i++)
        run(machine, VMKIT_EXIT_PIO);
    ck_assert_int_eq(vmk_vcpu_finish_access(machine->vcpu, NULL), 0);
}

static void
fill_state(struct machine *machine)
{
    const struct vmkit_x86_debug_regs debug = {
        .address = {1, 2, 3, 4}, .dr6 = 0xffff0ff0, .dr7 = 0x400};
    const struct vmkit_x86_msr msrs[] = {{.index = 0x174, .value = 0x1234},
                                         {.index = 0xc0000082, .value = 0x123456789000},
                                         {.index = 0x200, .value = 0xf0000006},
                                         {.index = 0x277, .value = 0x0007040600070406}};
    struct vmkit_x86_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1fa0, .st = {{1, 2, 3}}, .xmm = {{4, 5}}};
    start(machine);
    ck_assert_int_eq(vmk_kvm_x86_set_debug_regs(machine->kvm, &debug, NULL), 0);
    ck_assert_int_eq(vmk_kvm_x86_set_msrs(machine->kvm, msrs, 4, NULL), 0);
    ck_assert_int_eq(vmk_kvm_x86_set_fpu(machine->kvm, &fpu, NULL), 0);
}

/* Hyper-V's run time of a processor, an MSR that counts (TLFS 7.9). */
#define MSR_VP_RUNTIME 0x40000010u

/* The MSRs of a state: how many, then an index and a value each. */
static void
blank_msr(uint8_t *data, uint64_t size, uint32_t index)
{
    for (uint64_t at = 4; at + 12 <= size; at += 12) {
        if (memcmp(data + at, &index, sizeof index) == 0)
            memset(data + at + 4, 0, 8);
    }
}

/* What goes on by itself between two saves: the TSC and, with a local controller, its timer. */
static void
blank_counters(struct vmk_bytes *bytes)
{
    for (size_t at = 8; at + 16 <= bytes->size;) {
        uint64_t length;
        memcpy(&length, bytes->data + at + 8, sizeof length);
        if (bytes->data[at] == 11)
            memset(bytes->data + at + 16, 0, length);
        if (bytes->data[at] == 8)
            blank_msr(bytes->data + at + 16, length, MSR_VP_RUNTIME);
        at += 16 + (size_t)length;
    }
}

static void
assert_moves(enum vmk_vm_irqchip irqchip)
{
    struct machine from = {0}, to = {0};
    struct vmk_bytes first = {0}, second = {0};
    machine_new(&from, irqchip);
    machine_new(&to, irqchip);
    fill_state(&from);
    save(&from, &first);
    load(&to, &first);
    save(&to, &second);
    blank_counters(&first);
    blank_counters(&second);
    ck_assert_uint_eq(first.size, second.size);
    for (size_t i = 0; i < first.size; i++)
        ck_assert_msg(first.data[i] == second.data[i], "byte %zu is 0x%x, was 0x%x", i,
                      second.data[i], first.data[i]);
    /* It goes on where the other stands. */
    run(&to, VMKIT_EXIT_PIO);
    ck_assert_int_eq(vmk_vcpu_finish_access(to.vcpu, NULL), 0);
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    ck_assert_int_eq(vmk_vcpu_get_x86_regs(to.vcpu, &regs, NULL), 0);
    ck_assert_uint_eq(regs.rax, 6);
    vmk_bytes_clear(&first);
    vmk_bytes_clear(&second);
    machine_free(&from);
    machine_free(&to);
}

START_TEST(a_vcpu_without_controllers_moves)
{
    assert_moves(VMK_VM_IRQCHIP_NONE);
}
END_TEST

START_TEST(a_vcpu_with_a_local_controller_moves)
{
    assert_moves(VMK_VM_IRQCHIP_SPLIT);
}
END_TEST

START_TEST(a_vcpu_with_all_controllers_moves)
{
    assert_moves(VMK_VM_IRQCHIP_KERNEL);
}
END_TEST

/* Have the second vCPU take what the first one had still to take. */
static uint64_t
move_and_take(const struct vmkit_x86_events *change, bool nmi)
{
    struct machine from = {0}, to = {0};
    struct vmk_bytes bytes = {0};
    struct vmkit_x86_events events;
    machine_new(&from, VMK_VM_IRQCHIP_NONE);
    machine_new(&to, VMK_VM_IRQCHIP_NONE);
    start(&from);
    if (nmi) {
        ck_assert_int_eq(vmk_kvm_x86_nmi(from.kvm, NULL), 0);
    } else {
        ck_assert_int_eq(vmk_kvm_x86_get_events(from.kvm, &events, NULL), 0);
        events.exception_injected = change->exception_injected;
        events.exception_vector = change->exception_vector;
        events.interrupt_injected = change->interrupt_injected;
        events.interrupt_vector = change->interrupt_vector;
        ck_assert_int_eq(vmk_kvm_x86_set_events(from.kvm, &events, NULL), 0);
    }
    save(&from, &bytes);
    load(&to, &bytes);
    run(&to, VMKIT_EXIT_HALT);
    uint64_t rbx = get_rbx(&to);
    vmk_bytes_clear(&bytes);
    machine_free(&from);
    machine_free(&to);
    return rbx;
}

START_TEST(an_nmi_that_waits_is_taken_by_the_other)
{
    ck_assert_uint_eq(move_and_take(NULL, true), 0x77);
}
END_TEST

START_TEST(an_exception_that_waits_is_taken_by_the_other)
{
    const struct vmkit_x86_events events = {.exception_injected = 1, .exception_vector = 6};
    ck_assert_uint_eq(move_and_take(&events, false), 0x55);
}
END_TEST

START_TEST(an_interrupt_that_waits_is_taken_by_the_other)
{
    const struct vmkit_x86_events events = {.interrupt_injected = 1, .interrupt_vector = 0x40};
    ck_assert_uint_eq(move_and_take(&events, false), 0x55);
}
END_TEST

START_TEST(parts_of_the_extended_state_that_this_host_lacks_are_an_error)
{
    struct machine from = {0}, to = {0};
    struct vmk_bytes bytes = {0};
    struct vmk_vcpu_state_clock clock = {0};
    vmkit_error *error = NULL;
    machine_new(&from, VMK_VM_IRQCHIP_NONE);
    machine_new(&to, VMK_VM_IRQCHIP_NONE);
    start(&from);
    save(&from, &bytes);
    /* Parts of the extended state that no processor has. */
    for (size_t at = 8; at + 16 <= bytes.size;) {
        uint64_t length;
        memcpy(&length, bytes.data + at + 8, sizeof length);
        if (bytes.data[at] == 6)
            memset(bytes.data + at + 16 + 8, 0xee, 8);
        at += 16 + (size_t)length;
    }
    ck_assert_int_eq(
        vmk_vcpu_state_load(to.kvm, to.controllers, bytes.data, bytes.size, &clock, &error),
        -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "this host's KVM"));
    vmkit_error_unref(error);
    vmk_bytes_clear(&bytes);
    machine_free(&from);
    machine_free(&to);
}
END_TEST

START_TEST(the_clock_and_the_controllers_of_a_vm_move)
{
    struct machine from = {0}, to = {0};
    struct vmk_bytes first = {0}, second = {0};
    uint64_t then, now;
    machine_new(&from, VMK_VM_IRQCHIP_KERNEL);
    machine_new(&to, VMK_VM_IRQCHIP_KERNEL);
    struct vmk_kvm_vm *kvm = vmk_vm_get_kvm(from.vm), *other = vmk_vm_get_kvm(to.vm);
    ck_assert_int_eq(vmk_kvm_x86_create_pit(kvm, NULL), 0);
    ck_assert_int_eq(vmk_kvm_x86_set_clock(kvm, UINT64_C(1000000000000), NULL), 0);
    ck_assert_int_eq(vmk_kvm_vm_set_irq_line(kvm, 5, true, NULL), 0);
    ck_assert_int_eq(vmk_arch_vm_state_save(kvm, from.controllers, &first, NULL), 0);
    ck_assert_int_eq(vmk_arch_vm_state_load_clock(other, first.data, first.size, NULL), 0);
    ck_assert_int_eq(
        vmk_arch_vm_state_load_controllers(other, to.controllers, first.data, first.size, NULL), 0);
    ck_assert_int_eq(vmk_arch_vm_state_save(other, to.controllers, &second, NULL), 0);
    ck_assert_int_eq(vmk_kvm_x86_get_clock(kvm, &then, NULL), 0);
    ck_assert_int_eq(vmk_kvm_x86_get_clock(other, &now, NULL), 0);
    ck_assert_uint_ge(now, UINT64_C(1000000000000));
    ck_assert_uint_le(now, then);
    /* The three chips; when the timer's channels were loaded is a time of the host. */
    ck_assert_uint_eq(first.size, second.size);
    ck_assert_mem_eq(first.data + 32, second.data + 32, 16 + 3 * VMK_KVM_X86_IRQCHIP_SIZE);
    uint8_t pit[VMK_KVM_X86_PIT_SIZE];
    ck_assert_int_eq(vmk_kvm_x86_get_pit(other, pit, NULL), 1);
    vmk_bytes_clear(&first);
    vmk_bytes_clear(&second);
    machine_free(&from);
    machine_free(&to);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vcpu_state");
    TCase *tcase = tcase_create("vcpu_state");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_vcpu_without_controllers_moves);
    tcase_add_test(tcase, a_vcpu_with_a_local_controller_moves);
    tcase_add_test(tcase, a_vcpu_with_all_controllers_moves);
    tcase_add_test(tcase, an_nmi_that_waits_is_taken_by_the_other);
    tcase_add_test(tcase, an_exception_that_waits_is_taken_by_the_other);
    tcase_add_test(tcase, an_interrupt_that_waits_is_taken_by_the_other);
    tcase_add_test(tcase, parts_of_the_extended_state_that_this_host_lacks_are_an_error);
    tcase_add_test(tcase, the_clock_and_the_controllers_of_a_vm_move);
    suite_add_tcase(suite, tcase);
    return suite;
}
