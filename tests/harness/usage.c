/* SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static unsigned long
count_entries(const char *path)
{
    unsigned long count = 0;
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static unsigned long
count_mappings(void)
{
    unsigned long lines = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(file);
    for (int c; (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
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
        .descriptors = count_entries("/proc/self/fd"),
        .mappings = count_mappings(),
        .tasks = count_entries("/proc/self/task"),
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
