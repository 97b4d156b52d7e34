/* SPDX-License-Identifier: Apache-2.0 */
/* What every function of a VM or a vCPU says when the object, KVM or memory is not there. */
#include "calls.h"
#include "faults.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

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
    /* Each call on a VM of the kind that it is for. */
    for (uint32_t controller = VMKIT_INTERRUPT_CONTROLLER_NONE;
         controller <= VMKIT_INTERRUPT_CONTROLLER_KERNEL; controller++) {
        stage_new(&stage, &(struct call){.controller = controller});
        stage_break(&stage);
        for (int i = 0; i < call_count; i++) {
            if (calls[i].controller == controller)
                check_failure(&calls[i], &stage, EIO, VMKIT_ERROR_WRONG_STATE,
                              "the VM has failed: running vCPU 0 failed");
        }
        stage_free(&stage);
    }
}
END_TEST

/* A KVM that cannot make the task that each of its VMs needs says EAGAIN at a run. */
START_TEST(a_host_without_a_task_is_said_by_each_call_that_runs)
{
    static const struct call any = {.controller = VMKIT_INTERRUPT_CONTROLLER_SPLIT};
    stage_new(&stage, &any);
    for (int i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_RUNS) != 0)
            ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, EAGAIN, calls[i].make(&stage, &error)), EAGAIN,
                         VMKIT_ERROR_LIMIT, "the host makes no further task");
    }
    stage_free(&stage);
}
END_TEST

/* In the child. The parent looks at its status: what fails here, fails there. */
static _Noreturn void
try_all_in_child(void)
{
    for (int i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_IS_MEMORY) == 0)
            check_failure(&calls[i], &stage, EIO, VMKIT_ERROR_WRONG_STATE,
                          "the VM belongs to process");
        else
            ASSERT_OK(calls[i].make(&stage, &error));
    }
    _exit(0);
}

START_TEST(in_a_child_of_fork_each_call_but_those_on_memory_says_so)
{
    int status = -1;
    stage_new(&stage, &calls[0]);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        try_all_in_child();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    stage_free(&stage);
}
END_TEST

struct failure {
    int err;
    int expected;
    uint32_t kind;
};

/* Whether the call asked the host for something for the time of that number, which failed. */
static bool
fail_one(const struct call *call, enum fault_call fault, unsigned number,
         const struct failure *failure)
{
    vmkit_error *error = NULL;
    fault_begin(fault, number, failure->err);
    int result = call->make(&stage, &error);
    bool reached = fault_end() >= number;
    bool made_do = reached && result == 0 && (call->flags & CALL_MAKES_DO) != 0;
    ck_assert_msg(reached && !made_do ? result == -failure->expected : result >= 0,
                  "%s, time %u: %d, %s", call->name, number, result,
                  vmkit_error_get_message(error));
    if (reached && !made_do)
        ck_assert_msg(vmkit_error_get_kind(error) == failure->kind, "%s, time %u: kind %s",
                      call->name, number, vmkit_error_kind_get_name(vmkit_error_get_kind(error)));
    vmkit_error_unref(error);
    return reached;
}

/* How often the call asks, each of which fails in turn. */
static unsigned
fail_each(const struct call *call, enum fault_call fault, const struct failure *failure)
{
    /* A failure leaves the others as they were before. */
    bool is_spoiled = (call->flags & (CALL_RUNS | CALL_IS_ONCE)) != 0;
    unsigned number = 0;
    stage_new(&stage, call);
    while (fail_one(call, fault, ++number, failure)) {
        if (is_spoiled) {
            stage_free(&stage);
            stage_new(&stage, call);
        }
    }
    stage_free(&stage);
    return number - 1;
}

START_TEST(each_call_of_kvm_that_fails_is_an_error_that_is_documented)
{
    static const struct failure failures[] = {
        {EIO, EIO, VMKIT_ERROR_KVM_FAILED},
        {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
        /* None that a call tells of itself. */
        {ENXIO, EIO, VMKIT_ERROR_KVM_FAILED},
    };
    for (int i = 0; i < call_count; i++) {
        unsigned count = fail_each(&calls[i], FAULT_IOCTL, &failures[_i]);
        ck_assert_msg((count > 0) == ((calls[i].flags & CALL_ASKS_KVM) != 0), "%s: %u ioctls",
                      calls[i].name, count);
    }
}
END_TEST

START_TEST(each_allocation_that_fails_is_ENOMEM)
{
    static const struct failure failure = {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY};
    for (int i = 0; i < call_count; i++) {
        unsigned count = fail_each(&calls[i], FAULT_ALLOCATE, &failure);
        ck_assert_msg((count > 0) == ((calls[i].flags & CALL_ALLOCATES) != 0), "%s: %u allocations",
                      calls[i].name, count);
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
    static const uint8_t code[] = {0xe6, 0x70, 0xe6, 0x11}; /* out %al, $0x70; out %al, $0x11 */
    static const struct call any = {.controller = VMKIT_INTERRUPT_CONTROLLER_SPLIT};
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
        if ((calls[i].flags & (CALL_NEEDS_VCPU | CALL_HOLDS_VCPUS)) != 0)
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
    tcase_add_test(tcase, a_host_without_a_task_is_said_by_each_call_that_runs);
    tcase_add_test(tcase, in_a_child_of_fork_each_call_but_those_on_memory_says_so);
    tcase_add_loop_test(tcase, each_call_of_kvm_that_fails_is_an_error_that_is_documented, 0, 3);
    tcase_add_test(tcase, each_allocation_that_fails_is_ENOMEM);
    tcase_add_test(tcase, while_another_thread_runs_the_vcpu_each_call_is_busy);
    suite_add_tcase(suite, tcase);
    return suite;
}
