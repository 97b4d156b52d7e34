/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/input.h"

#include "archive/format.h"
#include "archive/options.h"
#include "archive/threads.h"
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

/* How often somebody who waits for a pipe may call it off, in milliseconds. */
#define ASK_MS 100

struct copying {
    int from;
    int to;
    const char *name;
    bool is_file;
    uint64_t size;  /* that a file has by now */
    uint64_t limit; /* of bytes, and */
    uint64_t most;  /* what the header allows; 0 as long as it was not seen */
    uint64_t total; /* copied */
    const struct vmk_archive_settings *settings;
    uint8_t *buffer;
};

static int
ask(const struct copying *copying, vmkit_error **ret_error)
{
    if (copying->settings == NULL)
        return 0;
    /* What is done is counted when the memory is loaded. */
    return vmk_threads_report(copying->settings, 0,
                              copying->is_file ? copying->size : copying->limit, ret_error);
}

/* Of a file at the offset, so that the descriptor stays where it stands; of a pipe what comes next.
 * What a read that is not to block gets is waited for. 0 at the end. */
static ssize_t
read_some(const struct copying *copying)
{
    bool asks =
        !copying->is_file && copying->settings != NULL && copying->settings->progress != NULL;
    struct pollfd poll_fd = {.fd = copying->from, .events = POLLIN};
    if (asks && poll(&poll_fd, 1, ASK_MS) == 0)
        return -EAGAIN;
    for (;;) {
        ssize_t n = copying->is_file
                        ? pread(copying->from, copying->buffer, COPY_PIECE, (off_t)copying->total)
                        : read(copying->from, copying->buffer, COPY_PIECE);
        if (n >= 0)
            return n;
        if (errno == EAGAIN) {
            poll(&poll_fd, 1, ASK_MS);
            return -EAGAIN;
        }
        if (errno != EINTR)
            return -errno;
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

/* The most bytes that a file with the header can have. */
static uint64_t
get_most(const struct vmk_format_header *header)
{
    uint64_t pages = header->memory_size / VMK_ARCHIVE_PAGE_SIZE;
    uint64_t memory = VMK_ARCHIVE_PAGE_SIZE + sizeof(uint64_t); /* a page and its checksum */
    return VMK_FORMAT_HEADER_SIZE + pages * memory +
           VMK_ARCHIVE_MAX_SECTIONS * (VMK_ARCHIVE_MAX_SECTION + VMK_FORMAT_ENTRY_SIZE) +
           VMK_FORMAT_FOOTER_SIZE;
}

static int
check_size(const struct copying *copying, uint64_t size, vmkit_error **ret_error)
{
    if (size > copying->limit)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%s: it has more than the %" PRIu64 " bytes of the limit",
                             copying->name, copying->limit);
    if (copying->most != 0 && size > copying->most)
        return VMK_FORMAT_BAD(copying->name,
                              "it has more than the %" PRIu64 " bytes that its header allows",
                              copying->most);
    return 0;
}

/* What begins with something else is no snapshot, however much of it there is. */
static int
check_beginning(struct copying *copying, vmkit_error **ret_error)
{
    uint8_t bytes[VMK_FORMAT_HEADER_SIZE];
    struct vmk_format_header header;
    if (copying->most != 0 || copying->total < sizeof bytes)
        return 0;
    int result = vmk_input_read(copying->to, copying->name, bytes, sizeof bytes, 0, ret_error);
    if (result == 0)
        result = vmk_format_get_header(bytes, copying->name, &header, ret_error);
    if (result < 0)
        return result;
    copying->most = get_most(&header);
    return check_size(copying, copying->size, ret_error);
}

static int
keep_piece(const struct copying *copying, size_t size, vmkit_error **ret_error)
{
    /* Writing beyond the end would bring a signal where file sizes have a limit. */
    int result = vmk_descriptor_set_size(copying->to, copying->total);
    if (result == -EFBIG)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "a copy of %s would be above this process's limit of file sizes "
                             "(RLIMIT_FSIZE)",
                             copying->name);
    if (result == 0)
        result = write_all(copying->to, copying->buffer, size);
    /* What a memfd has no room for is memory. */
    if (result < 0)
        return vmk_error_set_errno(ret_error, result == -ENOSPC ? ENOMEM : -result, VMKIT_ERROR_IO,
                                   "no memory for a copy of %s", copying->name);
    return 0;
}

static int
copy_pieces(struct copying *copying, vmkit_error **ret_error)
{
    for (;;) {
        int result = ask(copying, ret_error);
        ssize_t n = result < 0 ? result : read_some(copying);
        if (result < 0 || n == 0)
            return result;
        if (n == -EAGAIN)
            continue;
        if (n < 0)
            return vmk_error_set_errno(ret_error, (int)-n, VMKIT_ERROR_IO, "cannot read %s",
                                       copying->name);
        copying->total += (uint64_t)n;
        result = check_size(copying, copying->total, ret_error);
        if (result == 0)
            result = keep_piece(copying, (size_t)n, ret_error);
        if (result == 0)
            result = check_beginning(copying, ret_error);
        if (result < 0)
            return result;
    }
}

static int
copy_source(struct copying *copying, vmkit_error **ret_error)
{
    struct stat status;
    copying->is_file = fstat(copying->from, &status) == 0 && S_ISREG(status.st_mode);
    copying->size = copying->is_file ? (uint64_t)status.st_size : 0;
    int result = check_size(copying, copying->size, ret_error);
    if (result == 0)
        result = copy_pieces(copying, ret_error);
    if (result == 0 && fcntl(copying->to, F_ADD_SEALS, SEALS) < 0)
        result = vmk_error_set_known(ret_error, errno, 0, VMKIT_ERROR_IO, "sealing a copy of %s",
                                     copying->name);
    return result;
}

/* A sealed copy of the whole file, or of all that a pipe gives. The descriptor, or a negative
 * errno. */
static int
copy_all(int from, const char *name, const struct vmk_input_copy *copy, vmkit_error **ret_error)
{
    struct copying copying = {
        .from = from,
        .to = vmk_descriptor_keep(memfd_create("vmkit-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING)),
        .name = name,
        .limit = copy->limit != 0 ? copy->limit : vmk_snapshot_options_get_memory_limit(NULL),
        .settings = copy->settings,
    };
    int err = copying.to < 0 ? errno : 0;
    copying.buffer = malloc(COPY_PIECE);
    if (copying.buffer == NULL)
        err = ENOMEM;
    int result = err == 0 ? copy_source(&copying, ret_error)
                          : vmk_error_set_errno(ret_error, err, VMKIT_ERROR_IO,
                                                "no memory for a copy of %s", name);
    free(copying.buffer);
    if (result == 0)
        return copying.to;
    if (copying.to >= 0)
        close(copying.to);
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
vmk_input_open_path(const char *path, const struct vmk_input_copy *copy, vmkit_error **ret_error)
{
    /* Nobody waits here for the writer of a FIFO; a copy waits when it reads. */
    int fd = vmk_descriptor_keep(
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (copy != NULL ? 0 : O_NONBLOCK)));
    if (fd < 0) {
        int err = errno;
        return vmk_error_set_errno(ret_error, err,
                                   err == ENOENT ? VMKIT_ERROR_NOT_FOUND : VMKIT_ERROR_IO,
                                   "cannot open snapshot \"%s\"", path);
    }
    if (copy == NULL)
        return fd;
    int own = copy_all(fd, path, copy, ret_error);
    close(fd);
    return own;
}

int
vmk_input_open_fd(int fd, const char *name, const struct vmk_input_copy *copy,
                  vmkit_error **ret_error)
{
    if (copy != NULL)
        return copy_all(fd, name, copy, ret_error);
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
