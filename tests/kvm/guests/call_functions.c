/* SPDX-License-Identifier: Apache-2.0 */
/* Functions to be called from outside, each of them to show one thing. */
#include <vmkit/guest.h>

#include "call.h"

#include <complex.h>
#include <fcntl.h>
#include <fenv.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

/* By name alone: nothing here calls them. */
#define CALLED static __attribute__((used, noinline))

CALLED void
nothing(void)
{
}

CALLED int64_t
weigh(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int64_t g, int64_t h,
      int64_t i)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i;
}

CALLED int32_t
negate(int32_t value)
{
    return -value;
}

CALLED double
weigh_doubles(double a, double b, double c, double d, double e, double f, double g, double h,
              double i, double j)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j;
}

/* More of both kinds than there are registers, in an order in which they take turns. */
CALLED double
mix(int8_t a, float b, int16_t c, double d, int32_t e, float f, int64_t g, double h, int64_t i,
    float j, int64_t k, double l, int64_t m, float n, double o, float p, double q)
{
    return a + 2. * b + 3. * c + 4. * d + 5. * e + 6. * f + 7. * (double)g + 8. * h +
           9. * (double)i + 10. * j + 11. * (double)k + 12. * l + 13. * (double)m + 14. * n +
           15. * o + 16. * p + 17. * q;
}

CALLED float
halve(float value)
{
    return value / 2;
}

struct pair {
    int64_t first, second;
};

CALLED struct pair
divide(int64_t a, int64_t b)
{
    return (struct pair){a / b, a % b};
}

CALLED double complex
turn(double real, double imaginary)
{
    return -imaginary + I * real;
}

struct both {
    double real;
    int64_t integer;
};

CALLED struct both
split(double value)
{
    return (struct both){value - floor(value), (int64_t)floor(value)};
}

CALLED uint64_t
add_up(const uint8_t *data, uint64_t size)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    return sum;
}

CALLED void
fill(uint8_t *data, uint64_t size, uint8_t first)
{
    for (uint64_t i = 0; i < size; i++)
        data[i] = (uint8_t)(first + i);
}

CALLED void
reverse(uint8_t *data, uint64_t size)
{
    for (uint64_t i = 0; i < size / 2; i++) {
        uint8_t byte = data[i];
        data[i] = data[size - 1 - i];
        data[size - 1 - i] = byte;
    }
}

/* The largest power of two up to a page that divides all four, which lie apart. */
CALLED uint64_t
alignment(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    uint64_t all = (uintptr_t)a | (uintptr_t)b | (uintptr_t)c | (uintptr_t)d | 4096;
    return all & -all;
}

CALLED int
unmap(void *data, size_t size)
{
    uintptr_t from = (uintptr_t)data & ~(uintptr_t)4095;
    return munmap((void *)from, ((uintptr_t)data + size + 4095 - from) & ~(size_t)4095);
}

/* Uses up that much stack and comes back. */
CALLED uint64_t
sink(uint64_t bytes)
{
    volatile uint8_t room[1024];
    memset((void *)(uintptr_t)room, (int)bytes, sizeof room);
    return bytes <= sizeof room ? room[5] : sink(bytes - sizeof room) + room[7] - room[9];
}

/* What a function finds: the stack pointer modulo 64, the flags, MXCSR and the x87 control word. */
__asm__(".globl entry_state\n"
        ".type entry_state, @function\n"
        "entry_state:\n"
        "    movq %rsp, (%rdi)\n"
        "    pushfq\n"
        "    popq 8(%rdi)\n"
        "    movq $0, 16(%rdi)\n"
        "    stmxcsr 16(%rdi)\n"
        "    movq $0, 24(%rdi)\n"
        "    fnstcw 24(%rdi)\n"
        "    movq $0, 32(%rdi)\n"
        "    fnstenv -32(%rsp)\n"
        "    movzwl -24(%rsp), %eax\n"
        "    movq %rax, 32(%rdi)\n"
        "    movq %rbp, 40(%rdi)\n"
        "    ret\n");

/* Leaves nothing as it was, but for the stack pointer: no calling convention is kept. */
__asm__(".globl clobber\n"
        ".type clobber, @function\n"
        "clobber:\n"
        "    movl $0x1111, %ebx\n"
        "    movl $0x2222, %ebp\n"
        "    movl $0x3333, %r12d\n"
        "    movl $0x4444, %r13d\n"
        "    movl $0x5555, %r14d\n"
        "    movl $0x6666, %r15d\n"
        "    movl $0x7777, %r8d\n"
        "    movl $0x8888, %r10d\n"
        "    pcmpeqd %xmm0, %xmm0\n"
        "    pcmpeqd %xmm5, %xmm5\n"
        "    pcmpeqd %xmm15, %xmm15\n"
        "    std\n"
        "    ret\n");

CALLED int
round_up_from_now_on(void)
{
    return fesetround(FE_UPWARD);
}

CALLED double
third(double value)
{
    return value / 3;
}

CALLED void
quit(int status)
{
    exit(status);
}

CALLED void
crash(volatile int *where)
{
    *where = 1;
}

_Noreturn void
spin(void)
{
    for (volatile uint64_t i = 0;; i++)
        ;
}

CALLED void
rest(void)
{
    for (;;)
        pause();
}

CALLED void
jump_out(void)
{
    longjmp(call_back_to_main, 1);
}

CALLED int64_t
ready_again(void)
{
    return vmkit_guest_ready();
}

/* Goes where it would return to, with another stack pointer than the return has. */
__asm__(".globl return_askew\n"
        ".type return_askew, @function\n"
        "return_askew:\n"
        "    movq (%rsp), %rax\n"
        "    subq $64, %rsp\n"
        "    jmp *%rax\n");

__asm__(".globl go_to\n"
        ".type go_to, @function\n"
        "go_to:\n"
        "    jmp *%rdi\n");

static volatile sig_atomic_t alarms;

static void
count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

CALLED int
start_alarms(int64_t first_us, int64_t interval_us)
{
    struct sigaction action = {.sa_handler = count_alarm};
    struct itimerval never = {0}, timer = {.it_value = {.tv_usec = first_us},
                                           .it_interval = {.tv_usec = interval_us}};
    /* What a timer before this one sent comes before the count begins. */
    setitimer(ITIMER_REAL, &never, NULL);
    alarms = 0;
    sigaction(SIGALRM, &action, NULL);
    return setitimer(ITIMER_REAL, &timer, NULL);
}

/* Computes until so many came, so that each of them interrupts it. */
CALLED int
wait_for_alarms(int count)
{
    while (alarms < count)
        ;
    return alarms;
}

CALLED int
get_alarms(void)
{
    return alarms;
}

CALLED int64_t
say(const char *text, uint64_t size)
{
    return write(STDOUT_FILENO, text, size);
}

CALLED int
become(const char *path, const char *first, const char *second)
{
    return execl(path, first, second, (char *)NULL);
}

/* The same, and the new program is told where this function would have returned to. */
CALLED int
become_knowing(const char *path)
{
    char to[32], stack[32];
    snprintf(to, sizeof to, "%llx", (unsigned long long)(uintptr_t)__builtin_return_address(0));
    snprintf(stack, sizeof stack, "%llx", (unsigned long long)(uintptr_t)__builtin_dwarf_cfa());
    return execl(path, "call", "return", to, stack, (char *)NULL);
}

CALLED uint64_t
get_segments(void)
{
    uint16_t ds, es;
    __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1" : "=r"(ds), "=r"(es));
    return (uint64_t)es << 16 | ds;
}

CALLED uint64_t
set_segments(uint64_t selector)
{
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"((uint16_t)selector));
    return get_segments();
}

CALLED int
open_file(const char *path, int flags)
{
    return open(path, flags);
}

/* Without touching any of it. */
CALLED void *
map_file(const char *path, size_t size)
{
    int fd = open(path, O_RDONLY);
    void *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return at;
}

/* As C++ would name it. */
static int
cxx_add(int a, int b) __asm__("_Z3addii");

CALLED int
cxx_add(int a, int b)
{
    return a + b;
}

__attribute__((used)) static uint64_t table[4] = {11, 22, 33, 44};
__attribute__((used)) static __thread int per_thread = 5;
static const char *greeting = "good day";

CALLED int
get_per_thread(void)
{
    return per_thread;
}

CALLED const char *
greet(void)
{
    return greeting;
}

static uint8_t other_stack[128 << 10] __attribute__((aligned(4096)));

static void
stand_there(void)
{
    vmkit_guest_ready();
    _exit(0);
}

int
call_on_other_stack(void)
{
    mprotect(other_stack, 4096, PROT_READ);
    __asm__ volatile("movq %0, %%rsp\n\tcall *%1"
                     :
                     : "r"(other_stack + sizeof other_stack), "r"(stand_there)
                     : "memory");
    return 1;
}

/* Words in pages of their own, of which a call writes some. */
#define WORD_PAGES 128
static volatile uint64_t words[WORD_PAGES][512] __attribute__((aligned(4096)));

CALLED void
scatter(uint64_t step, uint64_t value)
{
    for (uint64_t i = 0; i < WORD_PAGES; i += step)
        words[i][3] = value;
}

CALLED uint64_t
gather(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < WORD_PAGES; i++)
        sum += words[i][3] * (i + 1);
    return sum;
}
