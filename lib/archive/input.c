/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/input.h"

#include "archive/format.h"
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_PIECE (UINT64_C(1) << 20)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Of a file at the offset, so that the descriptor stays where it stands; of a pipe what comes next.
 * What a read that is not to block gets is waited for. 0 at the end. */
static ssize_t
read_some(int fd, void *buffer, size_t size, bool is_file, uint64_t offset)
{
    for (;;) {
        ssize_t n = is_file ? pread(fd, buffer, size, (off_t)offset) : read(fd, buffer, size);
        if (n >= 0)
            return n;
        if (errno == EAGAIN) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
            poll(&poll_fd, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

static int
write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        data += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int
copy_pieces(int from, int to, const char *name, uint64_t limit, uint8_t *buffer,
            vmkit_error **ret_error)
{
    struct stat status;
    bool is_file = fstat(from, &status) == 0 && S_ISREG(status.st_mode);
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read_some(from, buffer, COPY_PIECE, is_file, total);
        if (n < 0)
            return vmk_error_set_errno(ret_error, (int)-n, VMKIT_ERROR_IO, "cannot read %s", name);
        if (n == 0)
            return 0;
        total += (uint64_t)n;
        if (limit != 0 && total > limit)
            return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                                 "%s: it has more than the %" PRIu64 " bytes of the limit", name,
                                 limit);
        /* Writing beyond the end would bring a signal where file sizes have a limit. */
        int result = vmk_descriptor_set_size(to, total);
        if (result == -EFBIG)
            return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                                 "a copy of %s would be above this process's limit of file sizes "
                                 "(RLIMIT_FSIZE)",
                                 name);
        if (result == 0)
            result = write_all(to, buffer, (size_t)n);
        /* What a memfd has no room for is memory. */
        if (result < 0)
            return vmk_error_set_errno(ret_error, result == -ENOSPC ? ENOMEM : -result,
                                       VMKIT_ERROR_IO, "no memory for a copy of %s", name);
    }
}

/* A sealed copy of the whole file, or of all that a pipe gives. The descriptor, or a negative
 * errno. */
static int
copy_all(int from, const char *name, uint64_t limit, vmkit_error **ret_error)
{
    uint8_t *buffer = malloc(COPY_PIECE);
    int to = vmk_descriptor_keep(memfd_create("vmkit-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    int err = buffer == NULL ? ENOMEM : to < 0 ? errno : 0;
    int result = err == 0 ? 0
                          : vmk_error_set_errno(ret_error, err, VMKIT_ERROR_IO,
                                                "no memory for a copy of %s", name);
    if (result == 0)
        result = copy_pieces(from, to, name, limit, buffer, ret_error);
    if (result == 0 && fcntl(to, F_ADD_SEALS, SEALS) < 0)
        result =
            vmk_error_set_known(ret_error, errno, 0, VMKIT_ERROR_IO, "sealing a copy of %s", name);
    free(buffer);
    if (result == 0)
        return to;
    if (to >= 0)
        close(to);
    return result;
}

int
vmk_input_get_size(int fd, const char *name, uint64_t *ret_size, vmkit_error **ret_error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO, "cannot read %s", name);
    if (S_ISDIR(status.st_mode))
        return vmk_error_set(ret_error, EISDIR, VMKIT_ERROR_BAD_SNAPSHOT,
                             "%s: it is a folder and no snapshot", name);
    if (!S_ISREG(status.st_mode))
        return vmk_error_set(
            ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
            "%s is no regular file: a snapshot has to be copied to be read from it", name);
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

int
vmk_input_open_path(const char *path, bool copy, uint64_t limit, vmkit_error **ret_error)
{
    /* Nobody waits here for the writer of a FIFO; a copy waits when it reads. */
    int fd =
        vmk_descriptor_keep(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (copy ? 0 : O_NONBLOCK)));
    if (fd < 0) {
        int err = errno;
        return vmk_error_set_errno(ret_error, err,
                                   err == ENOENT ? VMKIT_ERROR_NOT_FOUND : VMKIT_ERROR_IO,
                                   "cannot open snapshot \"%s\"", path);
    }
    if (!copy)
        return fd;
    int own = copy_all(fd, path, limit, ret_error);
    close(fd);
    return own;
}

int
vmk_input_open_fd(int fd, const char *name, bool copy, uint64_t limit, vmkit_error **ret_error)
{
    if (copy)
        return copy_all(fd, name, limit, ret_error);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (own < 0)
        return vmk_error_set_errno(ret_error, errno == EBADF ? EINVAL : errno, VMKIT_ERROR_IO,
                                   "cannot use the descriptor of %s", name);
    return own;
}

int
vmk_input_read(int fd, const char *name, void *buffer, uint64_t size, uint64_t offset,
               vmkit_error **ret_error)
{
    uint8_t *at = buffer;
    while (size > 0) {
        ssize_t n = pread(fd, at, (size_t)size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO, "cannot read %s", name);
        if (n == 0)
            return VMK_FORMAT_BAD(name, "it was cut at %" PRIu64 " while it was read", offset);
        at += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}
