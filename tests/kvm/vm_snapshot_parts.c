/* SPDX-License-Identifier: Apache-2.0 */
/* What a snapshot of a raw VM has of each part of it, with guests in real mode. */
#include "guest.h"

#include "vm/vm_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define HANDLER UINT64_C(0x3000)

static vmkit_snapshot *
take(struct guest *guest, vmkit_snapshot *parent, uint64_t flags)
{
    vmkit_snapshot *snapshot = NULL;
    ASSERT_OK(vmkit_vm_snapshot(guest->vm, parent, flags, &snapshot, &error));
    return snapshot;
}

static struct guest
restore(vmkit_snapshot *snapshot, uint64_t flags)
{
    struct guest guest = {.exit.size = sizeof guest.exit};
    uint32_t count = 0;
    void *memory = NULL;
    ASSERT_OK(vmkit_vm_new_from_snapshot(snapshot, NULL, flags, &guest.vcpu, 1, &count, &guest.vm,
                                         &error));
    ck_assert_uint_eq(count, 1);
    ASSERT_OK(vmkit_vm_get_pointer(guest.vm, 0, GUEST_MEMORY, &memory, &error));
    guest.memory = memory;
    return guest;
}

/* The same snapshot, opened from a file. */
static vmkit_snapshot *
through_file(vmkit_snapshot *snapshot)
{
    vmkit_snapshot *opened = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
    vmkit_snapshot_unref(snapshot);
    close(fd);
    return opened;
}

/* The tests that copy are run in memory, and once more through a file. */
static struct guest
copy_of(struct guest *guest, int file)
{
    vmkit_snapshot *snapshot = take(guest, NULL, 0);
    if (file != 0)
        snapshot = through_file(snapshot);
    struct guest copy = restore(snapshot, 0);
    vmkit_snapshot_unref(snapshot);
    return copy;
}

static void
put_vector(struct guest *guest, uint32_t vector)
{
    /* mov $0x55,%bl; hlt */
    static const uint8_t handler[] = {0xb3, 0x55, 0xf4};
    const uint16_t entry[] = {HANDLER, 0};
    ASSERT_OK(vmkit_vm_write(guest->vm, HANDLER, handler, sizeof handler, &error));
    ASSERT_OK(vmkit_vm_write(guest->vm, 4 * (uint64_t)vector, entry, sizeof entry, &error));
}

START_TEST(the_read_that_a_run_ended_with_is_finished_first)
{
    static const uint8_t code[] = {0xe4, 0x10, 0xf4}; /* in $0x10,%al; hlt */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0x42, &error));
    struct guest copy = copy_of(&guest, _i);
    ck_assert_uint_eq(guest_halt(&copy).rax & 0xff, 0x42);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 0x42);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(an_mmio_write_that_a_run_ended_with_is_finished_first)
{
    /* mov $0xffff,%ax; mov %ax,%es; mov %al,%es:0x10 (guest address 0x100000); inc %bx; hlt */
    static const uint8_t code[] = {0xb8, 0xff, 0xff, 0x8e, 0xc0, 0x26,
                                   0xa2, 0x10, 0x00, 0x43, 0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_MMIO);
    struct guest copy = copy_of(&guest, _i);
    struct vmkit_x86_regs regs = guest_get_regs(&copy);
    ck_assert_uint_eq(regs.rip, GUEST_CODE + 9);
    ck_assert_uint_eq(guest_halt(&copy).rbx, 1);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(an_instruction_with_further_accesses_holds_a_snapshot_up)
{
    /* mov $0x2000,%di; mov $2,%cx; mov $0x31,%dx; cld; rep insb; hlt */
    static const uint8_t code[] = {0xbf, 0x00, 0x20, 0xb9, 0x02, 0x00, 0xba,
                                   0x31, 0x00, 0xfc, 0xf3, 0x6c, 0xf4};
    struct guest guest;
    vmkit_snapshot *snapshot = NULL;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_FAILS(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 0 is in the middle of an instruction that makes a further access");
    guest_run(&guest, VMKIT_EXIT_PIO);
    struct guest copy = copy_of(&guest, _i);
    guest_halt(&copy);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(an_interrupt_that_waits_for_the_guest_goes_along)
{
    static const uint8_t code[] = {0x90, 0xe6, 0x10, 0xfb, 0x90, 0xf4}; /* out; sti; nop; hlt */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    put_vector(&guest, 0x40);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_interrupt(guest.vcpu, 0x40, &error));
    struct guest copy = copy_of(&guest, _i);
    ck_assert_uint_eq(guest_halt(&copy).rbx & 0xff, 0x55);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(an_nmi_that_waits_goes_along)
{
    static const uint8_t code[] = {0xe6, 0x10, 0x90, 0xf4}; /* out; nop; hlt */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    put_vector(&guest, 2);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_nmi(guest.vcpu, &error));
    struct guest copy = copy_of(&guest, _i);
    ck_assert_uint_eq(guest_halt(&copy).rbx & 0xff, 0x55);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(routes_and_controllers_go_along)
{
    static const uint8_t code[] = {0xf4};
    const struct vmkit_route routes[] = {
        {.gsi = 5, .kind = VMKIT_ROUTE_MSI, .msi_address = 0xfee00000, .msi_data = 0x4041}};
    struct guest guest;
    guest_new(&guest, VMKIT_INTERRUPT_CONTROLLER_SPLIT, code, sizeof code);
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 0, &guest.vcpu, &error));
    ASSERT_OK(vmkit_vm_set_routes(guest.vm, routes, 1, &error));
    struct guest copy = copy_of(&guest, _i);
    vmkit_snapshot *snapshot = take(&copy, NULL, 0);
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(snapshot);
    ck_assert_int_eq(state->irqchip, VMK_VM_IRQCHIP_SPLIT);
    ck_assert_uint_eq(state->route_count, 1);
    ck_assert_uint_eq(state->routes[0].gsi, 5);
    ck_assert_uint_eq(state->routes[0].msi_data, 0x4041);
    vmkit_snapshot_unref(snapshot);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(the_vm_and_its_copies_have_memory_of_their_own)
{
    static const uint8_t code[] = {0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    memset(guest.memory + 0x20000, 1, 0x10000);
    vmkit_snapshot *snapshot = take(&guest, NULL, 0);
    memset(guest.memory + 0x20000, 2, 0x10000);
    struct guest one = restore(snapshot, 0), other = restore(snapshot, 0);
    vmkit_snapshot_unref(snapshot);
    ck_assert_uint_eq(one.memory[0x20000], 1);
    one.memory[0x20000] = 3;
    ck_assert_uint_eq(other.memory[0x20000], 1);
    ck_assert_uint_eq(guest.memory[0x20000], 2);
    ck_assert_uint_eq(other.memory[0x80000], 0);
    guest_free(&one);
    guest_free(&other);
    guest_free(&guest);
}
END_TEST

START_TEST(regions_of_the_same_memory_stay_one_memory)
{
    static const uint8_t code[] = {0xf4};
    struct guest guest;
    vmkit_memory *memory = NULL;
    uint8_t byte = 7;
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_memory_new_anonymous(4 * PAGE, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 4 * PAGE, 0, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x180000, memory, PAGE, PAGE, 0, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x300000, memory, 0, 4 * PAGE, VMKIT_REGION_READ_ONLY,
                                  &error));
    struct guest copy = copy_of(&guest, _i);
    ASSERT_OK(vmkit_vm_write(copy.vm, 0x180010, &byte, 1, &error));
    byte = 0;
    ASSERT_OK(vmkit_vm_read(copy.vm, 0x201010, &byte, 1, &error));
    ck_assert_uint_eq(byte, 7);
    byte = 0;
    ASSERT_OK(vmkit_vm_read(copy.vm, 0x301010, &byte, 1, &error));
    ck_assert_uint_eq(byte, 7);
    /* Read-only for the guest, as it was. */
    vmkit_snapshot *snapshot = take(&copy, NULL, 0);
    const struct vmk_vm_state *state = vmk_vm_snapshot_get_state(snapshot);
    ck_assert_uint_eq(state->region_count, 4);
    ck_assert(state->regions[3].read_only);
    ck_assert(!state->regions[2].read_only);
    ck_assert_uint_eq(state->regions[1].image, 0x201000);
    vmkit_snapshot_unref(snapshot);
    guest_free(&copy);

    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x400000, memory, 2 * PAGE, 2 * PAGE, 0, &error));
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0x300000, &error));
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0x200000, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 3 * PAGE, 0, &error));
    ASSERT_FAILS(
        vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error), ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
        "the memory regions at 0x200000 and 0x400000 have a part of their memory in common");
    vmkit_memory_unref(memory);
    guest_free(&guest);
}
END_TEST

START_TEST(memory_that_cannot_be_read_is_an_error)
{
    static const uint8_t code[] = {0xf4};
    struct guest guest;
    vmkit_memory *memory = NULL;
    vmkit_snapshot *snapshot = NULL;
    FILE *file = tmpfile();
    guest_new_real(&guest, code, sizeof code);
    ck_assert_int_eq(ftruncate(fileno(file), 2 * (off_t)PAGE), 0);
    ASSERT_OK(vmkit_memory_new_fd(fileno(file), 0, 2 * PAGE, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 2 * PAGE, 0, &error));
    ck_assert_int_eq(ftruncate(fileno(file), 0), 0);
    ASSERT_FAILS(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error), EFAULT, VMKIT_ERROR_IO,
                 "the memory behind guest addresses [0x200000, +0x2000) is not accessible");
    /* And the VM goes on. */
    guest_halt(&guest);
    vmkit_memory_unref(memory);
    fclose(file);
    guest_free(&guest);
}
END_TEST

/* Pages of the guest's memory that lie elsewhere than in the parent. */
static uint64_t
count_changed(vmkit_snapshot *snapshot, vmkit_snapshot *parent)
{
    const struct vmk_image *image = vmk_vm_snapshot_get_image(snapshot);
    const struct vmk_image *other = vmk_vm_snapshot_get_image(parent);
    struct vmk_image_run run;
    uint64_t count = 0, at = 0;
    while (vmk_image_find_changed(image, other, at, VMK_IMAGE_LIMIT, &run)) {
        count += run.size / PAGE;
        at = run.address + run.size;
    }
    return count;
}

/* Writes to a page each 4 KiB: mov %ax,(%si); add $0x1000,%si; out; jmp. */
static const uint8_t writer[] = {0x40,                   /* inc %ax */
                                 0x89, 0x04,             /* mov %ax,(%si) */
                                 0x81, 0xc6, 0x00, 0x10, /* add $0x1000,%si */
                                 0xe6, 0x10,             /* out %al,$0x10 */
                                 0xeb, 0xf5};

static void
writer_new(struct guest *guest)
{
    struct vmkit_x86_regs regs;
    guest_new_real(guest, writer, sizeof writer);
    regs = guest_get_regs(guest);
    regs.rsi = 0x9000;
    ASSERT_OK(vmkit_vcpu_set_x86_regs(guest->vcpu, &regs, &error));
}

static void
write_pages(struct guest *guest, int count)
{
    for (int i = 0; i < count; i++)
        guest_run(guest, VMKIT_EXIT_PIO);
}

static void
assert_same_memory(struct guest *guest, vmkit_snapshot *snapshot)
{
    struct guest copy = restore(snapshot, 0);
    ck_assert_mem_eq(copy.memory, guest->memory, GUEST_MEMORY);
    guest_free(&copy);
}

static void
assert_increments(uint64_t flags)
{
    struct guest guest;
    writer_new(&guest);
    memset(guest.memory + 0x40000, 5, 0x40000);
    vmkit_snapshot *full = take(&guest, NULL, flags);
    /* The guest did not run. */
    vmkit_snapshot *none = take(&guest, full, flags);
    ck_assert_uint_eq(count_changed(none, full), 0);

    write_pages(&guest, 3);
    vmkit_snapshot *three = take(&guest, none, flags);
    ck_assert_uint_eq(count_changed(three, none), 3);
    assert_same_memory(&guest, three);

    /* What the host writes counts too, and a page that is written and the same does not. */
    const uint8_t nine = 9, five = 5;
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x50000, &nine, 1, &error));
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x60000, &five, 1, &error));
    guest.memory[0x70000] = 9;
    ASSERT_OK(vmkit_vm_note_write(guest.vm, 0x70000, 1, &error));
    write_pages(&guest, 1);
    vmkit_snapshot *more = take(&guest, three, flags);
    ck_assert_uint_eq(count_changed(more, three), 3);
    ck_assert_uint_eq(count_changed(more, full), 6);
    assert_same_memory(&guest, more);
    vmkit_snapshot_unref(full);
    vmkit_snapshot_unref(none);
    vmkit_snapshot_unref(three);
    /* The pages that are shared stay as long as one snapshot needs them. */
    assert_same_memory(&guest, more);
    vmkit_snapshot_unref(more);
    guest_free(&guest);
}

START_TEST(an_increment_has_only_what_was_written)
{
    assert_increments(VMKIT_VM_SNAPSHOT_TRACK);
}
END_TEST

START_TEST(without_tracking_memory_is_compared)
{
    assert_increments(0);
}
END_TEST

START_TEST(what_is_noted_is_all_that_is_read)
{
    struct guest guest;
    writer_new(&guest);
    vmkit_snapshot *full = take(&guest, NULL, VMKIT_VM_SNAPSHOT_TRACK);
    /* A write that nobody tells of is not seen: memory is not compared. */
    guest.memory[0x70000] = 9;
    vmkit_snapshot *next = take(&guest, full, 0);
    ck_assert_uint_eq(count_changed(next, full), 0);
    vmkit_snapshot_unref(next);
    /* A snapshot without the flag changes nothing of what is noted. */
    write_pages(&guest, 2);
    next = take(&guest, full, 0);
    ck_assert_uint_eq(count_changed(next, full), 2);
    vmkit_snapshot_unref(next);
    write_pages(&guest, 1);
    next = take(&guest, full, 0);
    ck_assert_uint_eq(count_changed(next, full), 3);
    vmkit_snapshot_unref(next);
    /* Of another parent nothing is known, and all is compared. */
    vmkit_snapshot *other = take(&guest, NULL, 0);
    next = take(&guest, other, 0);
    ck_assert_uint_eq(count_changed(next, other), 0);
    vmkit_snapshot_unref(next);
    vmkit_snapshot_unref(other);
    vmkit_snapshot_unref(full);
    guest_free(&guest);
}
END_TEST

START_TEST(a_copy_notes_what_is_written_to_it)
{
    struct guest guest;
    writer_new(&guest);
    vmkit_snapshot *full = take(&guest, NULL, 0);
    struct guest copy = restore(full, VMKIT_VM_SNAPSHOT_TRACK);
    write_pages(&copy, 4);
    vmkit_snapshot *next = take(&copy, full, VMKIT_VM_SNAPSHOT_TRACK);
    ck_assert_uint_eq(count_changed(next, full), 4);
    assert_same_memory(&copy, next);
    vmkit_snapshot_unref(next);
    vmkit_snapshot_unref(full);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(regions_that_come_and_go_are_as_they_are)
{
    static const uint8_t zeros[8];
    struct guest guest;
    vmkit_memory *memory = NULL;
    const uint8_t byte = 9;
    uint8_t bytes[8];
    writer_new(&guest);
    ASSERT_OK(vmkit_memory_new_anonymous(4 * PAGE, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x200000, memory, 0, 4 * PAGE, 0, &error));
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x200000, &byte, 1, &error));
    vmkit_snapshot *full = take(&guest, NULL, VMKIT_VM_SNAPSHOT_TRACK);
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0x200000, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x300000, memory, 0, 4 * PAGE, 0, &error));
    vmkit_snapshot *next = take(&guest, full, VMKIT_VM_SNAPSHOT_TRACK);
    struct guest copy = restore(next, 0);
    ASSERT_OK(vmkit_vm_read(copy.vm, 0x300000, bytes, 1, &error));
    ck_assert_uint_eq(bytes[0], 9);
    ASSERT_FAILS(vmkit_vm_read(copy.vm, 0x200000, bytes, 1, &error), EFAULT,
                 VMKIT_ERROR_OUT_OF_RANGE, "no memory at guest address 0x200000");
    /* A region where there was one, of other memory. */
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_memory_new_anonymous(4 * PAGE, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0x300000, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x300000, memory, 0, 4 * PAGE, 0, &error));
    vmkit_snapshot *last = take(&guest, next, VMKIT_VM_SNAPSHOT_TRACK);
    struct guest other = restore(last, 0);
    ASSERT_OK(vmkit_vm_read(other.vm, 0x300000, bytes, sizeof bytes, &error));
    ck_assert_mem_eq(bytes, zeros, sizeof bytes);
    guest_free(&other);
    guest_free(&copy);
    vmkit_snapshot_unref(full);
    vmkit_snapshot_unref(next);
    vmkit_snapshot_unref(last);
    vmkit_memory_unref(memory);
    guest_free(&guest);
}
END_TEST

START_TEST(the_clocks_of_a_copy_go_on)
{
    static const uint8_t code[] = {0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    struct vmkit_x86_msr before = {.index = 0x10}, after = {.index = 0x10};
    ASSERT_OK(vmkit_vcpu_get_x86_msrs(guest.vcpu, &before, 1, &error));
    struct guest copy = copy_of(&guest, _i);
    ASSERT_OK(vmkit_vcpu_get_x86_msrs(copy.vcpu, &after, 1, &error));
    ck_assert_uint_ge(after.value, before.value);
    guest_free(&copy);
    guest_free(&guest);
}
END_TEST

START_TEST(arguments_are_checked)
{
    static const uint8_t code[] = {0xf4};
    struct guest guest;
    vmkit_snapshot *snapshot = NULL;
    vmkit_vm *vm = NULL;
    vmkit_vcpu *vcpu = NULL;
    uint32_t count = 0;
    guest_new_real(&guest, code, sizeof code);
    ASSERT_INVALID(vmkit_vm_snapshot(NULL, NULL, 0, &snapshot, &error), "vm");
    ASSERT_INVALID(vmkit_vm_snapshot(guest.vm, NULL, 2, &snapshot, &error), "0x2");
    ASSERT_INVALID(vmkit_vm_snapshot(guest.vm, NULL, 0, NULL, &error), "ret_snapshot");
    snapshot = take(&guest, NULL, 0);
    ASSERT_INVALID(vmkit_vm_new_from_snapshot(NULL, NULL, 0, &vcpu, 1, NULL, &vm, &error),
                   "snapshot");
    ASSERT_INVALID(vmkit_vm_new_from_snapshot(snapshot, NULL, 4, &vcpu, 1, NULL, &vm, &error),
                   "0x4");
    ASSERT_INVALID(vmkit_vm_new_from_snapshot(snapshot, NULL, 0, NULL, 1, NULL, &vm, &error),
                   "ret_vcpus");
    ASSERT_FAILS(vmkit_vm_new_from_snapshot(snapshot, NULL, 0, NULL, 0, &count, &vm, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "the snapshot has 1 vCPUs, and there is room for 0");
    ck_assert_uint_eq(count, 1);
    ASSERT_INVALID(vmkit_vm_note_write(NULL, 0, 1, &error), "vm");
    ASSERT_FAILS(vmkit_vm_note_write(guest.vm, UINT64_MAX, 2, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "go round the end");
    vmkit_snapshot_unref(vmkit_snapshot_ref(snapshot));
    vmkit_snapshot_unref(snapshot);
    vmkit_snapshot_unref(NULL);
    ck_assert_ptr_null(vmkit_snapshot_ref(NULL));
    guest_free(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot_parts");
    TCase *tcase = tcase_create("parts");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_read_that_a_run_ended_with_is_finished_first, 0, 2);
    tcase_add_loop_test(tcase, an_mmio_write_that_a_run_ended_with_is_finished_first, 0, 2);
    tcase_add_loop_test(tcase, an_instruction_with_further_accesses_holds_a_snapshot_up, 0, 2);
    tcase_add_loop_test(tcase, an_interrupt_that_waits_for_the_guest_goes_along, 0, 2);
    tcase_add_loop_test(tcase, an_nmi_that_waits_goes_along, 0, 2);
    tcase_add_loop_test(tcase, routes_and_controllers_go_along, 0, 2);
    tcase_add_test(tcase, the_vm_and_its_copies_have_memory_of_their_own);
    tcase_add_loop_test(tcase, regions_of_the_same_memory_stay_one_memory, 0, 2);
    tcase_add_test(tcase, memory_that_cannot_be_read_is_an_error);
    tcase_add_test(tcase, an_increment_has_only_what_was_written);
    tcase_add_test(tcase, without_tracking_memory_is_compared);
    tcase_add_test(tcase, what_is_noted_is_all_that_is_read);
    tcase_add_test(tcase, a_copy_notes_what_is_written_to_it);
    tcase_add_test(tcase, regions_that_come_and_go_are_as_they_are);
    tcase_add_loop_test(tcase, the_clocks_of_a_copy_go_on, 0, 2);
    tcase_add_test(tcase, arguments_are_checked);
    suite_add_tcase(suite, tcase);
    return suite;
}
