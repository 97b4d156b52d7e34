/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU that another one starts, as kernels start all but the first (Intel SDM 3A, 9.4.4): by an
 * INIT and a start-up message of the local interrupt controller, which is in the kernel. The guest
 * is real-mode code, and its ES is based at that controller.
 */
#include "guest.h"

#include <pthread.h>

#define LOCAL_APIC 0xfee00000
#define SECOND_CODE 0x2000
#define SENT 0x80
#define STARTED 0x90

extern const uint8_t start_first[], start_second[], start_end[];

/* The local controller on, the two messages to the second, and say so. The other one says that it
 * runs, and how it was begun. */
__asm__(".pushsection .rodata\n"
        ".code16\n"
        "start_first:\n"
        "    movl $0x1ff, %es:0xf0\n"
        "    movl $0x01000000, %es:0x310\n"
        "    movl $0x4500, %es:0x300\n"
        "    movl $0x4602, %es:0x300\n"
        "    outb %al, $0x80\n"
        "    hlt\n"
        "start_second:\n"
        "    movw %cs, %ax\n"
        "    outw %ax, $0x90\n"
        "    hlt\n"
        "start_end:\n"
        ".code64\n"
        ".popsection\n");

static const uint32_t controllers[] = {
    VMKIT_INTERRUPT_CONTROLLER_KERNEL,
    VMKIT_INTERRUPT_CONTROLLER_SPLIT,
};

static void
prepare(struct guest *guest, uint32_t controller, vmkit_vcpu **ret_second)
{
    guest_new(guest, controller, start_first, (size_t)(start_second - start_first));
    ASSERT_OK(vmkit_vm_write(guest->vm, SECOND_CODE, start_second,
                             (uint64_t)(start_end - start_second), &error));
    ASSERT_OK(vmkit_vcpu_new(guest->vm, 0, &guest->vcpu, &error));
    ASSERT_OK(vmkit_vcpu_new(guest->vm, 1, ret_second, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest->vcpu, GUEST_CODE, GUEST_STACK, &error));
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(guest->vcpu, &sregs, &error));
    sregs.es.base = LOCAL_APIC;
    ASSERT_OK(vmkit_vcpu_set_x86_sregs(guest->vcpu, &sregs, &error));
}

static void
check_started(const struct vmkit_exit *exit)
{
    ck_assert_uint_eq(exit->reason, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(exit->address, STARTED);
    ck_assert_uint_eq(exit->value, SECOND_CODE >> 4);
}

/* Both messages wait when it runs for the first time: it is ready before the run has returned. */
START_TEST(a_vcpu_that_was_started_before_its_first_run_runs)
{
    struct guest guest;
    vmkit_vcpu *second;
    struct vmkit_exit exit = {.size = sizeof exit};
    prepare(&guest, controllers[_i], &second);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, SENT);
    ASSERT_OK(vmkit_vcpu_run(second, &exit, &error));
    check_started(&exit);
    vmkit_vcpu_unref(second);
    guest_free(&guest);
}
END_TEST

static void *
run_second(void *user_data)
{
    static struct vmkit_exit exit;
    exit = (struct vmkit_exit){.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(user_data, &exit, &error));
    return &exit;
}

START_TEST(a_vcpu_that_sleeps_is_started)
{
    for (int round = 0; round < 10; round++) {
        struct guest guest;
        vmkit_vcpu *second;
        pthread_t thread;
        void *exit;
        prepare(&guest, controllers[_i], &second);
        ck_assert_int_eq(pthread_create(&thread, NULL, run_second, second), 0);
        guest_run(&guest, VMKIT_EXIT_PIO);
        ck_assert_int_eq(pthread_join(thread, &exit), 0);
        check_started(exit);
        vmkit_vcpu_unref(second);
        guest_free(&guest);
    }
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vcpu_start");
    TCase *tests = tcase_create("start");
    tcase_set_timeout(tests, 30);
    tcase_add_loop_test(tests, a_vcpu_that_was_started_before_its_first_run_runs, 0, 2);
    tcase_add_loop_test(tests, a_vcpu_that_sleeps_is_started, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
