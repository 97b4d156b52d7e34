/* SPDX-License-Identifier: Apache-2.0 */
/* Touch 64 MiB of fresh memory in order, then change it at places that jump about. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS ((size_t)8 << 20)

int
main(void)
{
    uint64_t *words = malloc(WORDS * sizeof *words), sum = 0, at = 12345;
    if (words == NULL)
        return 1;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = i;
    for (int i = 0; i < 4000000; i++) {
        at = at * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sum += words[at >> 41] += at;
    }
    printf("%llu\n", (unsigned long long)sum);
    free(words);
    return 0;
}
