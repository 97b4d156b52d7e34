/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the file family that are answered as a system answers that has the feature not: no
 * network, no extended attributes. What such a call would check first, it does not: there is
 * nothing to protect behind it.
 */
#include "sandbox/at.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <fcntl.h>

/* Every address family is one that this kernel was built without. */
int64_t
vmk_sys_socket(struct vmk_process *process, const uint64_t args[6])
{
    return -EAFNOSUPPORT;
}

int64_t
vmk_sys_socketpair(struct vmk_process *process, const uint64_t args[6])
{
    return -EAFNOSUPPORT;
}

/* As on a file system without extended attributes; the path or descriptor has to be good. */
static int64_t
no_attributes(struct vmk_process *process, uint64_t path, uint32_t flags)
{
    struct vmk_target target;
    int result = vmk_at_find(process, (uint64_t)AT_FDCWD, path, flags, &target);
    if (result < 0)
        return result;
    vmk_target_clear(&target);
    return -EOPNOTSUPP;
}

static int64_t
no_attributes_fd(struct vmk_process *process, uint64_t fd)
{
    return vmk_files_get(process->files, fd) == NULL ? -EBADF : -EOPNOTSUPP;
}

#define ATTRIBUTE_CALLS(verb)                                                    \
    int64_t vmk_sys_##verb(struct vmk_process *process, const uint64_t args[6])  \
    {                                                                            \
        return no_attributes(process, args[0], 0);                               \
    }                                                                            \
    int64_t vmk_sys_l##verb(struct vmk_process *process, const uint64_t args[6]) \
    {                                                                            \
        return no_attributes(process, args[0], AT_SYMLINK_NOFOLLOW);             \
    }                                                                            \
    int64_t vmk_sys_f##verb(struct vmk_process *process, const uint64_t args[6]) \
    {                                                                            \
        return no_attributes_fd(process, args[0]);                               \
    }

ATTRIBUTE_CALLS(getxattr)
ATTRIBUTE_CALLS(setxattr)
ATTRIBUTE_CALLS(listxattr)
ATTRIBUTE_CALLS(removexattr)
