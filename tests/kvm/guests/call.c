/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that declares itself ready, with functions to be called (call_functions.c). Its first
 * argument says how it gets there.
 */
#include <vmkit/guest.h>

#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

jmp_buf call_back_to_main;
static const char *how = "";

static int
is(const char *name)
{
    return strcmp(how, name) == 0;
}

/* What the compiler keeps in registers of any kind stays there, whatever was called meanwhile. */
__attribute__((noinline)) static int
stand(volatile double *values, volatile long *integers)
{
    double a = values[0], b = values[1], c = values[2], d = values[3];
    long e = integers[0], f = integers[1], g = integers[2], h = integers[3], i = integers[4];
    int64_t result = vmkit_guest_ready();
    if (a * b + c * d != 1.5 * 2.5 + 3.5 * 4.5)
        return 98;
    if (e + 10 * f + 100 * g + 1000 * h + 10000 * i != 54321)
        return 99;
    return (int)-result;
}

/* Return from a call that another program was given. */
static void
return_there(const char *to, const char *stack)
{
    uint64_t pc = strtoull(to, NULL, 16), sp = strtoull(stack, NULL, 16);
    __asm__ volatile("movq %1, %%rsp\n\tjmp *%0" : : "r"(pc), "r"(sp) : "memory");
}

int
main(int argc, char **argv)
{
    static volatile double values[4] = {1.5, 2.5, 3.5, 4.5};
    static volatile long integers[5] = {1, 2, 3, 4, 5};
    how = argc > 1 ? argv[1] : "";
    if (is("exit"))
        return 7;
    if (is("return") && argc > 3)
        return_there(argv[2], argv[3]);
    if (setjmp(call_back_to_main) != 0)
        return 100 + (int)-vmkit_guest_ready();
    if (is("other-stack"))
        return call_on_other_stack();
    puts("initialised");
    fflush(stdout);
    int status = stand(values, integers);
    if (is("twice"))
        status += stand(values, integers);
    puts("on");
    if (is("execute"))
        execl("/plug/in", "in", "once", (char *)NULL);
    if (is("spin"))
        spin();
    return status;
}
