/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place in the guest's tree of names: a folder, a file, a symbolic link, wherever it lives. A
 * file system makes nodes when a path is walked (path.c) and forgets them after; a node is what a
 * path led to at that moment, and an operation on a name is always given the folder's node and one
 * component, so that ".." and symbolic links never reach a file system.
 */
#ifndef VMK_SANDBOX_NODE_H
#define VMK_SANDBOX_NODE_H

#include "sandbox/path.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>

struct vmk_file;
struct vmk_files;
struct vmk_mount_point;
struct vmk_node;
struct vmk_state_place;

/* What a chmod, chown or utimensat changes. */
struct vmk_node_change {
    bool set_mode;
    bool set_owner;
    bool set_times;
    uint32_t mode;
    uint32_t uid; /* UINT32_MAX: keep */
    uint32_t gid;
    struct timespec times[2]; /* with UTIME_NOW and UTIME_OMIT */
};

/* All return 0 or a negative errno. A NULL operation that changes something: EACCES; a NULL lookup:
 * ENOENT; a NULL readlink: EINVAL. `files` says who asks. */
struct vmk_node_ops {
    /* Whether unlink, rename and their like are refused with EROFS. */
    bool (*read_only)(struct vmk_node *node);

    /* The node of one name in a folder. The walker has checked that it is a folder. */
    int (*lookup)(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  struct vmk_node **ret_node);

    /* The same for several names at once, separated by single slashes, none of which is a symbolic
     * link but the last: -EAGAIN when one is, and the walker goes one by one. May be NULL. */
    int (*lookup_many)(struct vmk_files *files, struct vmk_node *folder, const char *names,
                       struct vmk_node **ret_node);

    int (*statx)(struct vmk_node *node, struct statx *status);
    ssize_t (*readlink)(struct vmk_files *files, struct vmk_node *node, char *buffer, size_t size);

    /* Where a magic link of /proc/self leads, instead of its text: a file or a node. -EAGAIN for a
     * link that is followed by its text. */
    int (*follow)(struct vmk_files *files, struct vmk_node *node, struct vmk_node **ret_node,
                  struct vmk_file **ret_file);

    /* Open what is there. */
    int (*open)(struct vmk_files *files, struct vmk_node *node, uint32_t flags,
                struct vmk_file **ret_file);

    /* Make a regular file that is not there yet, and open it. */
    int (*create)(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  uint32_t flags, uint32_t mode, struct vmk_file **ret_file);

    /* A regular file without a name (O_TMPFILE). */
    int (*create_unnamed)(struct vmk_files *files, struct vmk_node *folder, uint32_t flags,
                          uint32_t mode, struct vmk_file **ret_file);

    int (*make_folder)(struct vmk_files *files, struct vmk_node *folder, const char *name,
                       uint32_t mode);
    int (*make_link)(struct vmk_files *files, struct vmk_node *folder, const char *name,
                     const char *target);
    int (*remove)(struct vmk_files *files, struct vmk_node *folder, const char *name,
                  bool is_folder);

    /* Both folders are of the same file system. `flags` are those of renameat2(2). */
    int (*rename)(struct vmk_files *files, struct vmk_node *old_folder, const char *old_name,
                  struct vmk_node *new_folder, const char *new_name, uint32_t flags);
    int (*link)(struct vmk_files *files, struct vmk_node *node, struct vmk_node *folder,
                const char *name);

    int (*change)(struct vmk_files *files, struct vmk_node *node,
                  const struct vmk_node_change *change);
    int (*access)(struct vmk_files *files, struct vmk_node *node, int mode);
    int (*statfs)(struct vmk_node *node, struct statfs *status);

    /* Of a folder: see vmk_node_find_path(). NULL: it stays where it was found. */
    int (*find_path)(struct vmk_files *files, struct vmk_node *folder, char path[VMK_PATH_MAX]);

    /* How a snapshot carries it (state_codec.h); NULL: it cannot. */
    const struct vmk_state_place *state;

    /* Free what the file system holds; node.c frees the structure. NULL: nothing to do. */
    void (*destroy)(struct vmk_node *node);
};

struct vmk_node {
    unsigned references;
    uint32_t type; /* S_IFDIR and its like */
    const struct vmk_node_ops *ops;
    const void *file_system;       /* links and renames stay inside of one */
    struct vmk_mount_point *point; /* not NULL where mounts lie here or below */
    char *path; /* the guest's path to it when it was found, without symbolic links */
};

/* Allocate `size` bytes, of which struct vmk_node is the first part, zeroed. The path is that of
 * `folder` with `name`, or a copy of `name` when `folder` is NULL. NULL without memory. */
void *
vmk_node_new(size_t size, const struct vmk_node_ops *ops, uint32_t type, const void *file_system,
             const struct vmk_node *folder, const char *name);

struct vmk_node *
vmk_node_ref(struct vmk_node *node);

/* Accepts NULL. */
void
vmk_node_unref(struct vmk_node *node);

int
vmk_node_statx(struct vmk_node *node, struct statx *status);

/* The guest's path of a folder as it is now, after renames of it and of those above: 0. 1 for one
 * that was removed, with the path that it had. -ENOENT when it lies nowhere in the guest's tree any
 * more, -ENAMETOOLONG. */
int
vmk_node_find_path(struct vmk_files *files, struct vmk_node *folder, char path[VMK_PATH_MAX]);

/* The path that a node was found by. 0 or -ENAMETOOLONG. */
int
vmk_node_copy_path(const struct vmk_node *node, char path[VMK_PATH_MAX]);

bool
vmk_node_read_only(struct vmk_node *node);

/* The checks of access(2) for something with an owner and mode bits; 0 or -EACCES. `mode` is a sum
 * of R_OK, W_OK and X_OK. */
int
vmk_node_permitted(struct vmk_files *files, uint32_t mode_bits, uint32_t uid, uint32_t gid,
                   int mode);

#endif
