/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of raw VMs. A computation that every register has a part in is stopped anywhere, goes
 * on in another VM, is stopped there, and so on; it comes to what it comes to when nobody stops it.
 */
#include "guest.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define CODE UINT64_C(0x1000)
#define TABLES UINT64_C(0x10000)
#define DATA UINT64_C(0x20000)
#define DATA_STEP UINT64_C(0x10000) /* from one vCPU's data to the next one's */
#define STACK UINT64_C(0x60000)
#define STACK_STEP UINT64_C(0x10000)
#define DOORBELL UINT64_C(0x180000)

/* As guests/compute.S has them. */
#define ROUNDS 0x00
#define KINDS 0x08
#define END_DOORBELL 0x10
#define SEEDS 0x100
#define WORDS 0x1000
#define RESULT 0x2000
#define RESULT_SIZE 0x600

enum { X87 = 1, SSE = 2, AVX = 4, AVX512 = 8 };

#define CR4_OSXSAVE (UINT64_C(1) << 18)
#define XCR0_AVX 0x7
#define XCR0_AVX512 0xe7

#define ENDLESS (UINT64_C(1) << 62)
#define VCPU_LIMIT 2

extern const uint8_t compute_start[];
extern const uint8_t compute_end[];

struct machine {
    vmkit_vm *vm;
    vmkit_vcpu *vcpus[VCPU_LIMIT];
    uint32_t count;
};

static uint64_t seed = 1;

static uint32_t
next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(seed >> 33);
}

static void
set_word(struct machine *machine, uint64_t gpa, uint64_t value)
{
    ASSERT_OK(vmkit_vm_write(machine->vm, gpa, &value, sizeof value, &error));
}

static void
add_memory(struct machine *machine)
{
    vmkit_memory *memory = NULL;
    uint8_t seeds[0x200];
    ASSERT_OK(vmkit_memory_new_anonymous(GUEST_MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(machine->vm, 0, memory, 0, GUEST_MEMORY, 0, &error));
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_vm_write(machine->vm, CODE, compute_start,
                             (uint64_t)(compute_end - compute_start), &error));
    for (size_t i = 0; i < sizeof seeds; i++)
        seeds[i] = (uint8_t)(i * 37 + 11);
    for (uint64_t i = 0; i < VCPU_LIMIT; i++) {
        seeds[0] = (uint8_t)i;
        ASSERT_OK(
            vmkit_vm_write(machine->vm, DATA + i * DATA_STEP + SEEDS, seeds, sizeof seeds, &error));
        set_word(machine, DATA + i * DATA_STEP + END_DOORBELL, DOORBELL);
    }
}

/* What of the extended state KVM lets the guest have, and the processor executes. */
static uint32_t
find_kinds(vmkit_vcpu *vcpu, uint64_t *ret_xcr0)
{
    static struct vmkit_x86_cpuid leaves[256];
    uint32_t count, eax, ebx, ecx, edx, xcr0 = 0;
    ASSERT_OK(vmkit_vcpu_get_x86_cpuid(vcpu, leaves, 256, &count, &error));
    for (uint32_t i = 0; i < count; i++) {
        if (leaves[i].leaf == 0xd && leaves[i].subleaf == 0)
            xcr0 = leaves[i].eax;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0)
        ebx = 0;
    bool avx2 = (ebx >> 5 & 1) != 0, avx512 = (ebx >> 16 & 1) != 0;
    *ret_xcr0 = 0;
    if (!avx2 || (xcr0 & XCR0_AVX) != XCR0_AVX)
        return X87 | SSE;
    *ret_xcr0 = XCR0_AVX;
    if (!avx512 || (xcr0 & XCR0_AVX512) != XCR0_AVX512)
        return X87 | SSE | AVX;
    *ret_xcr0 = XCR0_AVX512;
    return X87 | SSE | AVX | AVX512;
}

static void
add_vcpu(struct machine *machine, bool user, uint64_t rounds)
{
    uint32_t id = machine->count++;
    vmkit_vcpu **vcpu = &machine->vcpus[id];
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    uint64_t data = DATA + id * DATA_STEP, xcr0 = 0;
    ASSERT_OK(vmkit_vcpu_new(machine->vm, id, vcpu, &error));
    ASSERT_OK(vmkit_vm_write_x86_identity_map(machine->vm, TABLES, 2 << 20,
                                              user ? VMKIT_X86_USER_MODE : 0, NULL, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_long_mode(*vcpu, CODE, STACK + id * STACK_STEP, TABLES,
                                           user ? VMKIT_X86_USER_MODE : 0, &error));
    /* A host that interprets supervisor mode does so for the general registers only. */
    uint32_t kinds = user ? find_kinds(*vcpu, &xcr0) : 0;
    if (xcr0 != 0) {
        ASSERT_OK(vmkit_vcpu_get_x86_sregs(*vcpu, &sregs, &error));
        sregs.cr4 |= CR4_OSXSAVE;
        ASSERT_OK(vmkit_vcpu_set_x86_sregs(*vcpu, &sregs, &error));
        ASSERT_OK(vmkit_vcpu_set_x86_xcr0(*vcpu, xcr0, &error));
    }
    ASSERT_OK(vmkit_vcpu_get_x86_regs(*vcpu, &regs, &error));
    regs.rbx = data;
    ASSERT_OK(vmkit_vcpu_set_x86_regs(*vcpu, &regs, &error));
    set_word(machine, data + ROUNDS, rounds);
    set_word(machine, data + KINDS, kinds);
}

static struct machine
machine_new(uint32_t controller, uint32_t count, bool user, uint64_t rounds)
{
    struct machine machine = {0};
    vmkit_vm_config *config = NULL;
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, controller, 0, &error));
    ASSERT_OK(vmkit_vm_new(config, &machine.vm, &error));
    vmkit_vm_config_unref(config);
    add_memory(&machine);
    for (uint32_t i = 0; i < count; i++)
        add_vcpu(&machine, user, rounds);
    return machine;
}

static void
machine_free(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->count; i++)
        vmkit_vcpu_unref(machine->vcpus[i]);
    vmkit_vm_unref(machine->vm);
}

static vmkit_snapshot *
take(struct machine *machine, vmkit_snapshot *parent, uint64_t flags)
{
    vmkit_snapshot *snapshot = NULL;
    ASSERT_OK(vmkit_vm_snapshot(machine->vm, parent, flags, &snapshot, &error));
    return snapshot;
}

static struct machine
restore(vmkit_snapshot *snapshot, uint64_t flags)
{
    struct machine machine = {0};
    ASSERT_OK(vmkit_vm_new_from_snapshot(snapshot, NULL, flags, machine.vcpus, VCPU_LIMIT,
                                         &machine.count, &machine.vm, &error));
    return machine;
}

/* The next VM takes the place of this one. */
static void
hop(struct machine *machine)
{
    vmkit_snapshot *snapshot = take(machine, NULL, 0);
    struct machine next = restore(snapshot, 0);
    vmkit_snapshot_unref(snapshot);
    machine_free(machine);
    *machine = next;
}

static void
run(vmkit_vcpu *vcpu, uint32_t reason)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
    ck_assert_msg(exit.reason == reason, "reason %u, not %u (address 0x%llx, suberror %u)",
                  exit.reason, reason, (unsigned long long)exit.address, exit.suberror);
    if (reason == VMKIT_EXIT_MMIO)
        ck_assert_uint_eq(exit.address, DOORBELL);
}

/* A thread that kicks a vCPU some time after it was told to. */
static struct {
    pthread_t thread;
    sem_t go, done;
    _Atomic(vmkit_vcpu *) vcpu;
    atomic_uint delay_ns;
    atomic_bool ends;
} kicker;

static void
sleep_ns(uint32_t ns)
{
    const struct timespec time = {.tv_nsec = (long)ns};
    nanosleep(&time, NULL);
}

static void *
kick(void *argument)
{
    for (;;) {
        sem_wait(&kicker.go);
        if (atomic_load(&kicker.ends))
            return NULL;
        sleep_ns(atomic_load(&kicker.delay_ns));
        vmkit_vcpu_kick(atomic_load(&kicker.vcpu));
        sem_post(&kicker.done);
    }
}

static void
kicker_start(void)
{
    sem_init(&kicker.go, 0, 0);
    sem_init(&kicker.done, 0, 0);
    atomic_store(&kicker.ends, false);
    ck_assert_int_eq(pthread_create(&kicker.thread, NULL, kick, NULL), 0);
}

static void
kicker_stop(void)
{
    atomic_store(&kicker.ends, true);
    sem_post(&kicker.go);
    pthread_join(kicker.thread, NULL);
    sem_destroy(&kicker.go);
    sem_destroy(&kicker.done);
}

static void
run_a_while(vmkit_vcpu *vcpu, uint32_t most_ns)
{
    atomic_store(&kicker.vcpu, vcpu);
    atomic_store(&kicker.delay_ns, next_random() % most_ns);
    sem_post(&kicker.go);
    run(vcpu, VMKIT_EXIT_KICKED);
    sem_wait(&kicker.done);
}

static uint64_t
get_rounds(vmkit_vcpu *vcpu)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    ASSERT_OK(vmkit_vcpu_get_x86_regs(vcpu, &regs, &error));
    return regs.r15;
}

static void
get_result(struct machine *machine, uint32_t id, uint8_t result[RESULT_SIZE])
{
    ASSERT_OK(
        vmkit_vm_read(machine->vm, DATA + id * DATA_STEP + RESULT, result, RESULT_SIZE, &error));
}

/* What the computation comes to in one go. */
static void
assert_result(struct machine *machine, uint32_t id, bool user, uint64_t rounds)
{
    uint8_t result[RESULT_SIZE], expected[RESULT_SIZE];
    struct machine reference =
        machine_new(VMKIT_INTERRUPT_CONTROLLER_NONE, machine->count, user, rounds);
    run(reference.vcpus[id], VMKIT_EXIT_MMIO);
    get_result(&reference, id, expected);
    get_result(machine, id, result);
    ck_assert_mem_eq(result, expected, RESULT_SIZE);
    machine_free(&reference);
}

/* Let it compute for a random time, in which it gets on. */
static void
get_on(vmkit_vcpu *vcpu, uint64_t before, uint32_t *most_ns)
{
    run_a_while(vcpu, *most_ns);
    if (*most_ns > 50000)
        *most_ns -= *most_ns / 8;
    while (get_rounds(vcpu) == before) {
        *most_ns = *most_ns * 2 < 100000000 ? *most_ns * 2 : *most_ns;
        run_a_while(vcpu, *most_ns);
    }
}

/* Stop a computation at `hops` points, each in another VM, and compare what it comes to. */
static void
assert_survives(uint32_t controller, bool user, int hops)
{
    struct machine machine = machine_new(controller, 1, user, ENDLESS);
    uint32_t most_ns = 100000;
    uint64_t rounds = 0;
    kicker_start();
    for (int i = 0; i < hops; i++) {
        get_on(machine.vcpus[0], rounds, &most_ns);
        hop(&machine);
        rounds = get_rounds(machine.vcpus[0]);
    }
    kicker_stop();
    rounds += 100;
    set_word(&machine, DATA + ROUNDS, rounds);
    run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    assert_result(&machine, 0, user, rounds);
    machine_free(&machine);
}

START_TEST(user_mode_survives_a_thousand_snapshots)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_NONE, true, 1000);
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
    run(argument, VMKIT_EXIT_KICKED);
    return NULL;
}

static void
run_together(struct machine *machine, uint32_t most_ns)
{
    pthread_t threads[VCPU_LIMIT];
    for (uint32_t i = 0; i < machine->count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_until_kicked, machine->vcpus[i]), 0);
    sleep_ns(next_random() % most_ns);
    for (uint32_t i = 0; i < machine->count; i++)
        vmkit_vcpu_kick(machine->vcpus[i]);
    for (uint32_t i = 0; i < machine->count; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(several_vcpus_survive)
{
    struct machine machine = machine_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, ENDLESS);
    for (int i = 0; i < 40; i++) {
        run_together(&machine, 2000000);
        hop(&machine);
        ck_assert_uint_eq(machine.count, 2);
        ck_assert_uint_eq(vmkit_vcpu_get_id(machine.vcpus[1]), 1);
    }
    for (uint32_t id = 0; id < 2; id++) {
        uint64_t rounds = get_rounds(machine.vcpus[id]) + 100;
        set_word(&machine, DATA + id * DATA_STEP + ROUNDS, rounds);
        run(machine.vcpus[id], VMKIT_EXIT_MMIO);
        assert_result(&machine, id, true, rounds);
    }
    machine_free(&machine);
}
END_TEST

static void *
finish_a_copy(void *argument)
{
    struct machine machine = restore(argument, 0);
    uint64_t rounds = get_rounds(machine.vcpus[0]) + 1000;
    set_word(&machine, DATA + ROUNDS, rounds);
    run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    uint8_t *result = malloc(RESULT_SIZE);
    get_result(&machine, 0, result);
    machine_free(&machine);
    return result;
}

START_TEST(copies_that_run_at_once_do_not_see_each_other)
{
    struct machine machine = machine_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, ENDLESS);
    pthread_t threads[6];
    uint32_t most_ns = 100000;
    kicker_start();
    get_on(machine.vcpus[0], 0, &most_ns);
    kicker_stop();
    vmkit_snapshot *snapshot = take(&machine, NULL, 0);
    uint64_t rounds = get_rounds(machine.vcpus[0]) + 1000;
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, finish_a_copy, snapshot), 0);
    /* The one that it was taken of goes on too. */
    set_word(&machine, DATA + ROUNDS, rounds);
    run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    assert_result(&machine, 0, true, rounds);
    uint8_t expected[RESULT_SIZE];
    get_result(&machine, 0, expected);
    for (size_t i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_mem_eq(result, expected, RESULT_SIZE);
        free(result);
    }
    vmkit_snapshot_unref(snapshot);
    machine_free(&machine);
}
END_TEST

/* Until the computation has written to its table. */
static void
wait_until_it_runs(struct machine *machine, uint32_t id)
{
    static const uint64_t zeros[512];
    uint64_t table[512];
    do {
        sleep_ns(100000);
        ASSERT_OK(
            vmkit_vm_read(machine->vm, DATA + id * DATA_STEP + WORDS, table, sizeof table, &error));
    } while (memcmp(table, zeros, sizeof table) == 0);
}

START_TEST(a_vcpu_that_runs_holds_a_snapshot_up)
{
    struct machine machine = machine_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, ENDLESS);
    vmkit_snapshot *snapshot = NULL;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_until_kicked, machine.vcpus[1]), 0);
    wait_until_it_runs(&machine, 1);
    ASSERT_FAILS(vmkit_vm_snapshot(machine.vm, NULL, 0, &snapshot, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 1 is running on another thread: kick it first");
    vmkit_vcpu_kick(machine.vcpus[1]);
    pthread_join(thread, NULL);
    /* The failure has let go of the other one. */
    snapshot = take(&machine, NULL, 0);
    vmkit_snapshot_unref(snapshot);
    machine_free(&machine);
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
