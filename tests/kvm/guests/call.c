/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that declares itself ready, with functions to be called. Its first argument says how it
 * gets there.
 */
#include <vmkit/guest.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *how = "";

static int
is(const char *name)
{
    return strcmp(how, name) == 0;
}

/* What the compiler keeps in vector registers stays there. */
__attribute__((noinline)) static int
stand(volatile double *values)
{
    double a = values[0], b = values[1], c = values[2], d = values[3];
    int64_t result = vmkit_guest_ready();
    if (a * b + c * d != 1.5 * 2.5 + 3.5 * 4.5)
        return 99;
    return (int)-result;
}

int
main(int argc, char **argv)
{
    static volatile double values[4] = {1.5, 2.5, 3.5, 4.5};
    how = argc > 1 ? argv[1] : "";
    if (is("exit"))
        return 7;
    puts("initialised");
    fflush(stdout);
    int status = stand(values);
    if (is("twice"))
        status += stand(values);
    puts("on");
    if (is("spin")) {
        for (volatile int i = 0;; i++)
            ;
    }
    return status;
}
