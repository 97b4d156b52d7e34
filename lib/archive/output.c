/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/output.h"

#include "archive/place.h"
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Guest memory may hold secrets. */
#define FILE_MODE 0600
#define NAME_TRIES 100

static const struct vmk_archive_ops system_ops = {.writev = writev, .fsync = fsync};

static int
fail(const struct vmk_archive_output *output, int err, const char *what, vmkit_error **ret_error)
{
    return vmk_error_set_errno(ret_error, err, VMKIT_ERROR_IO, "%s %s", what, output->label);
}

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory to write a snapshot");
}

static void
init(struct vmk_archive_output *output, const struct vmk_archive_settings *settings)
{
    *output = (struct vmk_archive_output){
        .ops = settings->ops == NULL ? &system_ops : settings->ops,
        .fd = -1,
        .folder = -1,
        .sync = settings->sync,
    };
}

/* A name that no file in the folder has: written to `temporary`. 0 or a positive errno. */
static int
make_name(struct vmk_archive_output *output)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return EIO;
    snprintf(output->temporary, sizeof output->temporary, ".vmkit-save.%016" PRIx64, number);
    return 0;
}

/* A file without a name can be given one only through /proc. */
static bool
is_linkable(int fd)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return access(path, F_OK) == 0;
}

static int
open_named(struct vmk_archive_output *output, vmkit_error **ret_error)
{
    int err = EEXIST;
    for (int i = 0; i < NAME_TRIES && err == EEXIST; i++) {
        err = make_name(output);
        if (err != 0)
            break;
        output->fd = vmk_descriptor_keep(openat(
            output->folder, output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE));
        err = output->fd < 0 ? errno : 0;
    }
    if (err == 0)
        return 0;
    output->temporary[0] = '\0';
    return fail(output, err, "cannot make a file in the folder of", ret_error);
}

static int
open_temporary(struct vmk_archive_output *output, vmkit_error **ret_error)
{
    output->fd = vmk_descriptor_keep(
        openat(output->folder, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, FILE_MODE));
    if (output->fd >= 0 && is_linkable(output->fd))
        return 0;
    if (output->fd >= 0)
        close(output->fd);
    return open_named(output, ret_error);
}

int
vmk_output_open_path(struct vmk_archive_output *output, const char *path,
                     const struct vmk_archive_settings *settings, vmkit_error **ret_error)
{
    init(output, settings);
    output->is_file = true;
    output->label = strdup(path);
    if (output->label == NULL)
        return no_memory(ret_error);
    if (*path == '\0')
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the path of the snapshot is empty");
    int result = vmk_place_find(path, &output->folder, &output->name, ret_error);
    return result < 0 ? result : open_temporary(output, ret_error);
}

static int
check_fd(const struct vmk_archive_output *output, const struct stat *status,
         vmkit_error **ret_error)
{
    int flags = fcntl(output->fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return fail(output, EACCES, "cannot write to", ret_error);
    if (S_ISDIR(status->st_mode) || S_ISBLK(status->st_mode))
        return fail(output, S_ISDIR(status->st_mode) ? EISDIR : ENOTSUP, "cannot write to",
                    ret_error);
    if (!output->is_file)
        return 0;
    off_t offset = lseek(output->fd, 0, SEEK_CUR);
    if (offset != 0 || (flags & O_APPEND) != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%s stands at %" PRId64 "%s, and a snapshot is a file of its own",
                             output->label, (int64_t)offset,
                             (flags & O_APPEND) != 0 ? " and appends" : "");
    return 0;
}

int
vmk_output_open_fd(struct vmk_archive_output *output, int fd,
                   const struct vmk_archive_settings *settings, vmkit_error **ret_error)
{
    struct stat status;
    init(output, settings);
    output->label = malloc(32);
    if (output->label == NULL)
        return no_memory(ret_error);
    snprintf(output->label, 32, "descriptor %d", fd);
    if (fstat(fd, &status) < 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "%s is not open",
                             output->label);
    output->fd = fd;
    output->is_file = S_ISREG(status.st_mode);
    return check_fd(output, &status, ret_error);
}

/* A pipe without a reader, and a file above the host's limit, are errors of the call and no signals
 * to the process: they are blocked in this thread around the write, and taken back. */
struct guard {
    sigset_t blocked, before, pending;
};

static void
guard_enter(struct guard *guard)
{
    sigemptyset(&guard->blocked);
    sigaddset(&guard->blocked, SIGPIPE);
    sigaddset(&guard->blocked, SIGXFSZ);
    sigpending(&guard->pending);
    pthread_sigmask(SIG_BLOCK, &guard->blocked, &guard->before);
}

static void
guard_leave(struct guard *guard, int err)
{
    int signal = err == EPIPE ? SIGPIPE : err == EFBIG ? SIGXFSZ : 0;
    if (signal != 0 && sigismember(&guard->pending, signal) == 0) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, signal);
        sigtimedwait(&one, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

/* One write: how much, or a negative errno. A descriptor that does not block is waited for. */
static ssize_t
write_some(struct vmk_archive_output *output, const struct iovec *iov, int count)
{
    for (;;) {
        struct guard guard;
        guard_enter(&guard);
        ssize_t n = output->ops->writev(output->fd, iov, count);
        int err = n < 0 ? errno : 0;
        guard_leave(&guard, err);
        if (n > 0)
            return n;
        if (n == 0)
            return -EIO;
        if (err == EAGAIN) {
            struct pollfd poll_fd = {.fd = output->fd, .events = POLLOUT};
            poll(&poll_fd, 1, -1);
        } else if (err != EINTR) {
            return -err;
        }
    }
}

int
vmk_output_writev(struct vmk_archive_output *output, struct iovec *iov, int count,
                  vmkit_error **ret_error)
{
    while (count > 0) {
        if (iov->iov_len == 0) {
            iov++;
            count--;
            continue;
        }
        ssize_t n = write_some(output, iov, count);
        if (n == -EFBIG)
            return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                                 "%s would be above the limit of file sizes of this process"
                                 " (RLIMIT_FSIZE), or of the file system",
                                 output->label);
        if (n < 0)
            return fail(output, (int)-n, "cannot write to", ret_error);
        output->offset += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0;) {
            size_t part = left < iov->iov_len ? left : iov->iov_len;
            iov->iov_base = (uint8_t *)iov->iov_base + part;
            iov->iov_len -= part;
            left -= part;
            if (left > 0) {
                iov++;
                count--;
            }
        }
    }
    return 0;
}

int
vmk_output_write(struct vmk_archive_output *output, const void *data, size_t size,
                 vmkit_error **ret_error)
{
    /* writev() only reads it. */
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return vmk_output_writev(output, &iov, 1, ret_error);
}

/* Give a file without a name one. */
static int
link_temporary(struct vmk_archive_output *output)
{
    char path[40];
    int err = EEXIST;
    snprintf(path, sizeof path, "/proc/self/fd/%d", output->fd);
    for (int i = 0; i < NAME_TRIES && err == EEXIST; i++) {
        err = make_name(output);
        if (err == 0 &&
            linkat(AT_FDCWD, path, output->folder, output->temporary, AT_SYMLINK_FOLLOW) < 0)
            err = errno;
    }
    if (err != 0)
        output->temporary[0] = '\0';
    return err;
}

/* Like fsync(2), which a signal may end early on some file systems. 0 or a positive errno. */
static int
sync_fd(const struct vmk_archive_output *output, int fd)
{
    int err;
    do {
        err = output->ops->fsync(fd) < 0 ? errno : 0;
    } while (err == EINTR);
    return err;
}

static int
put_in_place(struct vmk_archive_output *output, vmkit_error **ret_error)
{
    /* Where something else came to stand meanwhile. */
    int result = vmk_place_check(output->folder, output->name, output->label, ret_error);
    if (result < 0)
        return result;
    int err = output->temporary[0] == '\0' ? link_temporary(output) : 0;
    if (err == 0 && renameat(output->folder, output->temporary, output->folder, output->name) < 0)
        err = errno;
    if (err != 0)
        return fail(output, err, "cannot put the new snapshot in the place of", ret_error);
    output->temporary[0] = '\0';
    err = output->sync ? sync_fd(output, output->folder) : 0;
    return err == 0 ? 0 : fail(output, err, "cannot sync the folder of", ret_error);
}

int
vmk_output_commit(struct vmk_archive_output *output, vmkit_error **ret_error)
{
    /* What a longer file had behind the end. */
    int err = 0;
    if (output->is_file && output->name == NULL)
        err = -vmk_descriptor_set_size(output->fd, output->offset);
    if (err != 0)
        return fail(output, err, "cannot set the size of", ret_error);
    err = output->sync && output->is_file ? sync_fd(output, output->fd) : 0;
    if (err != 0)
        return fail(output, err, "cannot sync", ret_error);
    return output->name == NULL ? 0 : put_in_place(output, ret_error);
}

void
vmk_output_clear(struct vmk_archive_output *output)
{
    if (output->temporary[0] != '\0')
        unlinkat(output->folder, output->temporary, 0);
    /* A lent descriptor has no name. */
    if (output->name != NULL && output->fd >= 0)
        close(output->fd);
    if (output->folder >= 0)
        close(output->folder);
    free(output->name);
    free(output->label);
    *output = (struct vmk_archive_output){.fd = -1, .folder = -1};
}
