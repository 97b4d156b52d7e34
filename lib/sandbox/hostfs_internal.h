/* SPDX-License-Identifier: Apache-2.0 */
/* What hostfs.c (names), hostfs_file.c (open files) and hostfs_change.c (changes) share. */
#ifndef VMK_SANDBOX_HOSTFS_INTERNAL_H
#define VMK_SANDBOX_HOSTFS_INTERNAL_H

#include "sandbox/node.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct vmk_host_fd;

struct hostfs {
    struct vmk_host_fd *root;
    bool writable;
};

struct host_node {
    struct vmk_node node;
    const struct hostfs *fs;
    int fd;        /* O_PATH, or that of the open file that the node was made for */
    bool borrowed; /* the fd is the mount's */
    uint64_t device;
};

static inline int
host_fd(struct vmk_node *node)
{
    return ((struct host_node *)node)->fd;
}

static inline const struct hostfs *
host_fs(struct vmk_node *node)
{
    return ((struct host_node *)node)->fs;
}

/* openat2(2) that stays in the folder and follows nothing. A descriptor or a negative errno. */
int
vmk_hostfs_openat(int folder, const char *name, uint64_t flags, uint32_t mode);

/* Open anew what a descriptor pins. A descriptor or a negative errno. */
int
vmk_hostfs_reopen(int fd, uint32_t type, uint32_t flags);

/* A node for `fd`, which it takes over, closed on failure too. `like` gives path, mounts and file
 * system, `name` a further component or NULL. */
int
vmk_hostfs_node_new(struct vmk_node *like, const char *name, int fd, struct vmk_node **ret_node);

/* Whether a path of the guest's, links not followed, leads to what a node pins. */
bool
vmk_hostfs_leads_to(struct vmk_files *files, const char *path, struct vmk_node *node);

/* As vmk_node_find_path(), of a file as well. Without proc(5), the path that it was found by. */
int
vmk_hostfs_find_path(struct vmk_files *files, struct vmk_node *node, char path[VMK_PATH_MAX]);

int
vmk_hostfs_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
                struct vmk_file **ret_file);

int
vmk_hostfs_create(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  uint32_t flags, uint32_t mode, struct vmk_file **ret_file);

int
vmk_hostfs_create_unnamed(struct vmk_files *files, struct vmk_node *folder, uint32_t flags,
                          uint32_t mode, struct vmk_file **ret_file);

int
vmk_hostfs_make_folder(struct vmk_files *files, struct vmk_node *folder, const char *name,
                       uint32_t mode);

int
vmk_hostfs_make_link(struct vmk_files *files, struct vmk_node *folder, const char *name,
                     const char *target);

int
vmk_hostfs_remove(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  bool is_folder);

int
vmk_hostfs_rename(struct vmk_files *files, struct vmk_node *old_folder, const char *old_name,
                  struct vmk_node *new_folder, const char *new_name, uint32_t flags);

int
vmk_hostfs_link(struct vmk_files *files, struct vmk_node *node, struct vmk_node *folder,
                const char *name);

int
vmk_hostfs_change(struct vmk_files *files, struct vmk_node *node,
                  const struct vmk_node_change *change);

#endif
