/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/file.h"

#include "util/checked.h"
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KNOWN                                                                              \
    (VMK_ERRNO(EACCES) | VMK_ERRNO(EISDIR) | VMK_ERRNO(ELOOP) | VMK_ERRNO(EMFILE) |        \
     VMK_ERRNO(ENAMETOOLONG) | VMK_ERRNO(ENFILE) | VMK_ERRNO(ENOENT) | VMK_ERRNO(ENOMEM) | \
     VMK_ERRNO(ENOTDIR) | VMK_ERRNO(EPERM))

int
vmk_boot_file_read(const struct vmk_boot_file *file, void *buffer, size_t size, uint64_t offset)
{
    uint8_t *at = buffer;
    if (!vmk_range_inside(offset, size, 0, file->size))
        return -ENODATA;
    while (size > 0) {
        ssize_t n = file->read(file->user_data, at, size, offset);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -ENODATA;
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static ssize_t
read_descriptor(void *user_data, void *buffer, size_t size, uint64_t offset)
{
    ssize_t n;
    do
        n = pread((int)(intptr_t)user_data, buffer, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t
read_memory(void *user_data, void *buffer, size_t size, uint64_t offset)
{
    memcpy(buffer, (const uint8_t *)user_data + offset, size);
    return (ssize_t)size;
}

/* Takes `fd`, also when it fails. */
static int
open_descriptor(int fd, const char *name, struct vmk_boot_file *ret_file, vmkit_error **ret_error)
{
    struct stat status;
    int r = 0;
    if (fstat(fd, &status) < 0)
        r = vmk_error_set_known(ret_error, errno, KNOWN, VMKIT_ERROR_IO, "%s", name);
    else if (S_ISDIR(status.st_mode))
        r = vmk_error_set(ret_error, EISDIR, VMKIT_ERROR_IO, "%s is a folder", name);
    else if (!S_ISREG(status.st_mode))
        r = vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                          "%s is no regular file, and cannot be read at an offset", name);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_file = (struct vmk_boot_file){
        .read = read_descriptor,
        .user_data = (void *)(intptr_t)fd,
        .size = (uint64_t)status.st_size,
        .name = name,
    };
    return 0;
}

/* A fifo in place of the file must not hold up whoever opens it. */
int
vmk_boot_file_open(const char *path, struct vmk_boot_file *ret_file, vmkit_error **ret_error)
{
    int fd = vmk_descriptor_keep(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd < 0)
        return vmk_error_set_known(ret_error, errno, KNOWN, VMKIT_ERROR_IO, "opening %s", path);
    return open_descriptor(fd, path, ret_file, ret_error);
}

int
vmk_boot_file_open_fd(int fd, const char *name, struct vmk_boot_file *ret_file,
                      vmkit_error **ret_error)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (copy < 0 && errno == EBADF)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%s: descriptor %d is not open", name, fd);
    if (copy < 0)
        return vmk_error_set_known(ret_error, errno, KNOWN, VMKIT_ERROR_IO, "%s: descriptor %d",
                                   name, fd);
    return open_descriptor(copy, name, ret_file, ret_error);
}

void
vmk_boot_file_open_memory(const void *data, uint64_t size, const char *name,
                          struct vmk_boot_file *ret_file)
{
    *ret_file = (struct vmk_boot_file){
        .read = read_memory,
        .user_data = (void *)(uintptr_t)data,
        .size = size,
        .name = name,
    };
}

void
vmk_boot_file_close(struct vmk_boot_file *file)
{
    if (file->read == read_descriptor)
        close((int)(intptr_t)file->user_data);
    *file = (struct vmk_boot_file){0};
}
