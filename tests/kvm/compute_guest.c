/* SPDX-License-Identifier: Apache-2.0 */
#include "compute_guest.h"

#include <cpuid.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CODE UINT64_C(0x1000)
#define TABLES UINT64_C(0x10000)
#define STACK UINT64_C(0x60000)
#define STACK_STEP UINT64_C(0x10000)
#define DOORBELL UINT64_C(0x180000)

/* As guests/compute.S has them. */
#define KINDS 0x08
#define END_DOORBELL 0x10
#define SEEDS 0x100

enum { X87 = 1, SSE = 2, AVX = 4, AVX512 = 8 };

#define CR4_OSXSAVE (UINT64_C(1) << 18)
#define XCR0_AVX 0x7
#define XCR0_AVX512 0xe7

extern const uint8_t compute_start[];
extern const uint8_t compute_end[];

static const uint64_t first_seed = 1;
static uint64_t seed;

uint32_t
compute_random(void)
{
    if (seed == 0) {
        seed = first_seed;
        printf("# seed %llu\n", (unsigned long long)seed);
    }
    seed = seed * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(seed >> 33);
}

void
compute_set_word(struct compute *machine, uint64_t gpa, uint64_t value)
{
    ASSERT_OK(vmkit_vm_write(machine->vm, gpa, &value, sizeof value, &error));
}

static void
add_memory(struct compute *machine)
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
    for (uint64_t i = 0; i < COMPUTE_VCPUS; i++) {
        seeds[0] = (uint8_t)i;
        ASSERT_OK(vmkit_vm_write(machine->vm, COMPUTE_DATA + i * COMPUTE_STEP + SEEDS, seeds,
                                 sizeof seeds, &error));
        compute_set_word(machine, COMPUTE_DATA + i * COMPUTE_STEP + END_DOORBELL, DOORBELL);
    }
}

/* What of the extended state KVM lets the guest have, and the processor executes. */
static uint32_t
find_kinds(vmkit_vcpu *vcpu, uint64_t *ret_xcr0)
{
    static _Thread_local struct vmkit_x86_cpuid leaves[256];
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
add_vcpu(struct compute *machine, bool user, uint64_t rounds)
{
    uint32_t id = machine->count++;
    vmkit_vcpu **vcpu = &machine->vcpus[id];
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    uint64_t data = COMPUTE_DATA + id * COMPUTE_STEP, xcr0 = 0;
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
    compute_set_word(machine, data + COMPUTE_ROUNDS, rounds);
    compute_set_word(machine, data + KINDS, kinds);
}

struct compute
compute_new(uint32_t controller, uint32_t count, bool user, uint64_t rounds)
{
    struct compute machine = {0};
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

void
compute_free(struct compute *machine)
{
    for (uint32_t i = 0; i < machine->count; i++)
        vmkit_vcpu_unref(machine->vcpus[i]);
    vmkit_vm_unref(machine->vm);
}

vmkit_snapshot *
compute_take(struct compute *machine, vmkit_snapshot *parent, uint64_t flags)
{
    vmkit_snapshot *snapshot = NULL;
    ASSERT_OK(vmkit_vm_snapshot(machine->vm, parent, flags, &snapshot, &error));
    return snapshot;
}

struct compute
compute_restore(vmkit_snapshot *snapshot, uint64_t flags)
{
    struct compute machine = {0};
    ASSERT_OK(vmkit_vm_new_from_snapshot(snapshot, NULL, flags, machine.vcpus, COMPUTE_VCPUS,
                                         &machine.count, &machine.vm, &error));
    return machine;
}

void
compute_run(vmkit_vcpu *vcpu, uint32_t reason)
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

void
compute_sleep_ns(uint32_t ns)
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
        compute_sleep_ns(atomic_load(&kicker.delay_ns));
        vmkit_vcpu_kick(atomic_load(&kicker.vcpu));
        sem_post(&kicker.done);
    }
}

void
compute_kicker_start(void)
{
    sem_init(&kicker.go, 0, 0);
    sem_init(&kicker.done, 0, 0);
    atomic_store(&kicker.ends, false);
    ck_assert_int_eq(pthread_create(&kicker.thread, NULL, kick, NULL), 0);
}

void
compute_kicker_stop(void)
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
    atomic_store(&kicker.delay_ns, compute_random() % most_ns);
    sem_post(&kicker.go);
    compute_run(vcpu, VMKIT_EXIT_KICKED);
    sem_wait(&kicker.done);
}

uint64_t
compute_get_rounds(vmkit_vcpu *vcpu)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    ASSERT_OK(vmkit_vcpu_get_x86_regs(vcpu, &regs, &error));
    return regs.r15;
}

void
compute_get_result(struct compute *machine, uint32_t id, uint8_t result[COMPUTE_RESULT_SIZE])
{
    ASSERT_OK(vmkit_vm_read(machine->vm, COMPUTE_DATA + id * COMPUTE_STEP + COMPUTE_RESULT, result,
                            COMPUTE_RESULT_SIZE, &error));
}

/* What the computation comes to in one go. */
void
compute_assert_result(struct compute *machine, uint32_t id, bool user, uint64_t rounds)
{
    uint8_t result[COMPUTE_RESULT_SIZE], expected[COMPUTE_RESULT_SIZE];
    struct compute reference =
        compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, machine->count, user, rounds);
    compute_run(reference.vcpus[id], VMKIT_EXIT_MMIO);
    compute_get_result(&reference, id, expected);
    compute_get_result(machine, id, result);
    ck_assert_mem_eq(result, expected, COMPUTE_RESULT_SIZE);
    compute_free(&reference);
}

void
compute_print_registers(struct compute *machine, uint32_t id)
{
    /* Where guests/compute.S leaves the registers of each kind. */
    static const struct {
        uint64_t kind;
        size_t at, size;
        const char *name;
    } parts[] = {{0, 0, 0x68, "general"},
                 {X87, 0x100, 0x62, "x87"},
                 {SSE, 0x200, 0x44, "SSE"},
                 {AVX, 0x300, 0x60, "AVX"},
                 {AVX512, 0x400, 0x108, "AVX-512"}};
    static const uint8_t zeros[0x200];
    uint8_t result[COMPUTE_RESULT_SIZE];
    uint64_t kinds;
    compute_get_result(machine, id, result);
    ASSERT_OK(vmkit_vm_read(machine->vm, COMPUTE_DATA + id * COMPUTE_STEP + KINDS, &kinds,
                            sizeof kinds, &error));
    printf("# registers in the result:");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        bool has = memcmp(result + parts[i].at, zeros, parts[i].size) != 0;
        ck_assert_int_eq(has, (kinds & parts[i].kind) == parts[i].kind);
        printf(has ? " %s" : " (no %s)", parts[i].name);
    }
    printf("\n");
    fflush(stdout);
}

/* Let it compute for a random time, in which it gets on. */
void
compute_get_on(vmkit_vcpu *vcpu, uint64_t before, uint32_t *most_ns)
{
    run_a_while(vcpu, *most_ns);
    if (*most_ns > 50000)
        *most_ns -= *most_ns / 8;
    while (compute_get_rounds(vcpu) == before) {
        *most_ns = *most_ns * 2 < 100000000 ? *most_ns * 2 : *most_ns;
        run_a_while(vcpu, *most_ns);
    }
}
