/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_process.h"

#include "sandbox/signals.h"
#include "sandbox/uaccess.h"

#include "arch/usermode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake fake;

void
fake_reset(void)
{
    vmk_signals_free(fake.process.signals);
    memset(&fake, 0, sizeof fake);
    fake.process.regs = &fake.regs;
    fake.process.signals = vmk_signals_new();
    fake.process.pid = FAKE_PID;
    fake.process.uid = 1000;
    fake.process.gid = 1001;
    fake.process.limits = (struct vmk_limits){
        .memory_bytes = UINT64_C(256) << 20, .open_files = 64, .output_bytes = UINT64_MAX};
    fake.account = (struct vmk_memory_account){
        .limit = fake.process.limits.memory_bytes, .used = 3 << 20, .peak = 5 << 20};
    fake.process.memory = &fake.account;
    fake.process.wall_deadline_ns = UINT64_MAX;
    fake.process.cpu_deadline_ns = UINT64_MAX;
    fake.now_ns = UINT64_C(1000000000000);
    fake.xstate[512] = 7;
}

void *
fake_at(uint64_t va)
{
    if (va < FAKE_BASE || va >= FAKE_BASE + FAKE_SIZE)
        abort();
    return fake.memory + (va - FAKE_BASE);
}

uint64_t
fake_get64(uint64_t va)
{
    uint64_t value;
    memcpy(&value, fake_at(va), sizeof value);
    return value;
}

uint32_t
fake_get32(uint64_t va)
{
    uint32_t value;
    memcpy(&value, fake_at(va), sizeof value);
    return value;
}

void
fake_put64(uint64_t va, uint64_t value)
{
    memcpy(fake_at(va), &value, sizeof value);
}

static bool
in_reach(uint64_t va, size_t size, uint64_t end)
{
    return va >= FAKE_BASE && va <= end && size <= end - va;
}

int
vmk_uaccess_read(struct vmk_space *space, uint64_t va, void *destination, size_t size)
{
    if (!in_reach(va, size, FAKE_BASE + FAKE_SIZE))
        return -EFAULT;
    memcpy(destination, fake_at(va), size);
    return 0;
}

int
vmk_uaccess_write(struct vmk_space *space, uint64_t va, const void *source, size_t size)
{
    if (!in_reach(va, size, FAKE_BASE + FAKE_SIZE - FAKE_READ_ONLY))
        return -EFAULT;
    memcpy(fake_at(va), source, size);
    return 0;
}

int
vmk_uaccess_zero(struct vmk_space *space, uint64_t va, size_t size)
{
    if (!in_reach(va, size, FAKE_BASE + FAKE_SIZE - FAKE_READ_ONLY))
        return -EFAULT;
    memset(fake_at(va), 0, size);
    return 0;
}

ssize_t
vmk_uaccess_read_string(struct vmk_space *space, uint64_t va, char *destination, size_t capacity)
{
    for (size_t i = 0; i < capacity; i++) {
        if (!in_reach(va + i, 1, FAKE_BASE + FAKE_SIZE))
            return -EFAULT;
        destination[i] = *(const char *)fake_at(va + i);
        if (destination[i] == '\0')
            return (ssize_t)i;
    }
    return -ENAMETOOLONG;
}

ssize_t
vmk_uaccess_pin(struct vmk_space *space, uint64_t va, size_t size, bool write, struct iovec *iov,
                int max, int *ret_count)
{
    uint64_t end = FAKE_BASE + FAKE_SIZE - (write ? FAKE_READ_ONLY : 0);
    *ret_count = 0;
    if (max < 1 || va < FAKE_BASE || va >= end)
        return -EFAULT;
    size_t covered = size < end - va ? size : (size_t)(end - va);
    iov[0] = (struct iovec){.iov_base = fake_at(va), .iov_len = covered};
    *ret_count = 1;
    return (ssize_t)covered;
}

uint64_t
vmk_usermode_get_syscall(const struct vmk_usermode *usermode, uint64_t args[6])
{
    memcpy(args, fake.syscall_args, sizeof fake.syscall_args);
    return 0;
}

void
vmk_usermode_set_result(struct vmk_usermode *usermode, int64_t result)
{
    fake.syscall_result = result;
}

uint64_t
vmk_usermode_get_generation_address(const struct vmk_usermode *usermode)
{
    return FAKE_GENERATION;
}

size_t
vmk_usermode_get_xstate_size(const struct vmk_usermode *usermode)
{
    return FAKE_XSTATE_SIZE;
}

int
vmk_usermode_get_xstate(struct vmk_usermode *usermode, void *buffer, size_t size)
{
    if (size != FAKE_XSTATE_SIZE)
        return -EINVAL;
    memcpy(buffer, fake.xstate, size);
    return 0;
}

/* Refuses components that it does not have, as KVM_SET_XSAVE does. */
int
vmk_usermode_set_xstate(struct vmk_usermode *usermode, const void *buffer, size_t size)
{
    uint64_t components;
    if (size != FAKE_XSTATE_SIZE)
        return -EINVAL;
    memcpy(&components, (const uint8_t *)buffer + 512, sizeof components);
    if ((components & ~UINT64_C(7)) != 0)
        return -EINVAL;
    memcpy(fake.xstate, buffer, size);
    return 0;
}

void
vmk_process_end_exit(struct vmk_process *process, int status)
{
    if (vmk_process_ended(process))
        return;
    process->ending = (struct vmk_ending){.kind = VMKIT_OUTCOME_EXITED, .exit_status = status};
}

void
vmk_process_end_signal(struct vmk_process *process, int signal, int code, uint64_t fault_address)
{
    if (vmk_process_ended(process))
        return;
    process->ending = (struct vmk_ending){.kind = VMKIT_OUTCOME_SIGNALLED,
                                          .signal = signal,
                                          .signal_code = code,
                                          .fault_address = fault_address};
}

void
vmk_process_end_limit(struct vmk_process *process, enum vmkit_limit limit)
{
    if (vmk_process_ended(process))
        return;
    process->ending = (struct vmk_ending){.kind = VMKIT_OUTCOME_LIMIT, .limit = limit};
}

uint64_t
vmk_process_now_ns(void)
{
    return fake.now_ns;
}

uint64_t
vmk_process_cpu_ns(const struct vmk_process *process)
{
    return fake.cpu_ns;
}

void
vmk_process_arm_timers(struct vmk_process *process)
{
    fake.timers_armed++;
}

int
vmk_process_wait(struct vmk_process *process, struct pollfd *fds, nfds_t count,
                 uint64_t deadline_ns)
{
    fake.waits++;
    fake.last_deadline_ns = deadline_ns;
    if (fake.during_wait != NULL)
        fake.during_wait();
    for (;;) {
        vmk_signals_expire(process);
        if (vmk_signals_pending(process) || atomic_load(&process->killed))
            return -EINTR;
        if (deadline_ns <= fake.now_ns)
            return 0;
        uint64_t next = vmk_signals_next_real_ns(process->signals);
        if (deadline_ns < next)
            next = deadline_ns;
        if (next == UINT64_MAX) {
            fake.waited_for_ever = true;
            return -EINTR;
        }
        fake.now_ns = next;
    }
}
