/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems whose contents are made up when they are asked for: /dev and /proc. Each is a table
 * of entries; nothing in them can be changed.
 */
#ifndef VMK_SANDBOX_PSEUDO_H
#define VMK_SANDBOX_PSEUDO_H

#include "sandbox/mount.h"
#include "sandbox/node.h"

#include <stdint.h>

struct vmk_dirent_sink;
struct vmk_text;
struct vmk_file_ops;

struct vmk_pseudo_entry {
    const char *name; /* the path below the mount, without a slash at the front; "" for the root */
    uint32_t mode;    /* with the type */
    uint32_t device_major;
    uint32_t device_minor;
    const struct vmk_file_ops *device; /* of a device; NULL: opening it is ENXIO */
    const char *link;                  /* of a symbolic link with a fixed text */

    /* The text of a file or of a link. NULL with `link` and `device` NULL: a folder. */
    void (*text)(struct vmk_files *files, struct vmk_text *text);

    /* Where a magic link leads; see struct vmk_node_ops. */
    int (*follow)(struct vmk_files *files, uint32_t number, struct vmk_node **ret_node,
                  struct vmk_file **ret_file);

    /* The file of a magic link may need its node's number: /proc/self/fd/N. */
    void (*number_text)(struct vmk_files *files, uint32_t number, struct vmk_text *text);

    /* A folder with names that are no entries: its numbers, one after the other from `from` on; -1
     * at the end. Each is a link with the entry `numbers`. */
    int (*next_number)(struct vmk_files *files, uint32_t from);
    const struct vmk_pseudo_entry *numbers;
};

struct vmk_pseudo_table {
    const struct vmk_pseudo_entry *entries; /* the root first */
    uint32_t count;
    uint32_t device_minor; /* st_dev */
    int64_t magic;         /* f_type of statfs */
};

/* 0 or -ENOMEM. */
int
vmk_pseudo_new(const struct vmk_pseudo_table *table, struct vmk_files *files, const char *path,
               struct vmk_mount *ret_mount);

int
vmk_devfs_new(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount);

int
vmk_procfs_new(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount);

#endif
