/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A third of a second of work for a processor: integers, floating point and branches that are hard
 * to foresee, on data that fits the first cache.
 */
#include <stdint.h>
#include <stdio.h>

#define SIZE 32
#define WORDS 2048

static uint64_t state = 88172645463325252;

static uint64_t
next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double
multiply(void)
{
    static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            a[i][j] = (double)(next_random() % 1000) / 1000;
            b[i][j] = (double)(next_random() % 1000) / 1000;
        }
    }
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            c[i][j] = 0;
            for (int k = 0; k < SIZE; k++)
                c[i][j] += a[i][k] * b[k][j];
        }
    }
    return c[SIZE / 2][SIZE / 3];
}

static uint32_t
sort(void)
{
    static uint32_t words[WORDS];
    for (int i = 0; i < WORDS; i++)
        words[i] = (uint32_t)next_random();
    for (int gap = WORDS / 2; gap > 0; gap /= 2) {
        for (int i = gap; i < WORDS; i++) {
            uint32_t value = words[i];
            int at = i;
            for (; at >= gap && words[at - gap] > value; at -= gap)
                words[at] = words[at - gap];
            words[at] = value;
        }
    }
    return words[WORDS / 2];
}

int
main(void)
{
    double sum = 0;
    for (int round = 0; round < 1200; round++)
        sum += multiply() + sort() % 1000;
    printf("%.6f\n", sum);
    return 0;
}
