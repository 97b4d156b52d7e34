/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/fdtable.h"

#include "sandbox/file.h"
#include "sandbox/process.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#define FIRST_SIZE 16

void
vmk_fdtable_init(struct vmk_fdtable *table, const struct vmk_process *process, uint32_t limit)
{
    *table = (struct vmk_fdtable){.process = process, .limit = limit};
}

uint32_t
vmk_fdtable_get_limit(const struct vmk_fdtable *table)
{
    uint64_t own;
    vmk_task_get_rlimit(table->process, RLIMIT_NOFILE, &own, NULL);
    return own < table->limit ? (uint32_t)own : table->limit;
}

void
vmk_fdtable_clear(struct vmk_fdtable *table)
{
    for (uint32_t fd = 0; fd < table->size; fd++)
        vmk_file_unref(table->entries[fd].file);
    free(table->entries);
    table->entries = NULL;
    table->size = 0;
}

struct vmk_file *
vmk_fdtable_get(const struct vmk_fdtable *table, uint64_t fd)
{
    /* The kernel takes an int: the upper half of the register does not count. */
    uint32_t number = (uint32_t)fd;
    return number < table->size ? table->entries[number].file : NULL;
}

/* Make room for the number `fd`, which is below the limit. */
static int
grow_to(struct vmk_fdtable *table, uint32_t fd)
{
    if (fd < table->size)
        return 0;
    uint32_t size = table->size == 0 ? FIRST_SIZE : table->size;
    while (size <= fd)
        size *= 2;
    if (size > table->limit)
        size = table->limit;
    struct vmk_fd_entry *entries = realloc(table->entries, size * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    for (uint32_t i = table->size; i < size; i++)
        entries[i] = (struct vmk_fd_entry){0};
    table->entries = entries;
    table->size = size;
    return 0;
}

int
vmk_fdtable_add(struct vmk_fdtable *table, struct vmk_file *file, uint32_t lowest,
                bool close_on_exec)
{
    uint32_t fd = lowest;
    while (fd < table->size && table->entries[fd].file != NULL)
        fd++;
    if (fd >= vmk_fdtable_get_limit(table))
        return -EMFILE;
    int result = grow_to(table, fd);
    if (result < 0)
        return result;
    table->entries[fd] = (struct vmk_fd_entry){file, close_on_exec};
    return (int)fd;
}

int
vmk_fdtable_put(struct vmk_fdtable *table, struct vmk_file *file, uint32_t fd, bool close_on_exec)
{
    if (fd >= table->limit)
        return -EBADF;
    int result = grow_to(table, fd);
    if (result < 0)
        return result;
    vmk_file_unref(table->entries[fd].file);
    table->entries[fd] = (struct vmk_fd_entry){file, close_on_exec};
    return (int)fd;
}

bool
vmk_fdtable_full(const struct vmk_fdtable *table)
{
    uint32_t fd = 0;
    while (fd < table->size && table->entries[fd].file != NULL)
        fd++;
    return fd >= vmk_fdtable_get_limit(table);
}

int
vmk_fdtable_close(struct vmk_fdtable *table, uint64_t fd)
{
    struct vmk_file *file = vmk_fdtable_get(table, fd);
    if (file == NULL)
        return -EBADF;
    table->entries[(uint32_t)fd] = (struct vmk_fd_entry){0};
    vmk_file_unref(file);
    return 0;
}

void
vmk_fdtable_close_on_exec(struct vmk_fdtable *table)
{
    for (uint32_t fd = 0; fd < table->size; fd++) {
        if (table->entries[fd].file != NULL && table->entries[fd].close_on_exec)
            vmk_fdtable_close(table, fd);
    }
}

int
vmk_fdtable_next(const struct vmk_fdtable *table, uint32_t fd)
{
    for (; fd < table->size; fd++) {
        if (table->entries[fd].file != NULL)
            return (int)fd;
    }
    return -1;
}
