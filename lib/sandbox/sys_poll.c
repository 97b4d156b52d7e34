/* SPDX-License-Identifier: Apache-2.0 */
/* poll(2), select(2) and their variants with a signal mask. */
#include "sandbox/files.h"
#include "sandbox/guest_abi.h"
#include "sandbox/poll.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* Descriptors of a fd_set that count: no more can be open. */
#define SELECT_MAX 4096u

#define SELECT_IN (POLLIN | POLLRDNORM | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLERR)

/* A timeout of the guest. `va` may be 0: none. */
static int
read_timeout(struct vmk_process *process, uint64_t va, uint64_t *ret_deadline)
{
    struct vmk_guest_timespec time;
    uint64_t nanoseconds;
    *ret_deadline = UINT64_MAX;
    if (va == 0)
        return 0;
    int result = vmk_uaccess_read(process->space, va, &time, sizeof time);
    if (result < 0)
        return result;
    if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= (int64_t)VMK_NS_PER_SECOND)
        return -EINVAL;
    if (!__builtin_mul_overflow((uint64_t)time.seconds, VMK_NS_PER_SECOND, &nanoseconds) &&
        !__builtin_add_overflow(nanoseconds, (uint64_t)time.nanoseconds, &nanoseconds))
        *ret_deadline = vmk_poll_deadline(nanoseconds);
    return 0;
}

/* Linux leaves the rest of the time there; a failure to is ignored, as there. */
static void
write_rest(struct vmk_process *process, uint64_t va, uint64_t deadline)
{
    uint64_t now = vmk_process_now_ns();
    uint64_t left = deadline > now ? deadline - now : 0;
    if (va == 0 || deadline == UINT64_MAX)
        return;
    struct vmk_guest_timespec time = {.seconds = (int64_t)(left / VMK_NS_PER_SECOND),
                                      .nanoseconds = (int64_t)(left % VMK_NS_PER_SECOND)};
    (void)!vmk_uaccess_write(process->space, va, &time, sizeof time);
}

int64_t
vmk_poll_serve(struct vmk_process *process, uint64_t fds, uint64_t count, uint64_t deadline_ns)
{
    uint32_t number = (uint32_t)count;
    if (number > vmk_fdtable_get_limit(&process->files->table))
        return -EINVAL;
    struct pollfd *list = calloc((size_t)number + 1, sizeof *list);
    struct vmk_poll_entry *entries = calloc((size_t)number + 1, sizeof *entries);
    int result = list == NULL || entries == NULL ? -ENOMEM : 0;
    if (result == 0)
        result = vmk_uaccess_read(process->space, fds, list, number * sizeof *list);
    for (uint32_t i = 0; i < number && result == 0; i++) {
        struct vmk_file *file =
            list[i].fd < 0 ? NULL : vmk_files_get(process->files, (uint64_t)list[i].fd);
        entries[i] = (struct vmk_poll_entry){
            .file = file,
            .events = list[i].events,
            .ready = (short)(file == NULL && list[i].fd >= 0 ? POLLNVAL : 0),
        };
    }
    if (result == 0)
        result = vmk_poll_wait(process, entries, number, deadline_ns);
    if (result >= 0) {
        for (uint32_t i = 0; i < number; i++)
            list[i].revents = entries[i].ready;
        int written = vmk_uaccess_write(process->space, fds, list, number * sizeof *list);
        result = written < 0 ? written : result;
    }
    free(list);
    free(entries);
    return result == -EINTR ? -VMK_ERESTARTNOHAND : result;
}

int64_t
vmk_sys_ppoll(struct vmk_process *process, const uint64_t args[6])
{
    uint64_t deadline;
    int64_t result = read_timeout(process, args[2], &deadline);
    if (result == 0)
        result = vmk_signals_begin_mask(process, args[3], args[4]);
    if (result < 0)
        return result;
    result = vmk_poll_serve(process, args[0], args[1], deadline);
    vmk_signals_end_mask(process, result == -VMK_ERESTARTNOHAND);
    write_rest(process, args[2], deadline);
    return result;
}

struct select_sets {
    uint8_t in[SELECT_MAX / 8];
    uint8_t out[SELECT_MAX / 8];
    uint8_t except[SELECT_MAX / 8];
};

static bool
get_bit(const uint8_t *set, uint32_t bit)
{
    return (set[bit / 8] >> (bit % 8) & 1) != 0;
}

static void
set_bit(uint8_t *set, uint32_t bit)
{
    set[bit / 8] = (uint8_t)(set[bit / 8] | 1u << (bit % 8));
}

static int
read_sets(struct vmk_process *process, const uint64_t args[6], size_t size,
          struct select_sets *sets)
{
    uint8_t *const to[] = {sets->in, sets->out, sets->except};
    memset(sets, 0, sizeof *sets);
    for (int i = 0; i < 3; i++) {
        int result =
            args[1 + i] == 0 ? 0 : vmk_uaccess_read(process->space, args[1 + i], to[i], size);
        if (result < 0)
            return result;
    }
    return 0;
}

static int
write_sets(struct vmk_process *process, const uint64_t args[6], size_t size,
           const struct select_sets *sets)
{
    const uint8_t *const from[] = {sets->in, sets->out, sets->except};
    for (int i = 0; i < 3; i++) {
        int result =
            args[1 + i] == 0 ? 0 : vmk_uaccess_write(process->space, args[1 + i], from[i], size);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The entries of the descriptors that are in a set; -EBADF when one is not open. */
static int
fill_entries(struct vmk_process *process, const struct select_sets *sets, uint32_t count,
             struct vmk_poll_entry *entries)
{
    for (uint32_t fd = 0; fd < count; fd++) {
        int events = (get_bit(sets->in, fd) ? SELECT_IN : 0) |
                     (get_bit(sets->out, fd) ? SELECT_OUT : 0) |
                     (get_bit(sets->except, fd) ? POLLPRI : 0);
        entries[fd] = (struct vmk_poll_entry){.events = (short)events};
        if (events == 0)
            continue;
        entries[fd].file = vmk_files_get(process->files, fd);
        if (entries[fd].file == NULL)
            return -EBADF;
    }
    return 0;
}

/* The sets of what is ready; how many bits. */
static int
fill_sets(const struct select_sets *asked, const struct vmk_poll_entry *entries, uint32_t count,
          struct select_sets *ready)
{
    int bits = 0;
    memset(ready, 0, sizeof *ready);
    for (uint32_t fd = 0; fd < count; fd++) {
        if (get_bit(asked->in, fd) && (entries[fd].ready & SELECT_IN) != 0) {
            set_bit(ready->in, fd);
            bits++;
        }
        if (get_bit(asked->out, fd) && (entries[fd].ready & SELECT_OUT) != 0) {
            set_bit(ready->out, fd);
            bits++;
        }
        if (get_bit(asked->except, fd) && (entries[fd].ready & POLLPRI) != 0) {
            set_bit(ready->except, fd);
            bits++;
        }
    }
    return bits;
}

int64_t
vmk_select_serve(struct vmk_process *process, const uint64_t args[6], uint64_t deadline_ns)
{
    struct select_sets asked;
    struct select_sets ready;
    if ((int32_t)args[0] < 0)
        return -EINVAL;
    uint32_t count = (uint32_t)args[0];
    if (count > process->files->table.limit)
        count = process->files->table.limit;
    size_t size = (size_t)(count + 63) / 64 * 8;
    int result = read_sets(process, args, size, &asked);
    struct vmk_poll_entry *entries = calloc((size_t)count + 1, sizeof *entries);
    if (entries == NULL)
        result = -ENOMEM;
    if (result == 0)
        result = fill_entries(process, &asked, count, entries);
    /* Data of an exceptional kind is none of SELECT_IN, so that a ready entry may have no bit: the
     * wait goes on until one has, or the time is over. */
    while (result == 0) {
        int found = vmk_poll_wait(process, entries, count, deadline_ns);
        if (found < 0) {
            result = found;
            break;
        }
        int bits = fill_sets(&asked, entries, count, &ready);
        if (bits == 0 && found != 0) {
            for (uint32_t fd = 0; fd < count; fd++)
                entries[fd].file = entries[fd].ready != 0 ? NULL : entries[fd].file;
            for (uint32_t fd = 0; fd < count; fd++)
                entries[fd].ready = 0;
            continue;
        }
        result = write_sets(process, args, size, &ready);
        result = result < 0 ? result : bits;
        break;
    }
    free(entries);
    return result == -EINTR ? -VMK_ERESTARTNOHAND : result;
}

int64_t
vmk_sys_pselect6(struct vmk_process *process, const uint64_t args[6])
{
    struct {
        uint64_t address;
        uint64_t size;
    } mask = {0};
    uint64_t deadline = UINT64_MAX;
    int64_t result =
        args[5] == 0 ? 0 : vmk_uaccess_read(process->space, args[5], &mask, sizeof mask);
    if (result == 0)
        result = read_timeout(process, args[4], &deadline);
    if (result == 0)
        result = vmk_signals_begin_mask(process, mask.address, mask.size);
    if (result < 0)
        return result;
    result = vmk_select_serve(process, args, deadline);
    vmk_signals_end_mask(process, result == -VMK_ERESTARTNOHAND);
    write_rest(process, args[4], deadline);
    return result;
}
