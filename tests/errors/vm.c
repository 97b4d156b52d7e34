/* SPDX-License-Identifier: Apache-2.0 */
/* What every function of a VM or a vCPU says when the object, KVM or memory is not there. */
#include "calls.h"
#include "faults.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

static struct stage stage;

START_TEST(without_its_object_each_call_is_invalid)
{
    memset(&stage, 0, sizeof stage);
    for (int i = 0; i < call_count; i++) {
        bool of_vcpu = (calls[i].flags & (CALL_NEEDS_VCPU | CALL_TAKES_VCPU)) != 0;
        check_failure(&calls[i], &stage, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                      of_vcpu ? "vcpu is NULL" : "vm is NULL");
    }
}
END_TEST

START_TEST(on_a_vm_that_has_failed_each_call_says_so)
{
    for (int i = 0; i < call_count; i++) {
        stage_new(&stage, &calls[i]);
        stage_break(&stage);
        check_failure(&calls[i], &stage, EIO, VMKIT_ERROR_WRONG_STATE,
                      "the VM has failed: running vCPU 0 failed");
        stage_free(&stage);
    }
}
END_TEST

/* Whether the call made an ioctl of that number, which failed. */
static bool
fail_ioctl(const struct call *call, unsigned number, int err, int expected, uint32_t kind)
{
    vmkit_error *error = NULL;
    stage_new(&stage, call);
    fault_begin(FAULT_IOCTL, number, err);
    int result = call->make(&stage, &error);
    bool reached = fault_end() >= number;
    ck_assert_msg(reached ? result == -expected : result >= 0, "%s, ioctl %u: %d, %s", call->name,
                  number, result, vmkit_error_get_message(error));
    if (reached)
        ck_assert_msg(vmkit_error_get_kind(error) == kind, "%s, ioctl %u: kind %s", call->name,
                      number, vmkit_error_kind_get_name(vmkit_error_get_kind(error)));
    vmkit_error_unref(error);
    stage_free(&stage);
    return reached;
}

START_TEST(each_call_of_kvm_that_fails_is_an_error_that_is_documented)
{
    static const struct {
        int err;
        int expected;
        uint32_t kind;
    } errors[] = {
        {EIO, EIO, VMKIT_ERROR_KVM_FAILED},
        {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
        /* None that a call tells of itself. */
        {EPERM, EIO, VMKIT_ERROR_KVM_FAILED},
    };
    for (int i = 0; i < call_count; i++) {
        unsigned number = 1;
        while (fail_ioctl(&calls[i], number, errors[_i].err, errors[_i].expected, errors[_i].kind))
            number++;
        ck_assert_msg((number > 1) == ((calls[i].flags & CALL_ASKS_KVM) != 0), "%s: %u ioctls",
                      calls[i].name, number - 1);
    }
}
END_TEST

/* Whether the call made an allocation of that number, which failed. */
static bool
fail_allocation(const struct call *call, unsigned number)
{
    vmkit_error *error = NULL;
    stage_new(&stage, call);
    fault_begin(FAULT_ALLOCATE, number, ENOMEM);
    int result = call->make(&stage, &error);
    bool reached = fault_end() >= number;
    ck_assert_msg(reached ? result == -ENOMEM : result >= 0, "%s, allocation %u: %d, %s",
                  call->name, number, result, vmkit_error_get_message(error));
    if (reached)
        ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_OUT_OF_MEMORY);
    vmkit_error_unref(error);
    stage_free(&stage);
    return reached;
}

START_TEST(each_allocation_that_fails_is_ENOMEM)
{
    for (int i = 0; i < call_count; i++) {
        unsigned number = 1;
        while (fail_allocation(&calls[i], number))
            number++;
        ck_assert_msg((number > 1) == ((calls[i].flags & CALL_ALLOCATES) != 0),
                      "%s: %u allocations", calls[i].name, number - 1);
    }
}
END_TEST

/* A handler that keeps the vCPU running until the test has seen enough. */
static sem_t entered, go_on;

static int
wait_in_callback(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    sem_post(&entered);
    sem_wait(&go_on);
    return VMKIT_HANDLED;
}

static void *
run_on_a_thread(void *argument)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    int *result = argument;
    *result = vmkit_vcpu_run(stage.vcpu, &exit, NULL);
    return NULL;
}

START_TEST(while_another_thread_runs_the_vcpu_each_call_is_busy)
{
    static const uint8_t code[] = {0xe6, 0x70, 0xf4}; /* out %al, $0x70; hlt */
    static const struct call any = {.controller = VMKIT_INTERRUPT_CONTROLLER_NONE};
    pthread_t thread;
    int result = -1;
    sem_init(&entered, 0, 0);
    sem_init(&go_on, 0, 0);
    stage_new(&stage, &any);
    ASSERT_OK(vmkit_vm_write(stage.vm, 0x1000, code, sizeof code, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(stage.vcpu, 0x1000, 0x8000, &error));
    ASSERT_OK(vmkit_vm_add_handler(stage.vm, VMKIT_SPACE_PIO, 0x70, 1, wait_in_callback, NULL, NULL,
                                   &error));
    ck_assert_int_eq(pthread_create(&thread, NULL, run_on_a_thread, &result), 0);
    sem_wait(&entered);
    for (int i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_NEEDS_VCPU) != 0)
            check_failure(&calls[i], &stage, EBUSY, VMKIT_ERROR_BUSY,
                          "vCPU 0 is running on another thread");
    }
    sem_post(&go_on);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(result, 0);
    stage_free(&stage);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_vm");
    TCase *tcase = tcase_create("errors_vm");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, without_its_object_each_call_is_invalid);
    tcase_add_test(tcase, on_a_vm_that_has_failed_each_call_says_so);
    tcase_add_loop_test(tcase, each_call_of_kvm_that_fails_is_an_error_that_is_documented, 0, 3);
    tcase_add_test(tcase, each_allocation_that_fails_is_ENOMEM);
    tcase_add_test(tcase, while_another_thread_runs_the_vcpu_each_call_is_busy);
    suite_add_tcase(suite, tcase);
    return suite;
}
