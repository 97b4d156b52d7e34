/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file system shows at which guest path. The mounts form a tree of names of their own that
 * lies over the file systems: where it has a name, that one counts. A folder on the way to a mount
 * that nothing else provides is an empty one.
 */
#ifndef VMK_SANDBOX_MOUNT_H
#define VMK_SANDBOX_MOUNT_H

#include <vmkit/sandbox.h>

#include <stdint.h>

struct vmk_files;
struct vmk_node;

/* The root of a file system, and how to free the rest of it once the root is released. */
struct vmk_mount {
    struct vmk_node *root;
    void *file_system;
    void (*free)(void *file_system);
};

/* Release the root and free the rest; empty mounts are accepted. */
void
vmk_mount_clear(struct vmk_mount *mount);

struct vmk_mount_point {
    struct vmk_mount_point *parent;
    struct vmk_mount_point *children;
    struct vmk_mount_point *next;
    struct vmk_mount mount; /* root is NULL for a folder on the way */
    uint32_t number;        /* inode of that folder */
    char name[];
};

struct vmk_mounts {
    struct vmk_mount_point *root;
    uint32_t count;
};

/* Put a mount at a normal, absolute path, and take it over; freed on failure too. 0, -EEXIST or
 * -ENOMEM. */
int
vmk_mounts_add(struct vmk_mounts *mounts, const char *path, struct vmk_mount mount);

/* Whether something is mounted at just that path. */
int
vmk_mounts_has(const struct vmk_mounts *mounts, const char *path);

/* The point at a normal, absolute path, lent; NULL where nothing is mounted there or below. */
struct vmk_mount_point *
vmk_mounts_find_point(const struct vmk_mounts *mounts, const char *path);

/* The root of a file system that is mounted, lent; NULL for one that is not. */
struct vmk_node *
vmk_mounts_find_root(const struct vmk_mounts *mounts, const void *file_system);

/* Complete the tree: the root folder, if nothing is mounted there. 0 or -ENOMEM. */
int
vmk_mounts_finish(struct vmk_mounts *mounts);

/* Mount what a configuration names, and the private /tmp, /dev and /proc where it names nothing. In
 * mounts.c. 0, or a negative errno with an error. */
int
vmk_mounts_new(struct vmk_files *files, const vmkit_sandbox_config *config,
               vmkit_error **ret_error);

/* The nodes of files that are still open outlive it no more. */
void
vmk_mounts_clear(struct vmk_mounts *mounts);

struct vmk_mount_point *
vmk_mount_point_find(const struct vmk_mount_point *point, const char *name);

/* The point that follows `point` in a walk over all, parents before what is below; NULL at the end.
 */
struct vmk_mount_point *
vmk_mount_point_next(const struct vmk_mount_point *point);

/* The root folder of the guest, lent. */
struct vmk_node *
vmk_mounts_get_root(const struct vmk_mounts *mounts);

/* The node of one name in a folder, mounts first: 0 or a negative errno. */
int
vmk_mounts_lookup(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  struct vmk_node **ret_node);

#endif
