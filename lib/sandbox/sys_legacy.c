/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the process, signal and time families that only the oldest architectures have; newer
 * ones make their libc use the general call. Built where the table names them.
 */
#include "sandbox/guest_abi.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"
#include "sandbox/timers.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <time.h>

int64_t
vmk_sys_fork(struct vmk_process *process, const uint64_t args[6])
{
    return -ENOSYS;
}

int64_t
vmk_sys_vfork(struct vmk_process *process, const uint64_t args[6])
{
    return -ENOSYS;
}

int64_t
vmk_sys_getpgrp(struct vmk_process *process, const uint64_t args[6])
{
    return process->pid;
}

int64_t
vmk_sys_pause(struct vmk_process *process, const uint64_t args[6])
{
    return vmk_signals_wait(process);
}

/* Seconds left of the alarm before, rounded to the nearest, but never to 0 while one is left. */
int64_t
vmk_sys_alarm(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t seconds = (uint32_t)args[0];
    uint64_t left =
        vmk_timers_set_interval(process, VMK_INTERVAL_REAL, seconds * VMK_NS_PER_SECOND, 0);
    uint64_t rounded = (left + VMK_NS_PER_SECOND / 2) / VMK_NS_PER_SECOND;
    return left != 0 && rounded == 0 ? 1 : (int64_t)rounded;
}

int64_t
vmk_sys_time(struct vmk_process *process, const uint64_t args[6])
{
    int64_t now = time(NULL);
    if (args[0] != 0 && vmk_uaccess_write(process->space, args[0], &now, sizeof now) < 0)
        return -EFAULT;
    return now;
}
