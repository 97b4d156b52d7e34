/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private file system in memory behind /tmp and memfd_create(2). What it takes is charged to
 * the guest's memory; the number of its files has a limit besides. Modes and owners are checked as
 * Linux checks them for the guest's user.
 */
#ifndef VMK_SANDBOX_TMPFS_H
#define VMK_SANDBOX_TMPFS_H

#include "sandbox/mount.h"

struct vmk_file;

/* The most files, folders and links together. */
#define VMK_TMPFS_INODES_MAX 65536

/* A new one whose root shows at `path`. 0 or -ENOMEM. */
int
vmk_tmpfs_new(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount);

#endif
