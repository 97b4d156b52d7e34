/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the process and its small attributes: exit, fork, wait, prctl, and random numbers.
 *
 * The guest is one process of one thread. Making another is refused with the errno that fork(2)
 * lists for platforms without it, ENOSYS: at EAGAIN, a shell would sleep and try again for 15
 * seconds. So there is never a child to wait for.
 */
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* include/uapi/linux/prctl.h */
enum {
    SET_PDEATHSIG = 1,
    GET_PDEATHSIG = 2,
    GET_DUMPABLE = 3,
    SET_DUMPABLE = 4,
    GET_KEEPCAPS = 7,
    SET_KEEPCAPS = 8,
    GET_TIMING = 13,
    SET_NAME = 15,
    GET_NAME = 16,
    GET_SECCOMP = 21,
    CAPBSET_READ = 23,
    CAPBSET_DROP = 24,
    SET_TIMERSLACK = 29,
    GET_TIMERSLACK = 30,
    GET_CHILD_SUBREAPER = 37,
    SET_NO_NEW_PRIVS = 38,
    GET_NO_NEW_PRIVS = 39,
    GET_THP_DISABLE = 42,
};

#define LAST_CAPABILITY 40
#define LAST_SIGNAL 64
#define DEFAULT_TIMER_SLACK_NS 50000
#define ROBUST_LIST_HEAD_SIZE 24

/* include/uapi/linux/wait.h */
#define WAIT4_OPTIONS (0x1u | 0x2u | 0x8u | 0x20000000u | 0x40000000u | 0x80000000u)
#define WAITID_OPTIONS (WAIT4_OPTIONS | 0x4u | 0x01000000u)
#define WAITID_EVENTS (0x2u | 0x4u | 0x8u)

/* include/uapi/linux/membarrier.h: what one thread has without doing anything. */
#define MEMBARRIER_SERVED (0x1u | 0x2u | 0x4u | 0x8u | 0x10u | 0x20u | 0x40u)

#define PERSONALITY_QUERY 0xffffffffu

/* include/uapi/linux/random.h */
#define RANDOM_NONBLOCK 0x1u
#define RANDOM_RANDOM 0x2u
#define RANDOM_INSECURE 0x4u
#define RANDOM_CHUNK 4096u
#define RANDOM_MOST 0x7ffff000u
/* After so many bytes getrandom looks whether the run should end. */
#define RANDOM_BETWEEN_CHECKS (64u * 1024u)

int64_t
vmk_sys_exit(struct vmk_process *process, const uint64_t args[6])
{
    vmk_process_end_exit(process, (int)(args[0] & 0xff));
    return 0;
}

int64_t
vmk_sys_exit_group(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_sys_exit(process, args);
}

int64_t
vmk_sys_clone(struct vmk_process *process, const uint64_t args[6])
{
    return -ENOSYS;
}

int64_t
vmk_sys_clone3(struct vmk_process *process, const uint64_t args[6])
{
    return -ENOSYS;
}

int64_t
vmk_sys_wait4(struct vmk_process *process, const uint64_t args[6])
{
    if (((uint32_t)args[2] & ~WAIT4_OPTIONS) != 0)
        return -EINVAL;
    return (int32_t)args[0] == INT32_MIN ? -ESRCH : -ECHILD;
}

int64_t
vmk_sys_waitid(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t options = (uint32_t)args[3];
    if ((options & ~WAITID_OPTIONS) != 0 || (options & WAITID_EVENTS) == 0)
        return -EINVAL;
    return (uint32_t)args[0] > 3 ? -EINVAL : -ECHILD;
}

/* Kept for get_robust_list alone: nobody is left to take a lock over when the only thread ends. */
int64_t
vmk_sys_set_robust_list(struct vmk_process *process, const uint64_t args[6])
{
    if (args[1] != ROBUST_LIST_HEAD_SIZE)
        return -EINVAL;
    process->task.robust_list = args[0];
    process->task.robust_list_size = args[1];
    return 0;
}

int64_t
vmk_sys_get_robust_list(struct vmk_process *process, const uint64_t args[6])
{
    static const uint64_t size = ROBUST_LIST_HEAD_SIZE;
    if ((uint32_t)args[0] != 0 && (uint32_t)args[0] != process->pid)
        return -ESRCH;
    int r = vmk_uaccess_write(process->space, args[2], &size, sizeof size);
    if (r < 0)
        return r;
    return vmk_uaccess_write(process->space, args[1], &process->task.robust_list,
                             sizeof process->task.robust_list);
}

/* Served so that it is not counted among the unknown calls: every program of glibc asks once, and
 * goes without. */
int64_t
vmk_sys_rseq(struct vmk_process *process, const uint64_t args[6])
{
    return -ENOSYS;
}

int64_t
vmk_sys_seccomp(struct vmk_process *process, const uint64_t args[6])
{
    return -EINVAL;
}

int64_t
vmk_sys_membarrier(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t command = (uint32_t)args[0];
    if ((uint32_t)args[1] != 0)
        return -EINVAL;
    if (command == 0)
        return MEMBARRIER_SERVED;
    bool one_bit = (command & (command - 1)) == 0;
    return one_bit && (command & MEMBARRIER_SERVED) != 0 ? 0 : -EINVAL;
}

int64_t
vmk_sys_personality(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t old = process->task.personality;
    if ((uint32_t)args[0] != PERSONALITY_QUERY)
        process->task.personality = (uint32_t)args[0];
    return old;
}

static int64_t
set_flag(bool *flag, uint64_t value)
{
    if (value > 1)
        return -EINVAL;
    *flag = value != 0;
    return 0;
}

static int64_t
set_name(struct vmk_process *process, uint64_t va)
{
    char name[sizeof process->name] = {0};
    ssize_t length = vmk_uaccess_read_string(process->space, va, name, sizeof name);
    /* A longer name is cut, not refused. */
    if (length == -ENAMETOOLONG)
        length = vmk_uaccess_read(process->space, va, name, sizeof name - 1);
    if (length < 0)
        return length;
    name[sizeof name - 1] = '\0';
    memset(process->name, 0, sizeof process->name);
    memcpy(process->name, name, strlen(name));
    return 0;
}

static int64_t
set_parent_death_signal(struct vmk_process *process, uint64_t signal)
{
    if (signal > LAST_SIGNAL)
        return -EINVAL;
    process->task.parent_death_signal = (int32_t)signal;
    return 0;
}

static int64_t
no_new_privileges(struct vmk_process *process, const uint64_t args[6], bool set)
{
    if (args[1] != (set ? 1 : 0) || args[2] != 0 || args[3] != 0 || args[4] != 0)
        return -EINVAL;
    if (set)
        process->task.no_new_privileges = true;
    return set ? 0 : process->task.no_new_privileges;
}

static int64_t
prctl_get(struct vmk_process *process, const uint64_t args[6])
{
    const struct vmk_task *task = &process->task;
    switch ((int32_t)args[0]) {
    case GET_PDEATHSIG:
        return vmk_uaccess_write(process->space, args[1], &task->parent_death_signal,
                                 sizeof task->parent_death_signal);
    case GET_NAME:
        return vmk_uaccess_write(process->space, args[1], process->name, sizeof process->name);
    case GET_DUMPABLE:
        return !task->not_dumpable;
    case GET_KEEPCAPS:
        return task->keep_capabilities;
    case GET_TIMERSLACK:
        return task->timer_slack_ns == 0 ? DEFAULT_TIMER_SLACK_NS : (int64_t)task->timer_slack_ns;
    case GET_CHILD_SUBREAPER:
        return vmk_uaccess_zero(process->space, args[1], sizeof(int32_t));
    case GET_TIMING:
    case GET_SECCOMP:
        return 0;
    case GET_THP_DISABLE:
        return args[1] == 0 && args[2] == 0 && args[3] == 0 && args[4] == 0 ? 0 : -EINVAL;
    case CAPBSET_READ:
        return args[1] <= LAST_CAPABILITY ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

int64_t
vmk_sys_prctl(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_task *task = &process->task;
    switch ((int32_t)args[0]) {
    case SET_PDEATHSIG:
        return set_parent_death_signal(process, args[1]);
    case SET_DUMPABLE: {
        bool dumpable;
        int64_t r = set_flag(&dumpable, args[1]);
        if (r == 0)
            task->not_dumpable = !dumpable;
        return r;
    }
    case SET_KEEPCAPS:
        return set_flag(&task->keep_capabilities, args[1]);
    case SET_NAME:
        return set_name(process, args[1]);
    case SET_TIMERSLACK:
        task->timer_slack_ns = args[1] > INT64_MAX ? 0 : args[1];
        return 0;
    case SET_NO_NEW_PRIVS:
        return no_new_privileges(process, args, true);
    case GET_NO_NEW_PRIVS:
        return no_new_privileges(process, args, false);
    case CAPBSET_DROP:
        return args[1] <= LAST_CAPABILITY ? -EPERM : -EINVAL;
    default:
        return prctl_get(process, args);
    }
}

/* One piece of random bytes for the guest. The host is never asked to block. */
static int64_t
give_random(struct vmk_process *process, uint64_t va, size_t size)
{
    uint8_t bytes[RANDOM_CHUNK];
    ssize_t got = getrandom(bytes, size, GRND_NONBLOCK);
    if (got < 0)
        return errno == EINTR ? 0 : -EAGAIN;
    int r = vmk_uaccess_write(process->space, va, bytes, (size_t)got);
    explicit_bzero(bytes, sizeof bytes);
    return r < 0 ? r : got;
}

/* As in Linux, a long request ends early with what it has when a signal waits. */
int64_t
vmk_sys_getrandom(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t flags = (uint32_t)args[2];
    uint64_t size = args[1] < RANDOM_MOST ? args[1] : RANDOM_MOST;
    uint64_t done = 0;
    if ((flags & ~(RANDOM_NONBLOCK | RANDOM_RANDOM | RANDOM_INSECURE)) != 0 ||
        (flags & (RANDOM_RANDOM | RANDOM_INSECURE)) == (RANDOM_RANDOM | RANDOM_INSECURE))
        return -EINVAL;
    while (done < size) {
        uint64_t rest = size - done;
        int64_t got =
            give_random(process, args[0] + done, rest < RANDOM_CHUNK ? rest : RANDOM_CHUNK);
        if (got < 0)
            return done > 0 ? (int64_t)done : got;
        done += (uint64_t)got;
        if (done % RANDOM_BETWEEN_CHECKS == 0 && vmk_process_wait(process, NULL, 0, 0) < 0)
            break;
    }
    return (int64_t)done;
}
