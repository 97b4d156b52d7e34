/* SPDX-License-Identifier: Apache-2.0 */
/* The badly behaved program of examples/demo, linked static: it runs inside of a sandbox. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "crash") == 0) {
        *(volatile int *)(uintptr_t)0xdeadbeef000 = 1;
    } else if (strcmp(what, "spin") == 0) {
        for (volatile unsigned i = 0;; i++)
            ;
    } else if (strcmp(what, "hog") == 0 || strcmp(what, "map") == 0) {
        bool touches = *what == 'h';
        for (unsigned mebibytes = 0;; mebibytes += touches ? 1 : 8) {
            char *block = malloc(touches ? 1 << 20 : 8 << 20);
            if (block == NULL) {
                printf("malloc said no after %u MiB\n", mebibytes);
                return 0;
            }
            if (touches)
                memset(block, 1, 1 << 20);
        }
    }
    fprintf(stderr, "usage: demo-guest crash|spin|hog|map\n");
    return 2;
}
