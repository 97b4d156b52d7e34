/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_guest.h"

#include "sandbox/uaccess.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct fake_guest fake;

static uint8_t *memory;
static uint64_t next_string;

void
fake_set_up(void)
{
    memset(&fake, 0, sizeof fake);
    memory = calloc(1, FAKE_SIZE);
    next_string = FAKE_BASE + (4 << 20);
    ck_assert_int_eq(vmk_config_new(&fake.config, NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_memory(fake.config, "\177ELF", 4, NULL), 0);
}

void
fake_start(void)
{
    struct vmk_process *process = &fake.process;
    process->space = (struct vmk_space *)memory;
    process->pid = 1;
    process->uid = fake.config->uid;
    process->gid = fake.config->gid;
    process->umask = 022;
    strcpy(process->name, "fake");
    process->limits.open_files = fake.config->open_files_limit;
    process->limits.output_bytes = fake.config->output_limit;
    process->limits.memory_bytes = fake.config->memory_limit;
    process->wall_deadline_ns = UINT64_MAX;
    process->cpu_deadline_ns = UINT64_MAX;
    process->signals = vmk_signals_new();
    process->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vmk_memory_account_init(&fake.account, fake.config->memory_limit);
    vmkit_error *error = NULL;
    int result = vmk_files_new(fake.config, process, &fake.account, &process->files, &error);
    ck_assert_int_eq(result, 0);
}

void
fake_tear_down(void)
{
    uint64_t used_before = fake.account.used;
    vmk_files_free(fake.process.files);
    ck_assert_uint_eq(fake.account.used, 0);
    ck_assert_uint_le(used_before, fake.account.peak);
    vmk_signals_free(fake.process.signals);
    if (fake.process.signals != NULL)
        close(fake.process.wake_fd);
    vmk_config_unref(fake.config);
    free(memory);
}

void *
fake_at(uint64_t va)
{
    /* An assertion that holds allocates, which a test of failing allocations would count. */
    if (va < FAKE_BASE || va >= FAKE_BASE + FAKE_SIZE)
        ck_abort_msg("0x%llx is no memory of the guest", (unsigned long long)va);
    return memory + (va - FAKE_BASE);
}

uint64_t
fake_put(uint64_t va, const void *data, size_t size)
{
    memcpy(fake_at(va), data, size);
    return va;
}

uint64_t
fake_string(const char *text)
{
    if (next_string + strlen(text) + 1 >= FAKE_BASE + (6 << 20))
        next_string = FAKE_BASE + (4 << 20);
    uint64_t va = fake_put(next_string, text, strlen(text) + 1);
    next_string += strlen(text) + 1;
    return va;
}

int64_t
fake_write(int64_t fd, const char *text)
{
    return fake_call(write, (uint64_t)fd, fake_string(text), strlen(text));
}

const char *
fake_read(int64_t fd)
{
    char *buffer = fake_at(FAKE_BASE);
    int64_t got = fake_call(read, (uint64_t)fd, FAKE_BASE, 4096);
    if (got < 0)
        return NULL;
    buffer[got] = '\0';
    return buffer;
}

int64_t
fake_open(const char *path, uint64_t flags, uint64_t mode)
{
    return fake_call(openat, (uint64_t)AT_FDCWD, fake_string(path), flags, mode);
}

/* The seams. */

static bool
accessible(uint64_t va, size_t size, bool write)
{
    uint64_t end = FAKE_BASE + FAKE_SIZE - (write ? 4096 : 0);
    return va >= FAKE_BASE && va <= end && size <= end - va;
}

int
vmk_uaccess_read(struct vmk_space *space, uint64_t va, void *destination, size_t size)
{
    if (size != 0 && !accessible(va, size, false))
        return -EFAULT;
    if (size != 0)
        memcpy(destination, fake_at(va), size);
    return 0;
}

int
vmk_uaccess_write(struct vmk_space *space, uint64_t va, const void *source, size_t size)
{
    if (size != 0 && !accessible(va, size, true))
        return -EFAULT;
    if (size != 0)
        memcpy(fake_at(va), source, size);
    return 0;
}

int
vmk_uaccess_zero(struct vmk_space *space, uint64_t va, size_t size)
{
    if (size != 0 && !accessible(va, size, true))
        return -EFAULT;
    if (size != 0)
        memset(fake_at(va), 0, size);
    return 0;
}

ssize_t
vmk_uaccess_read_string(struct vmk_space *space, uint64_t va, char *destination, size_t capacity)
{
    for (size_t i = 0; i < capacity; i++) {
        if (!accessible(va + i, 1, false))
            return -EFAULT;
        destination[i] = *(char *)fake_at(va + i);
        if (destination[i] == '\0')
            return (ssize_t)i;
    }
    return -ENAMETOOLONG;
}

/* One piece a page, as scattered as guest memory can be. */
ssize_t
vmk_uaccess_pin(struct vmk_space *space, uint64_t va, size_t size, bool write, struct iovec *iov,
                int max, int *ret_count)
{
    size_t done = 0;
    int count = 0;
    while (done < size && count < max) {
        size_t piece = 4096 - ((va + done) & 4095);
        if (piece > size - done)
            piece = size - done;
        if (!accessible(va + done, piece, write))
            break;
        iov[count++] = (struct iovec){memory + (va + done - FAKE_BASE), piece};
        done += piece;
    }
    *ret_count = count;
    return done == 0 ? -EFAULT : (ssize_t)done;
}

void
vmk_process_end_exit(struct vmk_process *process, int status)
{
    process->ending.kind = VMKIT_OUTCOME_EXITED;
    process->ending.exit_status = status;
}

void
vmk_process_end_signal(struct vmk_process *process, int signal, int code, uint64_t fault_address)
{
    process->ending.kind = VMKIT_OUTCOME_SIGNALLED;
    process->ending.signal = signal;
}

void
vmk_process_end_limit(struct vmk_process *process, enum vmkit_limit limit)
{
    if (process->ending.kind == 0)
        process->ending = (struct vmk_ending){.kind = VMKIT_OUTCOME_LIMIT, .limit = limit};
}

bool
vmk_process_must_stop(struct vmk_process *process)
{
    return vmk_process_ended(process) || vmk_process_killed(process);
}

void
vmk_process_check(struct vmk_process *process)
{
}

uint64_t
vmk_process_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
vmk_process_cpu_ns(const struct vmk_process *process)
{
    return 0;
}

void
vmk_process_arm_timers(struct vmk_process *process)
{
}

/* A wait without a deadline ends as if a signal came after 200 ms, so that no test hangs. */
int
vmk_process_wait(struct vmk_process *process, struct pollfd *fds, nfds_t count,
                 uint64_t deadline_ns)
{
    uint64_t now = vmk_process_now_ns();
    int timeout = 200;
    if (vmk_signals_pending(process) || atomic_load(&process->killed))
        return -EINTR;
    if (deadline_ns != UINT64_MAX)
        timeout = deadline_ns <= now ? 0 : (int)((deadline_ns - now + 999999) / 1000000);
    int result = poll(fds, count, timeout);
    return result == 0 && deadline_ns == UINT64_MAX ? -EINTR : result;
}
