/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of raw VMs. A computation that every register has a part in is stopped anywhere, goes
 * on in another VM, is stopped there, and so on, now and then through a file; it comes to what it
 * comes to when nobody stops it. The kinds of register that this host has are printed.
 */
#include "compute_guest.h"
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* One that was saved to a file, and opened, takes its place. */
static void
go_through_file(vmkit_snapshot **snapshot, uint32_t level)
{
    vmkit_snapshot_options *options = NULL;
    vmkit_snapshot *opened = NULL;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, level, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(*snapshot, fd, options, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
    close(fd);
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(*snapshot);
    *snapshot = opened;
}

/* The next VM takes the place of this one: each tenth time through a file, which is raw and
 * compressed in turn. */
static void
hop(struct compute *machine, unsigned number)
{
    vmkit_snapshot *snapshot = compute_take(machine, NULL, 0);
    if (number % 10 == 9)
        go_through_file(&snapshot, number / 10 % 2);
    struct compute next = compute_restore(snapshot, 0);
    vmkit_snapshot_unref(snapshot);
    compute_free(machine);
    *machine = next;
}

/* Stop a computation at `hops` points, each in another VM, and compare what it comes to. */
static void
assert_survives(uint32_t controller, bool user, unsigned hops)
{
    struct compute machine = compute_new(controller, 1, user, COMPUTE_ENDLESS);
    uint32_t most_ns = 100000;
    uint64_t rounds = 0;
    compute_kicker_start();
    for (unsigned i = 0; i < hops; i++) {
        compute_get_on(machine.vcpus[0], rounds, &most_ns);
        hop(&machine, i);
        rounds = compute_get_rounds(machine.vcpus[0]);
    }
    compute_kicker_stop();
    rounds += 100;
    compute_set_word(&machine, COMPUTE_DATA + COMPUTE_ROUNDS, rounds);
    compute_run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    compute_assert_result(&machine, 0, user, rounds);
    compute_print_registers(&machine, 0);
    compute_free(&machine);
}

START_TEST(user_mode_survives_a_thousand_snapshots)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_NONE, true, 1000 / harness_get_step(10));
}
END_TEST

START_TEST(user_mode_with_a_local_controller_survives)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_SPLIT, true, 50);
}
END_TEST

START_TEST(user_mode_with_all_controllers_survives)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_KERNEL, true, 10);
}
END_TEST

START_TEST(supervisor_mode_survives)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_NONE, false, 50);
}
END_TEST

static void *
run_until_kicked(void *argument)
{
    compute_run(argument, VMKIT_EXIT_KICKED);
    return NULL;
}

static void
run_together(struct compute *machine, uint32_t most_ns)
{
    pthread_t threads[COMPUTE_VCPUS];
    for (uint32_t i = 0; i < machine->count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_until_kicked, machine->vcpus[i]), 0);
    compute_sleep_ns(compute_random() % most_ns);
    for (uint32_t i = 0; i < machine->count; i++)
        vmkit_vcpu_kick(machine->vcpus[i]);
    for (uint32_t i = 0; i < machine->count; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(several_vcpus_survive)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, COMPUTE_ENDLESS);
    for (unsigned i = 0; i < 40; i++) {
        run_together(&machine, 2000000);
        hop(&machine, i);
        ck_assert_uint_eq(machine.count, 2);
        ck_assert_uint_eq(vmkit_vcpu_get_id(machine.vcpus[1]), 1);
    }
    for (uint32_t id = 0; id < 2; id++) {
        uint64_t rounds = compute_get_rounds(machine.vcpus[id]) + 100;
        compute_set_word(&machine, COMPUTE_DATA + id * COMPUTE_STEP + COMPUTE_ROUNDS, rounds);
        compute_run(machine.vcpus[id], VMKIT_EXIT_MMIO);
        compute_assert_result(&machine, id, true, rounds);
    }
    compute_free(&machine);
}
END_TEST

static void *
finish_a_copy(void *argument)
{
    struct compute machine = compute_restore(argument, 0);
    uint64_t rounds = compute_get_rounds(machine.vcpus[0]) + 1000;
    compute_set_word(&machine, COMPUTE_DATA + COMPUTE_ROUNDS, rounds);
    compute_run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    uint8_t *result = malloc(COMPUTE_RESULT_SIZE);
    compute_get_result(&machine, 0, result);
    compute_free(&machine);
    return result;
}

START_TEST(copies_that_run_at_once_do_not_see_each_other)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, COMPUTE_ENDLESS);
    pthread_t threads[6];
    uint32_t most_ns = 100000;
    compute_kicker_start();
    compute_get_on(machine.vcpus[0], 0, &most_ns);
    compute_kicker_stop();
    vmkit_snapshot *snapshot = compute_take(&machine, NULL, 0);
    uint64_t rounds = compute_get_rounds(machine.vcpus[0]) + 1000;
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, finish_a_copy, snapshot), 0);
    /* The one that it was taken of goes on too. */
    compute_set_word(&machine, COMPUTE_DATA + COMPUTE_ROUNDS, rounds);
    compute_run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    compute_assert_result(&machine, 0, true, rounds);
    uint8_t expected[COMPUTE_RESULT_SIZE];
    compute_get_result(&machine, 0, expected);
    for (size_t i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_mem_eq(result, expected, COMPUTE_RESULT_SIZE);
        free(result);
    }
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
}
END_TEST

/* Until the computation has written to its table. */
static void
wait_until_it_runs(struct compute *machine, uint32_t id)
{
    static const uint64_t zeros[512];
    uint64_t table[512];
    do {
        compute_sleep_ns(100000);
        ASSERT_OK(vmkit_vm_read(machine->vm, COMPUTE_DATA + id * COMPUTE_STEP + COMPUTE_TABLE,
                                table, sizeof table, &error));
    } while (memcmp(table, zeros, sizeof table) == 0);
}

START_TEST(a_vcpu_that_runs_holds_a_snapshot_up)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, COMPUTE_ENDLESS);
    vmkit_snapshot *snapshot = NULL;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_until_kicked, machine.vcpus[1]), 0);
    wait_until_it_runs(&machine, 1);
    ASSERT_FAILS(vmkit_vm_snapshot(machine.vm, NULL, 0, &snapshot, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 1 is running on another thread: kick it first");
    vmkit_vcpu_kick(machine.vcpus[1]);
    pthread_join(thread, NULL);
    /* The failure has let go of the other one. */
    snapshot = compute_take(&machine, NULL, 0);
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot");
    TCase *tcase = tcase_create("vm_snapshot");

    tcase_set_timeout(tcase, 280);
    tcase_add_test(tcase, user_mode_survives_a_thousand_snapshots);
    tcase_add_test(tcase, user_mode_with_a_local_controller_survives);
    tcase_add_test(tcase, user_mode_with_all_controllers_survives);
    tcase_add_test(tcase, supervisor_mode_survives);
    tcase_add_test(tcase, several_vcpus_survive);
    tcase_add_test(tcase, copies_that_run_at_once_do_not_see_each_other);
    tcase_add_test(tcase, a_vcpu_that_runs_holds_a_snapshot_up);
    suite_add_tcase(suite, tcase);
    return suite;
}
