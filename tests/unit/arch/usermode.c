/* SPDX-License-Identifier: Apache-2.0 */
/* The ways into and out of user mode, against a KVM that the test plays. */
#include "harness.h"

#include "arch/usermode.h"
#include "kvm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 64
#define RUN_SIZE 12288
#define MSR_LSTAR 0xc0000082
#define SUPERVISOR_HALF UINT64_C(0xffff800000000000)
#define USER_CODE 0x33
#define KERNEL_CODE 0x10
#define RETURN_ADDRESS 0x401000
#define CODE UINT64_C(0x401000)
#define PORT_SYSCALL 0xe0
#define PORT_EXCEPTION 0xc0
#define GENERAL_PROTECTION 13
#define GATE_3 26 /* The error code that names the gate of a breakpoint. */

/* What the vCPU shall have done when it leaves, and what it was told. */
static struct {
    _Alignas(4096) uint8_t run[RUN_SIZE];
    uint64_t lstar;
    uint16_t code_selector;
    struct kvm_vcpu_events events;
} fake;

static struct {
    uint8_t *memory;
    uint64_t next;
    struct vmk_paging paging;
    struct vmk_kvm_system *system;
    struct vmk_kvm_vm *vm;
    struct vmk_kvm_vcpu *vcpu;
    struct vmk_usermode *usermode;
} guest;

static int
fake_open(void *context, const char *path)
{
    return 1000;
}

/* The OUT of a stub to its port, and where the vCPU stands behind it. */
static struct kvm_run *
leave_by(uint16_t port, uint64_t rip)
{
    struct kvm_run *run = (struct kvm_run *)(void *)fake.run;
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 1;
    run->io.count = 1;
    run->io.port = port;
    run->io.data_offset = 8192;
    run->s.regs.regs.rip = rip;
    return run;
}

/* SYSCALL, or a jump to where it leads, and the OUT there. */
static void
leave_at_stub(void)
{
    struct kvm_run *run = leave_by(PORT_SYSCALL, fake.lstar + 2);
    run->s.regs.regs.rcx = RETURN_ADDRESS;
    run->s.regs.regs.r11 = 0x202;
    run->s.regs.regs.rsp = 0x7fff0000;
}

static void
note_msrs(const struct kvm_msrs *msrs)
{
    for (uint32_t i = 0; i < msrs->nmsrs; i++) {
        if (msrs->entries[i].index == MSR_LSTAR)
            fake.lstar = msrs->entries[i].data;
    }
}

static int
fake_ioctl(void *context, int fd, unsigned long request, uintptr_t argument)
{
    switch (request) {
    case KVM_GET_API_VERSION:
        return 12;
    case KVM_GET_VCPU_MMAP_SIZE:
        return RUN_SIZE;
    case KVM_CHECK_EXTENSION:
        return argument == KVM_CAP_SYNC_REGS ? 7 : 1;
    case KVM_GET_SUPPORTED_CPUID:
        ((struct kvm_cpuid2 *)argument)->nent = 1;
        return 0;
    case KVM_CREATE_VM:
        return 1001;
    case KVM_CREATE_VCPU:
        return 1002;
    case KVM_GET_SREGS:
        memset((void *)argument, 0, sizeof(struct kvm_sregs));
        ((struct kvm_sregs *)argument)->cs.selector = fake.code_selector;
        return 0;
    case KVM_GET_VCPU_EVENTS:
        memcpy((void *)argument, &fake.events, sizeof fake.events);
        return 0;
    case KVM_SET_MSRS:
        note_msrs((const struct kvm_msrs *)argument);
        return (int)((const struct kvm_msrs *)argument)->nmsrs;
    case KVM_RUN:
        leave_at_stub();
        return 0;
    default:
        return 0;
    }
}

static int
fake_map(void *context, int fd, size_t size, void **ret_address)
{
    ck_assert_uint_eq(size, RUN_SIZE);
    *ret_address = fake.run;
    return 0;
}

static void
fake_unmap(void *context, void *address, size_t size)
{
}

static void
fake_close(void *context, int fd)
{
}

static uint64_t
alloc_page(void *user_data)
{
    return guest.next < PAGES ? guest.next++ * VMK_PAGE_SIZE : 0;
}

static void
set_up(void)
{
    const struct vmk_kvm_ops ops = {.open = fake_open,
                                    .ioctl = fake_ioctl,
                                    .map = fake_map,
                                    .unmap = fake_unmap,
                                    .close = fake_close};
    memset(&fake, 0, sizeof fake);
    guest.memory = aligned_alloc(VMK_PAGE_SIZE, PAGES * VMK_PAGE_SIZE);
    memset(guest.memory, 0, PAGES * VMK_PAGE_SIZE);
    guest.next = 1;
    ck_assert_int_eq(
        vmk_paging_init(&guest.paging, guest.memory, PAGES * VMK_PAGE_SIZE, alloc_page, NULL), 0);
    ck_assert_int_eq(vmk_kvm_system_open(&ops, "/dev/fake", &guest.system, NULL), 0);
    ck_assert_int_eq(vmk_kvm_vm_new(guest.system, &guest.vm, NULL), 0);
    ck_assert_int_eq(vmk_kvm_vcpu_new(guest.vm, 0, &guest.vcpu, NULL), 0);
    ck_assert_int_eq(vmk_usermode_new(guest.vcpu, &guest.paging, &guest.usermode, NULL), 0);
    ck_assert_int_eq(vmk_usermode_start(guest.usermode, 0x400000, 0x7fff0000), 0);
    ck_assert_int_eq(vmk_usermode_prepare(guest.usermode, true), 0);
}

static void
tear_down(void)
{
    vmk_usermode_free(guest.usermode);
    vmk_kvm_vcpu_free(guest.vcpu);
    vmk_kvm_vm_free(guest.vm);
    vmk_kvm_system_unref(guest.system);
    free(guest.memory);
}

/* Leave through the system call stub at the level of `selector`, and come back. */
static const struct vmk_user_regs *
call_at(uint16_t selector)
{
    struct vmk_usermode_fault fault;
    fake.code_selector = selector;
    ck_assert_int_eq(vmk_kvm_vcpu_run(guest.vcpu), 0);
    ck_assert_int_eq(vmk_usermode_take(guest.usermode, &fault), VMK_USERMODE_SYSCALL);
    ck_assert_uint_eq(vmk_usermode_get_pc(guest.usermode), RETURN_ADDRESS);
    ck_assert_int_eq(vmk_usermode_prepare(guest.usermode, false), 0);
    return vmk_usermode_get_regs(guest.usermode);
}

/* What IRET would take from the stack: RIP, CS, RFLAGS, RSP, SS. */
static void
assert_irets_to_user(const struct vmk_user_regs *regs)
{
    uint64_t frame[5];
    struct vmk_leaf leaf = vmk_paging_find(&guest.paging, regs->rsp);
    ck_assert(leaf.used);
    memcpy(frame, guest.memory + leaf.gpa + (regs->rsp & (VMK_PAGE_SIZE - 1)), sizeof frame);
    ck_assert_uint_eq(frame[0], RETURN_ADDRESS);
    ck_assert_uint_eq(frame[1], USER_CODE);
    ck_assert_uint_eq(frame[2] & 0x3202, 0x202);
    ck_assert_uint_eq(frame[3], 0x7fff0000);
}

START_TEST(a_level_of_3_at_the_stub_is_not_trusted)
{
    /* The program jumped there. Were the next SYSCALL's return to a user address at once, it would
     * run at the level that SYSCALL entered. */
    const struct vmk_user_regs *regs = call_at(USER_CODE);
    ck_assert_uint_ge(regs->rip, SUPERVISOR_HALF);
    assert_irets_to_user(regs);
    regs = call_at(KERNEL_CODE);
    ck_assert_uint_ge(regs->rip, SUPERVISOR_HALF);
    assert_irets_to_user(regs);
}
END_TEST

START_TEST(supervisor_mode_goes_back_by_sysret)
{
    const struct vmk_user_regs *regs = call_at(KERNEL_CODE);
    ck_assert_uint_eq(regs->rip, fake.lstar + 2);
    ck_assert_uint_eq(regs->rcx, RETURN_ADDRESS);
    ck_assert_uint_eq(regs->rsp, 0x7fff0000);
}
END_TEST

/* Code of the program at CODE + `within`. */
static void
put_code(size_t within, const uint8_t *code, size_t size)
{
    struct vmk_leaf leaf;
    for (size_t i = 0; i < size; i++) {
        ck_assert_int_eq(vmk_paging_need(&guest.paging, CODE + within + i, &leaf), 0);
        if (!leaf.used)
            vmk_paging_set(&guest.paging, &leaf, alloc_page(NULL),
                           VMK_PAGE_READ | VMK_PAGE_EXECUTE);
        guest.memory[leaf.gpa + (within + i) % VMK_PAGE_SIZE] = code[i];
    }
}

/* INT3 at CODE + `within` through a gate that user mode may not use: a fault on the supervisor's
 * stack. How far behind its start the program goes on. */
static uint64_t
break_at(size_t within)
{
    const uint64_t page = fake.lstar & ~UINT64_C(0xfff), top = page + 3 * (uint64_t)VMK_PAGE_SIZE;
    const uint64_t pushed[] = {GATE_3, CODE + within, USER_CODE, 0x202, 0x7fff0000, 0x2b};
    struct vmk_leaf stack = vmk_paging_find(&guest.paging, top - VMK_PAGE_SIZE);
    struct vmk_usermode_fault fault;
    ck_assert(stack.used);
    memcpy(guest.memory + stack.gpa + VMK_PAGE_SIZE - sizeof pushed, pushed, sizeof pushed);
    leave_by(PORT_EXCEPTION + GENERAL_PROTECTION, page + GENERAL_PROTECTION * 16 + 2)
        ->s.regs.regs.rsp = top - sizeof pushed;
    ck_assert_int_eq(vmk_usermode_take(guest.usermode, &fault), VMK_USERMODE_FAULT);
    ck_assert_int_eq(fault.signal, SIGTRAP);
    ck_assert_uint_eq(fault.trap, 3);
    ck_assert_uint_eq(fault.error, 0);
    return vmk_usermode_get_pc(guest.usermode) - (CODE + within);
}

START_TEST(a_breakpoint_is_left_behind_its_last_byte)
{
    static const struct {
        uint8_t bytes[15];
        uint8_t size;
    } codes[] = {
        {{0xcc}, 1},          {{0xcd, 3}, 2},
        {{0xf3, 0xcc}, 2},    {{0x66, 0x2e, 0xcd, 3}, 4},
        {{0x41, 0xcd, 3}, 3}, {{[0 ... 12] = 0x66, 0xcd, 3}, 15},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        put_code(0x100, codes[i].bytes, codes[i].size);
        ck_assert_uint_eq(break_at(0x100), codes[i].size);
        /* Over the end of a page. */
        put_code(VMK_PAGE_SIZE - 1, codes[i].bytes, codes[i].size);
        ck_assert_uint_eq(break_at(VMK_PAGE_SIZE - 1), codes[i].size);
    }
}
END_TEST

START_TEST(a_breakpoint_that_cannot_be_read_counts_for_one_byte)
{
    put_code(VMK_PAGE_SIZE - 2, (const uint8_t[]){0x66, 0x66}, 2);
    ck_assert_uint_eq(break_at(VMK_PAGE_SIZE - 2), 1);
    /* Longer than an instruction can be. */
    static const uint8_t prefixes[16] = {[0 ... 14] = 0x66, 0xcc};
    put_code(0x100, prefixes, sizeof prefixes);
    ck_assert_uint_eq(break_at(0x100), 1);
}
END_TEST

/* The port of system calls and its neighbours in the TSS's bitmap, set where user mode may not use
 * them. */
static unsigned
closed_ports(void)
{
    const uint64_t page = fake.lstar & ~UINT64_C(0xfff);
    struct vmk_leaf tables = vmk_paging_find(&guest.paging, page + VMK_PAGE_SIZE);
    return guest.memory[tables.gpa + 1024 + 104 + PORT_SYSCALL / 8];
}

START_TEST(the_port_is_closed_once_it_is_not_needed)
{
    ck_assert_uint_eq(closed_ports(), 0xfe);
    call_at(USER_CODE);
    ck_assert_uint_eq(closed_ports(), 0xfe);
    tear_down();
    set_up();
    call_at(KERNEL_CODE);
    ck_assert_uint_eq(closed_ports(), 0xff);
}
END_TEST

/* The code of a stub, which the program can run. */
static const uint8_t *
stub_code(uint64_t stub)
{
    struct vmk_leaf leaf = vmk_paging_find(&guest.paging, stub);
    ck_assert(leaf.used);
    ck_assert_uint_eq(leaf.rights, VMK_PAGE_READ | VMK_PAGE_EXECUTE);
    return guest.memory + leaf.gpa + (stub & 0xfff);
}

START_TEST(a_function_returns_by_a_syscall_of_its_own)
{
    static const uint8_t expected[] = {0x48, 0x89, 0xc7, 0x0f, 0x05, 0x0f, 0x0b};
    const struct vmk_usermode_stubs stubs = vmk_usermode_get_stubs(guest.usermode);
    struct vmk_usermode_fault fault;
    ck_assert_mem_eq(stub_code(stubs.to_return), expected, sizeof expected);
    for (int round = 0; round < 2; round++) {
        fake.code_selector = round == 0 ? KERNEL_CODE : USER_CODE;
        struct kvm_regs *left = &leave_by(PORT_SYSCALL, fake.lstar)->s.regs.regs;
        left->rax = 5;
        left->rdi = 42;
        left->rdx = 43;
        left->rcx = stubs.to_return + 5;
        ck_assert_int_eq(vmk_usermode_take(guest.usermode, &fault), VMK_USERMODE_RETURN);
        struct vmk_user_regs *regs = vmk_usermode_get_regs(guest.usermode);
        ck_assert_uint_eq(regs->rax, 42);
        ck_assert_uint_eq(regs->rdx, 43);
        regs->rip = RETURN_ADDRESS;
        regs->rsp = 0x7fff0000;
        ck_assert_int_eq(vmk_usermode_prepare(guest.usermode, true), 0);
        assert_irets_to_user(regs);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(the_stubs_of_vectors_are_the_programs_own_code)
{
    const struct vmk_usermode_stubs stubs = vmk_usermode_get_stubs(guest.usermode);
    const uint8_t *out = stub_code(stubs.to_return_vectors),
                  *in = stub_code(stubs.to_enter_vectors);
    ck_assert_mem_eq(
        out,
        ((const uint8_t[]){0xf2, 0x0f, 0x11, 0x04, 0x24, 0xf2, 0x0f, 0x11, 0x4c, 0x24, 0x08, 0xeb}),
        12);
    ck_assert_uint_eq(stubs.to_return_vectors + 13 + (uint64_t)(int8_t)out[12], stubs.to_return);
    for (size_t i = 1, at = 5; i < 8; i++, at += 6)
        ck_assert_mem_eq(
            in + at,
            ((const uint8_t[]){0xf2, 0x41, 0x0f, 0x10, (uint8_t)(0x42 + 8 * i), (uint8_t)(8 * i)}),
            6);
    ck_assert_mem_eq(in, ((const uint8_t[]){0xf2, 0x41, 0x0f, 0x10, 0x02}), 5);
    ck_assert_mem_eq(in + 47, ((const uint8_t[]){0x41, 0xff, 0xe3}), 3);

    /* The program may stand at each byte of them, when it is interrupted and when it goes on. */
    struct vmk_user_regs *regs = vmk_usermode_get_regs(guest.usermode);
    for (uint64_t rip = stubs.to_return; rip < stubs.to_enter_vectors + 50; rip++) {
        regs->rip = rip;
        ck_assert(vmk_usermode_interrupt(guest.usermode));
        ck_assert_uint_eq(regs->rip, rip);
        ck_assert_int_eq(vmk_usermode_prepare(guest.usermode, true), 0);
        ck_assert_uint_eq(regs->rip, rip);
    }
    /* And at none of the others. */
    for (uint64_t rip = fake.lstar & ~UINT64_C(0xfff); rip < stubs.to_return; rip++) {
        regs->rip = rip;
        ck_assert_int_eq(vmk_usermode_prepare(guest.usermode, true), -EFAULT);
    }
    regs->rip = stubs.to_enter_vectors + 50;
    ck_assert_int_eq(vmk_usermode_prepare(guest.usermode, true), -EFAULT);
}
END_TEST

START_TEST(who_ends_on_the_way_in_stood_where_the_way_began)
{
    const uint64_t page = fake.lstar & ~UINT64_C(0xfff), top = page + 3 * (uint64_t)VMK_PAGE_SIZE;
    const uint64_t pushed[] = {CODE, USER_CODE, 0x206, 0x7fff0000, 0x2b};
    struct vmk_user_regs *regs = vmk_usermode_get_regs(guest.usermode);
    struct vmk_leaf stack = vmk_paging_find(&guest.paging, top - VMK_PAGE_SIZE);

    *regs =
        (struct vmk_user_regs){.rip = fake.lstar, .rcx = RETURN_ADDRESS, .r11 = 6, .rsp = 0x1000};
    ck_assert(!vmk_usermode_interrupt(guest.usermode));
    ck_assert_uint_eq(vmk_usermode_get_pc(guest.usermode), fake.lstar);
    vmk_usermode_abandon(guest.usermode);
    ck_assert_uint_eq(vmk_usermode_get_pc(guest.usermode), RETURN_ADDRESS);
    ck_assert_uint_eq(regs->rflags, 0x206);

    /* A division by zero, and a general protection fault, whose error code comes first. */
    memcpy(guest.memory + stack.gpa + VMK_PAGE_SIZE - sizeof pushed, pushed, sizeof pushed);
    for (unsigned vector = 0; vector <= GENERAL_PROTECTION; vector += GENERAL_PROTECTION) {
        size_t error = vector == 0 ? 0 : sizeof(uint64_t);
        *regs =
            (struct vmk_user_regs){.rip = page + vector * 16, .rsp = top - sizeof pushed - error};
        ck_assert(!vmk_usermode_interrupt(guest.usermode));
        vmk_usermode_abandon(guest.usermode);
        ck_assert_uint_eq(vmk_usermode_get_pc(guest.usermode), CODE);
        ck_assert_uint_eq(regs->rsp, 0x7fff0000);
    }

    /* The program jumped to the stub: there is where it stands. */
    *regs = (struct vmk_user_regs){.rip = page, .rsp = 0x7fff0000};
    vmk_usermode_abandon(guest.usermode);
    ck_assert_uint_eq(vmk_usermode_get_pc(guest.usermode), page);
}
END_TEST

START_TEST(an_exception_on_its_way_comes_first)
{
    struct vmk_user_regs *regs = vmk_usermode_get_regs(guest.usermode);
    regs->rip = CODE;
    ck_assert(vmk_usermode_interrupt(guest.usermode));
    fake.events.exception.injected = _i == 0;
    fake.events.exception.pending = _i == 1;
    ck_assert(!vmk_usermode_interrupt(guest.usermode));
    ck_assert_uint_eq(regs->rip, CODE);
    fake.events = (struct kvm_vcpu_events){0};
    ck_assert(vmk_usermode_interrupt(guest.usermode));
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("arch_usermode");
    TCase *tcase = tcase_create("arch_usermode");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_level_of_3_at_the_stub_is_not_trusted);
    tcase_add_test(tcase, supervisor_mode_goes_back_by_sysret);
    tcase_add_test(tcase, a_breakpoint_is_left_behind_its_last_byte);
    tcase_add_test(tcase, a_breakpoint_that_cannot_be_read_counts_for_one_byte);
    tcase_add_test(tcase, the_port_is_closed_once_it_is_not_needed);
    tcase_add_test(tcase, a_function_returns_by_a_syscall_of_its_own);
    tcase_add_test(tcase, the_stubs_of_vectors_are_the_programs_own_code);
    tcase_add_test(tcase, who_ends_on_the_way_in_stood_where_the_way_began);
    tcase_add_loop_test(tcase, an_exception_on_its_way_comes_first, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
