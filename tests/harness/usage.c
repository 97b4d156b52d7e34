/* SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned long
usage_count_entries(const char *path)
{
    unsigned long count = 0;
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

unsigned long
usage_count_descriptors(void)
{
    return usage_count_entries("/proc/self/fd");
}

unsigned long
usage_count_mappings(const char *part)
{
    char line[4400];
    unsigned long count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL)
        count += part == NULL || strstr(line, part) != NULL;
    fclose(file);
    return count;
}

static unsigned long
get_resident(void)
{
    unsigned long size, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

struct usage
usage_get(void)
{
    return (struct usage){
        .descriptors = usage_count_descriptors(),
        .mappings = usage_count_mappings(NULL),
        .tasks = usage_count_entries("/proc/self/task"),
        .resident = get_resident(),
    };
}

void
usage_check(const struct usage *before)
{
    struct usage now = usage_get();
    ck_assert_uint_eq(now.descriptors, before->descriptors);
    ck_assert_uint_eq(now.tasks, before->tasks);
    /* The sanitizers keep what was freed for a while. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_uint_le(now.mappings, before->mappings + 10);
    ck_assert_uint_le(now.resident, before->resident + 1024);
#endif
}
