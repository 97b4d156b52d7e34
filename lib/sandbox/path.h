/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a path of the guest, component by component, the way path_resolution(7) describes it. All
 * symbolic links are followed here, in the guest's own tree, and ".." goes up in that tree too: a
 * file system is only ever asked for one name in one folder.
 */
#ifndef VMK_SANDBOX_PATH_H
#define VMK_SANDBOX_PATH_H

#include <stdbool.h>
#include <stdint.h>

struct vmk_file;
struct vmk_files;
struct vmk_node;

#define VMK_PATH_MAX 4096 /* with the NUL */
#define VMK_NAME_MAX 255
#define VMK_LINKS_MAX 40

enum vmk_lookup_flags {
    VMK_LOOKUP_FOLLOW = 1,  /* a symbolic link at the end is followed */
    VMK_LOOKUP_MISSING = 2, /* that nothing is there is no error: `node` is NULL then */
    VMK_LOOKUP_KEEP = 4,    /* the last name is meant, also a link or a file with a slash behind */
};

enum vmk_lookup_last { VMK_LAST_NAME, VMK_LAST_ROOT, VMK_LAST_DOT, VMK_LAST_DOTDOT };

struct vmk_lookup {
    struct vmk_node *folder; /* where the last name is looked for; NULL unless VMK_LAST_NAME */
    struct vmk_node *node;   /* what is there, or NULL */
    struct vmk_file *file; /* instead of `node`: a magic link led to an open file without a path */
    enum vmk_lookup_last last;
    bool trailing_slash;
    char name[VMK_NAME_MAX + 1];
};

/* Walk `path` from the root, or from the folder that `dirfd` names (AT_FDCWD: the working
 * directory). 0, or the errno of Linux; the caller clears the result after 0. */
int
vmk_path_lookup(struct vmk_files *files, int dirfd, const char *path, unsigned flags,
                struct vmk_lookup *ret_lookup);

void
vmk_lookup_clear(struct vmk_lookup *lookup);

/* The same for those who need what is there and nothing else: 0 and a reference, -ELOOP for a magic
 * link to a file without a path. */
int
vmk_path_find(struct vmk_files *files, int dirfd, const char *path, unsigned flags,
              struct vmk_node **ret_node);

#endif
