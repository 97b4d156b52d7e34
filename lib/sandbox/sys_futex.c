/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex(2) for a process of one thread: nobody else can wait or wake. A wait whose value does not
 * hold is EAGAIN at once; one that holds lasts until its timeout or a signal; a wake finds nobody.
 * Locks with priority inheritance are ENOSYS, as in a kernel that is built without them.
 */
#include "sandbox/clock.h"
#include "sandbox/process.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <time.h>

/* include/uapi/linux/futex.h */
enum {
    WAIT = 0,
    WAKE = 1,
    REQUEUE = 3,
    CMP_REQUEUE = 4,
    WAKE_OP = 5,
    WAIT_BITSET = 9,
    WAKE_BITSET = 10,
};
#define COMMAND_MASK 0x7fu
#define CLOCK_IS_REALTIME 0x100u

static int
read_word(struct vmk_process *process, uint64_t va, uint32_t *ret_value)
{
    if (va % sizeof *ret_value != 0)
        return -EINVAL;
    return vmk_uaccess_read(process->space, va, ret_value, sizeof *ret_value);
}

/* The deadline by CLOCK_MONOTONIC of a relative or an absolute timeout. */
static int
read_deadline(struct vmk_process *process, uint64_t va, bool absolute, int32_t clock,
              uint64_t *ret_deadline)
{
    uint64_t timeout, now;
    int r = vmk_clock_read_timespec(process, va, &timeout);
    if (r < 0)
        return r;
    if (absolute) {
        r = vmk_clock_read(process, clock, &now);
        if (r < 0)
            return r;
        timeout = timeout > now ? timeout - now : 0;
    }
    *ret_deadline = vmk_clock_add(vmk_process_now_ns(), timeout);
    return 0;
}

static int64_t
wait_for(struct vmk_process *process, const uint64_t args[6], bool absolute, int32_t clock)
{
    uint64_t deadline = UINT64_MAX;
    uint32_t value;
    bool timed = args[3] != 0;
    if (timed) {
        int r = read_deadline(process, args[3], absolute, clock, &deadline);
        if (r < 0)
            return r;
    }
    int r = read_word(process, args[0], &value);
    if (r < 0)
        return r;
    if (value != (uint32_t)args[2])
        return -EAGAIN;
    r = vmk_process_wait(process, NULL, 0, deadline);
    if (r == -EINTR)
        return timed ? -EINTR : -VMK_ERESTARTSYS;
    return r < 0 ? r : -ETIMEDOUT;
}

static int64_t
wake_nobody(struct vmk_process *process, uint64_t va)
{
    return va % sizeof(uint32_t) != 0 ? -EINVAL : 0;
}

/* FUTEX_WAKE_OP changes the second word whoever waits: 4 bits of operation, 4 of comparison, and
 * 12 each of their operands. */
static int64_t
wake_op(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t encoded = (uint32_t)args[5];
    uint32_t operation = encoded >> 28;
    uint32_t operand = (uint32_t)((int32_t)(encoded << 8) >> 20);
    uint32_t comparison = (encoded >> 24) & 0xf;
    uint32_t old, value;
    if (args[0] % sizeof old != 0)
        return -EINVAL;
    int r = read_word(process, args[4], &old);
    if (r < 0)
        return r;
    if ((operation & 8) != 0)
        operand = UINT32_C(1) << (operand & 31);
    switch (operation & 7) {
    case 0:
        value = operand;
        break;
    case 1:
        value = old + operand;
        break;
    case 2:
        value = old | operand;
        break;
    case 3:
        value = old & ~operand;
        break;
    case 4:
        value = old ^ operand;
        break;
    default:
        return -ENOSYS;
    }
    r = vmk_uaccess_write(process->space, args[4], &value, sizeof value);
    if (r < 0)
        return r;
    return comparison > 5 ? -ENOSYS : 0;
}

static int64_t
requeue(struct vmk_process *process, const uint64_t args[6], bool compare)
{
    uint32_t value;
    if ((int32_t)args[2] < 0 || (int32_t)args[3] < 0 || args[4] % sizeof value != 0)
        return -EINVAL;
    int r = read_word(process, args[0], &value);
    if (r < 0)
        return r;
    return compare && value != (uint32_t)args[5] ? -EAGAIN : 0;
}

int64_t
vmk_sys_futex(struct vmk_process *process, const uint64_t args[6])
{
    uint32_t command = (uint32_t)args[1] & COMMAND_MASK;
    bool realtime = ((uint32_t)args[1] & CLOCK_IS_REALTIME) != 0;
    bool bitset = command == WAIT_BITSET || command == WAKE_BITSET;
    if (realtime && command != WAIT_BITSET)
        return -ENOSYS;
    if (bitset && (uint32_t)args[5] == 0)
        return -EINVAL;
    switch (command) {
    case WAIT:
        return wait_for(process, args, false, CLOCK_MONOTONIC);
    case WAIT_BITSET:
        return wait_for(process, args, true, realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC);
    case WAKE:
    case WAKE_BITSET:
        return wake_nobody(process, args[0]);
    case REQUEUE:
        return requeue(process, args, false);
    case CMP_REQUEUE:
        return requeue(process, args, true);
    case WAKE_OP:
        return wake_op(process, args);
    default:
        return -ENOSYS;
    }
}
