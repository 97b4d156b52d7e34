/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/uaccess.h"

#include "sandbox/process.h"
#include "sandbox/space.h"

#include <errno.h>
#include <string.h>

/* The host's address of `va`, of `size` bytes or as many as follow in the same page, which
 * `ret_size` receives; NULL when the guest may not touch it that way. Linux lets the kernel read
 * what user mode may only execute; so do we. */
static uint8_t *
resolve(struct vmk_space *space, uint64_t va, unsigned access, size_t size, size_t *ret_size)
{
    if (va >= VMK_SPACE_HIGH)
        return NULL;
    struct vmk_leaf leaf = vmk_paging_find(&space->paging, va);
    if (!leaf.used || (leaf.rights & access) == 0) {
        int r = vmk_space_fault(space, va, access);
        /* As where the guest itself had touched it. */
        if (r == -ENOMEM)
            vmk_process_end_limit(space->process, VMKIT_LIMIT_MEMORY);
        if (r < 0)
            return NULL;
        leaf = vmk_paging_find(&space->paging, va);
        if (!leaf.used || (leaf.rights & access) == 0)
            return NULL;
    }
    uint64_t within = va & (leaf.size - 1);
    *ret_size = leaf.size - within < size ? leaf.size - within : size;
    if (access == VMK_PAGE_WRITE)
        vmk_paging_note_write(&space->paging, leaf.gpa + within, *ret_size);
    return vmk_frames_get_memory(space->frames) + leaf.gpa + within;
}

int
vmk_uaccess_read(struct vmk_space *space, uint64_t va, void *destination, size_t size)
{
    uint8_t *at = destination;
    while (size > 0) {
        size_t part;
        const uint8_t *host = resolve(space, va, VMK_PAGE_READ, size, &part);
        if (host == NULL)
            return -EFAULT;
        memcpy(at, host, part);
        at += part;
        va += part;
        size -= part;
    }
    return 0;
}

int
vmk_uaccess_write(struct vmk_space *space, uint64_t va, const void *source, size_t size)
{
    const uint8_t *at = source;
    while (size > 0) {
        size_t part;
        uint8_t *host = resolve(space, va, VMK_PAGE_WRITE, size, &part);
        if (host == NULL)
            return -EFAULT;
        memcpy(host, at, part);
        at += part;
        va += part;
        size -= part;
    }
    return 0;
}

int
vmk_uaccess_zero(struct vmk_space *space, uint64_t va, size_t size)
{
    while (size > 0) {
        size_t part;
        uint8_t *host = resolve(space, va, VMK_PAGE_WRITE, size, &part);
        if (host == NULL)
            return -EFAULT;
        memset(host, 0, part);
        va += part;
        size -= part;
    }
    return 0;
}

ssize_t
vmk_uaccess_read_string(struct vmk_space *space, uint64_t va, char *destination, size_t capacity)
{
    size_t length = 0;
    while (length < capacity) {
        size_t part;
        const uint8_t *host = resolve(space, va + length, VMK_PAGE_READ, capacity - length, &part);
        if (host == NULL)
            return -EFAULT;
        const uint8_t *end = memchr(host, 0, part);
        size_t copied = end != NULL ? (size_t)(end - host) : part;
        memcpy(destination + length, host, copied);
        length += copied;
        if (end != NULL) {
            destination[length] = '\0';
            return (ssize_t)length;
        }
    }
    return -ENAMETOOLONG;
}

ssize_t
vmk_uaccess_pin(struct vmk_space *space, uint64_t va, size_t size, bool write, struct iovec *iov,
                int max, int *ret_count)
{
    size_t covered = 0;
    int count = 0;
    while (covered < size) {
        size_t part;
        uint8_t *host = resolve(space, va + covered, write ? VMK_PAGE_WRITE : VMK_PAGE_READ,
                                size - covered, &part);
        if (host == NULL)
            break;
        if (count > 0 && (uint8_t *)iov[count - 1].iov_base + iov[count - 1].iov_len == host) {
            iov[count - 1].iov_len += part;
        } else {
            if (count == max)
                break;
            iov[count++] = (struct iovec){.iov_base = host, .iov_len = part};
        }
        covered += part;
    }
    *ret_count = count;
    return covered == 0 && size > 0 ? -EFAULT : (ssize_t)covered;
}
