/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/ops.h"

#include "kvm/uapi.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int
kernel_open(void *context, const char *path)
{
    int fd = vmk_descriptor_keep(open(path, O_RDWR | O_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

static int
kernel_ioctl(void *context, int fd, unsigned long request, uintptr_t argument)
{
    int result = ioctl(fd, request, argument);
    if (request == KVM_CREATE_VM || request == KVM_CREATE_VCPU)
        result = vmk_descriptor_keep(result);
    return result < 0 ? -errno : result;
}

static int
kernel_map(void *context, int fd, size_t size, void **ret_address)
{
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED)
        return -errno;
    *ret_address = address;
    return 0;
}

static void
kernel_unmap(void *context, void *address, size_t size)
{
    munmap(address, size);
}

static void
kernel_close(void *context, int fd)
{
    close(fd);
}

const struct vmk_kvm_ops vmk_kvm_default_ops = {
    .open = kernel_open,
    .ioctl = kernel_ioctl,
    .map = kernel_map,
    .unmap = kernel_unmap,
    .close = kernel_close,
};
