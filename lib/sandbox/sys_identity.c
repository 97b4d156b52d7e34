/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the guest is: process, session, user and group numbers, capabilities and the system's name
 * (credentials(7), capabilities(7), uname(2)).
 *
 * The guest is alone: the leader of its own session and process group, with a parent outside of
 * what it can see, which Linux shows as 0. It has one user and one group, which the embedder chose,
 * and no capability; it can change to what it is already and to nothing else.
 */
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include "abi.h"

#include <errno.h>
#include <string.h>

#define KEEP_ID UINT32_MAX

#define CAP_VERSION_1 0x19980330u
#define CAP_VERSION_2 0x20071026u
#define CAP_VERSION_3 0x20080522u
#define CAP_DATA_SIZE 12 /* effective, permitted, inheritable: one 32-bit word each */

static bool
is_self(const struct vmk_process *process, uint64_t pid)
{
    return (uint32_t)pid == 0 || (uint32_t)pid == process->pid;
}

int64_t
vmk_sys_getpid(struct vmk_process *process, const uint64_t args[6])
{
    return process->pid;
}

int64_t
vmk_sys_gettid(struct vmk_process *process, const uint64_t args[6])
{
    return process->pid;
}

int64_t
vmk_sys_getppid(struct vmk_process *process, const uint64_t args[6])
{
    return 0;
}

static int64_t
get_own_group(struct vmk_process *process, uint64_t pid)
{
    return is_self(process, pid) ? (int64_t)process->pid : -ESRCH;
}

int64_t
vmk_sys_getpgid(struct vmk_process *process, const uint64_t args[6])
{
    return get_own_group(process, args[0]);
}

int64_t
vmk_sys_getsid(struct vmk_process *process, const uint64_t args[6])
{
    return get_own_group(process, args[0]);
}

/* A session leader can neither change its group nor found a session. */
int64_t
vmk_sys_setpgid(struct vmk_process *process, const uint64_t args[6])
{
    if ((int32_t)args[1] < 0)
        return -EINVAL;
    return is_self(process, args[0]) ? -EPERM : -ESRCH;
}

int64_t
vmk_sys_setsid(struct vmk_process *process, const uint64_t args[6])
{
    return -EPERM;
}

int64_t
vmk_sys_set_tid_address(struct vmk_process *process, const uint64_t args[6])
{
    process->task.clear_child_tid = args[0];
    return process->pid;
}

int64_t
vmk_sys_getuid(struct vmk_process *process, const uint64_t args[6])
{
    return process->uid;
}

int64_t
vmk_sys_geteuid(struct vmk_process *process, const uint64_t args[6])
{
    return process->uid;
}

int64_t
vmk_sys_getgid(struct vmk_process *process, const uint64_t args[6])
{
    return process->gid;
}

int64_t
vmk_sys_getegid(struct vmk_process *process, const uint64_t args[6])
{
    return process->gid;
}

static int64_t
write_three_ids(struct vmk_process *process, const uint64_t args[6], uint32_t id)
{
    for (int i = 0; i < 3; i++) {
        int r = vmk_uaccess_write(process->space, args[i], &id, sizeof id);
        if (r < 0)
            return r;
    }
    return 0;
}

int64_t
vmk_sys_getresuid(struct vmk_process *process, const uint64_t args[6])
{
    return write_three_ids(process, args, process->uid);
}

int64_t
vmk_sys_getresgid(struct vmk_process *process, const uint64_t args[6])
{
    return write_three_ids(process, args, process->gid);
}

static int64_t
set_id(uint64_t wanted, uint32_t own)
{
    if ((uint32_t)wanted == KEEP_ID)
        return -EINVAL;
    return (uint32_t)wanted == own ? 0 : -EPERM;
}

static int64_t
set_ids(const uint64_t *wanted, int count, uint32_t own)
{
    for (int i = 0; i < count; i++)
        if ((uint32_t)wanted[i] != KEEP_ID && (uint32_t)wanted[i] != own)
            return -EPERM;
    return 0;
}

int64_t
vmk_sys_setuid(struct vmk_process *process, const uint64_t args[6])
{
    return set_id(args[0], process->uid);
}

int64_t
vmk_sys_setgid(struct vmk_process *process, const uint64_t args[6])
{
    return set_id(args[0], process->gid);
}

int64_t
vmk_sys_setreuid(struct vmk_process *process, const uint64_t args[6])
{
    return set_ids(args, 2, process->uid);
}

int64_t
vmk_sys_setregid(struct vmk_process *process, const uint64_t args[6])
{
    return set_ids(args, 2, process->gid);
}

int64_t
vmk_sys_setresuid(struct vmk_process *process, const uint64_t args[6])
{
    return set_ids(args, 3, process->uid);
}

int64_t
vmk_sys_setresgid(struct vmk_process *process, const uint64_t args[6])
{
    return set_ids(args, 3, process->gid);
}

/* These two never fail; they return the number from before. */
int64_t
vmk_sys_setfsuid(struct vmk_process *process, const uint64_t args[6])
{
    return process->uid;
}

int64_t
vmk_sys_setfsgid(struct vmk_process *process, const uint64_t args[6])
{
    return process->gid;
}

int64_t
vmk_sys_getgroups(struct vmk_process *process, const uint64_t args[6])
{
    return (int32_t)args[0] < 0 ? -EINVAL : 0;
}

int64_t
vmk_sys_setgroups(struct vmk_process *process, const uint64_t args[6])
{
    return -EPERM;
}

/* The words of each set that a header's version stands for; 0 for an unknown version, after the
 * kernel's own one was stored in the header. */
static int
cap_read_header(struct vmk_process *process, uint64_t va, struct vmk_guest_cap_header *ret_header)
{
    static const uint32_t preferred = CAP_VERSION_3;
    int r = vmk_uaccess_read(process->space, va, ret_header, sizeof *ret_header);
    if (r < 0)
        return r;
    switch (ret_header->version) {
    case CAP_VERSION_1:
        return 1;
    case CAP_VERSION_2:
    case CAP_VERSION_3:
        return 2;
    default:
        return vmk_uaccess_write(process->space, va, &preferred, sizeof preferred);
    }
}

int64_t
vmk_sys_capget(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_guest_cap_header header;
    int words = cap_read_header(process, args[0], &header);
    if (words < 0)
        return words;
    if (words == 0)
        return args[1] == 0 ? 0 : -EINVAL;
    if (header.pid < 0)
        return -EINVAL;
    if (!is_self(process, (uint32_t)header.pid))
        return -ESRCH;
    if (args[1] == 0)
        return 0;
    return vmk_uaccess_zero(process->space, args[1], (size_t)words * CAP_DATA_SIZE);
}

int64_t
vmk_sys_capset(struct vmk_process *process, const uint64_t args[6])
{
    static const uint8_t none[2 * CAP_DATA_SIZE];
    uint8_t data[2 * CAP_DATA_SIZE];
    struct vmk_guest_cap_header header;
    int words = cap_read_header(process, args[0], &header);
    if (words < 0)
        return words;
    if (words == 0)
        return -EINVAL;
    if (!is_self(process, (uint32_t)header.pid))
        return -EPERM;
    size_t size = (size_t)words * CAP_DATA_SIZE;
    int r = vmk_uaccess_read(process->space, args[1], data, size);
    if (r < 0)
        return r;
    return memcmp(data, none, size) == 0 ? 0 : -EPERM;
}

int64_t
vmk_sys_uname(struct vmk_process *process, const uint64_t args[6])
{
    static const struct vmk_guest_utsname name = {
        .sysname = VMK_OS_TYPE,
        .nodename = VMK_HOST_NAME,
        .release = VMK_OS_RELEASE,
        .version = "#1 libvmkit",
        .machine = VMK_ABI_MACHINE,
        .domainname = "(none)",
    };
    return vmk_uaccess_write(process->space, args[0], &name, sizeof name);
}
