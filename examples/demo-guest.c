/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of examples/demo, linked static, which run inside of a sandbox: badly behaved ones,
 * and one that takes its time to begin. */
#include <vmkit/guest.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many primes there are below a number: what a program computes before it is of use. */
static unsigned
count_primes(unsigned below)
{
    unsigned count = 0;
    char *composite = calloc(below, 1);

    for (unsigned p = 2; composite != NULL && p < below; p++) {
        count += composite[p] == 0;
        for (unsigned multiple = 2 * p; multiple < below; multiple += p)
            composite[multiple] = 1;
    }
    free(composite);
    return count;
}

static int
serve_after_start(void)
{
    unsigned count = count_primes(10000000);

    printf("demo-guest: has counted, and is ready\n");
    fflush(stdout);
    vmkit_guest_ready();
    printf("demo-guest: there are %u primes below 10,000,000\n", count);
    return 0;
}

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
    } else if (strcmp(what, "serve") == 0) {
        return serve_after_start();
    }
    fprintf(stderr, "usage: demo-guest crash|spin|hog|map|serve\n");
    return 2;
}
