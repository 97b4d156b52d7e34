/* SPDX-License-Identifier: Apache-2.0 */
/* Processes with raw VMs that fork: the child cannot use them, and does them no harm. */
#include "guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* in $0x10,%al; out %al,$0x11; hlt */
static const uint8_t in_and_out[] = {0xe4, 0x10, 0xe6, 0x11, 0xf4};

/* again: incw 0x2000; mov 0x2000,%ax; out %ax,$0x12; jmp again */
static const uint8_t count_up[] = {0xff, 0x06, 0x00, 0x20, 0xa1, 0x00,
                                   0x20, 0xe7, 0x12, 0xeb, 0xf5};

static void
assert_child_ends_well(pid_t child)
{
    int status = -1;
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is 0x%x",
                  (unsigned)status);
}

#define ASSERT_FOREIGN(expression) \
    ASSERT_FAILS(expression, EIO, VMKIT_ERROR_WRONG_STATE, "the VM belongs to process")

static int
answer(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    access->value = 0;
    return VMKIT_HANDLED;
}

static void
try_all_calls(struct guest *guest, vmkit_memory *memory)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    vmkit_vcpu *vcpu = NULL;
    ASSERT_FOREIGN(vmkit_vcpu_set_exit_value(guest->vcpu, 0x77, &error));
    ASSERT_FOREIGN(vmkit_vcpu_complete(guest->vcpu, &error));
    ASSERT_FOREIGN(vmkit_vcpu_get_x86_regs(guest->vcpu, &regs, &error));
    ASSERT_FOREIGN(vmkit_vcpu_set_x86_regs(guest->vcpu, &regs, &error));
    ASSERT_FOREIGN(vmkit_vcpu_run(guest->vcpu, &guest->exit, &error));
    ASSERT_FOREIGN(vmkit_vcpu_interrupt(guest->vcpu, 33, &error));
    ASSERT_FOREIGN(vmkit_vcpu_new(guest->vm, 1, &vcpu, &error));
    ASSERT_FOREIGN(vmkit_vm_add_memory(guest->vm, 1 << 24, memory, 0, 4096, 0, &error));
    ASSERT_FOREIGN(vmkit_vm_remove_memory(guest->vm, 0, &error));
    ASSERT_FOREIGN(
        vmkit_vm_add_handler(guest->vm, VMKIT_SPACE_PIO, 0x10, 2, answer, NULL, NULL, &error));
    vmkit_vcpu_kick(guest->vcpu);
}

static _Noreturn void
be_the_child(struct guest *guest, vmkit_memory *memory)
{
    struct guest own;
    uint8_t code[sizeof in_and_out];
    try_all_calls(guest, memory);
    /* What the memory held is there to be read. */
    ASSERT_OK(vmkit_vm_read(guest->vm, GUEST_CODE, code, sizeof code, &error));
    ck_assert_mem_eq(code, in_and_out, sizeof code);
    guest_free(guest);

    guest_new_real(&own, in_and_out, sizeof in_and_out);
    guest_run(&own, VMKIT_EXIT_PIO);
    guest_free(&own);
    _exit(0);
}

START_TEST(a_child_cannot_use_the_vm_and_leaves_it_as_it_was)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    guest_new_real(&guest, in_and_out, sizeof in_and_out);
    ASSERT_OK(vmkit_memory_new_anonymous(4096, 0, &memory, &error));
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0x33, &error));
    pid_t child = fork();
    if (child == 0)
        be_the_child(&guest, memory);
    assert_child_ends_well(child);

    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x11);
    ck_assert_uint_eq(guest.exit.value, 0x33);
    guest_run(&guest, VMKIT_EXIT_HALT);
    vmkit_memory_unref(memory);
    guest_free(&guest);
}
END_TEST

struct parent {
    pid_t child; /* -1 before the fork */
    bool child_goes_first;
};

static int
answer_and_fork(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct parent *parent = user_data;
    parent->child = fork();
    ck_assert_int_ge(parent->child, 0);
    access->value = parent->child == 0 ? 0x55 : 0x44;
    if (parent->child != 0 && parent->child_goes_first)
        assert_child_ends_well(parent->child);
    return VMKIT_HANDLED;
}

START_TEST(a_child_that_comes_back_from_a_callback_leaves_the_run_with_an_error)
{
    struct guest guest;
    struct parent parent = {.child = -1, .child_goes_first = _i == 1};
    guest_new_real(&guest, in_and_out, sizeof in_and_out);
    ASSERT_OK(vmkit_vm_add_handler(guest.vm, VMKIT_SPACE_PIO, 0x10, 1, answer_and_fork, NULL,
                                   &parent, &error));
    vmkit_error *failure = NULL;
    int result = vmkit_vcpu_run(guest.vcpu, &guest.exit, &failure);
    if (parent.child == 0) {
        ck_assert_int_eq(result, -EIO);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(failure), "belongs to process"));
        vmkit_error_unref(failure);
        guest_free(&guest);
        _exit(0);
    }
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(guest.exit.address, 0x11);
    ck_assert_uint_eq(guest.exit.value, 0x44);
    if (!parent.child_goes_first)
        assert_child_ends_well(parent.child);
    guest_run(&guest, VMKIT_EXIT_HALT);
    guest_free(&guest);
}
END_TEST

struct counter {
    uint32_t calls;
    uint32_t wrong;
    atomic_bool stop;
};

static int
check_count(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct counter *counter = user_data;
    uint16_t here = 0;
    counter->calls++;
    if (vmkit_vm_read(vmkit_vcpu_get_vm(vcpu), 0x2000, &here, sizeof here, NULL) < 0 ||
        here != (uint16_t)counter->calls || access->value != here)
        counter->wrong++;
    return atomic_load(&counter->stop) ? VMKIT_HANDLED_STOP : VMKIT_HANDLED;
}

static void *
run_to_stop(void *argument)
{
    guest_run(argument, VMKIT_EXIT_STOPPED);
    return NULL;
}

/* The guest's memory is copied on write: what it and the library see stays one. */
START_TEST(a_guest_that_runs_meanwhile_keeps_its_memory)
{
    struct guest guest;
    struct counter counter = {0};
    pthread_t thread;
    guest_new_real(&guest, count_up, sizeof count_up);
    ASSERT_OK(vmkit_vm_add_handler(guest.vm, VMKIT_SPACE_PIO, 0x12, 2, check_count, NULL, &counter,
                                   &error));
    ck_assert_int_eq(pthread_create(&thread, NULL, run_to_stop, &guest), 0);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        assert_child_ends_well(child);
    }
    atomic_store(&counter.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_gt(counter.calls, 0);
    ck_assert_uint_eq(counter.wrong, 0);
    guest_free(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_fork");
    TCase *tcase = tcase_create("vm_fork");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_child_cannot_use_the_vm_and_leaves_it_as_it_was);
    tcase_add_loop_test(tcase, a_child_that_comes_back_from_a_callback_leaves_the_run_with_an_error,
                        0, 2);
    tcase_add_test(tcase, a_guest_that_runs_meanwhile_keeps_its_memory);
    suite_add_tcase(suite, tcase);
    return suite;
}
