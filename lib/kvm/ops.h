/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls by which the library reaches KVM. They are a table that is handed in where a system is
 * opened, and never global, so that a test can make any one of them fail, or play a KVM of its own.
 * Each returns a result of 0 or more, or a negative errno; none uses the thread's errno.
 */
#ifndef VMK_KVM_OPS_H
#define VMK_KVM_OPS_H

#include <stddef.h>
#include <stdint.h>

struct vmk_kvm_ops {
    /* A descriptor, close-on-exec. */
    int (*open)(void *context, const char *path);
    /* `argument` is the number or the pointer that the request takes. */
    int (*ioctl)(void *context, int fd, unsigned long request, uintptr_t argument);
    /* Map the pages that a vCPU shares with the kernel. */
    int (*map)(void *context, int fd, size_t size, void **ret_address);
    void (*unmap)(void *context, void *address, size_t size);
    void (*close)(void *context, int fd);
    /* Handed to each of them. */
    void *context;
};

/* The kernel's. */
extern const struct vmk_kvm_ops vmk_kvm_default_ops;

#endif
