/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of a few instructions, loaded as real ones are and entered on a real vCPU: the registers,
 * tables and parameters that they find are those that their protocol promises.
 */
#include "../api/assert.h"
#include "../unit/boot/kernels.h"
#include "layout.h"
#include "machine_cpuid.h"

#include <vmkit/x86_64.h>

#define MEMORY (16 * MIB)
#define PORT 0x80

struct machine {
    vmkit_vm *vm;
    vmkit_vcpu *vcpu;
};

static void *
map(void *user_data, uint64_t gpa, uint64_t size)
{
    const struct machine *machine = user_data;
    void *pointer = NULL;
    vmkit_vm_get_pointer(machine->vm, gpa, size, &pointer, NULL);
    return pointer;
}

static void
machine_new(struct machine *machine)
{
    vmkit_memory *memory;
    memset(machine, 0, sizeof *machine);
    ASSERT_OK(vmkit_vm_new(NULL, &machine->vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(machine->vm, 0, memory, 0, MEMORY, 0, &error));
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_vcpu_new(machine->vm, 0, &machine->vcpu, &error));
}

static void
machine_free(struct machine *machine)
{
    vmkit_vcpu_unref(machine->vcpu);
    vmkit_vm_unref(machine->vm);
}

static void
start(struct machine *machine, const void *bytes, size_t size, enum vmk_boot_format format)
{
    struct vmk_boot_file file;
    vmk_boot_file_open_memory(bytes, size, "sample", &file);
    const struct vmk_boot_options options = {
        .format = format, .kernel = &file, .raw_address = MIB, .command_line = "cmd"};
    const struct vmk_boot_memory memory = {.map = map, .user_data = machine, .low_size = MEMORY};
    struct vmk_x86_boot_entry entry;
    ASSERT_OK(vmk_boot_load(&options, &memory, &entry, &error));

    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    struct vmk_user_regs user;
    ASSERT_OK(vmkit_vcpu_get_x86_sregs(machine->vcpu, &sregs, &error));
    vmk_x86_boot_set_registers(&entry, &sregs, &user);
    memcpy(&regs.rax, &user, sizeof user);
    ASSERT_OK(vmkit_vcpu_set_x86_sregs(machine->vcpu, &sregs, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_regs(machine->vcpu, &regs, &error));
}

/* The guest's next word. */
static void
check_word(struct machine *machine, uint64_t expected)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(machine->vcpu, &exit, &error));
    ck_assert_msg(exit.reason == VMKIT_EXIT_PIO, "reason %u, code %u", exit.reason, exit.code);
    ck_assert_uint_eq(exit.address, PORT);
    ck_assert_uint_eq(exit.value, expected);
}

static void
check_halt(struct machine *machine)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(machine->vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_HALT);
}

extern const uint8_t boot_64[], boot_64_end[], boot_pvh[], boot_pvh_end[];

/* What boot_params say, the selectors, a segment loaded from the table, the stack, and the end of
 * memory; by PVH what the start info says. */
__asm__(".pushsection .rodata\n"
        "boot_64:\n"
        "    movl 0x202(%rsi), %eax\n"
        "    outl %eax, $0x80\n"
        "    movl 0x228(%rsi), %edx\n"
        "    movl (%rdx), %eax\n"
        "    outl %eax, $0x80\n"
        "    movl %cs, %eax\n"
        "    outl %eax, $0x80\n"
        "    movl %ss, %eax\n"
        "    outl %eax, $0x80\n"
        "    movl $0x18, %eax\n"
        "    movl %eax, %ds\n"
        "    pushq $0x1234\n"
        "    popq %rax\n"
        "    outl %eax, $0x80\n"
        "    movl 0xfffff8, %eax\n"
        "    outl %eax, $0x80\n"
        "    hlt\n"
        "boot_64_end:\n"
        ".code32\n"
        "boot_pvh:\n"
        "    movl (%ebx), %eax\n"
        "    outl %eax, $0x80\n"
        "    movl 24(%ebx), %edx\n"
        "    movl (%edx), %eax\n"
        "    outl %eax, $0x80\n"
        "    movl 40(%ebx), %edx\n"
        "    movl 8(%edx), %eax\n"
        "    outl %eax, $0x80\n"
        "    hlt\n"
        "boot_pvh_end:\n"
        ".code64\n"
        ".popsection\n");

static void
check_64(struct machine *machine)
{
    static const uint32_t mark = 0xcafe;
    ASSERT_OK(vmkit_vm_write(machine->vm, 0xfffff8, &mark, sizeof mark, &error));
    check_word(machine, 0x53726448);
    check_word(machine, 0x646d63); /* "cmd" */
    check_word(machine, 0x10);
    check_word(machine, 0x18);
    check_word(machine, 0x1234);
    check_word(machine, mark);
    check_halt(machine);
}

START_TEST(a_bzimage_finds_what_the_64_bit_protocol_promises)
{
    struct machine machine;
    struct bzimage image = bzimage_make();
    memcpy(image.bytes + BZIMAGE_SETUP + 0x200, boot_64, (size_t)(boot_64_end - boot_64));
    machine_new(&machine);
    start(&machine, &image, sizeof image, VMK_BOOT_ANY);
    check_64(&machine);
    machine_free(&machine);
}
END_TEST

START_TEST(a_vmlinux_finds_the_same_at_its_64_bit_entry)
{
    struct machine machine;
    struct vmlinux file = vmlinux_make();
    memcpy(file.code_bytes + 0x40, boot_64, (size_t)(boot_64_end - boot_64));
    machine_new(&machine);
    start(&machine, &file, sizeof file, VMK_BOOT_ELF_64);
    check_64(&machine);
    machine_free(&machine);
}
END_TEST

START_TEST(a_raw_binary_finds_the_same)
{
    struct machine machine;
    machine_new(&machine);
    start(&machine, boot_64, (size_t)(boot_64_end - boot_64), VMK_BOOT_RAW);
    check_64(&machine);
    machine_free(&machine);
}
END_TEST

START_TEST(a_vmlinux_finds_what_pvh_promises)
{
    struct machine machine;
    struct vmlinux file = vmlinux_make();
    memcpy(file.code_bytes + 0x80, boot_pvh, (size_t)(boot_pvh_end - boot_pvh));
    machine_new(&machine);
    start(&machine, &file, sizeof file, VMK_BOOT_ANY);
    check_word(&machine, 0x336ec578);
    check_word(&machine, 0x646d63);
    check_word(&machine, 0x9fc00);
    check_halt(&machine);
    machine_free(&machine);
}
END_TEST

/* KVM refuses leaves that do not fit together, or that it does not have. */
START_TEST(kvm_takes_the_leaves_of_every_vcpu)
{
    static struct vmkit_x86_cpuid supported[256], leaves[256];
    struct machine machine;
    uint32_t supported_count, count;
    machine_new(&machine);
    ASSERT_OK(vmkit_vcpu_get_x86_cpuid(machine.vcpu, supported, 256, &supported_count, &error));
    for (uint32_t vcpu = 0; vcpu < 4; vcpu++) {
        struct vmk_x86_cpuid_options options = {
            .supported = supported,
            .supported_count = supported_count,
            .vcpu = vcpu,
            .vcpu_count = 4,
        };
        ASSERT_OK(vmk_x86_machine_cpuid(&options, leaves, 256, &count, &error));
        ASSERT_OK(vmkit_vcpu_set_x86_cpuid(machine.vcpu, leaves, count, &error));
    }
    machine_free(&machine);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("boot_entry");
    TCase *tests = tcase_create("entry");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_bzimage_finds_what_the_64_bit_protocol_promises);
    tcase_add_test(tests, a_vmlinux_finds_the_same_at_its_64_bit_entry);
    tcase_add_test(tests, a_raw_binary_finds_the_same);
    tcase_add_test(tests, a_vmlinux_finds_what_pvh_promises);
    tcase_add_test(tests, kvm_takes_the_leaves_of_every_vcpu);
    suite_add_tcase(suite, tests);
    return suite;
}
