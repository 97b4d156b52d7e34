/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox's tree of names consists of. */
#include "sandbox/config.h"
#include "sandbox/files.h"
#include "sandbox/hostfs_internal.h"
#include "sandbox/hostfs.h"
#include "sandbox/mount.h"
#include "sandbox/pseudo.h"
#include "sandbox/tmpfs.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef int
mount_new_fn(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount);

static const struct {
    const char *path;
    mount_new_fn *make;
} own_mounts[] = {
    {"/dev", vmk_devfs_new},
    {"/proc", vmk_procfs_new},
};

/* On a kernel before 5.6, or under a filter, a guest could not open a single file of a folder. */
static int
check_folders(const vmkit_sandbox_config *config, vmkit_error **ret_error)
{
    for (size_t i = 0; i < config->folder_count; i++) {
        const struct vmk_folder_config *folder = &config->folders[i];
        if (!folder->is_directory)
            continue;
        int fd = vmk_hostfs_openat(folder->fd->fd, ".", O_PATH, 0);
        if (fd == -ENOSYS || fd == -EPERM)
            return vmk_error_set_known(ret_error, -fd, 0, VMKIT_ERROR_IO,
                                       "the folder at guest path \"%.80s\" needs openat2(2)",
                                       folder->guest_path);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    return 0;
}

static int
add_folders(struct vmk_files *files, const vmkit_sandbox_config *config)
{
    for (size_t i = 0; i < config->folder_count; i++) {
        struct vmk_mount mount;
        int result = vmk_hostfs_new(&config->folders[i], &mount);
        if (result == 0)
            result = vmk_mounts_add(&files->mounts, config->folders[i].guest_path, mount);
        if (result < 0)
            return result;
    }
    return 0;
}

static int
add_own(struct vmk_files *files)
{
    struct vmk_mount mount;
    int result = 0;
    for (size_t i = 0; i < sizeof own_mounts / sizeof own_mounts[0] && result == 0; i++) {
        if (vmk_mounts_has(&files->mounts, own_mounts[i].path))
            continue;
        result = own_mounts[i].make(files, own_mounts[i].path, &mount);
        if (result == 0)
            result = vmk_mounts_add(&files->mounts, own_mounts[i].path, mount);
    }
    if (result < 0)
        return result;

    /* memfd_create(2) needs the file system in memory also where a folder hides it. */
    result = vmk_tmpfs_new(files, "/tmp", &mount);
    if (result < 0)
        return result;
    if (!vmk_mounts_has(&files->mounts, "/tmp"))
        return vmk_mounts_add(&files->mounts, "/tmp", mount);
    files->scratch = mount;
    return 0;
}

int
vmk_mounts_new(struct vmk_files *files, const vmkit_sandbox_config *config, vmkit_error **ret_error)
{
    int result = check_folders(config, ret_error);
    if (result < 0)
        return result;
    result = add_folders(files, config);
    if (result == 0)
        result = add_own(files);
    if (result == 0)
        result = vmk_mounts_finish(&files->mounts);
    return result == 0 ? 0
                       : vmk_error_set_known(ret_error, -result, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                             "cannot build the tree of files of a sandbox");
}
