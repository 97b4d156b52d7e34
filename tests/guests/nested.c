/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A nested function whose address is taken, for which GCC puts a trampoline on the
 * stack. It needs a stack that is executable.
 */
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    int numbers[] = {3, 1, 4, 1, 5, 9, 2, 6}, sign = argc > 1 ? -1 : 1;

    int compare(const void *a, const void *b)
    {
        int x = *(const int *)a, y = *(const int *)b;
        return sign * ((x > y) - (x < y));
    }

    qsort(numbers, sizeof numbers / sizeof numbers[0], sizeof numbers[0], compare);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        printf("%d\n", numbers[i]);
    return 0;
}
