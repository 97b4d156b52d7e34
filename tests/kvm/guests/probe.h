/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with many small tasks, each named by its first argument. It prints what a correct Linux
 * prints, whatever it runs on, and exits with 0; or says what is wrong and exits with 1.
 */
#ifndef VMK_TEST_PROBE_H
#define VMK_TEST_PROBE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct probe {
    const char *name;
    int (*run)(int argc, char **argv);
};

/* Each ends with an entry without a name. */
extern const struct probe probe_memory[];
extern const struct probe probe_rights[];
extern const struct probe probe_cpu[];
extern const struct probe probe_hostile[];
extern const struct probe probe_fuzz[];
extern const struct probe probe_exhaust[];
extern const struct probe probe_process[];
extern const struct probe probe_exec[];
extern const struct probe probe_files[];
extern const struct probe probe_busy[];
extern const struct probe probe_mapped[];

#define CHECK(condition)                                                   \
    do {                                                                   \
        if (!(condition)) {                                                \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                       \
        }                                                                  \
    } while (0)

/* xorshift64: the same sequence everywhere. */
static inline uint64_t
probe_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
