/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/poll.h"

#include "sandbox/file.h"
#include "sandbox/process.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define STACK_ENTRIES 32
#define ENTRIES_BETWEEN_CHECKS 64

uint64_t
vmk_poll_deadline(uint64_t nanoseconds)
{
    uint64_t deadline;
    if (nanoseconds == 0)
        return 0;
    return __builtin_add_overflow(vmk_process_now_ns(), nanoseconds, &deadline) ? UINT64_MAX
                                                                                : deadline;
}

/* What is ready of an entry, if there is anything new to it. What ceases to hold is news again. */
static short
news_of(const struct vmk_poll_entry *entry, short now)
{
    if (entry->told == NULL)
        return now;
    *entry->told &= now;
    return (now & ~*entry->told) == 0 ? 0 : now;
}

bool
vmk_poll_check(struct vmk_poll_entry *entry)
{
    int now = vmk_file_poll(entry->file);
    if ((now & POLLIN) != 0)
        now |= POLLRDNORM;
    if ((now & POLLOUT) != 0)
        now |= POLLWRNORM;
    now &= entry->events | POLLERR | POLLHUP;
    entry->ready = news_of(entry, (short)now);
    return entry->ready != 0;
}

static int
check_ready(struct vmk_process *process, struct vmk_poll_entry *entries, uint32_t count)
{
    int ready = 0;
    /* One that is an epoll instance asks many, and notices the end of the process. */
    for (uint32_t i = 0; i < count && !vmk_process_ended(process); i++) {
        if (i % ENTRIES_BETWEEN_CHECKS == ENTRIES_BETWEEN_CHECKS - 1)
            vmk_process_must_stop(process);
        if (entries[i].file != NULL)
            vmk_poll_check(&entries[i]);
        ready += entries[i].ready != 0;
    }
    return ready;
}

/* What outside of the guest can change an entry. The host would end a wait for what was told at
 * once, and for a hang-up whatever is asked. */
static nfds_t
collect(const struct vmk_poll_entry *entries, uint32_t count, struct pollfd *fds)
{
    nfds_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct vmk_file *file = entries[i].file;
        int fd = file == NULL || file->ops->poll_fd == NULL ? -1 : file->ops->poll_fd(file);
        short told = entries[i].told == NULL ? 0 : *entries[i].told;
        if (fd >= 0 && (told & (POLLERR | POLLHUP)) == 0)
            fds[used++] = (struct pollfd){fd, (short)(entries[i].events & ~told), 0};
    }
    return used;
}

int
vmk_poll_wait(struct vmk_process *process, struct vmk_poll_entry *entries, uint32_t count,
              uint64_t deadline_ns)
{
    struct pollfd few[STACK_ENTRIES];
    struct pollfd *fds = few;
    int ready = check_ready(process, entries, count);
    if (ready != 0 || deadline_ns == 0)
        return ready;
    if (count > STACK_ENTRIES) {
        fds = malloc(count * sizeof *fds);
        if (fds == NULL)
            return -ENOMEM;
    }
    nfds_t used = collect(entries, count, fds);
    for (;;) {
        int result = vmk_process_wait(process, fds, used, deadline_ns);
        ready = check_ready(process, entries, count);
        if (ready == 0 && result < 0)
            ready = result;
        if (ready != 0 || result <= 0)
            break;
    }
    if (fds != few)
        free(fds);
    return ready;
}
