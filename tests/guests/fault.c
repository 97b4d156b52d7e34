/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fault a run: `fault KIND` does what ends a Linux program, and `fault --handler KIND` says
 * first, from a handler, which signal came with which code and address. Linked static and at a
 * fixed address, so that a native run and one in a sandbox print the same.
 */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <xmmintrin.h>

#define UNMAPPED 0x123456789000ul
#define NON_CANONICAL 0x8000000000000000ul
#define KERNEL 0xffffffff81000000ul

static const char constant[16] __attribute__((aligned(16))) = "constant";
static unsigned char data[64] __attribute__((aligned(64)));

/* The fault is to come from the stack, whose addresses are chosen anew at each run. */
static bool in_stack;

static void
touch(uintptr_t address)
{
    __asm__ volatile("movb $1, (%0)" : : "r"(address) : "memory");
}

static void
look(uintptr_t address)
{
    __asm__ volatile("movb (%0), %%al" : : "r"(address) : "rax");
}

static void
jump(uintptr_t address)
{
    ((void (*)(void))address)();
}

static void
read_null(void)
{
    look(0);
}

static void
write_null(void)
{
    touch(0);
}

static void
read_near_null(void)
{
    look(0x10);
}

static void
read_unmapped(void)
{
    look(UNMAPPED);
}

static void
write_unmapped(void)
{
    touch(UNMAPPED);
}

static void
write_constant(void)
{
    touch((uintptr_t)constant);
}

static void
write_code(void)
{
    touch((uintptr_t)write_constant);
}

static void
read_non_canonical(void)
{
    look(NON_CANONICAL);
}

static void
write_non_canonical(void)
{
    touch(NON_CANONICAL);
}

static void
read_kernel(void)
{
    look(KERNEL);
}

static void
write_kernel(void)
{
    touch(KERNEL);
}

static void
jump_null(void)
{
    jump(0);
}

static void
jump_unmapped(void)
{
    jump(UNMAPPED);
}

static void
jump_non_canonical(void)
{
    jump(NON_CANONICAL);
}

static void
jump_kernel(void)
{
    jump(KERNEL);
}

static void
execute_data(void)
{
    data[0] = 0xc3;
    jump((uintptr_t)data);
}

static void
execute_stack(void)
{
    volatile unsigned char code[16] = {0xc3};

    in_stack = true;
    jump((uintptr_t)code);
}

static unsigned char *
map_page(int protection)
{
    unsigned char *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    page[0] = 1;
    mprotect(page, 4096, protection);
    return page;
}

static void
write_protected(void)
{
    touch((uintptr_t)map_page(PROT_READ));
}

static void
read_protected(void)
{
    look((uintptr_t)map_page(PROT_NONE));
}

static void
read_unmapped_again(void)
{
    unsigned char *page = map_page(PROT_READ | PROT_WRITE);

    munmap(page, 4096);
    look((uintptr_t)page);
}

static void
read_beyond_file(void)
{
    int fd = open("/tmp/vmkit-empty", O_RDWR | O_CREAT, 0600);
    unsigned char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

    unlink("/tmp/vmkit-empty");
    if (page == MAP_FAILED)
        _exit(99);
    look((uintptr_t)page);
}

static int
recurse(volatile int *above);

/* Where the compiler cannot see that it never returns. */
static int (*volatile next)(volatile int *) = recurse;

static int
recurse(volatile int *above)
{
    volatile int here[1024];

    here[0] = *above + 1;
    return next(here) + here[0];
}

static void
stack_overflow(void)
{
    volatile int start = 0;

    in_stack = true;
    recurse(&start);
}

static void
undefined_instruction(void)
{
    __asm__ volatile("ud2");
}

static void
bad_opcode(void)
{
    /* An opcode that 64-bit mode does not have. */
    __asm__ volatile(".byte 0x06");
}

static void
divide_by_zero(void)
{
    __asm__ volatile("idivl %0" : : "r"(0), "a"(1), "d"(0));
}

static void
divide_overflow(void)
{
    __asm__ volatile("idivl %0" : : "r"(-1), "a"(INT32_MIN), "d"(-1));
}

static void
float_divide(void)
{
    volatile float zero = 0;

    _mm_setcsr(_mm_getcsr() & ~(unsigned)_MM_MASK_DIV_ZERO);
    zero = 1 / zero;
}

static void
float_invalid(void)
{
    volatile float number = -1;

    _mm_setcsr(_mm_getcsr() & ~(unsigned)_MM_MASK_INVALID);
    number = __builtin_ia32_sqrtss(_mm_set_ss(number))[0];
}

static void
x87_divide(void)
{
    const unsigned short control = 0x037b;
    volatile long double zero = 0;

    __asm__ volatile("fldcw %0" : : "m"(control));
    zero = 1 / zero;
    __asm__ volatile("fwait");
}

static void
breakpoint(void)
{
    __asm__ volatile("int3");
}

static void
unaligned_vector(void)
{
    __asm__ volatile("movaps (%0), %%xmm0" : : "r"(data + 1) : "xmm0");
}

static void
alignment_check(void)
{
    __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; movl 1(%0), %%eax" : : "r"(data) : "rax");
}

static void
halt(void)
{
    __asm__ volatile("hlt");
}

static void
disable_interrupts(void)
{
    __asm__ volatile("cli");
}

static void
port_in(void)
{
    __asm__ volatile("inb $0x80, %%al" : : : "rax");
}

static void
port_out(void)
{
    __asm__ volatile("outb %%al, $0x80" : : : "rax");
}

/* The port by which a sandbox's system calls leave it is nobody's either. */
static void
port_in_system_call(void)
{
    __asm__ volatile("inb $0xe0, %%al" : : : "rax");
}

static void
port_out_system_call(void)
{
    __asm__ volatile("outb %%al, $0xe0" : : : "rax");
}

static void
port_out_string(void)
{
    __asm__ volatile("mov $0xe0, %%edx; mov $3, %%ecx; lea data(%%rip), %%rsi; rep outsb"
                     :
                     :
                     : "rcx", "rdx", "rsi");
}

static void
port_out_far(void)
{
    __asm__ volatile("mov $0x3f8, %%edx; outb %%al, %%dx" : : : "rax", "rdx");
}

static void
read_cr0(void)
{
    __asm__ volatile("mov %%cr0, %%rax" : : : "rax");
}

static void
write_cr3(void)
{
    __asm__ volatile("mov %%rax, %%cr3" : : "a"(0));
}

static void
read_msr(void)
{
    __asm__ volatile("rdmsr" : : "c"(0xc0000080) : "rax", "rdx");
}

static void
write_msr(void)
{
    __asm__ volatile("wrmsr" : : "c"(0xc0000082), "a"(0), "d"(0));
}

static void
load_gdt(void)
{
    __asm__ volatile("lgdt (%0)" : : "r"(data));
}

static void
invalidate_page(void)
{
    __asm__ volatile("invlpg (%0)" : : "r"(data));
}

static void
software_interrupt(void)
{
    __asm__ volatile("int $0x81");
}

static void
load_bad_segment(void)
{
    __asm__ volatile("mov %w0, %%ds" : : "r"(0x1234));
}

static void
raise_abort(void)
{
    abort();
}

static void
fail_assertion(void)
{
    assert(data[0] == 1);
}

static void
raise_term(void)
{
    raise(SIGTERM);
}

static void
raise_kill(void)
{
    raise(SIGKILL);
}

static void
raise_segv(void)
{
    raise(SIGSEGV);
}

static void
raise_user(void)
{
    raise(SIGUSR1);
}

static void
raise_realtime(void)
{
    raise(SIGRTMIN + 3);
}

static void
broken_pipe(void)
{
    int ends[2];

    if (pipe(ends) == 0) {
        close(ends[0]);
        if (write(ends[1], "x", 1) < 0)
            _exit(98);
    }
}

static void
timer_alarm(void)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};

    setitimer(ITIMER_REAL, &soon, NULL);
    for (;;)
        pause();
}

static void
timer_spin(void)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};

    setitimer(ITIMER_REAL, &soon, NULL);
    for (;;)
        __asm__ volatile("pause");
}

static const struct {
    const char *name;
    void (*run)(void);
} kinds[] = {
    {"read-null", read_null},
    {"write-null", write_null},
    {"read-near-null", read_near_null},
    {"read-unmapped", read_unmapped},
    {"write-unmapped", write_unmapped},
    {"write-constant", write_constant},
    {"write-code", write_code},
    {"read-non-canonical", read_non_canonical},
    {"write-non-canonical", write_non_canonical},
    {"read-kernel", read_kernel},
    {"write-kernel", write_kernel},
    {"jump-null", jump_null},
    {"jump-unmapped", jump_unmapped},
    {"jump-non-canonical", jump_non_canonical},
    {"jump-kernel", jump_kernel},
    {"execute-data", execute_data},
    {"execute-stack", execute_stack},
    {"write-protected", write_protected},
    {"read-protected", read_protected},
    {"read-unmapped-again", read_unmapped_again},
    {"read-beyond-file", read_beyond_file},
    {"stack-overflow", stack_overflow},
    {"undefined-instruction", undefined_instruction},
    {"bad-opcode", bad_opcode},
    {"divide-by-zero", divide_by_zero},
    {"divide-overflow", divide_overflow},
    {"float-divide", float_divide},
    {"float-invalid", float_invalid},
    {"x87-divide", x87_divide},
    {"breakpoint", breakpoint},
    {"unaligned-vector", unaligned_vector},
    {"alignment-check", alignment_check},
    {"halt", halt},
    {"disable-interrupts", disable_interrupts},
    {"port-in", port_in},
    {"port-in-system-call", port_in_system_call},
    {"port-out-system-call", port_out_system_call},
    {"port-out-string", port_out_string},
    {"port-out", port_out},
    {"port-out-far", port_out_far},
    {"read-cr0", read_cr0},
    {"write-cr3", write_cr3},
    {"read-msr", read_msr},
    {"write-msr", write_msr},
    {"load-gdt", load_gdt},
    {"invalidate-page", invalidate_page},
    {"software-interrupt", software_interrupt},
    {"load-bad-segment", load_bad_segment},
    {"abort", raise_abort},
    {"assert", fail_assertion},
    {"raise-term", raise_term},
    {"raise-kill", raise_kill},
    {"raise-segv", raise_segv},
    {"raise-user", raise_user},
    {"raise-realtime", raise_realtime},
    {"broken-pipe", broken_pipe},
    {"timer-alarm", timer_alarm},
    {"timer-spin", timer_spin},
};

/* Where mappings lie is chosen anew at each run: their offset in the page is the same. */
static void
print_address(uintptr_t address)
{
    if (in_stack)
        puts("address in the stack");
    else if (address >= 0x100000000000ul && address < 0x800000000000ul && address != UNMAPPED)
        printf("address ...%03lx\n", address & 0xfff);
    else
        printf("address %#lx\n", address);
}

static void
handle(int number, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0;

    /* The C library is not written for alignment checks. */
    __asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" : : : "cc", "memory");
    printf("signal %d code %d ", number, info->si_code);
    if (sent)
        printf("sent by %s\n", info->si_pid == getpid() ? "itself" : "another");
    else
        print_address((uintptr_t)info->si_addr);
    fflush(stdout);
    _exit(0);
}

static void
set_handlers(void)
{
    static unsigned char stack[65536];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    action.sa_sigaction = handle;
    sigaltstack(&alternate, NULL);
    for (int number = 1; number < 32; number++)
        sigaction(number, &action, NULL);
    sigaction(SIGRTMIN + 3, &action, NULL);
}

int
main(int argc, char **argv)
{
    const char *kind = argv[argc - 1];
    bool known = false;

    if (argc == 2 && strcmp(kind, "--list") == 0) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            puts(kinds[i].name);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--handler") == 0)
        set_handlers();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, kind) == 0) {
            known = true;
            kinds[i].run();
        }
    }
    fprintf(stderr, known ? "%s: nothing happened\n" : "%s: no such kind\n", kind);
    return 97;
}
