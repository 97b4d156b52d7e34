/* SPDX-License-Identifier: Apache-2.0 */
/* What this process holds of the host, to be compared before and after. */
#ifndef VMK_TEST_USAGE_H
#define VMK_TEST_USAGE_H

struct usage {
    unsigned long descriptors;
    unsigned long mappings;
    unsigned long tasks;
    unsigned long resident; /* KiB */
};

/* Names in a folder such as /proc/self/fd. */
unsigned long
usage_count_entries(const char *path);

unsigned long
usage_count_descriptors(void);

/* Mappings whose line in /proc/self/maps has `part`; NULL for all. */
unsigned long
usage_count_mappings(const char *part);

struct usage
usage_get(void);

/* Assert that nothing was left behind since `before`: no descriptor, no task, and no more than a
 * few mappings and pages that the C library keeps for next time. */
void
usage_check(const struct usage *before);

#endif
