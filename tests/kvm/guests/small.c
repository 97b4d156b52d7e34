/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is as small as one can be, for snapshot files that are gone through bit by bit. It
 * writes a file in memory, keeps a number in a vector register and one in memory, says that it is
 * ready, and then exits with 7 when all of that is still there, and with 1 otherwise.
 */
#include <vmkit/guest.h>

#include <stddef.h>
#include <stdint.h>

enum { NR_READ, NR_WRITE, NR_OPEN, NR_LSEEK = 8, NR_EXIT_GROUP = 231 };

static const char text[] = "what was written before";
static volatile uint64_t number;
static char buffer[sizeof text];

static int64_t
call(int64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    int64_t result;
    __asm__ __volatile__("syscall"
                         : "=a"(result)
                         : "a"(nr), "D"(a), "S"(b), "d"(c)
                         : "rcx", "r11", "memory");
    return result;
}

static uint64_t
address_of(const volatile void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* The register's number in between: no code of a compiler's runs. */
static uint64_t
wait_until_ready(uint64_t value)
{
    uint64_t kept;
    __asm__ __volatile__("movq %1, %%xmm5\n\t"
                         "movl %2, %%eax\n\t"
                         "xorl %%edi, %%edi\n\txorl %%esi, %%esi\n\txorl %%edx, %%edx\n\t"
                         "xorl %%r10d, %%r10d\n\txorl %%r8d, %%r8d\n\txorl %%r9d, %%r9d\n\t"
                         "syscall\n\t"
                         "movq %%xmm5, %0"
                         : "=r"(kept)
                         : "r"(value), "i"(VMKIT_GUEST_NR_READY)
                         : "rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "xmm5",
                           "memory");
    return kept;
}

__attribute__((noreturn, used)) static void
begin(void)
{
    uint64_t good = 1;
    int64_t fd = call(NR_OPEN, address_of("/tmp/file"), 0102, 0600);
    call(NR_WRITE, (uint64_t)fd, address_of(text), sizeof text);
    number = 0x0123456789abcdef;
    good &= wait_until_ready(0x5ca1ab1e0ddba11d) == 0x5ca1ab1e0ddba11d;
    good &= number == 0x0123456789abcdef;
    good &= call(NR_LSEEK, (uint64_t)fd, 0, 0) == 0;
    good &= call(NR_READ, (uint64_t)fd, address_of(buffer), sizeof buffer) == sizeof buffer;
    for (size_t i = 0; i < sizeof text; i++)
        good &= buffer[i] == text[i];
    for (;;)
        call(NR_EXIT_GROUP, good ? 7 : 1, 0, 0);
}

__asm__(".globl _start\n_start:\n\txorl %ebp, %ebp\n\tandq $-16, %rsp\n\tcall begin\n\thlt\n");
