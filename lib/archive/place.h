/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a new file is to stand: a folder and a name in it, which is free or a regular file's. What
 * is anything else, a device, a FIFO or a socket, is not to be replaced by a file.
 *
 * A symbolic link is followed, as open(2) with O_CREAT does, so that it stays and the file takes
 * the place of what it leads to. Where the kernel would not follow it, in a sticky folder of
 * others (proc_sys_fs(5), protected_symlinks), it is not followed here either.
 */
#ifndef VMK_ARCHIVE_PLACE_H
#define VMK_ARCHIVE_PLACE_H

#include <vmkit/error.h>

/* Find the place of a path. `ret_folder` and `ret_name` are the caller's to close and to free,
 * untouched on failure. */
int
vmk_place_find(const char *path, int *ret_folder, char **ret_name, vmkit_error **ret_error);

/* Whether the name is still free or a regular file's. `label` is for messages. */
int
vmk_place_check(int folder, const char *name, const char *label, vmkit_error **ret_error);

#endif
