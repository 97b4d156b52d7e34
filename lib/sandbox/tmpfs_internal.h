/* SPDX-License-Identifier: Apache-2.0 */
/* What tmpfs.c (nodes), tmpfs_inode.c (inodes and folders), tmpfs_name.c (changes of names) and
 * tmpfs_file.c (open files) share. */
#ifndef VMK_SANDBOX_TMPFS_INTERNAL_H
#define VMK_SANDBOX_TMPFS_INTERNAL_H

#include "sandbox/node.h"
#include "sandbox/pages.h"

#include <stdbool.h>
#include <stdint.h>

struct tmp_inode;
struct vmk_process;

struct tmpfs {
    struct vmk_process *process; /* whose limits of time the freeing of many pages looks at */
    struct vmk_memory_account *account;
    struct tmp_inode *all; /* so that freeing needs no recursion */
    uint32_t count;
    uint64_t next_number;
    uint64_t generation; /* Another one after every change of names, contents or attributes, */
    uint64_t loaded;     /* which one it was when it came from a snapshot. */
};

/* A name in a folder. Positions of getdents are cookies, which only grow. */
struct tmp_entry {
    struct tmp_inode *inode;
    struct tmp_entry *previous;
    struct tmp_entry *next;
    struct tmp_entry *chain; /* the next one with the same place in `names` */
    uint64_t cookie;
    uint32_t hash;
    char name[];
};

struct tmp_inode {
    struct tmpfs *fs;
    struct tmp_inode *all_previous;
    struct tmp_inode *all_next;
    unsigned references; /* of nodes and of entries */
    uint32_t links;
    uint32_t type;
    uint32_t mode; /* permission bits */
    uint32_t uid;
    uint32_t gid;
    uint64_t number;
    struct timespec accessed;
    struct timespec modified;
    struct timespec changed;
    struct timespec born;

    /* A folder. */
    struct tmp_inode *parent; /* NULL for the root, and once it is removed, */
    struct tmp_entry *name;   /* as is its only name there */
    struct tmp_entry **names; /* a hash table; NULL before the first name */
    uint32_t name_mask;       /* the table's size less 1, a power of two */
    uint32_t name_count;
    struct tmp_entry *first;
    struct tmp_entry *last;
    uint64_t next_cookie;
    bool removed;

    /* A regular file. */
    struct vmk_pages pages;
    uint64_t size;

    char *target; /* of a symbolic link, with `size` */
};

struct tmp_node {
    struct vmk_node node;
    struct tmp_inode *inode;
};

static inline struct tmp_inode *
tmp_inode(struct vmk_node *node)
{
    return ((struct tmp_node *)node)->inode;
}

/* A new inode of the guest's user with one reference; -ENOSPC at a limit. */
int
vmk_tmp_inode_new(struct vmk_files *files, struct tmpfs *fs, uint32_t type, uint32_t mode,
                  struct tmp_inode **ret_inode);

void
vmk_tmp_inode_unref(struct tmp_inode *inode);

/* Make holes of the pages [first, last]; some stay when the process must stop. */
void
vmk_tmp_drop_pages(struct tmp_inode *inode, uint64_t first, uint64_t last);

/* Free all, whoever refers to it. */
void
vmk_tmp_free_all(struct tmpfs *fs);

/* Free all but the root, whoever refers to it, and make that an empty folder. */
void
vmk_tmp_empty(struct tmpfs *fs, struct tmp_inode *root);

struct tmp_entry *
vmk_tmp_find(const struct tmp_inode *folder, const char *name);

/* Add a name, which refers to the inode and counts as a link of it. 0 or -ENOSPC. */
int
vmk_tmp_add(struct tmp_inode *folder, const char *name, struct tmp_inode *inode);

void
vmk_tmp_remove(struct tmp_inode *folder, struct tmp_entry *entry);

/* Give the name `target` to what `entry` leads to, in place of what it led to, and remove `entry`.
 * It needs no memory. */
void
vmk_tmp_move_over(struct tmp_inode *from, struct tmp_entry *entry, struct tmp_inode *to,
                  struct tmp_entry *target);

/* See vmk_node_find_path(). */
int
vmk_tmp_find_path(struct vmk_files *files, struct vmk_node *folder, char path[VMK_PATH_MAX]);

void
vmk_tmp_touch(struct tmp_inode *inode, bool modified);

int
vmk_tmp_permitted(struct vmk_files *files, const struct tmp_inode *inode, int mode);

int
vmk_tmp_node_new(struct vmk_node *folder, const char *name, struct tmp_inode *inode,
                 struct vmk_node **ret_node);

void
vmk_tmp_statx(const struct tmp_inode *inode, struct statx *status);

int
vmk_tmp_open(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
             struct vmk_file **ret_file);

int
vmk_tmp_create(struct vmk_files *files, struct vmk_node *folder, const char *name, uint32_t flags,
               uint32_t mode, struct vmk_file **ret_file);

int
vmk_tmp_create_unnamed(struct vmk_files *files, struct vmk_node *folder, uint32_t flags,
                       uint32_t mode, struct vmk_file **ret_file);

int
vmk_tmp_make_folder(struct vmk_files *files, struct vmk_node *folder, const char *name,
                    uint32_t mode);

int
vmk_tmp_make_link(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  const char *target);

int
vmk_tmp_unlink(struct vmk_files *files, struct vmk_node *folder, const char *name, bool is_folder);

int
vmk_tmp_rename(struct vmk_files *files, struct vmk_node *old_folder, const char *old_name,
               struct vmk_node *new_folder, const char *new_name, uint32_t flags);

int
vmk_tmp_link(struct vmk_files *files, struct vmk_node *node, struct vmk_node *folder,
             const char *name);

#endif
