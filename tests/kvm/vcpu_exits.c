/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a guest leave, and what the exit record says of it, through the public API. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

START_TEST(an_out_gives_port_length_and_value)
{
    /* mov $0x5a,%al; out %al,$0x10; mov $0x1234,%ax; out %ax,$0x11;
     * mov $0x89abcdef,%eax; out %eax,$0x12; hlt */
    static const uint8_t code[] = {0xb0, 0x5a, 0xe6, 0x10, 0xb8, 0x34, 0x12, 0xe7, 0x11, 0x66,
                                   0xb8, 0xef, 0xcd, 0xab, 0x89, 0x66, 0xe7, 0x12, 0xf4};
    static const struct {
        uint64_t port, value;
        uint32_t length;
    } expected[] = {{0x10, 0x5a, 1}, {0x11, 0x1234, 2}, {0x12, 0x89abcdef, 4}};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    for (int i = 0; i < 3; i++) {
        guest_run(&guest, VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guest.exit.address, expected[i].port);
        ck_assert_uint_eq(guest.exit.length, expected[i].length);
        ck_assert_uint_eq(guest.exit.value, expected[i].value);
        ck_assert_uint_eq(guest.exit.is_write, 1);
    }
    guest_halt(&guest);
    guest_free(&guest);
}
END_TEST

START_TEST(an_in_reads_the_value_that_was_set_and_all_ones_without)
{
    /* mov $0x99999999,%eax; in $0x20,%al; mov %ax,%bx; in $0x21,%ax; hlt */
    static const uint8_t code[] = {0x66, 0xb8, 0x99, 0x99, 0x99, 0x99, 0xe4,
                                   0x20, 0x89, 0xc3, 0xe5, 0x21, 0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x20);
    ck_assert_uint_eq(guest.exit.is_write, 0);
    ck_assert_uint_eq(guest.exit.value, UINT64_MAX);
    ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0xffffffffffffff42, &error));
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x21);
    ck_assert_uint_eq(guest.exit.length, 2);
    struct vmkit_x86_regs regs = guest_halt(&guest);
    ck_assert_uint_eq(regs.rbx & 0xffff, 0x9942);
    ck_assert_uint_eq(regs.rax & 0xffffffff, 0x9999ffff);
    ASSERT_FAILS(vmkit_vcpu_set_exit_value(guest.vcpu, 1, &error), ENXIO, VMKIT_ERROR_WRONG_STATE,
                 "does not wait");
    guest_free(&guest);
}
END_TEST

START_TEST(a_string_out_gives_one_exit_for_each_element)
{
    /* mov $0x2000,%si; mov $5,%cx; mov $0x30,%dx; cld; rep outsb; hlt */
    static const uint8_t code[] = {0xbe, 0x00, 0x20, 0xb9, 0x05, 0x00, 0xba,
                                   0x30, 0x00, 0xfc, 0xf3, 0x6e, 0xf4};
    char text[6] = {0};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x2000, "Hello", 5, &error));
    for (int i = 0; i < 5; i++) {
        guest_run(&guest, VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guest.exit.address, 0x30);
        ck_assert_uint_eq(guest.exit.length, 1);
        text[i] = (char)guest.exit.value;
    }
    ck_assert_str_eq(text, "Hello");
    struct vmkit_x86_regs regs = guest_halt(&guest);
    ck_assert_uint_eq(regs.rcx & 0xffff, 0);
    ck_assert_uint_eq(regs.rsi & 0xffff, 0x2005);
    guest_free(&guest);
}
END_TEST

START_TEST(a_string_in_takes_one_value_for_each_element)
{
    /* mov $0x2000,%di; mov $3,%cx; mov $0x31,%dx; cld; rep insw; hlt */
    static const uint8_t code[] = {0xbf, 0x00, 0x20, 0xb9, 0x03, 0x00, 0xba,
                                   0x31, 0x00, 0xfc, 0xf3, 0x6d, 0xf4};
    uint16_t words[3];
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    for (uint64_t i = 0; i < 3; i++) {
        guest_run(&guest, VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guest.exit.address, 0x31);
        ck_assert_uint_eq(guest.exit.length, 2);
        ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0x1110 + i, &error));
    }
    guest_halt(&guest);
    ASSERT_OK(vmkit_vm_read(guest.vm, 0x2000, words, sizeof words, &error));
    ck_assert_uint_eq(words[0], 0x1110);
    ck_assert_uint_eq(words[1], 0x1111);
    ck_assert_uint_eq(words[2], 0x1112);
    guest_free(&guest);
}
END_TEST

/* In long mode, to reach 8 bytes: RDI holds the device's address. */
static void
guest_new_long(struct guest *guest, const void *code, size_t size, uint64_t flags)
{
    guest_new(guest, VMKIT_INTERRUPT_CONTROLLER_NONE, code, size);
    ASSERT_OK(
        vmkit_vm_write_x86_identity_map(guest->vm, GUEST_TABLES, 1 << 30, flags, NULL, &error));
    ASSERT_OK(vmkit_vcpu_new(guest->vm, 0, &guest->vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_long_mode(guest->vcpu, GUEST_CODE, GUEST_STACK, GUEST_TABLES,
                                           flags, &error));
    struct vmkit_x86_regs regs = guest_get_regs(guest);
    regs.rax = 0x1122334455667788;
    regs.rdi = 0x200000;
    ASSERT_OK(vmkit_vcpu_set_x86_regs(guest->vcpu, &regs, &error));
}

START_TEST(mmio_writes_of_each_size_give_address_length_and_value)
{
    /* mov %al,(%rdi); mov %ax,2(%rdi); mov %eax,4(%rdi); mov %rax,8(%rdi); hlt */
    static const uint8_t code[] = {0x88, 0x07, 0x66, 0x89, 0x47, 0x02, 0x89,
                                   0x47, 0x04, 0x48, 0x89, 0x47, 0x08, 0xf4};
    static const uint64_t values[] = {0x88, 0x7788, 0x55667788, 0x1122334455667788};
    static const uint64_t offsets[] = {0, 2, 4, 8};
    struct guest guest;
    guest_new_long(&guest, code, sizeof code, 0);
    for (int i = 0; i < 4; i++) {
        guest_run(&guest, VMKIT_EXIT_MMIO);
        ck_assert_uint_eq(guest.exit.address, 0x200000 + offsets[i]);
        ck_assert_uint_eq(guest.exit.length, 1u << i);
        ck_assert_uint_eq(guest.exit.value, values[i]);
        ck_assert_uint_eq(guest.exit.is_write, 1);
    }
    guest_halt(&guest);
    guest_free(&guest);
}
END_TEST

START_TEST(mmio_reads_of_each_size_take_the_value_that_was_set)
{
    /* mov (%rdi),%bl; mov 2(%rdi),%cx; mov 4(%rdi),%edx; mov 8(%rdi),%rsi; hlt */
    static const uint8_t code[] = {0x8a, 0x1f, 0x66, 0x8b, 0x4f, 0x02, 0x8b,
                                   0x57, 0x04, 0x48, 0x8b, 0x77, 0x08, 0xf4};
    struct guest guest;
    guest_new_long(&guest, code, sizeof code, 0);
    for (int i = 0; i < 4; i++) {
        guest_run(&guest, VMKIT_EXIT_MMIO);
        ck_assert_uint_eq(guest.exit.length, 1u << i);
        ck_assert_uint_eq(guest.exit.is_write, 0);
        ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0xa1b2c3d4e5f60718, &error));
    }
    struct vmkit_x86_regs regs = guest_halt(&guest);
    ck_assert_uint_eq(regs.rbx, 0x18);
    ck_assert_uint_eq(regs.rcx, 0x0718);
    ck_assert_uint_eq(regs.rdx, 0xe5f60718);
    ck_assert_uint_eq(regs.rsi, 0xa1b2c3d4e5f60718);
    guest_free(&guest);
}
END_TEST

START_TEST(user_mode_runs_in_long_mode_and_reaches_mmio)
{
    /* 1: add %rax,%rbx; dec %ecx; jnz 1b; mov %rbx,(%rdi) */
    static const uint8_t code[] = {0x48, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xf9, 0x48, 0x89, 0x1f};
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    struct guest guest;
    guest_new_long(&guest, code, sizeof code, VMKIT_X86_USER_MODE);
    struct vmkit_x86_regs regs = guest_get_regs(&guest);
    regs.rax = 3;
    regs.rbx = 0;
    regs.rcx = 1000000;
    ASSERT_OK(vmkit_vcpu_set_x86_regs(guest.vcpu, &regs, &error));
    guest_run(&guest, VMKIT_EXIT_MMIO);
    ck_assert_uint_eq(guest.exit.address, 0x200000);
    ck_assert_uint_eq(guest.exit.value, 3000000);
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(guest.vcpu, &sregs, &error));
    ck_assert_uint_eq(sregs.cs.selector, 0x33);
    ck_assert_uint_eq(sregs.cs.dpl, 3);
    ck_assert_uint_eq(sregs.cs.l, 1);
    ck_assert_uint_eq(sregs.ss.selector, 0x2b);
    guest_free(&guest);
}
END_TEST

START_TEST(protected_mode_has_32_bits_and_all_of_memory)
{
    /* mov $0x12345678,%eax; mov %eax,0x80000; mov 0xfee00010,%ebx; hlt */
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xa3, 0x00, 0x00, 0x08,
                                   0x00, 0x8b, 0x1d, 0x10, 0x00, 0xe0, 0xfe, 0xf4};
    uint32_t word;
    struct guest guest;
    guest_new(&guest, VMKIT_INTERRUPT_CONTROLLER_NONE, code, sizeof code);
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 0, &guest.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_protected_mode(guest.vcpu, GUEST_CODE, GUEST_STACK, &error));
    guest_run(&guest, VMKIT_EXIT_MMIO);
    ck_assert_uint_eq(guest.exit.address, 0xfee00010);
    ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0xcafe, &error));
    ck_assert_uint_eq(guest_halt(&guest).rbx, 0xcafe);
    ASSERT_OK(vmkit_vm_read(guest.vm, 0x80000, &word, sizeof word, &error));
    ck_assert_uint_eq(word, 0x12345678);
    guest_free(&guest);
}
END_TEST

START_TEST(a_triple_fault_is_a_shutdown)
{
    /* An exception without a descriptor table, in protected mode: ud2 */
    static const uint8_t code[] = {0x0f, 0x0b};
    struct guest guest;
    guest_new(&guest, VMKIT_INTERRUPT_CONTROLLER_NONE, code, sizeof code);
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 0, &guest.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_protected_mode(guest.vcpu, GUEST_CODE, GUEST_STACK, &error));
    guest_run(&guest, VMKIT_EXIT_SHUTDOWN);
    guest_free(&guest);
}
END_TEST

START_TEST(a_halted_guest_goes_on_behind_the_halt)
{
    static const uint8_t code[] = {0xf4, 0x43, 0xf4}; /* hlt; inc %bx; hlt */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    ck_assert_uint_eq(guest_halt(&guest).rbx, 0);
    ck_assert_uint_eq(guest_halt(&guest).rbx, 1);
    guest_free(&guest);
}
END_TEST

START_TEST(a_write_to_read_only_memory_is_mmio_and_does_not_happen)
{
    /* mov $0x2000,%ax; mov %ax,%ds; mov $0x77,%al; mov %al,(0); mov (0),%bl; hlt */
    static const uint8_t code[] = {0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xb0, 0x77, 0xa2,
                                   0x00, 0x00, 0x8a, 0x1e, 0x00, 0x00, 0xf4};
    struct guest guest;
    vmkit_memory *rom = NULL;
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(0x20000, 0, &rom, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0, rom, 0, 0x10000, 0, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0x20000, rom, 0x10000, 0x1000, VMKIT_REGION_READ_ONLY,
                                  &error));
    vmkit_memory_unref(rom);
    ASSERT_OK(vmkit_vm_write(guest.vm, GUEST_CODE, code, sizeof code, &error));
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x20000, "\x33", 1, &error));
    guest_run(&guest, VMKIT_EXIT_MMIO);
    ck_assert_uint_eq(guest.exit.address, 0x20000);
    ck_assert_uint_eq(guest.exit.is_write, 1);
    ck_assert_uint_eq(guest.exit.value, 0x77);
    ck_assert_uint_eq(guest_halt(&guest).rbx & 0xff, 0x33);
    guest_free(&guest);
}
END_TEST

/* mov $0x2000,%ax; mov %ax,%ds; incb (0); mov (0),%al; hlt: counts at 0x20000 */
static const uint8_t count_at_20000[] = {0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xfe, 0x06,
                                         0x00, 0x00, 0xa0, 0x00, 0x00, 0xf4};

/* A guest with 64 KiB at 0, and `memory` at 0x20000. */
static void
guest_new_counting(struct guest *guest, vmkit_memory *memory)
{
    guest_new_real(guest, count_at_20000, sizeof count_at_20000);
    ASSERT_OK(vmkit_vm_remove_memory(guest->vm, 0, &error));
    vmkit_memory *low = NULL;
    ASSERT_OK(vmkit_memory_new_anonymous(0x10000, 0, &low, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest->vm, 0, low, 0, 0x10000, 0, &error));
    vmkit_memory_unref(low);
    ASSERT_OK(vmkit_vm_write(guest->vm, GUEST_CODE, count_at_20000, sizeof count_at_20000, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest->vm, 0x20000, memory, 0, 0x1000, 0, &error));
}

/* The same in user mode, which every host executes natively: incb (%rdi); mov (%rdi),%bl;
 * mov %bl,0x1000(%rdi). `memory` is at 0x200000, and the last write is MMIO. */
static const uint8_t count_in_user_mode[] = {0xfe, 0x07, 0x8a, 0x1f, 0x88,
                                             0x9f, 0x00, 0x10, 0x00, 0x00};

static void
guest_new_counting_user(struct guest *guest, vmkit_memory *memory)
{
    guest_new_long(guest, count_in_user_mode, sizeof count_in_user_mode, VMKIT_X86_USER_MODE);
    ASSERT_OK(vmkit_vm_add_memory(guest->vm, 0x200000, memory, 0, 0x1000, 0, &error));
    vmkit_memory_unref(memory);
}

static void
assert_fault_at_200000(const struct guest *guest)
{
    /* Kernels before 6.8 do not say where. */
    ck_assert_uint_eq(guest->exit.address, guest->exit.fault_known == 1 ? 0x200000 : 0);
    ck_assert_uint_eq(guest->exit.fault_size, guest->exit.fault_known == 1 ? 0x1000 : 0);
}

static void
count_release(void *user_data)
{
    ++*(int *)user_data;
}

START_TEST(the_callers_memory_is_the_guests_and_is_given_back)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    int released = 0;
    uint8_t *mine = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mine[0] = 41;
    ASSERT_OK(vmkit_memory_new_user(mine, 0x1000, count_release, &released, &memory, &error));
    guest_new_counting(&guest, memory);
    vmkit_memory_unref(memory);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 42);
    ck_assert_uint_eq(mine[0], 42);
    ck_assert_int_eq(released, 0);
    guest_free(&guest);
    ck_assert_int_eq(released, 1);
    ck_assert_int_eq(munmap(mine, 0x1000), 0);
}
END_TEST

START_TEST(memory_that_the_host_forbids_is_a_fault_that_can_be_mended)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    uint8_t *mine = mmap(NULL, 0x1000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t byte;
    ASSERT_OK(vmkit_memory_new_user(mine, 0x1000, NULL, NULL, &memory, &error));
    guest_new_counting_user(&guest, memory);
    ASSERT_FAILS(vmkit_vm_read(guest.vm, 0x200000, &byte, 1, &error), EFAULT, VMKIT_ERROR_IO,
                 "[0x200000, +0x1) is not accessible");
    guest_run(&guest, VMKIT_EXIT_MEMORY_FAULT);
    assert_fault_at_200000(&guest);
    guest_run(&guest, VMKIT_EXIT_MEMORY_FAULT);
    ck_assert_int_eq(mprotect(mine, 0x1000, PROT_READ | PROT_WRITE), 0);
    guest_run(&guest, VMKIT_EXIT_MMIO);
    ck_assert_uint_eq(guest.exit.value, 1);
    guest_free(&guest);
    munmap(mine, 0x1000);
}
END_TEST

START_TEST(a_memfd_is_shared_with_whoever_maps_it)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_memory_new_memfd("counter", 0x1000, 0, &memory, &error));
    uint8_t *other =
        mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, vmkit_memory_get_fd(memory), 0);
    ck_assert_ptr_ne(other, MAP_FAILED);
    ck_assert_int_eq(ftruncate(vmkit_memory_get_fd(memory), 0), -1);
    ck_assert_int_eq(errno, EPERM);
    other[0] = 9;
    guest_new_counting(&guest, memory);
    vmkit_memory_unref(memory);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 10);
    guest_free(&guest);
    ck_assert_uint_eq(other[0], 10);
    munmap(other, 0x1000);
}
END_TEST

START_TEST(a_file_that_gets_shorter_harms_the_guest_alone)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    uint8_t byte;
    int fd = memfd_create("file", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 0x1000), 0);
    ASSERT_OK(vmkit_memory_new_fd(fd, 0, 0x1000, 0, &memory, &error));
    guest_new_counting_user(&guest, memory);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ASSERT_FAILS(vmkit_vm_read(guest.vm, 0x200000, &byte, 1, &error), EFAULT, VMKIT_ERROR_IO,
                 "not accessible");
    ASSERT_FAILS(vmkit_vm_write(guest.vm, 0x200000, "x", 1, &error), EFAULT, VMKIT_ERROR_IO,
                 "not accessible");
    guest_run(&guest, VMKIT_EXIT_MEMORY_FAULT);
    assert_fault_at_200000(&guest);
    ck_assert_int_eq(ftruncate(fd, 0x1000), 0);
    guest_run(&guest, VMKIT_EXIT_MMIO);
    ck_assert_uint_eq(guest.exit.value, 1);
    guest_free(&guest);
    close(fd);
}
END_TEST

START_TEST(a_private_file_keeps_the_guests_changes_to_itself)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    uint8_t byte = 7;
    int fd = memfd_create("file", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 0x2000), 0);
    ck_assert_int_eq(pwrite(fd, &byte, 1, 0x1000), 1);
    ASSERT_OK(vmkit_memory_new_fd(fd, 0x1000, 0x1000, VMKIT_MEMORY_PRIVATE, &memory, &error));
    guest_new_counting(&guest, memory);
    vmkit_memory_unref(memory);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 8);
    ck_assert_int_eq(pread(fd, &byte, 1, 0x1000), 1);
    ck_assert_uint_eq(byte, 7);
    guest_free(&guest);
    close(fd);
}
END_TEST

START_TEST(transparent_huge_memory_begins_at_2_MiB_and_runs)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_memory_new_anonymous(4 << 20, VMKIT_MEMORY_TRANSPARENT_HUGE, &memory, &error));
    ck_assert_uint_eq((uintptr_t)vmkit_memory_get_pointer(memory) % (2 << 20), 0);
    guest_new_counting(&guest, memory);
    vmkit_memory_unref(memory);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 1);
    guest_free(&guest);
}
END_TEST

START_TEST(reserved_huge_pages_run_or_are_missed_with_a_sentence)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_memory_new_anonymous(2 << 20, VMKIT_MEMORY_HUGE_2M, &memory, &error);
    if (result == 0) {
        guest_new_counting(&guest, memory);
        vmkit_memory_unref(memory);
        ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 1);
        guest_free(&guest);
        return;
    }
    ck_assert_int_eq(vmkit_error_get_errno(error), result);
    ck_assert(result == -ENOMEM || result == -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "huge pages of 2 MiB"));
    vmkit_error_unref(error);
}
END_TEST

START_TEST(registers_that_are_set_count_after_a_pending_access)
{
    /* in $0x20,%al; hlt; then at 0x1100: hlt */
    static const uint8_t code[] = {0xe4, 0x20, 0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x1100, "\xf4", 1, &error));
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0x55, &error));
    struct vmkit_x86_regs regs = guest_get_regs(&guest);
    regs.rip = 0x1100;
    regs.rax = 0x1111;
    ASSERT_OK(vmkit_vcpu_set_x86_regs(guest.vcpu, &regs, &error));
    regs = guest_halt(&guest);
    ck_assert_uint_eq(regs.rip, 0x1101);
    ck_assert_uint_eq(regs.rax, 0x1111);
    guest_free(&guest);
}
END_TEST

START_TEST(a_completed_access_leaves_the_vcpu_behind_the_instruction)
{
    static const uint8_t code[] = {0xe4, 0x20, 0xf4}; /* in $0x20,%al; hlt */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_set_exit_value(guest.vcpu, 0x55, &error));
    ASSERT_OK(vmkit_vcpu_complete(guest.vcpu, &error));
    struct vmkit_x86_regs regs = guest_get_regs(&guest);
    ck_assert_uint_eq(regs.rip, GUEST_CODE + 2);
    ck_assert_uint_eq(regs.rax & 0xff, 0x55);
    ASSERT_OK(vmkit_vcpu_complete(guest.vcpu, &error));
    ck_assert_uint_eq(guest_halt(&guest).rip, GUEST_CODE + 3);
    guest_free(&guest);
}
END_TEST

START_TEST(an_instruction_in_the_middle_is_not_complete_and_takes_no_registers)
{
    /* mov $0x2000,%di; mov $2,%cx; mov $0x31,%dx; cld; rep insb; hlt */
    static const uint8_t code[] = {0xbf, 0x00, 0x20, 0xb9, 0x02, 0x00, 0xba,
                                   0x31, 0x00, 0xfc, 0xf3, 0x6c, 0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    struct vmkit_x86_regs regs = guest_get_regs(&guest);
    ck_assert_int_eq(vmkit_vcpu_complete(guest.vcpu, NULL), 1);
    ASSERT_FAILS(vmkit_vcpu_set_x86_regs(guest.vcpu, &regs, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "further access");
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_int_eq(vmkit_vcpu_complete(guest.vcpu, NULL), 0);
    guest_halt(&guest);
    guest_free(&guest);
}
END_TEST

START_TEST(an_exception_reaches_the_guests_own_handler)
{
    static const uint8_t code[] = {0x0f, 0x0b}; /* ud2 */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    uint16_t vector[2] = {0x1200, 0};
    ASSERT_OK(vmkit_vm_write(guest.vm, 6 * 4, vector, sizeof vector, &error));
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x1200, "\xf4", 1, &error));
    ck_assert_uint_eq(guest_halt(&guest).rip, 0x1201);
    guest_free(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vcpu_exits");
    TCase *tcase = tcase_create("vcpu_exits");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, an_out_gives_port_length_and_value);
    tcase_add_test(tcase, an_in_reads_the_value_that_was_set_and_all_ones_without);
    tcase_add_test(tcase, a_string_out_gives_one_exit_for_each_element);
    tcase_add_test(tcase, a_string_in_takes_one_value_for_each_element);
    tcase_add_test(tcase, mmio_writes_of_each_size_give_address_length_and_value);
    tcase_add_test(tcase, mmio_reads_of_each_size_take_the_value_that_was_set);
    tcase_add_test(tcase, user_mode_runs_in_long_mode_and_reaches_mmio);
    tcase_add_test(tcase, protected_mode_has_32_bits_and_all_of_memory);
    tcase_add_test(tcase, a_triple_fault_is_a_shutdown);
    tcase_add_test(tcase, a_halted_guest_goes_on_behind_the_halt);
    tcase_add_test(tcase, a_write_to_read_only_memory_is_mmio_and_does_not_happen);
    tcase_add_test(tcase, the_callers_memory_is_the_guests_and_is_given_back);
    tcase_add_test(tcase, memory_that_the_host_forbids_is_a_fault_that_can_be_mended);
    tcase_add_test(tcase, a_memfd_is_shared_with_whoever_maps_it);
    tcase_add_test(tcase, a_file_that_gets_shorter_harms_the_guest_alone);
    tcase_add_test(tcase, a_private_file_keeps_the_guests_changes_to_itself);
    tcase_add_test(tcase, transparent_huge_memory_begins_at_2_MiB_and_runs);
    tcase_add_test(tcase, reserved_huge_pages_run_or_are_missed_with_a_sentence);
    tcase_add_test(tcase, registers_that_are_set_count_after_a_pending_access);
    tcase_add_test(tcase, a_completed_access_leaves_the_vcpu_behind_the_instruction);
    tcase_add_test(tcase, an_instruction_in_the_middle_is_not_complete_and_takes_no_registers);
    tcase_add_test(tcase, an_exception_reaches_the_guests_own_handler);
    suite_add_tcase(suite, tcase);
    return suite;
}
