/* SPDX-License-Identifier: Apache-2.0 */
/* One VM under many threads: each call at any time, and vCPUs that move from thread to thread. */
#include "guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* out %al,$0x10; jmp . - 2 */
static const uint8_t out_for_ever[] = {0xe6, 0x10, 0xeb, 0xfc};

static void *
run_once(void *argument)
{
    struct guest *guest = argument;
    guest->exit.size = sizeof guest->exit;
    guest_run(guest, VMKIT_EXIT_PIO);
    return NULL;
}

static void *
run_to_kick(void *argument)
{
    guest_run(argument, VMKIT_EXIT_KICKED);
    return NULL;
}

static int
serve(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    atomic_fetch_add((atomic_ulong *)user_data, 1);
    return VMKIT_HANDLED;
}

/* Each thread ends before the next one takes the vCPU over. */
START_TEST(a_vcpu_runs_on_a_new_thread_each_time)
{
    struct guest guest;
    atomic_ulong calls = 0;
    pthread_t thread;
    guest_new_real(&guest, out_for_ever, sizeof out_for_ever);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, run_once, &guest), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    ASSERT_OK(
        vmkit_vm_add_handler(guest.vm, VMKIT_SPACE_PIO, 0x10, 1, serve, NULL, &calls, &error));
    for (int i = 0; i < 20; i++) {
        unsigned long before = atomic_load(&calls);
        ck_assert_int_eq(pthread_create(&thread, NULL, run_to_kick, &guest), 0);
        while (atomic_load(&calls) == before)
            usleep(100);
        vmkit_vcpu_kick(guest.vcpu);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    guest_free(&guest);
}
END_TEST

/* What all threads of the crowd share. */
struct crowd {
    vmkit_vm *vm;
    vmkit_vcpu *vcpus[2];
    vmkit_memory *memory;
    atomic_ulong calls;
    atomic_ulong releases;
    atomic_bool stop;
    unsigned long handlers; /* of the one thread that adds them */
};

static void
count_release(void *user_data)
{
    atomic_fetch_add(&((struct crowd *)user_data)->releases, 1);
}

static int
serve_crowd(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    atomic_fetch_add(&((struct crowd *)user_data)->calls, 1);
    return VMKIT_HANDLED;
}

static void *
run_vcpu(struct crowd *crowd, vmkit_vcpu *vcpu)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    while (!atomic_load(&crowd->stop)) {
        ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
        ck_assert(exit.reason == VMKIT_EXIT_PIO || exit.reason == VMKIT_EXIT_KICKED);
    }
    return NULL;
}

static void *
run_first(void *argument)
{
    return run_vcpu(argument, ((struct crowd *)argument)->vcpus[0]);
}

static void *
run_second(void *argument)
{
    return run_vcpu(argument, ((struct crowd *)argument)->vcpus[1]);
}

static void *
change_handlers(void *argument)
{
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->stop)) {
        ASSERT_OK(vmkit_vm_add_handler(crowd->vm, VMKIT_SPACE_PIO, 0x10, 1, serve_crowd,
                                       count_release, crowd, &error));
        crowd->handlers++;
        ASSERT_OK(vmkit_vm_remove_handler(crowd->vm, VMKIT_SPACE_PIO, 0x10, &error));
    }
    return NULL;
}

static void *
change_memory(void *argument)
{
    struct crowd *crowd = argument;
    uint8_t byte = 7, back = 0;
    while (!atomic_load(&crowd->stop)) {
        ASSERT_OK(vmkit_vm_add_memory(crowd->vm, 1 << 24, crowd->memory, 0, 4096, 0, &error));
        ASSERT_OK(vmkit_vm_write(crowd->vm, 1 << 24, &byte, 1, &error));
        ASSERT_OK(vmkit_vm_read(crowd->vm, 1 << 24, &back, 1, &error));
        ck_assert_uint_eq(back, 7);
        ASSERT_OK(vmkit_vm_remove_memory(crowd->vm, 1 << 24, &error));
    }
    return NULL;
}

static void *
kick_and_ask(void *argument)
{
    struct crowd *crowd = argument;
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    int doorbell = eventfd(0, EFD_CLOEXEC);
    while (!atomic_load(&crowd->stop)) {
        vmkit_vcpu_kick(crowd->vcpus[0]);
        vmkit_vcpu *vcpu = vmkit_vcpu_ref(crowd->vcpus[1]);
        vmkit_vcpu_kick(vcpu);
        /* Either it runs, or it can be asked. */
        int result = vmkit_vcpu_get_x86_regs(vcpu, &regs, NULL);
        ck_assert(result == 0 || result == -EBUSY);
        vmkit_vcpu_unref(vcpu);
        ASSERT_OK(
            vmkit_vm_add_ioeventfd(crowd->vm, VMKIT_SPACE_PIO, 0x99, 1, 0, 0, doorbell, &error));
        ASSERT_OK(
            vmkit_vm_remove_ioeventfd(crowd->vm, VMKIT_SPACE_PIO, 0x99, 1, 0, 0, doorbell, &error));
    }
    close(doorbell);
    return NULL;
}

START_TEST(every_call_at_any_time_from_any_thread)
{
    static void *(*const members[])(void *) = {run_first, run_second, change_handlers,
                                               change_memory, kick_and_ask};
    enum { MEMBERS = sizeof members / sizeof members[0] };
    struct guest guest;
    struct crowd crowd = {.vm = NULL};
    pthread_t threads[MEMBERS];
    guest_new_real(&guest, out_for_ever, sizeof out_for_ever);
    crowd.vm = guest.vm;
    crowd.vcpus[0] = guest.vcpu;
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 1, &crowd.vcpus[1], &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(crowd.vcpus[1], GUEST_CODE, GUEST_STACK, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(4096, 0, &crowd.memory, &error));
    for (int i = 0; i < MEMBERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, members[i], &crowd), 0);
    usleep(500000);
    atomic_store(&crowd.stop, true);
    for (int i = 2; i < MEMBERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 2; i++) {
        vmkit_vcpu_kick(crowd.vcpus[i]);
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    vmkit_vcpu_unref(crowd.vcpus[1]);
    guest_free(&guest);
    vmkit_memory_unref(crowd.memory);
    ck_assert_uint_gt(crowd.handlers, 0);
    ck_assert_uint_eq(atomic_load(&crowd.releases), crowd.handlers);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_threads");
    TCase *tcase = tcase_create("vm_threads");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_vcpu_runs_on_a_new_thread_each_time);
    tcase_add_test(tcase, every_call_at_any_time_from_any_thread);
    suite_add_tcase(suite, tcase);
    return suite;
}
