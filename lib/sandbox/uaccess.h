/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's access to the guest's virtual memory: the one way in which a system call reads an
 * argument or writes a result. A range is walked page by page with the rights that the guest itself
 * has there; what the guest may not touch is -EFAULT, never a crash. A page that is mapped and not
 * yet populated is populated. The guest has one thread and is stopped meanwhile, but a value is
 * still read once, then checked, then used.
 */
#ifndef VMK_SANDBOX_UACCESS_H
#define VMK_SANDBOX_UACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct vmk_space;

/* Copy `size` bytes from or to the guest. 0 or -EFAULT; after -EFAULT a part may have been copied.
 */
int
vmk_uaccess_read(struct vmk_space *space, uint64_t va, void *destination, size_t size);

int
vmk_uaccess_write(struct vmk_space *space, uint64_t va, const void *source, size_t size);

/* Fill `size` bytes of the guest with zeros. 0 or -EFAULT. */
int
vmk_uaccess_zero(struct vmk_space *space, uint64_t va, size_t size);

/* Copy a string with its NUL into `destination` of `capacity` bytes. Its length without the NUL,
 * -EFAULT, or -ENAMETOOLONG when it does not fit. */
ssize_t
vmk_uaccess_read_string(struct vmk_space *space, uint64_t va, char *destination, size_t capacity);

/* Describe [va, va + size) by host pointers, for a read or write that needs no copy. `write` says
 * that the library will write to it. Fills at most `max` entries and stores their number; returns
 * the bytes that they cover, which is less than `size` where entries run out or the guest has no
 * access further on, or -EFAULT when it has none at `va` itself. The pointers hold until the
 * guest's mappings change. */
ssize_t
vmk_uaccess_pin(struct vmk_space *space, uint64_t va, size_t size, bool write, struct iovec *iov,
                int max, int *ret_count);

#endif
