/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/program.h"

#include "sandbox/files.h"
#include "sandbox/state_codec.h"
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program {
    struct vmk_file file;
    struct vmk_host_fd *host; /* one of the two, or none: it was not given when the sandbox was */
    struct vmk_blob *image;   /* made from a snapshot, */
    struct statx status;      /* which knew this much of it */
    struct vmk_program_source *source; /* or has all of it, and `image` once it was read */
};

static const struct vmk_file_ops program_ops;

static ssize_t
program_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
             uint64_t *offset)
{
    struct program *program = (struct program *)file;
    if (program->host != NULL) {
        ssize_t got = preadv(program->host->fd, iov, count, (off_t)*offset);
        *offset += got > 0 ? (uint64_t)got : 0;
        return got < 0 ? -errno : got;
    }
    if (program->image == NULL && program->source != NULL &&
        vmk_program_source_read(program->source, &program->image, NULL) < 0)
        return -EIO;
    if (program->image == NULL)
        return -EIO;

    size_t left = *offset < program->image->size ? program->image->size - (size_t)*offset : 0;
    size_t size = vmk_iov_size(iov, count);
    if (size > left)
        size = left;
    if (size != 0)
        vmk_iov_fill(iov, count, 0, program->image->data + *offset, size);
    *offset += size;
    return (ssize_t)size;
}

static int
program_statx(struct vmk_file *file, struct statx *status)
{
    struct program *program = (struct program *)file;
    if (program->host != NULL)
        return statx(program->host->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, status) < 0 ? -errno
                                                                                          : 0;
    if (program->image == NULL && program->source == NULL) {
        *status = program->status;
        return 0;
    }
    vmk_statx_init(status, S_IFREG | 0555, file->number, 0, 0);
    status->stx_size = program->source != NULL ? vmk_program_source_get_size(program->source)
                                               : program->image->size;
    status->stx_blocks = (status->stx_size + 511) / 512;
    return 0;
}

static int64_t
program_seek(struct vmk_file *file, int64_t offset, int whence)
{
    struct statx status;
    int64_t base = 0;
    int result = program_statx(file, &status);
    if (result < 0)
        return result;
    if (whence == SEEK_CUR)
        base = (int64_t)file->offset;
    else if (whence == SEEK_END)
        base = (int64_t)status.stx_size;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (__builtin_add_overflow(base, offset, &offset) || offset < 0)
        return -EINVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

static void
program_destroy(struct vmk_file *file)
{
    struct program *program = (struct program *)file;
    vmk_host_fd_unref(program->host);
    vmk_blob_unref(program->image);
    vmk_program_source_unref(program->source);
}

static const struct vmk_file_ops program_ops = {
    .kind = "program",
    .positioned = true,
    .mappable = true,
    .read = program_read,
    .seek = program_seek,
    .statx = program_statx,
    .state = &vmk_state_program,
    .destroy = program_destroy,
};

static int
open_path(const char *path, struct vmk_host_fd **ret_host, vmkit_error **ret_error)
{
    /* Without blocking, should it be a FIFO. */
    int fd = vmk_descriptor_keep(open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (fd < 0)
        return vmk_error_set_known(ret_error, errno, VMK_CONFIG_OPEN_ERRNOS | VMK_ERRNO(ENXIO),
                                   errno == ENOENT ? VMKIT_ERROR_NOT_FOUND : VMKIT_ERROR_IO,
                                   "cannot open program \"%.200s\"", path);
    *ret_host = vmk_host_fd_new(fd);
    return *ret_host != NULL ? 0
                             : vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                             "no memory for the program");
}

static int
check_regular(const struct vmk_host_fd *host, const char *name, vmkit_error **ret_error)
{
    struct stat status;
    if (fstat(host->fd, &status) < 0)
        return vmk_error_set_known(ret_error, errno, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "cannot inspect program \"%.200s\"", name);
    if (S_ISDIR(status.st_mode))
        return vmk_error_set(ret_error, EISDIR, VMKIT_ERROR_BAD_IMAGE,
                             "program \"%.200s\" is a folder", name);
    if (!S_ISREG(status.st_mode))
        return vmk_error_set(ret_error, EACCES, VMKIT_ERROR_BAD_IMAGE,
                             "program \"%.200s\" is not a regular file", name);
    return 0;
}

int
vmk_program_open(struct vmk_files *files, const struct vmk_program_config *config,
                 struct vmk_file **ret_file, vmkit_error **ret_error)
{
    struct vmk_host_fd *host = NULL;
    const char *name = config->path != NULL ? config->path : "program";
    int result = 0;

    if (config->path != NULL)
        result = open_path(config->path, &host, ret_error);
    else if (config->fd != NULL)
        host = vmk_host_fd_ref(config->fd);
    else if (config->image == NULL && config->source == NULL)
        result = vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                               "the configuration has no program");
    if (result == 0 && host != NULL)
        result = check_regular(host, name, ret_error);
    struct program *program = result < 0 ? NULL : calloc(1, sizeof *program);
    if (result == 0 && program == NULL)
        result = vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                               "no memory for the program");
    if (result < 0) {
        vmk_host_fd_unref(host);
        return result;
    }

    vmk_file_init(&program->file, &program_ops, O_RDONLY, NULL);
    program->file.number = vmk_files_next_number(files);
    program->host = host;
    program->image = config->image == NULL ? NULL : vmk_blob_ref(config->image);
    program->source = config->source == NULL ? NULL : vmk_program_source_ref(config->source);
    *ret_file = &program->file;
    return 0;
}

static int
program_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    struct statx status;
    if (writer->comparing)
        return 0;
    int r = program_statx(file, &status);
    if (r < 0)
        return vmk_error_set_known(writer->ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "cannot inspect the program");
    vmk_state_put_status(writer, &status);
    return 0;
}

static int
program_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
             struct vmk_file **ret_file)
{
    const struct vmk_program_config *given = &reader->files->given->program;
    struct statx status;
    int r = vmk_state_get_status(reader, &status);
    if (r < 0)
        return r;
    if (vmk_program_is_given(given))
        return vmk_program_open(reader->files, given, ret_file, reader->ret_error);
    struct program *program = calloc(1, sizeof *program);
    if (program == NULL)
        return vmk_state_no_memory(reader->ret_error);
    vmk_file_init(&program->file, &program_ops, O_RDONLY, NULL);
    program->status = status;
    *ret_file = &program->file;
    return 0;
}

const struct vmk_state_kind vmk_state_program = {
    .number = VMK_STATE_PROGRAM, .outside = true, .save = program_save, .load = program_load};

void
vmk_program_describe(struct vmk_file *file, struct vmk_program_config *ret_config)
{
    *ret_config = (struct vmk_program_config){0};
    if (file == NULL || file->ops != &program_ops)
        return;
    struct program *program = (struct program *)file;
    ret_config->fd = program->host == NULL ? NULL : vmk_host_fd_ref(program->host);
    if (program->source != NULL)
        ret_config->source = vmk_program_source_ref(program->source);
    else
        ret_config->image = program->image == NULL ? NULL : vmk_blob_ref(program->image);
}
