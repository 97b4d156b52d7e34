/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's descriptors: numbers for open files, up to the limit that the embedder set. New ones
 * are below the guest's own RLIMIT_NOFILE, too; what is open above it stays.
 */
#ifndef VMK_SANDBOX_FDTABLE_H
#define VMK_SANDBOX_FDTABLE_H

#include <stdbool.h>
#include <stdint.h>

struct vmk_file;
struct vmk_process;

struct vmk_fdtable {
    const struct vmk_process *process;
    struct vmk_fd_entry {
        struct vmk_file *file;
        bool close_on_exec;
    } * entries;
    uint32_t size; /* of entries; grows up to `limit` */
    uint32_t limit;
};

void
vmk_fdtable_init(struct vmk_fdtable *table, const struct vmk_process *process, uint32_t limit);

/* What a new descriptor has to be below. */
uint32_t
vmk_fdtable_get_limit(const struct vmk_fdtable *table);

/* Close all and free what the table holds. */
void
vmk_fdtable_clear(struct vmk_fdtable *table);

/* The file of a descriptor as a system call passes it, lent; NULL where none is open. */
struct vmk_file *
vmk_fdtable_get(const struct vmk_fdtable *table, uint64_t fd);

/* Give `file` the lowest free number from `lowest` on, and take over the caller's reference. The
 * number; -EMFILE, or -ENOMEM, and the reference stays the caller's. */
int
vmk_fdtable_add(struct vmk_fdtable *table, struct vmk_file *file, uint32_t lowest,
                bool close_on_exec);

/* Give `file` this very number, closing what has it; as vmk_fdtable_add(). -EBADF for a number that
 * is not below the embedder's limit. */
int
vmk_fdtable_put(struct vmk_fdtable *table, struct vmk_file *file, uint32_t fd, bool close_on_exec);

/* Whether no descriptor is left. */
bool
vmk_fdtable_full(const struct vmk_fdtable *table);

/* 0 or -EBADF. */
int
vmk_fdtable_close(struct vmk_fdtable *table, uint64_t fd);

void
vmk_fdtable_close_on_exec(struct vmk_fdtable *table);

/* The lowest number from `fd` on that is open; -1 for none. */
int
vmk_fdtable_next(const struct vmk_fdtable *table, uint32_t fd);

#endif
