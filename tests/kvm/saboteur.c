/* SPDX-License-Identifier: Apache-2.0 */
#include "saboteur.h"

static bool
sabotage(struct saboteur *saboteur)
{
    bool fail = saboteur->calls++ == saboteur->fail_at;
    saboteur->failed = saboteur->failed || fail;
    return fail;
}

static int
sabotaged_open(void *context, const char *path)
{
    struct saboteur *saboteur = context;
    return sabotage(saboteur) ? -saboteur->err : vmk_kvm_default_ops.open(NULL, path);
}

static int
sabotaged_ioctl(void *context, int fd, unsigned long request, uintptr_t argument)
{
    struct saboteur *saboteur = context;
    if (sabotage(saboteur))
        return -saboteur->err;
    return vmk_kvm_default_ops.ioctl(NULL, fd, request, argument);
}

static int
sabotaged_map(void *context, int fd, size_t size, void **ret_address)
{
    struct saboteur *saboteur = context;
    return sabotage(saboteur) ? -saboteur->err
                              : vmk_kvm_default_ops.map(NULL, fd, size, ret_address);
}

static void
plain_unmap(void *context, void *address, size_t size)
{
    vmk_kvm_default_ops.unmap(NULL, address, size);
}

static void
plain_close(void *context, int fd)
{
    vmk_kvm_default_ops.close(NULL, fd);
}

struct vmk_kvm_ops
saboteur_get_ops(struct saboteur *saboteur)
{
    return (struct vmk_kvm_ops){.open = sabotaged_open,
                                .ioctl = sabotaged_ioctl,
                                .map = sabotaged_map,
                                .unmap = plain_unmap,
                                .close = plain_close,
                                .context = saboteur};
}
