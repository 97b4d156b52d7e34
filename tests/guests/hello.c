/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest program of the C library; linked static, static-PIE and dynamically. */
#include <stdio.h>

int
main(int argc, char **argv)
{
    puts("hello");
    for (int i = 1; i < argc; i++)
        puts(argv[i]);
    return 0;
}
