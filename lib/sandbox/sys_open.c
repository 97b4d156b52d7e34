/* SPDX-License-Identifier: Apache-2.0 */
/* openat(2) and its like, and the opening of a program for execve(2). */
#include "sandbox/at.h"
#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"
#include "sandbox/syscall.h"
#include "sandbox/tmpfs.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KNOWN_FLAGS                                                                            \
    ((uint64_t)(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |    \
                O_DSYNC | O_SYNC | O_ASYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | \
                O_CLOEXEC | O_PATH | O_TMPFILE | VMK_FILE_LARGE))

/* How often a name that appears or goes meanwhile is looked up anew. */
#define RETRIES 8

static const struct vmk_file_ops path_ops = {.kind = "path", .state = &vmk_state_path};

/* A file that names a place and does nothing else. */
static int
open_path(struct vmk_node *node, uint32_t flags, struct vmk_file **ret_file)
{
    struct vmk_file *file = malloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    vmk_file_init(file, &path_ops, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW), node);
    *ret_file = file;
    return 0;
}

static int
path_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    return vmk_state_save_node(writer, file->node);
}

static int
path_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
          struct vmk_file **ret_file)
{
    struct vmk_node *node;
    int r = vmk_state_load_node(reader, &node);
    if (r < 0)
        return r;
    if (open_path(node, O_PATH, ret_file) < 0)
        r = vmk_state_no_memory(reader->ret_error);
    vmk_node_unref(node);
    return r;
}

const struct vmk_state_kind vmk_state_path = {
    .number = VMK_STATE_PATH, .save = path_save, .load = path_load};

/* A magic link led to an open file without a place: what it is cannot be opened anew, so that it is
 * shared, if it was opened for as much. */
static int
open_shared(struct vmk_file *file, uint32_t flags, struct vmk_file **ret_file)
{
    uint32_t access = flags & O_ACCMODE;
    if ((flags & O_DIRECTORY) != 0)
        return -ENOTDIR;
    if ((access != O_WRONLY && !vmk_file_readable(file)) ||
        (access != O_RDONLY && !vmk_file_writable(file)))
        return -EACCES;
    *ret_file = vmk_file_ref(file);
    return 0;
}

static int
open_existing(struct vmk_files *files, const struct vmk_lookup *lookup, uint32_t flags,
              uint32_t mode, struct vmk_file **ret_file)
{
    struct vmk_node *node = lookup->node;
    bool is_folder = node->type == S_IFDIR;
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        if (!is_folder)
            return -ENOTDIR;
        if (node->ops->create_unnamed == NULL)
            return -EOPNOTSUPP;
        return node->ops->create_unnamed(files, node, flags, mode, ret_file);
    }
    if ((flags & O_CREAT) != 0) {
        if ((flags & O_EXCL) != 0)
            return -EEXIST;
        if (is_folder)
            return -EISDIR;
    }
    if (node->type == S_IFLNK && (flags & O_PATH) == 0)
        return (flags & O_DIRECTORY) != 0 ? -ENOTDIR : -ELOOP;
    if ((flags & O_DIRECTORY) != 0 && !is_folder)
        return -ENOTDIR;
    if ((flags & O_PATH) != 0)
        return open_path(node, flags, ret_file);
    if (is_folder && (flags & O_TRUNC) != 0)
        return -EISDIR;
    return node->ops->open(files, node, flags, ret_file);
}

static int
open_new(struct vmk_files *files, const struct vmk_lookup *lookup, uint32_t flags, uint32_t mode,
         struct vmk_file **ret_file)
{
    struct vmk_node *folder = lookup->folder;
    if (lookup->trailing_slash)
        return -EISDIR;
    if (folder->ops->create == NULL)
        return vmk_at_denied(folder);
    return folder->ops->create(files, folder, lookup->name, flags, mode, ret_file);
}

static int
open_once(struct vmk_files *files, int dirfd, const char *path, uint32_t flags, uint32_t mode,
          struct vmk_file **ret_file)
{
    struct vmk_lookup lookup;
    unsigned how = (flags & O_CREAT) != 0 ? VMK_LOOKUP_MISSING : 0;
    bool exclusive = (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0;
    if ((flags & O_NOFOLLOW) == 0 && !exclusive)
        how |= VMK_LOOKUP_FOLLOW;
    int result = vmk_path_lookup(files, dirfd, path, how, &lookup);
    if (result < 0)
        return result;
    if (lookup.file != NULL)
        result = open_shared(lookup.file, flags, ret_file);
    else if (lookup.node != NULL)
        result = open_existing(files, &lookup, flags, mode, ret_file);
    else
        result = open_new(files, &lookup, flags, mode, ret_file);
    vmk_lookup_clear(&lookup);
    return result;
}

static int64_t
open_at(struct vmk_process *process, uint64_t dirfd, uint64_t path, uint32_t flags, uint64_t mode)
{
    struct vmk_files *files = process->files;
    char text[VMK_PATH_MAX];
    struct vmk_file *file = NULL;
    if ((flags & O_PATH) != 0)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    else
        flags |= VMK_FILE_LARGE;
    bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (unnamed && ((flags & O_ACCMODE) == O_RDONLY || (flags & O_CREAT) != 0))
        return -EINVAL;
    if ((flags & O_CREAT) != 0 && (flags & O_DIRECTORY) != 0)
        return -EINVAL;
    int result = vmk_at_read_path(process, path, text);
    if (result < 0)
        return result;
    if (vmk_fdtable_full(&files->table))
        return -EMFILE;

    uint32_t bits = (uint32_t)mode & 07777 & ~process->umask;
    for (int i = 0; i < RETRIES; i++) {
        result = open_once(files, (int)dirfd, text, flags, bits, &file);
        if (result != -EEXIST || (flags & O_EXCL) != 0)
            break;
    }
    return result < 0 ? result : vmk_files_install(files, file, (flags & O_CLOEXEC) != 0);
}

int64_t
vmk_sys_openat(struct vmk_process *process, const uint64_t args[6])
{
    return open_at(process, args[0], args[1], (uint32_t)args[2], args[3]);
}

int64_t
vmk_sys_openat2(struct vmk_process *process, const uint64_t args[6])
{
    struct open_how how;
    if (args[3] < sizeof how)
        return -EINVAL;
    if (args[3] > sizeof how)
        return -E2BIG;
    int result = vmk_uaccess_read(process->space, args[2], &how, sizeof how);
    if (result < 0)
        return result;
    bool creates = (how.flags & O_CREAT) != 0 || (how.flags & O_TMPFILE) == O_TMPFILE;
    if ((how.flags & ~KNOWN_FLAGS) != 0 || how.mode > (creates ? 07777 : 0))
        return -EINVAL;
    /* A caller that wants its path confined falls back, as on a kernel without the call. */
    if (how.resolve != 0)
        return -ENOSYS;
    return open_at(process, args[0], args[1], (uint32_t)how.flags, how.mode);
}

int64_t
vmk_sys_memfd_create(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_files *files = process->files;
    char name[250];
    struct vmk_node *root;
    struct vmk_file *file;
    uint32_t flags = (uint32_t)args[1];
    ssize_t length = vmk_uaccess_read_string(process->space, args[0], name, sizeof name);
    if (length < 0)
        return length == -ENAMETOOLONG ? -EINVAL : length;
    /* As on a kernel without seals. */
    if ((flags & ~(uint32_t)MFD_CLOEXEC) != 0)
        return -EINVAL;
    root = vmk_files_get_scratch(files);
    int result = root->ops->create_unnamed(files, root, O_RDWR | VMK_FILE_LARGE, 0777, &file);
    return result < 0 ? result : vmk_files_install(files, file, (flags & MFD_CLOEXEC) != 0);
}

static int
check_program(struct vmk_files *files, struct vmk_node *node, struct vmk_file **ret_file)
{
    if (node->type == S_IFLNK)
        return -ELOOP;
    if (node->type != S_IFREG || node->ops->access == NULL)
        return -EACCES;
    int result = node->ops->access(files, node, X_OK);
    return result < 0 ? result : node->ops->open(files, node, O_RDONLY, ret_file);
}

/* A program without a place: the one that the configuration named. */
static int
check_program_file(struct vmk_file *file, struct vmk_file **ret_file)
{
    struct statx status;
    int result = vmk_file_statx(file, &status);
    if (result < 0)
        return result;
    if (!S_ISREG(status.stx_mode) || !vmk_file_readable(file) || file->ops->seek == NULL)
        return -EACCES;
    *ret_file = vmk_file_ref(file);
    return 0;
}

int
vmk_files_open_program(struct vmk_files *files, int dirfd, const char *path, int flags,
                       struct vmk_file **ret_file)
{
    struct vmk_lookup lookup = {.last = VMK_LAST_ROOT};
    int result = 0;
    if (path[0] == '\0' && (flags & AT_EMPTY_PATH) != 0 && dirfd != AT_FDCWD) {
        struct vmk_file *file = vmk_fdtable_get(&files->table, (uint64_t)dirfd);
        if (file == NULL)
            return -EBADF;
        if (file->node != NULL)
            lookup.node = vmk_node_ref(file->node);
        else
            lookup.file = vmk_file_ref(file);
    } else {
        result =
            vmk_path_lookup(files, dirfd, path,
                            (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : VMK_LOOKUP_FOLLOW, &lookup);
    }
    if (result < 0)
        return result;
    result = lookup.file != NULL ? check_program_file(lookup.file, ret_file)
                                 : check_program(files, lookup.node, ret_file);
    vmk_lookup_clear(&lookup);
    return result;
}
