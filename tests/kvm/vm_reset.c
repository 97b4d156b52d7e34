/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw VMs that are reset to the snapshot that they were made from: nothing of what ran since is
 * left, in whichever kind of snapshot and with whichever interrupt controller.
 */
#include "compute_guest.h"

#include "vm/vm_snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define BIG_MEMORY (UINT64_C(8) << 20)
#define TSC_PART 11
#define MSR_PART 8
#define MSR_RUNTIME 0x40000010

/* out %al,$0x10; jmp */
static const uint8_t loop_code[] = {0xe6, 0x10, 0xeb, 0xfc};

/* in $0x10,%al; out %al,$0x11; hlt */
static const uint8_t in_and_out[] = {0xe4, 0x10, 0xe6, 0x11, 0xf4};

/* mov $0x1000,%si; mov $100,%cx; mov $0x10,%dx; cld; rep outsb; hlt */
static const uint8_t string_out[] = {0xbe, 0x00, 0x10, 0xb9, 100,  0x00, 0xba,
                                     0x10, 0x00, 0xfc, 0xf3, 0x6e, 0xf4};

/* mov 0x200000,%eax; mov %eax,0x10000000; jmp */
static const uint8_t read_through_tables[] = {0x8b, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0x89,
                                              0x04, 0x25, 0x00, 0x00, 0x00, 0x10, 0xeb, 0xf0};

static vmkit_snapshot *
take(vmkit_vm *vm, vmkit_snapshot *parent)
{
    vmkit_snapshot *snapshot = NULL;
    ASSERT_OK(vmkit_vm_snapshot(vm, parent, 0, &snapshot, &error));
    return snapshot;
}

static struct guest
make(vmkit_snapshot *snapshot, uint64_t flags)
{
    struct guest guest = {.exit.size = sizeof guest.exit};
    ASSERT_OK(
        vmkit_vm_new_from_snapshot(snapshot, NULL, flags, &guest.vcpu, 1, NULL, &guest.vm, &error));
    return guest;
}

static void
reset(vmkit_vm *vm)
{
    ASSERT_OK(vmkit_vm_reset(vm, &error));
}

enum way { WAY_MEMORY, WAY_FILE, WAY_COMPRESSED, WAY_LAZY, WAY_COUNT };

/* The same snapshot in another form. */
static vmkit_snapshot *
go_through(vmkit_snapshot *snapshot, enum way way)
{
    vmkit_snapshot_options *options = NULL;
    vmkit_snapshot *opened = NULL;
    if (way == WAY_MEMORY)
        return snapshot;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, way == WAY_FILE ? 0 : 1, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, options, &error));
    if (way == WAY_LAZY)
        ASSERT_OK(vmkit_snapshot_options_set_lazy(options, 1, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, options, &opened, &error));
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
    close(fd);
    return opened;
}

/* A list of MSRs, but for the one that counts how long a vCPU has run (Hyper-V's VP_RUNTIME). */
static void
assert_same_msrs(const uint8_t *one, const uint8_t *other, uint64_t length, uint32_t id)
{
    for (size_t at = 4; at < length; at += 12) {
        uint32_t index;
        memcpy(&index, one + at, sizeof index);
        ck_assert_msg(index == MSR_RUNTIME || memcmp(one + at, other + at, 12) == 0,
                      "MSR 0x%x of vCPU %u is another one", index, id);
    }
}

/* What a snapshot has of a vCPU, but for the TSC, which goes on by itself. */
static void
assert_same_vcpu(const struct vmk_vm_state_vcpu *one, const struct vmk_vm_state_vcpu *other)
{
    ck_assert_uint_eq(one->size, other->size);
    ck_assert_int_eq(one->nmi, other->nmi);
    ck_assert_mem_eq(one->vectors, other->vectors, sizeof one->vectors);
    const uint8_t *here = one->bytes, *there = other->bytes;
    for (size_t at = 8; at < one->size;) {
        uint32_t tag;
        uint64_t length;
        memcpy(&tag, here + at, sizeof tag);
        memcpy(&length, here + at + 8, sizeof length);
        if (tag == MSR_PART)
            assert_same_msrs(here + at + 16, there + at + 16, length, one->id);
        else
            ck_assert_msg(tag == TSC_PART || memcmp(here + at, there + at, 16 + length) == 0,
                          "part %u of vCPU %u is another one", tag, one->id);
        at += 16 + length;
    }
}

/* The VM holds what the snapshot does, to the last byte. */
static void
assert_is_back(vmkit_vm *vm, vmkit_snapshot *snapshot)
{
    vmkit_snapshot *now = take(vm, NULL);
    const struct vmk_vm_state *here = vmk_vm_snapshot_get_state(now);
    const struct vmk_vm_state *there = vmk_vm_snapshot_get_state(snapshot);
    ck_assert_uint_eq(here->vcpu_count, there->vcpu_count);
    for (uint32_t i = 0; i < here->vcpu_count; i++)
        assert_same_vcpu(&here->vcpus[i], &there->vcpus[i]);
    ck_assert_int_eq(here->has_routes, there->has_routes);
    ck_assert_uint_eq(here->route_count, there->route_count);
    ck_assert_uint_eq(here->size, there->size);
    for (uint32_t i = 0; i < there->region_count; i++) {
        for (uint64_t at = 0; at < there->regions[i].size; at += PAGE) {
            uint8_t one[PAGE], other[PAGE];
            uint64_t address = there->regions[i].image + at;
            ck_assert_int_eq(vmk_image_read(vmk_vm_snapshot_get_image(now), address, one, PAGE), 0);
            ck_assert_int_eq(
                vmk_image_read(vmk_vm_snapshot_get_image(snapshot), address, other, PAGE), 0);
            ck_assert_msg(memcmp(one, other, PAGE) == 0, "the page at 0x%llx is another one",
                          (unsigned long long)address);
        }
    }
    vmkit_snapshot_unref(now);
}

/* Something else than there was, in every register that takes it. */
static void
spoil_registers(vmkit_vcpu *vcpu, uint32_t controller)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    struct vmkit_x86_debug_regs debug = {.size = sizeof debug};
    struct vmkit_x86_events events = {.size = sizeof events};
    struct vmkit_x86_msr msrs[] = {
        {.index = 0xc0000082, .value = 0x123456000},   /* LSTAR */
        {.index = 0xc0000102, .value = 0x7654000},     /* KERNEL_GS_BASE */
        {.index = 0x277, .value = 0x0606060606060606}, /* PAT */
        {.index = 0x174, .value = 0x33},               /* SYSENTER_CS */
        {.index = 0x200, .value = 0x6},                /* the first variable MTRR */
        {.index = 0x2ff, .value = 0xc06},              /* the MTRRs' default type */
        {.index = 0x401, .value = 0},                  /* the first machine-check bank */
    };
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(vcpu, &sregs, &error));
    sregs.cr2 = 0xdeadbeef000;
    sregs.cr8 = 5;
    sregs.fs.base = 0x5000;
    sregs.gdt.base = 0x7000;
    ASSERT_OK(vmkit_vcpu_set_x86_sregs(vcpu, &sregs, &error));
    memset(&regs.rax, 0x5a, sizeof regs - offsetof(struct vmkit_x86_regs, rax));
    regs.rip = 0x1002;
    regs.rflags = 0x202;
    ASSERT_OK(vmkit_vcpu_set_x86_regs(vcpu, &regs, &error));
    ASSERT_OK(vmkit_vcpu_get_x86_debug_regs(vcpu, &debug, &error));
    debug.address[0] = debug.address[3] = 0x1234;
    ASSERT_OK(vmkit_vcpu_set_x86_debug_regs(vcpu, &debug, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_xcr0(vcpu, 3, &error));
    uint64_t size = vmkit_vcpu_get_x86_xsave_size(vcpu);
    uint8_t *xsave = calloc(1, size);
    ASSERT_OK(vmkit_vcpu_get_x86_xsave(vcpu, xsave, size, &error));
    memset(xsave + 32, 0x77, 128 + 256);
    xsave[512] |= 3;
    ASSERT_OK(vmkit_vcpu_set_x86_xsave(vcpu, xsave, size, &error));
    free(xsave);
    for (size_t i = 0; i < sizeof msrs / sizeof msrs[0]; i++)
        vmkit_vcpu_set_x86_msrs(vcpu, &msrs[i], 1, NULL);
    ASSERT_OK(vmkit_vcpu_get_x86_events(vcpu, &events, &error));
    events.nmi_pending = 1;
    events.exception_injected = 1;
    events.exception_vector = 6;
    ASSERT_OK(vmkit_vcpu_set_x86_events(vcpu, &events, &error));
    ASSERT_OK(vmkit_vcpu_nmi(vcpu, &error));
    if (controller == VMKIT_INTERRUPT_CONTROLLER_NONE)
        ASSERT_OK(vmkit_vcpu_interrupt(vcpu, 77, &error));
    else
        vmkit_vcpu_set_x86_mp_state(vcpu, VMKIT_X86_HALTED, NULL);
    vmkit_vcpu_kick(vcpu);
}

static void
spoil_controllers(vmkit_vm *vm, uint32_t controller)
{
    const struct vmkit_route route = {.gsi = 3, .kind = VMKIT_ROUTE_MSI, .msi_address = 0xfee00000};
    if (controller == VMKIT_INTERRUPT_CONTROLLER_NONE)
        return;
    if (controller == VMKIT_INTERRUPT_CONTROLLER_KERNEL) {
        ASSERT_OK(vmkit_vm_set_irq_line(vm, 4, 1, &error));
        ASSERT_OK(vmkit_vm_set_irq_line(vm, 20, 1, &error));
    }
    ASSERT_OK(vmkit_vm_set_routes(vm, &route, 1, &error));
}

static void
spoil_memory(vmkit_vm *vm, uint64_t size, unsigned step)
{
    uint8_t page[PAGE];
    for (uint64_t at = 2 * PAGE; at < size; at += step * PAGE) {
        memset(page, (int)(at / PAGE) | 1, sizeof page);
        ASSERT_OK(vmkit_vm_write(vm, at, page, sizeof page, &error));
    }
}

/* Each kind of controller, form of snapshot, and with and without tracking. */
START_TEST(nothing_of_what_ran_is_left)
{
    uint32_t controller = (uint32_t)_i % 3;
    enum way way = (enum way)(_i / 3 % WAY_COUNT);
    uint64_t flags = (uint64_t)(_i / 3 / WAY_COUNT);
    struct guest original;
    uint8_t canary[PAGE];
    guest_new(&original, controller, loop_code, sizeof loop_code);
    ASSERT_OK(vmkit_vcpu_new(original.vm, 0, &original.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(original.vcpu, GUEST_CODE, GUEST_STACK, &error));
    for (uint64_t at = 2 * PAGE; at < GUEST_MEMORY / 2; at += PAGE) {
        memset(canary, (int)(at / PAGE) ^ 0xff, sizeof canary);
        ASSERT_OK(vmkit_vm_write(original.vm, at, canary, sizeof canary, &error));
    }
    guest_run(&original, VMKIT_EXIT_PIO);
    vmkit_snapshot *snapshot = go_through(take(original.vm, NULL), way);
    struct guest copy = make(snapshot, flags);
    for (unsigned round = 0; round < 6 / harness_get_step(2); round++) {
        guest_run(&copy, VMKIT_EXIT_PIO);
        spoil_memory(copy.vm, GUEST_MEMORY, round % 3 + 1);
        spoil_registers(copy.vcpu, controller);
        spoil_controllers(copy.vm, controller);
        reset(copy.vm);
        assert_is_back(copy.vm, snapshot);
    }
    guest_run(&copy, VMKIT_EXIT_PIO);
    vmkit_snapshot_unref(snapshot);
    guest_free(&copy);
    guest_free(&original);
}
END_TEST

/* Stop a computation at a thousand points, go back each time, and compare what it comes to. */
static void
assert_computes(uint32_t controller, unsigned resets, uint64_t flags)
{
    struct compute original = compute_new(controller, 1, true, COMPUTE_ENDLESS);
    uint32_t most_ns = 100000;
    compute_kicker_start();
    compute_get_on(original.vcpus[0], 0, &most_ns);
    vmkit_snapshot *snapshot = compute_take(&original, NULL, 0);
    uint64_t rounds = compute_get_rounds(original.vcpus[0]);
    struct compute copy = compute_restore(snapshot, flags);
    for (unsigned i = 0; i < resets; i++) {
        compute_get_on(copy.vcpus[0], rounds, &most_ns);
        reset(copy.vm);
        ck_assert_uint_eq(compute_get_rounds(copy.vcpus[0]), rounds);
    }
    compute_kicker_stop();
    compute_set_word(&copy, COMPUTE_DATA + COMPUTE_ROUNDS, rounds + 100);
    compute_run(copy.vcpus[0], VMKIT_EXIT_MMIO);
    compute_assert_result(&copy, 0, true, rounds + 100);
    vmkit_snapshot_unref(snapshot);
    compute_free(&copy);
    compute_free(&original);
}

START_TEST(a_computation_goes_on_after_a_thousand_resets)
{
    assert_computes(VMKIT_INTERRUPT_CONTROLLER_NONE, 1000 / harness_get_step(10), 0);
}
END_TEST

START_TEST(a_computation_with_a_local_controller_goes_on)
{
    assert_computes(VMKIT_INTERRUPT_CONTROLLER_SPLIT, 50 / harness_get_step(5),
                    VMKIT_VM_SNAPSHOT_TRACK);
}
END_TEST

START_TEST(a_computation_with_all_controllers_goes_on)
{
    assert_computes(VMKIT_INTERRUPT_CONTROLLER_KERNEL, 10, 0);
}
END_TEST

static void *
run_until_kicked(void *argument)
{
    compute_run(argument, VMKIT_EXIT_KICKED);
    return NULL;
}

START_TEST(several_vcpus_go_back_together)
{
    struct compute original =
        compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, COMPUTE_ENDLESS);
    vmkit_snapshot *snapshot = compute_take(&original, NULL, 0);
    struct compute copy = compute_restore(snapshot, 0);
    for (unsigned i = 0; i < 20 / harness_get_step(4); i++) {
        pthread_t threads[COMPUTE_VCPUS];
        for (uint32_t id = 0; id < 2; id++)
            ck_assert_int_eq(pthread_create(&threads[id], NULL, run_until_kicked, copy.vcpus[id]),
                             0);
        compute_sleep_ns(compute_random() % 2000000);
        for (uint32_t id = 0; id < 2; id++)
            vmkit_vcpu_kick(copy.vcpus[id]);
        for (uint32_t id = 0; id < 2; id++)
            pthread_join(threads[id], NULL);
        reset(copy.vm);
        assert_is_back(copy.vm, snapshot);
    }
    for (uint32_t id = 0; id < 2; id++) {
        compute_set_word(&copy, COMPUTE_DATA + id * COMPUTE_STEP + COMPUTE_ROUNDS, 100);
        compute_run(copy.vcpus[id], VMKIT_EXIT_MMIO);
        compute_assert_result(&copy, id, true, 100);
    }
    vmkit_snapshot_unref(snapshot);
    compute_free(&copy);
    compute_free(&original);
}
END_TEST

/* A snapshot of 8 MiB, each page of whose second half begins with its number. */
static vmkit_snapshot *
take_big(void)
{
    vmkit_vm *vm = NULL;
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(BIG_MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(vm, 0, memory, 0, BIG_MEMORY, 0, &error));
    uint64_t *words = vmkit_memory_get_pointer(memory);
    for (uint64_t page = BIG_MEMORY / PAGE / 2; page < BIG_MEMORY / PAGE; page++)
        words[page * (PAGE / 8)] = page;
    vmkit_memory_unref(memory);
    vmkit_snapshot *snapshot = take(vm, NULL);
    vmkit_vm_unref(vm);
    return snapshot;
}

static vmkit_vm *
make_big(vmkit_snapshot *snapshot, uint64_t flags)
{
    vmkit_vm *vm = NULL;
    ASSERT_OK(vmkit_vm_new_from_snapshot(snapshot, NULL, flags, NULL, 0, NULL, &vm, &error));
    return vm;
}

static void
assert_big_is_back(vmkit_vm *vm)
{
    static const uint64_t zeros[PAGE / 8 - 1];
    for (uint64_t page = 0; page < BIG_MEMORY / PAGE; page++) {
        uint64_t words[PAGE / 8];
        ASSERT_OK(vmkit_vm_read(vm, page * PAGE, words, sizeof words, &error));
        ck_assert_uint_eq(words[0], page < BIG_MEMORY / PAGE / 2 ? 0 : page);
        ck_assert_mem_eq(words + 1, zeros, sizeof zeros);
    }
}

/* A canary in every page, or in some, by the library and by pointers, many times over. */
START_TEST(what_the_program_wrote_is_taken_back)
{
    vmkit_snapshot *snapshot = take_big();
    vmkit_vm *vm = make_big(snapshot, _i == 2 ? VMKIT_VM_SNAPSHOT_TRACK : 0);
    void *pointer = NULL;
    uint8_t *all = NULL, canary[PAGE];
    memset(canary, 0xee, sizeof canary);
    for (unsigned round = 0; round < 12 / harness_get_step(3); round++) {
        uint64_t step = round % 4 == 0 ? 1 : 1 + round * 7 % 40;
        for (uint64_t page = round; page < BIG_MEMORY / PAGE; page += step)
            ASSERT_OK(vmkit_vm_write(vm, page * PAGE, canary, sizeof canary, &error));
        if (_i != 0 && all == NULL) {
            ASSERT_OK(vmkit_vm_get_pointer(vm, 0, BIG_MEMORY, &pointer, &error));
            all = pointer;
        }
        for (uint64_t page = 1; all != NULL && page < BIG_MEMORY / PAGE; page += 3) {
            all[page * PAGE + round] = 0xdd;
            if (_i == 2)
                ASSERT_OK(vmkit_vm_note_write(vm, page * PAGE + round, 1, &error));
        }
        reset(vm);
        assert_big_is_back(vm);
    }
    vmkit_vm_unref(vm);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(what_little_a_pointer_covers_is_taken_back)
{
    vmkit_snapshot *snapshot = take_big();
    vmkit_vm *vm = make_big(snapshot, 0);
    void *pointer = NULL;
    reset(vm);
    ASSERT_OK(vmkit_vm_get_pointer(vm, BIG_MEMORY / 2 + 100, 3 * PAGE, &pointer, &error));
    for (unsigned round = 0; round < 100; round++) {
        if (round % 3 != 2)
            memset(pointer, (int)round, 3 * PAGE);
        reset(vm);
    }
    assert_big_is_back(vm);
    vmkit_vm_unref(vm);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* An increment on top of the snapshot has what was written since the reset, and no more. */
START_TEST(an_increment_after_a_reset_is_right)
{
    vmkit_snapshot *snapshot = take_big();
    vmkit_vm *vm = make_big(snapshot, VMKIT_VM_SNAPSHOT_TRACK);
    uint64_t word = 7;
    for (unsigned round = 0; round < 4; round++) {
        spoil_memory(vm, BIG_MEMORY, 5);
        vmkit_snapshot *between = NULL;
        if (round % 2 == 1)
            ASSERT_OK(vmkit_vm_snapshot(vm, snapshot, VMKIT_VM_SNAPSHOT_TRACK, &between, &error));
        reset(vm);
        assert_big_is_back(vm);
        ASSERT_OK(vmkit_vm_write(vm, 100 * PAGE, &word, sizeof word, &error));
        struct vmkit_snapshot_info info = {.size = sizeof info};
        struct vmkit_snapshot_info before = {.size = sizeof before};
        vmkit_snapshot *next = take(vm, between == NULL ? snapshot : between);
        ASSERT_OK(vmkit_snapshot_get_info(next, &info, &error));
        ASSERT_OK(vmkit_snapshot_get_info(snapshot, &before, &error));
        vmkit_vm *copy = make_big(next, 0);
        uint64_t there = 0;
        ASSERT_OK(vmkit_vm_read(copy, 100 * PAGE, &there, sizeof there, &error));
        ck_assert_uint_eq(there, word);
        word = 0;
        ASSERT_OK(vmkit_vm_write(copy, 100 * PAGE, &word, sizeof word, &error));
        assert_big_is_back(copy);
        word = 8 + round;
        vmkit_vm_unref(copy);
        vmkit_snapshot_unref(next);
        vmkit_snapshot_unref(between);
    }
    vmkit_vm_unref(vm);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* What is written through one place of memory that is in two is taken back in both. */
START_TEST(memory_in_two_places_is_taken_back)
{
    vmkit_vm *vm = NULL;
    vmkit_memory *memory = NULL;
    uint8_t byte = 1, there = 0;
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(16 * PAGE, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(vm, 0, memory, 0, 16 * PAGE, 0, &error));
    ASSERT_OK(vmkit_vm_add_memory(vm, 32 * PAGE, memory, 5 * PAGE, 4 * PAGE, 0, &error));
    ASSERT_OK(
        vmkit_vm_add_memory(vm, 64 * PAGE, memory, 0, 16 * PAGE, VMKIT_REGION_READ_ONLY, &error));
    vmkit_memory_unref(memory);
    vmkit_snapshot *snapshot = take(vm, NULL);
    vmkit_vm_unref(vm);
    vm = make_big(snapshot, 0);
    for (unsigned round = 0; round < 5; round++) {
        void *pointer = NULL;
        ASSERT_OK(vmkit_vm_write(vm, 33 * PAGE, &byte, 1, &error));
        ASSERT_OK(vmkit_vm_write(vm, 70 * PAGE, &byte, 1, &error));
        if (round == 3) {
            ASSERT_OK(vmkit_vm_get_pointer(vm, 35 * PAGE, PAGE, &pointer, &error));
            *(uint8_t *)pointer = 1;
        }
        reset(vm);
        for (uint64_t page = 0; page < 16; page++) {
            ASSERT_OK(vmkit_vm_read(vm, page * PAGE, &there, 1, &error));
            ck_assert_uint_eq(there, 0);
        }
    }
    vmkit_vm_unref(vm);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* The entry for 2 MiB of a page table is changed, used, and taken back by the reset. */
START_TEST(page_tables_are_what_they_were)
{
    struct guest original = {.exit.size = sizeof original.exit};
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_vm_new(NULL, &original.vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(BIG_MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(original.vm, 0, memory, 0, BIG_MEMORY, 0, &error));
    uint8_t *bytes = vmkit_memory_get_pointer(memory);
    memcpy(bytes + GUEST_CODE, read_through_tables, sizeof read_through_tables);
    bytes[0x200000] = 0xaa;
    bytes[0x400000] = 0xbb;
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_vm_write_x86_identity_map(original.vm, GUEST_TABLES, UINT64_C(1) << 30,
                                              VMKIT_X86_USER_MODE, NULL, &error));
    ASSERT_OK(vmkit_vcpu_new(original.vm, 0, &original.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_long_mode(original.vcpu, GUEST_CODE, GUEST_STACK, GUEST_TABLES,
                                           VMKIT_X86_USER_MODE, &error));
    vmkit_snapshot *snapshot = take(original.vm, NULL);
    guest_free(&original);
    for (int before = 0; before < 2; before++) {
        struct guest copy = make(snapshot, 0);
        if (before != 0)
            reset(copy.vm);
        for (unsigned round = 0; round < 4; round++) {
            uint64_t entry, at = GUEST_TABLES + 2 * PAGE + 8;
            ASSERT_OK(vmkit_vm_read(copy.vm, at, &entry, sizeof entry, &error));
            ck_assert_uint_eq(entry & ~UINT64_C(0xfff), 0x200000);
            /* The entry is one that nobody has used yet, since a change would not be seen. */
            if (round == 0) {
                entry += 0x200000;
                ASSERT_OK(vmkit_vm_write(copy.vm, at, &entry, sizeof entry, &error));
            }
            guest_run(&copy, VMKIT_EXIT_MMIO);
            ck_assert_uint_eq(copy.exit.value, round == 0 ? 0xbb : 0xaa);
            reset(copy.vm);
        }
        guest_free(&copy);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(an_unfinished_access_is_forgotten)
{
    struct guest original;
    guest_new_real(&original, _i == 0 ? in_and_out : string_out,
                   _i == 0 ? sizeof in_and_out : sizeof string_out);
    vmkit_snapshot *snapshot = take(original.vm, NULL);
    struct guest copy = make(snapshot, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < round; i++)
            guest_run(&copy, VMKIT_EXIT_PIO);
        reset(copy.vm);
        assert_is_back(copy.vm, snapshot);
    }
    guest_run(&copy, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(copy.exit.address, 0x10);
    vmkit_snapshot_unref(snapshot);
    guest_free(&copy);
    guest_free(&original);
}
END_TEST

static uint64_t
get_cr8(vmkit_vcpu *vcpu)
{
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(vcpu, &sregs, &error));
    return sregs.cr8;
}

static void
set_cr8(vmkit_vcpu *vcpu, uint64_t value)
{
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(vcpu, &sregs, &error));
    sregs.cr8 = value;
    ASSERT_OK(vmkit_vcpu_set_x86_sregs(vcpu, &sregs, &error));
}

/* Without a local controller in the kernel, each run is told of it. */
START_TEST(the_priority_of_tasks_holds_in_the_next_run)
{
    struct guest original;
    guest_new_real(&original, loop_code, sizeof loop_code);
    guest_run(&original, VMKIT_EXIT_PIO);
    set_cr8(original.vcpu, 3);
    vmkit_snapshot *snapshot = take(original.vm, NULL);
    struct guest copy = make(snapshot, 0);
    guest_run(&copy, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(get_cr8(copy.vcpu), 3);
    set_cr8(copy.vcpu, 9);
    guest_run(&copy, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(get_cr8(copy.vcpu), 9);
    reset(copy.vm);
    guest_run(&copy, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(get_cr8(copy.vcpu), 3);
    vmkit_snapshot_unref(snapshot);
    guest_free(&copy);
    guest_free(&original);
}
END_TEST

static void *
reset_many(void *argument)
{
    struct guest copy = make(argument, 0);
    for (unsigned i = 0; i < 100 / harness_get_step(4); i++) {
        guest_run(&copy, VMKIT_EXIT_PIO);
        spoil_memory(copy.vm, GUEST_MEMORY, i % 5 + 1);
        reset(copy.vm);
    }
    assert_is_back(copy.vm, argument);
    guest_free(&copy);
    return NULL;
}

START_TEST(many_threads_reset_vms_of_one_snapshot)
{
    struct guest original;
    pthread_t threads[6];
    guest_new_real(&original, loop_code, sizeof loop_code);
    vmkit_snapshot *snapshot = take(original.vm, NULL);
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reset_many, snapshot), 0);
    for (size_t i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    vmkit_snapshot_unref(snapshot);
    guest_free(&original);
}
END_TEST

static int
reset_inside(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    unsigned *calls = user_data;
    (void)access;
    ASSERT_FAILS(vmkit_vm_reset(vmkit_vcpu_get_vm(vcpu), &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 0 is running on this thread");
    (*calls)++;
    return VMKIT_HANDLED_STOP;
}

#define ASSERT_NOT(vm, part) \
    ASSERT_FAILS(vmkit_vm_reset(vm, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE, part)

START_TEST(what_cannot_be_reset_is_refused_and_stays)
{
    struct guest original;
    vmkit_memory *memory = NULL;
    vmkit_vcpu *further = NULL;
    unsigned calls = 0;
    guest_new_real(&original, loop_code, sizeof loop_code);
    ASSERT_NOT(original.vm, "the VM was not made from a snapshot");
    vmkit_snapshot *snapshot = take(original.vm, NULL);
    struct guest copy = make(snapshot, 0);
    ASSERT_OK(vmkit_memory_new_anonymous(PAGE, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(copy.vm, UINT64_C(1) << 30, memory, 0, PAGE, 0, &error));
    ASSERT_NOT(copy.vm, "the memory region at 0x40000000 was added");
    ASSERT_OK(vmkit_vm_remove_memory(copy.vm, UINT64_C(1) << 30, &error));
    vmkit_memory_unref(memory);
    reset(copy.vm);

    ASSERT_OK(vmkit_vm_add_handler(copy.vm, VMKIT_SPACE_PIO, 0x10, 1, reset_inside, NULL, &calls,
                                   &error));
    guest_run(&copy, VMKIT_EXIT_STOPPED);
    ck_assert_uint_eq(calls, 1);
    /* The handler is the program's. */
    reset(copy.vm);
    guest_run(&copy, VMKIT_EXIT_STOPPED);
    ck_assert_uint_eq(calls, 2);

    ASSERT_OK(vmkit_vcpu_new(copy.vm, 3, &further, &error));
    ASSERT_NOT(copy.vm, "vCPU 3 was made since");
    vmkit_vcpu_unref(further);
    reset(copy.vm);
    vmkit_vcpu_unref(copy.vcpu);
    copy.vcpu = NULL;
    ASSERT_NOT(copy.vm, "vCPU 0 of the snapshot was released");
    guest_free(&copy);

    struct vmkit_x86_cpuid leaves[256];
    uint32_t count = 0;
    copy = make(snapshot, 0);
    ASSERT_OK(vmkit_vcpu_get_x86_cpuid(copy.vcpu, leaves, 256, &count, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_cpuid(copy.vcpu, leaves, count, &error));
    ASSERT_NOT(copy.vm, "the CPUID of vCPU 0 was set");
    guest_run(&copy, VMKIT_EXIT_PIO);
    guest_free(&copy);

    copy = make(snapshot, 0);
    ASSERT_OK(vmkit_vm_remove_memory(copy.vm, 0, &error));
    ASSERT_NOT(copy.vm, "the memory region at 0x0 was removed");
    guest_free(&copy);
    vmkit_snapshot_unref(snapshot);
    guest_free(&original);
}
END_TEST

START_TEST(a_vcpu_that_runs_holds_a_reset_up)
{
    struct compute original =
        compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, COMPUTE_ENDLESS);
    vmkit_snapshot *snapshot = compute_take(&original, NULL, 0);
    struct compute copy = compute_restore(snapshot, 0);
    pthread_t thread;
    static const uint64_t zeros[512];
    uint64_t table[512] = {0};
    ck_assert_int_eq(pthread_create(&thread, NULL, run_until_kicked, copy.vcpus[1]), 0);
    while (memcmp(table, zeros, sizeof table) == 0) {
        compute_sleep_ns(100000);
        ASSERT_OK(vmkit_vm_read(copy.vm, COMPUTE_DATA + COMPUTE_STEP + COMPUTE_TABLE, table,
                                sizeof table, &error));
    }
    ASSERT_FAILS(vmkit_vm_reset(copy.vm, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 1 is running on another thread: kick it first");
    vmkit_vcpu_kick(copy.vcpus[1]);
    pthread_join(thread, NULL);
    reset(copy.vm);
    assert_is_back(copy.vm, snapshot);
    vmkit_snapshot_unref(snapshot);
    compute_free(&copy);
    compute_free(&original);
}
END_TEST

/* What KVM keeps and lists nowhere, as far as this host has it. */
START_TEST(registers_that_kvm_does_not_list_are_reset)
{
    static const uint32_t indices[] = {0xc0000103, 0xc0010140, 0xc0010141, 0x4b564d10};
    struct guest original;
    unsigned changed = 0;
    guest_new_real(&original, loop_code, sizeof loop_code);
    vmkit_snapshot *snapshot = take(original.vm, NULL);
    struct guest copy = make(snapshot, 0);
    for (size_t i = 0; i < sizeof indices / sizeof indices[0]; i++) {
        struct vmkit_x86_msr before = {.index = indices[i]}, after = before;
        const struct vmkit_x86_msr spoilt = {.index = indices[i], .value = 0x5a};
        if (vmkit_vcpu_get_x86_msrs(copy.vcpu, &before, 1, NULL) < 0 ||
            vmkit_vcpu_set_x86_msrs(copy.vcpu, &spoilt, 1, NULL) < 0)
            continue;
        ASSERT_OK(vmkit_vm_reset(copy.vm, &error));
        ASSERT_OK(vmkit_vcpu_get_x86_msrs(copy.vcpu, &after, 1, &error));
        ck_assert_msg(after.value == before.value, "MSR 0x%x is 0x%llx", indices[i],
                      (unsigned long long)after.value);
        changed++;
    }
    ck_assert_uint_gt(changed, 0);
    guest_free(&copy);
    guest_free(&original);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_reset");
    TCase *tcase = tcase_create("vm_reset");

    tcase_set_timeout(tcase, 280);
    tcase_add_loop_test(tcase, nothing_of_what_ran_is_left, 0, 3 * WAY_COUNT * 2);
    tcase_add_test(tcase, registers_that_kvm_does_not_list_are_reset);
    tcase_add_test(tcase, a_computation_goes_on_after_a_thousand_resets);
    tcase_add_test(tcase, a_computation_with_a_local_controller_goes_on);
    tcase_add_test(tcase, a_computation_with_all_controllers_goes_on);
    tcase_add_test(tcase, several_vcpus_go_back_together);
    tcase_add_loop_test(tcase, what_the_program_wrote_is_taken_back, 0, 3);
    tcase_add_test(tcase, what_little_a_pointer_covers_is_taken_back);
    tcase_add_test(tcase, an_increment_after_a_reset_is_right);
    tcase_add_test(tcase, memory_in_two_places_is_taken_back);
    tcase_add_test(tcase, page_tables_are_what_they_were);
    tcase_add_loop_test(tcase, an_unfinished_access_is_forgotten, 0, 2);
    tcase_add_test(tcase, the_priority_of_tasks_holds_in_the_next_run);
    tcase_add_test(tcase, many_threads_reset_vms_of_one_snapshot);
    tcase_add_test(tcase, what_cannot_be_reset_is_refused_and_stays);
    tcase_add_test(tcase, a_vcpu_that_runs_holds_a_reset_up);
    suite_add_tcase(suite, tcase);
    return suite;
}
