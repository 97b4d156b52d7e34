/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host folders of a configuration. A folder is opened when it is named, with O_PATH, so that
 * what is shown to the guest is what the embedder saw, whatever is renamed later. A folder of
 * procfs is refused: through it a guest could read and write the memory of the calling process.
 */
#include "sandbox/config.h"

#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define GUEST_PATH_MAX 4095
#define GUEST_NAME_MAX 255

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for a folder of a sandbox");
}

/* Store `path` without doubled and trailing slashes. 0, or -EINVAL or -ENAMETOOLONG. */
static int
guest_path_normalise(const char *path, char *normal, vmkit_error **ret_error)
{
    if (path == NULL || path[0] != '/')
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "guest path \"%.80s\" is not absolute", path == NULL ? "NULL" : path);
    if (strlen(path) > GUEST_PATH_MAX)
        return vmk_error_set(ret_error, ENAMETOOLONG, VMKIT_ERROR_LIMIT,
                             "a guest path of %zu bytes is above the limit of %d", strlen(path),
                             GUEST_PATH_MAX);

    char *end = normal;
    for (const char *at = path + strspn(path, "/"); *at != '\0'; at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        if (length > GUEST_NAME_MAX)
            return vmk_error_set(ret_error, ENAMETOOLONG, VMKIT_ERROR_LIMIT,
                                 "a name of %zu bytes in a guest path is above the limit of %d",
                                 length, GUEST_NAME_MAX);
        if ((length == 1 && at[0] == '.') || (length == 2 && at[0] == '.' && at[1] == '.'))
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                                 "guest path \"%.80s\" contains \".\" or \"..\"", path);
        *end++ = '/';
        memcpy(end, at, length);
        end += length;
        at += length;
    }
    if (end == normal)
        *end++ = '/';
    *end = '\0';
    return 0;
}

static int
folder_check(const vmkit_sandbox_config *config, const char *path, char *normal, uint64_t flags,
             vmkit_error **ret_error)
{
    int result = guest_path_normalise(path, normal, ret_error);
    if (result < 0)
        return result;
    if ((flags & ~(uint64_t)VMKIT_FOLDER_WRITABLE) != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "unknown flags 0x%" PRIx64 " for a folder", flags);
    for (size_t i = 0; i < config->folder_count; i++) {
        if (strcmp(config->folders[i].guest_path, normal) == 0)
            return vmk_error_set(ret_error, EEXIST, VMKIT_ERROR_EXISTS,
                                 "guest path \"%.80s\" is taken by another folder", normal);
    }
    return 0;
}

/* What was found in a folder is opened by /proc/self/fd: a name could lead somewhere else by then.
 */
static bool
can_reopen(int fd)
{
    struct stat status;
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return lstat(path, &status) == 0;
}

/* Takes `fd` over. */
static int
folder_append(vmkit_sandbox_config *config, int fd, const char *normal, uint64_t flags,
              vmkit_error **ret_error)
{
    struct vmk_host_fd *host_fd = vmk_host_fd_new(fd);
    if (host_fd == NULL)
        return no_memory(ret_error);

    struct stat status;
    struct statfs file_system;
    int result = 0;
    if (fstat(fd, &status) < 0 || fstatfs(fd, &file_system) < 0)
        result = vmk_error_set_known(ret_error, errno, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                     "cannot inspect the folder for guest path \"%.80s\"", normal);
    else if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
        result = vmk_error_set(ret_error, ENOTDIR, VMKIT_ERROR_INVALID_ARGUMENT,
                               "what is to be shown at \"%.80s\" is neither a folder nor a regular "
                               "file",
                               normal);
    else if (file_system.f_type == PROC_SUPER_MAGIC)
        result = vmk_error_set(ret_error, EACCES, VMKIT_ERROR_NOT_SUPPORTED,
                               "the folder for \"%.80s\" lies in procfs, which would give away the "
                               "calling process",
                               normal);
    else if (!can_reopen(fd))
        result = vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                               "this process has no /proc, which it takes to open the files of the "
                               "folder for \"%.80s\"",
                               normal);
    else if (strcmp(normal, "/") == 0 && !S_ISDIR(status.st_mode))
        result = vmk_error_set(ret_error, ENOTDIR, VMKIT_ERROR_INVALID_ARGUMENT,
                               "the guest's root is not a folder");
    struct vmk_folder_config *folders = NULL;
    char *copy = NULL;
    if (result == 0) {
        folders = realloc(config->folders, (config->folder_count + 1) * sizeof *folders);
        if (folders != NULL)
            config->folders = folders;
        copy = strdup(normal);
        if (folders == NULL || copy == NULL)
            result = no_memory(ret_error);
    }
    if (result < 0) {
        free(copy);
        vmk_host_fd_unref(host_fd);
        return result;
    }

    folders[config->folder_count++] = (struct vmk_folder_config){
        .guest_path = copy,
        .fd = host_fd,
        .writable = (flags & VMKIT_FOLDER_WRITABLE) != 0,
        .is_directory = S_ISDIR(status.st_mode),
    };
    return 0;
}

int
vmk_config_add_folder(vmkit_sandbox_config *config, const char *host_path, const char *guest_path,
                      uint64_t flags, vmkit_error **ret_error)
{
    char normal[GUEST_PATH_MAX + 2];
    int result = folder_check(config, guest_path, normal, flags, ret_error);
    if (result < 0)
        return result;
    if (host_path == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the host path for \"%.80s\" is NULL", normal);

    int fd = vmk_descriptor_keep(open(host_path, O_PATH | O_CLOEXEC));
    if (fd < 0)
        return vmk_error_set_known(ret_error, errno, VMK_CONFIG_OPEN_ERRNOS,
                                   errno == ENOENT ? VMKIT_ERROR_NOT_FOUND : VMKIT_ERROR_IO,
                                   "cannot open \"%.200s\" to show it at \"%.80s\"", host_path,
                                   normal);
    return folder_append(config, fd, normal, flags, ret_error);
}

int
vmk_config_add_folder_fd(vmkit_sandbox_config *config, int fd, const char *guest_path,
                         uint64_t flags, vmkit_error **ret_error)
{
    char normal[GUEST_PATH_MAX + 2];
    int result = folder_check(config, guest_path, normal, flags, ret_error);
    if (result < 0)
        return result;

    char what[100];
    snprintf(what, sizeof what, "guest path \"%.80s\"", normal);
    int copy = vmk_config_duplicate(fd, what, ret_error);
    if (copy < 0)
        return copy;
    return folder_append(config, copy, normal, flags, ret_error);
}
