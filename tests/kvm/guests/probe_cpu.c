/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the processor over system calls, faults and signal handlers. */
#include "probe.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096

/* rbx rbp rdx rsi rdi r8 r9 r10 r12 r13 r14 r15, before and after; rflags after; the result. */
struct registers {
    uint64_t in[12];
    uint64_t out[12];
    uint64_t flags_in;
    uint64_t flags_out;
    uint64_t result;
};

/* clang-format off */
__asm__(".text\n.globl raw_call\nraw_call:\n" /* rdi: number, rsi: struct registers */
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\npush %rsi\n"
        "mov %rdi, %rax\nmov %rsi, %rcx\n"
        "pushq 192(%rcx)\npopfq\n"
        "mov (%rcx), %rbx\nmov 8(%rcx), %rbp\nmov 16(%rcx), %rdx\nmov 24(%rcx), %rsi\n"
        "mov 32(%rcx), %rdi\nmov 40(%rcx), %r8\nmov 48(%rcx), %r9\nmov 56(%rcx), %r10\n"
        "mov 64(%rcx), %r12\nmov 72(%rcx), %r13\nmov 80(%rcx), %r14\nmov 88(%rcx), %r15\n"
        "syscall\n"
        "pushfq\npop %rcx\ncld\n"
        "mov %rcx, %r11\nmov (%rsp), %rcx\nmov %r11, 200(%rcx)\n"
        "mov %rax, 208(%rcx)\n"
        "mov %rbx, 96(%rcx)\nmov %rbp, 104(%rcx)\nmov %rdx, 112(%rcx)\nmov %rsi, 120(%rcx)\n"
        "mov %rdi, 128(%rcx)\nmov %r8, 136(%rcx)\nmov %r9, 144(%rcx)\nmov %r10, 152(%rcx)\n"
        "mov %r12, 160(%rcx)\nmov %r13, 168(%rcx)\nmov %r14, 176(%rcx)\nmov %r15, 184(%rcx)\n"
        "pop %rsi\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");
/* clang-format on */

void
raw_call(uint64_t number, struct registers *registers);

static int
registers(int argc, char **argv)
{
    static const uint64_t numbers[] = {SYS_getpid, SYS_getppid, 511,
                                       100000,     UINT64_MAX,  SYS_read,
                                       SYS_write,  SYS_open,    SYS_rt_sigreturn + 1000};
    struct registers r;
    uint64_t state = 99;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            for (int k = 0; k < 12; k++)
                r.in[k] = probe_random(&state);
            r.in[4] = UINT64_C(0xffffffff00000000); /* No descriptor, no pointer. */
            r.in[3] = UINT64_C(0x123);
            r.flags_in = 0x202 | (round & 1 ? 0x400 : 0) | (round & 2 ? 0x8d5 : 0) |
                         (round & 4 ? 0x200000 : 0);
            raw_call(numbers[i], &r);
            for (int k = 0; k < 12; k++)
                CHECK(r.out[k] == r.in[k]);
            CHECK((r.flags_out & 0x200ed5) == (r.flags_in & 0x200ed5));
            if (numbers[i] >= 511)
                CHECK(r.result == (uint64_t)-ENOSYS);
        }
    }
    CHECK((pid_t)syscall(SYS_getpid) == getpid());
    printf("registers\n");
    return 0;
}

static uint8_t *protected_page;

static void
on_fault(int signal, siginfo_t *info, void *context)
{
    /* Use what the program uses, to see it restored. */
    const uint16_t control = 0x027f;
    volatile long double x = 3;
    _mm_setcsr(0x1f80 | _MM_ROUND_UP);
    __asm__ volatile("fninit\nfldcw %0" : : "m"(control));
    for (int i = 0; i < 4; i++)
        x = x * x + 1;
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" : : : "xmm0");
    else
        __asm__ volatile("pxor %%xmm0, %%xmm0\npxor %%xmm7, %%xmm7" : : : "xmm0", "xmm7");
    if (signal == SIGSEGV)
        mprotect(protected_page, PAGE, PROT_READ | PROT_WRITE);
}

/* What happens in between: 0 a system call, 1 a fresh page, 2 a fault with a handler, 3 a signal.
 */
static void
disturb(int what)
{
    uint8_t *at = NULL;
    switch (what) {
    case 0:
        syscall(SYS_getppid);
        break;
    case 1:
        at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *(volatile uint8_t *)at = 1;
        munmap(at, PAGE);
        break;
    case 2:
        mprotect(protected_page, PAGE, PROT_NONE);
        *(volatile uint8_t *)protected_page = 1;
        break;
    default:
        syscall(SYS_kill, getpid(), SIGUSR1);
        break;
    }
}

/* Room for sixteen registers of any size. */
struct block {
    uint8_t bytes[16 * 64];
} __attribute__((aligned(64)));

static int disturb_with;

/* Called from assembly below; uses general registers alone. */
__attribute__((target("general-regs-only"))) void
raw_disturb(void);

__attribute__((target("general-regs-only"))) void
raw_disturb(void)
{
    long result;
    if (disturb_with == 0) {
        __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getppid) : "rcx", "r11", "memory");
    } else if (disturb_with == 1) {
        *(volatile uint8_t *)protected_page = 1;
    } else {
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(SYS_kill), "D"((long)disturb_with), "S"((long)SIGUSR1)
                         : "rcx", "r11", "memory");
    }
}

/* clang-format off */
#define ROUND(name, prefix, move, size)                                                          \
    __asm__(".text\n" #name ":\npush %rbx\npush %r12\npush %r13\nmov %rdi, %rbx\nmov %rsi, %r12\n" \
        move " 0*" size "(%rbx), %" prefix "0\n" move " 1*" size "(%rbx), %" prefix "1\n"        \
        move " 2*" size "(%rbx), %" prefix "2\n" move " 3*" size "(%rbx), %" prefix "3\n"        \
        move " 4*" size "(%rbx), %" prefix "4\n" move " 5*" size "(%rbx), %" prefix "5\n"        \
        move " 6*" size "(%rbx), %" prefix "6\n" move " 7*" size "(%rbx), %" prefix "7\n"        \
        move " 8*" size "(%rbx), %" prefix "8\n" move " 9*" size "(%rbx), %" prefix "9\n"        \
        move " 10*" size "(%rbx), %" prefix "10\n" move " 11*" size "(%rbx), %" prefix "11\n"    \
        move " 12*" size "(%rbx), %" prefix "12\n" move " 13*" size "(%rbx), %" prefix "13\n"    \
        move " 14*" size "(%rbx), %" prefix "14\n" move " 15*" size "(%rbx), %" prefix "15\n"    \
        "call raw_disturb\n"                                                                     \
        move " %" prefix "0, 0*" size "(%r12)\n" move " %" prefix "1, 1*" size "(%r12)\n"        \
        move " %" prefix "2, 2*" size "(%r12)\n" move " %" prefix "3, 3*" size "(%r12)\n"        \
        move " %" prefix "4, 4*" size "(%r12)\n" move " %" prefix "5, 5*" size "(%r12)\n"        \
        move " %" prefix "6, 6*" size "(%r12)\n" move " %" prefix "7, 7*" size "(%r12)\n"        \
        move " %" prefix "8, 8*" size "(%r12)\n" move " %" prefix "9, 9*" size "(%r12)\n"        \
        move " %" prefix "10, 10*" size "(%r12)\n" move " %" prefix "11, 11*" size "(%r12)\n"    \
        move " %" prefix "12, 12*" size "(%r12)\n" move " %" prefix "13, 13*" size "(%r12)\n"    \
        move " %" prefix "14, 14*" size "(%r12)\n" move " %" prefix "15, 15*" size "(%r12)\n"    \
        "pop %r13\npop %r12\npop %rbx\nret\n");                                                  \
    void name(const struct block *in, struct block *out)

ROUND(round_sse, "xmm", "movups", "16");
ROUND(round_avx, "ymm", "vmovups", "32");
ROUND(round_avx512, "zmm", "vmovups", "64");
/* clang-format on */

static void
check_vectors(void (*round)(const struct block *, struct block *), size_t size)
{
    static struct block in, out;
    uint64_t state = 1234;
    for (int i = 0; i < 60; i++) {
        for (size_t k = 0; k < sizeof in; k++)
            in.bytes[k] = (uint8_t)probe_random(&state);
        memset(&out, 0, sizeof out);
        disturb_with = i % 4 == 0 ? 0 : i % 4 == 3 ? getpid() : 1;
        if (i % 4 == 1)
            mprotect(protected_page, PAGE, PROT_NONE);
        if (i % 4 == 2) {
            munmap(protected_page, PAGE);
            CHECK(mmap(protected_page, PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == protected_page);
        }
        uint16_t control = 0x0f7f, seen;
        uint32_t csr = 0x9fc0;
        __asm__ volatile("fldcw %0\nldmxcsr %1\nfld1\nfldpi" : : "m"(control), "m"(csr));
        round(&in, &out);
        long double pi = 0, one = 0;
        __asm__ volatile("fstpt %0\nfstpt %1" : "=m"(pi), "=m"(one));
        __asm__ volatile("fnstcw %0\nstmxcsr %1" : "=m"(seen), "=m"(csr));
        CHECK(seen == control);
        CHECK((csr & ~0x3fu) == 0x9fc0);
        CHECK(one == 1 && pi > 3 && pi < 4);
        __asm__ volatile("fninit");
        csr = 0x1f80;
        __asm__ volatile("ldmxcsr %0" : : "m"(csr));
        CHECK(memcmp(in.bytes, out.bytes, 16 * size) == 0);
    }
}

static int
vectors(int argc, char **argv)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    protected_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(protected_page != MAP_FAILED);
    check_vectors(round_sse, 16);
    if (__builtin_cpu_supports("avx"))
        check_vectors(round_avx, 32);
    if (__builtin_cpu_supports("avx512f"))
        check_vectors(round_avx512, 64);
    disturb(0);
    disturb(1);
    disturb(2);
    disturb(3);
    printf("vectors\n");
    return 0;
}

/* The registers that a program starts with. */
static int
initial(int argc, char **argv)
{
    uint16_t control;
    uint32_t csr;
    uint64_t flags;
    __asm__ volatile("fnstcw %0\nstmxcsr %1" : "=m"(control), "=m"(csr));
    __asm__ volatile("pushfq\npop %0" : "=r"(flags));
    printf("fcw %x mxcsr %x df %d if %d\n", control, csr & ~0x3fu, (int)(flags >> 10 & 1),
           (int)(flags >> 9 & 1));
    return 0;
}

static int
bases(int argc, char **argv)
{
    static uint64_t words[4] = {11, 22, 33, 44};
    uint64_t old = 0, value = 0, seen;
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, &old) == 0);
    CHECK(*(uint64_t *)old == old); /* The thread control block begins with its own address. */
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &words[1]) == 0);
    __asm__ volatile("mov %%gs:0, %0" : "=r"(seen));
    CHECK(seen == 22);
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &value) == 0 && value == (uintptr_t)&words[1]);
    for (int i = 0; i < 100; i++) {
        syscall(SYS_getppid);
        __asm__ volatile("mov %%gs:8, %0" : "=r"(seen));
        CHECK(seen == 33);
    }
    if (getauxval(AT_HWCAP2) & 2) {
        __asm__ volatile("wrgsbase %0" : : "r"(&words[2]));
        syscall(SYS_getppid);
        __asm__ volatile("rdgsbase %0" : "=r"(value));
        CHECK(value == (uintptr_t)&words[2]);
        CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &value) == 0 && value == (uintptr_t)&words[2]);
        __asm__ volatile("rdfsbase %0" : "=r"(value));
        CHECK(value == old);
    }
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_FS, UINT64_C(0xffff800000000000)) == -1);
    CHECK(errno == EPERM);
    CHECK(syscall(SYS_arch_prctl, 0x7777, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, 8) == -1 && errno == EFAULT);
    printf("bases\n");
    return 0;
}

static int
instructions(int argc, char **argv)
{
    unsigned a, b, c, d, aux = 0;
    CHECK(__get_cpuid(0, &a, &b, &c, &d) && a >= 1);
    CHECK(b == 0x756e6547 || b == 0x68747541);
    __get_cpuid(1, &a, &b, &c, &d);
    CHECK(d & (1u << 26)); /* SSE2 */
    bool xsave = c & (1u << 27);
    uint64_t first = __builtin_ia32_rdtsc(), last = first;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = __builtin_ia32_rdtsc();
        CHECK(now >= last);
        last = now;
    }
    CHECK(last > first);
    __get_cpuid(0x80000001, &a, &b, &c, &d);
    if (d & (1u << 27))
        CHECK(__builtin_ia32_rdtscp(&aux) > last);
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && c & (1u << 22)) {
        uint64_t id;
        __asm__ volatile("rdpid %0" : "=r"(id));
        CHECK(id == aux);
    }
    if (xsave) {
        uint32_t low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        CHECK((low & 3) == 3);
    }
    printf("instructions\n");
    return 0;
}

static volatile sig_atomic_t ticks;

static void
on_tick(int signal)
{
    ticks++;
}

/* A sum by vector registers, under a timer that interrupts it. */
static int
interrupted(int argc, char **argv)
{
    struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_tick};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    double total = 0;
    uint64_t count = 0;
    while (ticks < 20) {
        double part = 0;
        for (int i = 1; i <= 1000; i++)
            part += 1.0 / i * (i & 1 ? 1 : -1);
        total += part;
        count++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(total / (double)count > 0.6926 && total / (double)count < 0.6937);
    printf("interrupted\n");
    return 0;
}

/* Each way to write a breakpoint, and the bytes up to where the program goes on. */
#define BREAKPOINTS 6

static uintptr_t breakpoint_starts[BREAKPOINTS];
static int breakpoints_seen;

static void
on_breakpoint(int signal, siginfo_t *info, void *context)
{
    const greg_t *regs = ((const ucontext_t *)context)->uc_mcontext.gregs;
    printf("signal %d code %d trap %d error %d after %d bytes\n", signal, info->si_code,
           (int)regs[REG_TRAPNO], (int)regs[REG_ERR],
           (int)((uintptr_t)regs[REG_RIP] - breakpoint_starts[breakpoints_seen]));
    breakpoints_seen++;
}

#define BREAKPOINT(index, bytes)                      \
    __asm__ volatile("lea 1f(%%rip), %%rax\n"         \
                     "mov %%rax, %0\n"                \
                     "1: .byte " bytes "\n"           \
                     : "=m"(breakpoint_starts[index]) \
                     :                                \
                     : "rax", "memory")

static int
breakpoints(int argc, char **argv)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_breakpoint;
    sigaction(SIGTRAP, &action, NULL);
    BREAKPOINT(0, "0xcc");
    BREAKPOINT(1, "0xcd, 3");
    BREAKPOINT(2, "0xf3, 0xcc");
    BREAKPOINT(3, "0x66, 0x2e, 0xcd, 3");
    BREAKPOINT(4, "0x48, 0xcd, 3");
    /* The longest instruction that there can be. */
    BREAKPOINT(5, "0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x41,0xcd,3");
    CHECK(breakpoints_seen == BREAKPOINTS);
    return 0;
}

const struct probe probe_cpu[] = {
    {"registers", registers},       {"vectors", vectors},
    {"initial", initial},           {"bases", bases},
    {"instructions", instructions}, {"breakpoints", breakpoints},
    {"interrupted", interrupted},   {NULL, NULL},
};
