/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts that reach the guest's local interrupt controller: messages, lines that lead to
 * messages, and level-triggered lines of the I/O controller. The guest is real-mode code, since a
 * KVM that interprets supervisor mode delivers interrupts there and in 64-bit mode alone; its ES
 * and FS are based at the two controllers. It counts interrupts in EBX.
 */
#include "guest.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VECTOR 0x41
#define LINE 20 /* Of the I/O controller alone: the 8259 have 16. */
#define LOCAL_APIC 0xfee00000
#define IO_APIC 0xfec00000
#define READY 0x80
#define COUNTED 0x81

extern const uint8_t guest_start[], guest_handler[], guest_end[];

/* The local controller on; line 20 of the I/O controller level-triggered at the vector (it is not
 * there with the split controller, where the writes go to the caller and nothing comes of them);
 * then say so, and whenever EBX has changed, say that. */
__asm__(".pushsection .rodata\n"
        ".code16\n"
        "guest_start:\n"
        "    movl $0x1ff, %es:0xf0\n"
        "    test %eax, %eax\n"
        "    jz 1f\n"
        "    movl $0x38, %fs:0\n"
        "    movl $0x8041, %fs:0x10\n"
        "    movl $0x39, %fs:0\n"
        "    movl $0, %fs:0x10\n"
        "1:  sti\n"
        "    outb %al, $0x80\n"
        "2:  cmp %ebx, %ecx\n"
        "    je 2b\n"
        "    mov %ebx, %ecx\n"
        "    outb %al, $0x81\n"
        "    jmp 2b\n"
        "guest_handler:\n"
        "    incl %ebx\n"
        "    outb %al, $0x82\n"
        "    movl $0, %es:0xb0\n"
        "    iret\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection\n");

/* The program says with EAX whether there is an I/O controller to program. */
static void
start(struct guest *guest, uint32_t controller)
{
    uint32_t handler = GUEST_CODE + (uint32_t)(guest_handler - guest_start);
    guest_new(guest, controller, guest_start, (size_t)(guest_end - guest_start));
    memcpy(guest->memory + VECTOR * sizeof handler, &handler, sizeof handler);

    ASSERT_OK(vmkit_vcpu_new(guest->vm, 0, &guest->vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest->vcpu, GUEST_CODE, GUEST_STACK, &error));
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(guest->vcpu, &sregs, &error));
    sregs.es.base = LOCAL_APIC;
    sregs.fs.base = IO_APIC;
    ASSERT_OK(vmkit_vcpu_set_x86_sregs(guest->vcpu, &sregs, &error));
    if (controller == VMKIT_INTERRUPT_CONTROLLER_KERNEL) {
        struct vmkit_x86_regs regs = guest_get_regs(guest);
        regs.rax = 1;
        ASSERT_OK(vmkit_vcpu_set_x86_regs(guest->vcpu, &regs, &error));
    }
    guest_run(guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest->exit.address, READY);
}

/* The guest took one interrupt, and then had time to say so. */
static void
assert_interrupted(struct guest *guest, uint64_t count)
{
    guest_run(guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest->exit.address, 0x82);
    guest_run(guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest->exit.address, COUNTED);
    ck_assert_uint_eq(guest_get_regs(guest).rbx, count);
}

static bool
is_signalled(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

START_TEST(a_message_interrupts_the_guest)
{
    struct guest guest;
    start(&guest, VMKIT_INTERRUPT_CONTROLLER_SPLIT);
    int got = vmkit_vm_signal_msi(guest.vm, LOCAL_APIC, VECTOR, NULL);
    ck_assert_int_eq(got, 1);
    assert_interrupted(&guest, 1);
    guest_free(&guest);
}
END_TEST

START_TEST(an_irqfd_on_a_line_that_leads_to_a_message_interrupts_the_guest)
{
    const struct vmkit_route route = {
        .gsi = 7, .kind = VMKIT_ROUTE_MSI, .msi_address = LOCAL_APIC, .msi_data = VECTOR};
    struct guest guest;
    int fd = eventfd(0, EFD_CLOEXEC);
    start(&guest, VMKIT_INTERRUPT_CONTROLLER_SPLIT);
    ASSERT_OK(vmkit_vm_set_routes(guest.vm, &route, 1, &error));
    ASSERT_OK(vmkit_vm_add_irqfd(guest.vm, fd, 7, -1, &error));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(eventfd_write(fd, 1), 0);
        assert_interrupted(&guest, (uint64_t)i + 1);
    }
    ASSERT_OK(vmkit_vm_remove_irqfd(guest.vm, fd, 7, &error));
    guest_free(&guest);
    close(fd);
}
END_TEST

START_TEST(an_irqfd_with_resample_is_told_when_the_guest_is_done)
{
    struct guest guest;
    int fd = eventfd(0, EFD_CLOEXEC), resample = eventfd(0, EFD_CLOEXEC);
    start(&guest, VMKIT_INTERRUPT_CONTROLLER_KERNEL);
    ASSERT_OK(vmkit_vm_add_irqfd(guest.vm, fd, LINE, resample, &error));
    ck_assert(!is_signalled(resample));
    ck_assert_int_eq(eventfd_write(fd, 1), 0);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x82);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, COUNTED);
    ck_assert(is_signalled(resample));
    ASSERT_OK(vmkit_vm_remove_irqfd(guest.vm, fd, LINE, &error));
    guest_free(&guest);
    close(fd);
    close(resample);
}
END_TEST

START_TEST(a_level_interrupts_each_time_that_it_is_raised)
{
    struct guest guest;
    start(&guest, VMKIT_INTERRUPT_CONTROLLER_KERNEL);
    for (uint64_t i = 0; i < 3; i++) {
        ASSERT_OK(vmkit_vm_set_irq_line(guest.vm, LINE, 1, &error));
        guest_run(&guest, VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guest.exit.address, 0x82);
        ASSERT_OK(vmkit_vm_set_irq_line(guest.vm, LINE, 0, &error));
        guest_run(&guest, VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guest.exit.address, COUNTED);
        ck_assert_uint_eq(guest_get_regs(&guest).rbx, i + 1);
    }
    guest_free(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("interrupts");
    TCase *tcase = tcase_create("interrupts");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_message_interrupts_the_guest);
    tcase_add_test(tcase, an_irqfd_on_a_line_that_leads_to_a_message_interrupts_the_guest);
    tcase_add_test(tcase, an_irqfd_with_resample_is_told_when_the_guest_is_done);
    tcase_add_test(tcase, a_level_interrupts_each_time_that_it_is_raised);
    suite_add_tcase(suite, tcase);
    return suite;
}
