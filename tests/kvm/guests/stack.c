/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that puts code on its stack and calls it, as GCC does for a nested function whose
 * address is taken. Linked twice: with a stack that is executable, and with one that is not.
 * `run` exits with what the code returned; `ready` says that it is ready and then does the same;
 * `maps` copies /proc/self/maps to its output; `exec PATH ARGUMENT...` goes on as another program.
 */
#include <vmkit/guest.h>

#include <stdint.h>

enum { NR_READ, NR_WRITE, NR_OPEN, NR_EXECVE = 59, NR_EXIT_GROUP = 231 };

static char buffer[4096];

static int64_t
call(int64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    int64_t result;
    __asm__ __volatile__("xorl %%r10d, %%r10d\n\txorl %%r8d, %%r8d\n\txorl %%r9d, %%r9d\n\tsyscall"
                         : "=a"(result)
                         : "a"(nr), "D"(a), "S"(b), "d"(c)
                         : "rcx", "r11", "r8", "r9", "r10", "memory");
    return result;
}

static uint64_t
address_of(const volatile void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

static int64_t
run_on_stack(void)
{
    /* mov $7, %eax; ret */
    volatile uint8_t code[] = {0xb8, 7, 0, 0, 0, 0xc3};
    return ((int64_t(*)(void))address_of(code))();
}

static int64_t
show_maps(void)
{
    int64_t fd = call(NR_OPEN, address_of("/proc/self/maps"), 0, 0), n;
    while ((n = call(NR_READ, (uint64_t)fd, address_of(buffer), sizeof buffer)) > 0)
        call(NR_WRITE, 1, address_of(buffer), (uint64_t)n);
    return n < 0;
}

/* What the stack begins with: the count of the arguments, and the pointers to them. */
__attribute__((noreturn, used)) static void
begin(char **stack)
{
    char **arguments = stack + 1;
    int64_t status = 99;
    switch (arguments[1][0] + arguments[1][1]) {
    case 'r' + 'e':
        call(VMKIT_GUEST_NR_READY, 0, 0, 0);
        status = run_on_stack();
        break;
    case 'r' + 'u':
        status = run_on_stack();
        break;
    case 'm' + 'a':
        status = show_maps();
        break;
    default:
        call(NR_EXECVE, address_of(arguments[2]), address_of(arguments + 2), 0);
    }
    for (;;)
        call(NR_EXIT_GROUP, (uint64_t)status, 0, 0);
}

__asm__(".globl _start\n_start:\n\txorl %ebp, %ebp\n\tmovq %rsp, %rdi\n\tandq $-16, %rsp\n\t"
        "call begin\n\thlt\n");
