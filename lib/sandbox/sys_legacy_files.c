/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the file family that only the oldest architectures have: each is a case of a newer one,
 * which serves it. Built where the table names them.
 */
#include "sandbox/at.h"
#include "sandbox/dirent.h"
#include "sandbox/files.h"
#include "sandbox/guest_abi.h"
#include "sandbox/poll.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>

#define CWD ((uint64_t)AT_FDCWD)

/* An old call as a new one with other arguments. */
#define LEGACY(name, newer, ...)                                                \
    int64_t vmk_sys_##name(struct vmk_process *process, const uint64_t args[6]) \
    {                                                                           \
        return vmk_sys_##newer(process, (const uint64_t[6]){__VA_ARGS__});      \
    }

LEGACY(open, openat, CWD, args[0], args[1], args[2])
LEGACY(creat, openat, CWD, args[0], O_CREAT | O_WRONLY | O_TRUNC, args[1])
LEGACY(stat, newfstatat, CWD, args[0], args[1], 0)
LEGACY(lstat, newfstatat, CWD, args[0], args[1], AT_SYMLINK_NOFOLLOW)
LEGACY(access, faccessat, CWD, args[0], args[1])
LEGACY(pipe, pipe2, args[0], 0)
LEGACY(eventfd, eventfd2, args[0], 0)
LEGACY(mkdir, mkdirat, CWD, args[0], args[1])
LEGACY(rmdir, unlinkat, CWD, args[0], AT_REMOVEDIR)
LEGACY(unlink, unlinkat, CWD, args[0], 0)
LEGACY(rename, renameat, CWD, args[0], CWD, args[1])
LEGACY(link, linkat, CWD, args[0], CWD, args[1], 0)
LEGACY(symlink, symlinkat, args[0], CWD, args[1])
LEGACY(mknod, mknodat, CWD, args[0], args[1], args[2])
LEGACY(chmod, fchmodat, CWD, args[0], args[1])
LEGACY(chown, fchownat, CWD, args[0], args[1], args[2], 0)
LEGACY(lchown, fchownat, CWD, args[0], args[1], args[2], AT_SYMLINK_NOFOLLOW)

/* An empty path is no descriptor here. */
int64_t
vmk_sys_readlink(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_sys_readlinkat(process, (const uint64_t[6]){CWD, args[0], args[1], args[2]});
}

int64_t
vmk_sys_dup2(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t to = (uint32_t)args[1];
    if ((uint32_t)args[0] == to)
        return vmk_fdtable_get(&process->files->table, to) == NULL ? -EBADF : (int64_t)to;
    return vmk_sys_dup3(process, (const uint64_t[6]){args[0], to, 0});
}

int64_t
vmk_sys_getdents(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_dirent_serve(process, args, true);
}

int64_t
vmk_sys_epoll_create(struct vmk_process *process, const uint64_t args[6])
{
    return (int32_t)args[0] <= 0 ? -EINVAL : vmk_sys_epoll_create1(process, (const uint64_t[6]){0});
}

int64_t
vmk_sys_epoll_wait(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_sys_epoll_pwait(process, (const uint64_t[6]){args[0], args[1], args[2], args[3]});
}

int64_t
vmk_sys_poll(struct vmk_process *process, const uint64_t args[6])
{
    int32_t milliseconds = (int32_t)args[2];
    uint64_t deadline =
        milliseconds < 0 ? UINT64_MAX : vmk_poll_deadline((uint64_t)milliseconds * 1000000u);
    return vmk_poll_serve(process, args[0], args[1], deadline);
}

int64_t
vmk_sys_select(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_timeval time;
    uint64_t deadline = UINT64_MAX;
    if (args[4] != 0) {
        int result = vmk_uaccess_read(process->space, args[4], &time, sizeof time);
        if (result < 0)
            return result;
        if (time.seconds < 0 || time.microseconds < 0)
            return -EINVAL;
        uint64_t nanoseconds;
        if (!__builtin_mul_overflow((uint64_t)time.seconds, VMK_NS_PER_SECOND, &nanoseconds) &&
            !__builtin_add_overflow(nanoseconds, (uint64_t)time.microseconds * 1000u, &nanoseconds))
            deadline = vmk_poll_deadline(nanoseconds);
    }
    int64_t ready = vmk_select_serve(process, args, deadline);
    if (args[4] != 0 && deadline != UINT64_MAX) {
        uint64_t now = vmk_process_now_ns();
        uint64_t left = deadline > now ? (deadline - now) / 1000u : 0;
        time = (struct vmk_guest_timeval){.seconds = (int64_t)(left / 1000000u),
                                          .microseconds = (int64_t)(left % 1000000u)};
        (void)!vmk_uaccess_write(process->space, args[4], &time, sizeof time);
    }
    return ready;
}

/* utime, utimes and futimesat: seconds, with microseconds or without. */

int64_t
vmk_sys_utime(struct vmk_process *process, const uint64_t args[6])
{
    int64_t seconds[2];
    if (args[1] == 0)
        return vmk_at_set_times(process, CWD, args[0], NULL, 0);
    int result = vmk_uaccess_read(process->space, args[1], seconds, sizeof seconds);
    const struct timespec times[2] = {{.tv_sec = seconds[0]}, {.tv_sec = seconds[1]}};
    return result < 0 ? result : vmk_at_set_times(process, CWD, args[0], times, 0);
}

int64_t
vmk_sys_futimesat(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_timeval from[2];
    struct timespec times[2];
    if (args[2] == 0)
        return vmk_at_set_times(process, args[0], args[1], NULL, 0);
    int result = vmk_uaccess_read(process->space, args[2], from, sizeof from);
    if (result < 0)
        return result;
    for (int i = 0; i < 2; i++) {
        if (from[i].microseconds < 0 || from[i].microseconds >= 1000000)
            return -EINVAL;
        times[i] =
            (struct timespec){.tv_sec = from[i].seconds, .tv_nsec = from[i].microseconds * 1000};
    }
    return vmk_at_set_times(process, args[0], args[1], times, 0);
}

int64_t
vmk_sys_utimes(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_sys_futimesat(process, (const uint64_t[6]){CWD, args[0], args[1]});
}
