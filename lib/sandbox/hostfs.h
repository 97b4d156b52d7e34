/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host folder, or a single file, shown to the guest with the rights of the calling process.
 *
 * Every name is opened alone, in the folder that the walk has reached, with
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS) and O_PATH: the kernel
 * then neither goes up nor follows a link, whoever renames things meanwhile. What was found is
 * pinned by that descriptor and opened through it, so that what was checked is what is used.
 * Devices, FIFOs and sockets are shown and never opened, and procfs is not entered: through it a
 * guest could reach the memory of the calling process.
 */
#ifndef VMK_SANDBOX_HOSTFS_H
#define VMK_SANDBOX_HOSTFS_H

#include "sandbox/mount.h"

struct vmk_folder_config;

/* 0 or a negative errno. */
int
vmk_hostfs_new(const struct vmk_folder_config *folder, struct vmk_mount *ret_mount);

#endif
