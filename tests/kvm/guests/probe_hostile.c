/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that mean harm: wild arguments to every call, and the library's own pages and ports. */
#include "probe.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STUBS UINT64_C(0xffffffffc0000000)
#define PAGE UINT64_C(4096)

static uint8_t *edge; /* A page before one that is not there. */
static const char text[] = "/tmp/x";

static uint64_t
hostile_value(uint64_t *state)
{
    switch (probe_random(state) % 26) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return UINT64_MAX;
    case 3:
        return (uint64_t)INT64_MIN;
    case 4:
        return INT64_MAX;
    case 5:
        return UINT32_MAX;
    case 6:
        return 0x80000000;
    case 7:
        return (uintptr_t)edge + PAGE - 1 - probe_random(state) % 16;
    case 8:
        return (uintptr_t)edge + PAGE;
    case 9:
        return STUBS + probe_random(state) % (3 * PAGE);
    case 10:
        return UINT64_C(0x00007ffffffff000) - probe_random(state) % 9;
    case 11:
        return UINT64_C(0x0000800000000000);
    case 12:
        return UINT64_C(0xffff800000000000);
    case 13:
        return (uintptr_t)text;
    case 14:
        return probe_random(state) % 8;
    case 15:
        return probe_random(state) % 4096;
    case 16:
        return PAGE * (probe_random(state) % 16);
    case 17:
        return (uintptr_t)&hostile_value;
    case 18:
        return (uintptr_t)__builtin_frame_address(0);
    case 19:
        return UINT64_C(1) << (probe_random(state) % 64);
    case 20:
        return (UINT64_C(1) << 20) * (probe_random(state) % 4096);
    case 21:
        return (uint64_t) - (int64_t)(probe_random(state) % 4096);
    case 22:
        return UINT64_C(0xdead000000400000);
    case 23:
        return 3;
    case 24:
        return (uintptr_t)edge;
    default:
        return probe_random(state);
    }
}

/* `calls NUMBER COUNT SEED`: one call, many times, with arguments that no one should pass. */
static int
calls(int argc, char **argv)
{
    long number = strtol(argv[2], NULL, 0);
    long count = strtol(argv[3], NULL, 0);
    uint64_t state = strtoull(argv[4], NULL, 0) * 0x9e3779b97f4a7c15 + (uint64_t)number + 1;
    edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + PAGE, PAGE);
    int ends[2];
    if (pipe(ends) == 0 && write(ends[1], text, sizeof text) > 0)
        open_memstream(&(char *){NULL}, &(size_t){0});
    for (long i = 0; i < count; i++) {
        for (uint64_t k = 0; k < PAGE; k += 8)
            memcpy(edge + k, &(uint64_t){hostile_value(&state)}, 8);
        uint64_t a[6];
        for (int k = 0; k < 6; k++)
            a[k] = hostile_value(&state);
        syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    return 0;
}

static sigjmp_buf back;
static volatile int last_signal;

static void
note(int signal)
{
    last_signal = signal;
    siglongjmp(back, 1);
}

/* A jump to `at` with the registers of a system call, from which it may or may not come back. */
static void
jump(uint64_t at)
{
    __asm__ volatile("lea 1f(%%rip), %%rcx\n"
                     "mov $0x202, %%r11d\n"
                     "mov $39, %%eax\n"
                     "jmp *%0\n"
                     "1:"
                     :
                     : "r"(at)
                     : "rax", "rcx", "r11", "memory");
}

static void
out_al(uint16_t port)
{
    __asm__ volatile("out %%al, %%dx" : : "d"(port), "a"(39));
}

static void
out_eax(uint16_t port)
{
    __asm__ volatile("out %%eax, %%dx" : : "d"(port), "a"(39));
}

static void
out_string(uint16_t port)
{
    const char *from = text;
    unsigned long count = 4;
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static void
in_al(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("in %%dx, %%al" : "=a"(value) : "d"(port));
}

#define ATTEMPT(statement)           \
    do {                             \
        last_signal = 0;             \
        if (sigsetjmp(back, 1) == 0) \
            statement;               \
        CHECK((read_cs() & 3) == 3); \
    } while (0)

static unsigned
read_cs(void)
{
    unsigned cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs;
}

/* The library's own pages and ports give nothing: each use is a system call or a signal. */
static int
stubs(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = note};
    for (int signal = 1; signal < 32; signal++)
        sigaction(signal, &action, NULL);
    for (volatile int round = 0; round < 3; round++) {
        ATTEMPT(jump(STUBS + 0x200));
        for (volatile unsigned vector = 0; vector < 32; vector++) {
            ATTEMPT(jump(STUBS + vector * 16));
            CHECK(last_signal != 0);
        }
        for (volatile uint64_t at = 0x200; at < 0x220; at++)
            ATTEMPT(jump(STUBS + at));
        for (volatile uint64_t at = 0; at < 3 * PAGE; at += 0x7fd) {
            ATTEMPT(*(volatile uint8_t *)(STUBS + at) = 0x90);
            CHECK(last_signal == SIGSEGV);
        }
        for (volatile uint64_t at = PAGE; at < 3 * PAGE; at += 0x7f0) {
            ATTEMPT((void)*(volatile uint8_t *)(STUBS + at));
            CHECK(last_signal == SIGSEGV);
            ATTEMPT(jump(STUBS + at));
            CHECK(last_signal == SIGSEGV);
        }
        for (volatile uint16_t port = 0xb8; port < 0xf8; port++) {
            ATTEMPT(out_al(port));
            CHECK(last_signal == SIGSEGV);
            ATTEMPT(out_eax(port));
            CHECK(last_signal == SIGSEGV);
            ATTEMPT(out_string(port));
            CHECK(last_signal == SIGSEGV);
            ATTEMPT(in_al(port));
            CHECK(last_signal == SIGSEGV);
        }
        CHECK((pid_t)syscall(SYS_getpid) == getpid());
    }
    printf("stubs\n");
    return 0;
}

/* System calls with a stack pointer that points nowhere. */
static int
no_stack(int argc, char **argv)
{
    static const uint64_t pointers[] = {
        0, 8, UINT64_MAX, UINT64_C(0x8000000000000000), STUBS, STUBS + 3 * PAGE};
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        long result;
        __asm__ volatile("mov %%rsp, %%r12\n"
                         "mov %2, %%rsp\n"
                         "syscall\n"
                         "mov %%r12, %%rsp"
                         : "=a"(result)
                         : "a"(SYS_getpid), "r"(pointers[i])
                         : "rcx", "r11", "r12", "memory");
        CHECK(result == getpid());
    }
    printf("no stack\n");
    return 0;
}

/* `wild KIND`: registers that no program has, and then a signal or an end. */
static int
wild(int argc, char **argv)
{
    switch (argv[2][0]) {
    case 'r': /* rt_sigreturn on a stack of noise */
        memset((uint8_t *)__builtin_frame_address(0) - 4096, 0xff, 2048);
        __asm__ volatile("sub $4096, %%rsp\nmov $15, %%eax\nsyscall" : : : "memory");
        break;
    case 's': /* a handler that cannot be entered, since there is no stack */
        signal(SIGSEGV, note);
        __asm__ volatile("mov $8, %%rsp\nmov %%rax, (0)" : : : "memory");
        break;
    case 'h': /* a handler at no address */
        signal(SIGSEGV, (void (*)(int))(uintptr_t)UINT64_C(0x8000000000000000));
        __asm__ volatile("mov %%rax, (0)" : : : "memory");
        break;
    case 'j':
        jump(UINT64_C(0x00007fffffffffff));
        break;
    case 'e': /* the last bytes of the last page: the call returns to what is no address */
        jump(UINT64_C(0x8000000000000000));
        break;
    case 't': /* single steps */
        __asm__ volatile("pushfq\norl $0x100, (%%rsp)\npopfq\nnop\nnop" : : : "memory");
        break;
    case 'S': /* a single step into a system call */
        __asm__ volatile("mov $39, %%eax\npushfq\norl $0x100, (%%rsp)\npopfq\nsyscall\nnop"
                         :
                         :
                         : "rax", "rcx", "r11", "memory");
        break;
    case 'n': /* nested task, and an IRET that heeds it */
        __asm__ volatile("pushfq\norl $0x4000, (%%rsp)\npopfq\nmov $39, %%eax\nsyscall\niretq"
                         :
                         :
                         : "rax", "rcx", "r11", "memory");
        break;
    case 'c': /* another code segment */
        __asm__ volatile("pushq $0x10\nlea 1f(%%rip), %%rax\npushq %%rax\nlretq\n1:"
                         :
                         :
                         : "rax", "memory");
        break;
    case 'C': /* by the IRET of the library */
        __asm__ volatile("pushq $0x18\npushq %%rsp\npushq $0x202\npushq $0x10\n"
                         "lea 1f(%%rip), %%rax\npushq %%rax\nmov $0xffffffffc0000210, %%rax\n"
                         "jmp *%%rax\n1:"
                         :
                         :
                         : "rax", "memory");
        break;
    default:
        break;
    }
    printf("went on, at level %u\n", read_cs() & 3);
    return 0;
}

const struct probe probe_hostile[] = {
    {"calls", calls}, {"stubs", stubs}, {"no-stack", no_stack}, {"wild", wild}, {NULL, NULL},
};
