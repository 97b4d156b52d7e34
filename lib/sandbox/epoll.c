/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/epoll.h"

#include "sandbox/files.h"
#include "sandbox/guest_abi.h"
#include "sandbox/poll.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* Files are watched by descriptor and description together, as Linux does. */
struct vmk_epoll_watch {
    struct epoll *epoll;
    struct vmk_file *file; /* not counted: the watch goes with it */
    struct vmk_epoll_watch *next_of_file;
    struct vmk_epoll_watch **link_of_file; /* what leads here, in either list */
    struct vmk_epoll_watch *next;
    struct vmk_epoll_watch **link;
    uint32_t fd;
    bool disabled; /* EPOLLONESHOT was reported */
    struct epoll_event event;
};

struct epoll {
    struct vmk_file file;
    struct vmk_process *process;
    struct vmk_memory_account *account; /* charged for the watches: there can be millions */
    struct vmk_epoll_watch *watches;
    uint32_t count;
};

#define WATCH_CHARGE (sizeof(struct vmk_epoll_watch) + 16)
#define WATCHES_BETWEEN_CHECKS 64
#define EVENTS_MAX ((int32_t)(INT32_MAX / sizeof(struct epoll_event)))

static void
unlink_from_epoll(struct vmk_epoll_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next != NULL)
        watch->next->link = watch->link;
    watch->epoll->count--;
}

static void
unlink_from_file(struct vmk_epoll_watch *watch)
{
    *watch->link_of_file = watch->next_of_file;
    if (watch->next_of_file != NULL)
        watch->next_of_file->link_of_file = watch->link_of_file;
}

static void
watch_free(struct vmk_epoll_watch *watch)
{
    unlink_from_file(watch);
    unlink_from_epoll(watch);
    vmk_memory_account_uncharge(watch->epoll->account, WATCH_CHARGE);
    free(watch);
}

void
vmk_epoll_forget(struct vmk_file *file)
{
    while (file->watches != NULL)
        watch_free(file->watches);
}

static void
epoll_destroy(struct vmk_file *file)
{
    struct epoll *epoll = (struct epoll *)file;
    while (epoll->watches != NULL)
        watch_free(epoll->watches);
}

static short
events_of(const struct vmk_epoll_watch *watch)
{
    return (short)(watch->event.events &
                   (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDNORM | EPOLLWRNORM));
}

static short
epoll_poll(struct vmk_file *file)
{
    const struct epoll *epoll = (struct epoll *)file;
    unsigned steps = 0;
    for (const struct vmk_epoll_watch *watch = epoll->watches; watch != NULL; watch = watch->next) {
        if (!watch->disabled &&
            (vmk_file_poll(watch->file) & (events_of(watch) | POLLERR | POLLHUP)) != 0)
            return POLLIN;
        if (++steps % WATCHES_BETWEEN_CHECKS == 0 && vmk_process_must_stop(epoll->process))
            break;
    }
    return 0;
}

static const struct vmk_file_ops epoll_ops = {
    .kind = "anon_inode",
    .poll = epoll_poll,
    .destroy = epoll_destroy,
};

int64_t
vmk_sys_epoll_create1(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_files *files = process->files;
    if ((args[0] & ~(uint64_t)EPOLL_CLOEXEC) != 0)
        return -EINVAL;
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL)
        return -ENOMEM;
    vmk_file_init(&epoll->file, &epoll_ops, O_RDWR, NULL);
    epoll->file.number = vmk_files_next_number(files);
    epoll->process = process;
    epoll->account = files->account;
    return vmk_files_install(files, &epoll->file, (args[0] & EPOLL_CLOEXEC) != 0);
}

static struct vmk_epoll_watch *
find_watch(const struct epoll *epoll, const struct vmk_file *file, uint32_t fd)
{
    struct vmk_epoll_watch *watch = epoll->watches;
    while (watch != NULL && (watch->file != file || watch->fd != fd))
        watch = watch->next;
    return watch;
}

static int
add_watch(struct epoll *epoll, struct vmk_file *file, uint32_t fd, const struct epoll_event *event,
          uint32_t limit)
{
    /* A file on a disk is always ready, and Linux refuses to watch it. */
    if (file->ops->poll == NULL)
        return -EPERM;
    if (epoll->count >= limit)
        return -ENOSPC;
    if (!vmk_memory_account_try_charge(epoll->account, WATCH_CHARGE))
        return -ENOMEM;
    struct vmk_epoll_watch *watch = malloc(sizeof *watch);
    if (watch == NULL) {
        vmk_memory_account_uncharge(epoll->account, WATCH_CHARGE);
        return -ENOMEM;
    }
    *watch = (struct vmk_epoll_watch){.epoll = epoll,
                                      .file = file,
                                      .next_of_file = file->watches,
                                      .link_of_file = &file->watches,
                                      .next = epoll->watches,
                                      .link = &epoll->watches,
                                      .fd = fd,
                                      .event = *event};
    if (file->watches != NULL)
        file->watches->link_of_file = &watch->next_of_file;
    if (epoll->watches != NULL)
        epoll->watches->link = &watch->next;
    file->watches = watch;
    epoll->watches = watch;
    epoll->count++;
    return 0;
}

int64_t
vmk_sys_epoll_ctl(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_files *files = process->files;
    struct vmk_file *instance = vmk_files_get(files, args[0]);
    struct vmk_file *file = vmk_files_get(files, args[2]);
    uint32_t operation = (uint32_t)args[1];
    uint32_t fd = (uint32_t)args[2];
    struct epoll_event event = {0};
    if (operation != EPOLL_CTL_DEL &&
        vmk_uaccess_read(process->space, args[3], &event, sizeof event) < 0)
        return -EFAULT;
    if (instance == NULL || file == NULL)
        return -EBADF;
    if (instance->ops != &epoll_ops || file->ops == &epoll_ops)
        return -EINVAL;

    struct epoll *epoll = (struct epoll *)instance;
    struct vmk_epoll_watch *watch = find_watch(epoll, file, fd);
    switch (operation) {
    case EPOLL_CTL_ADD:
        /* Twice the descriptors, for those of files that live on under another number. */
        return watch != NULL ? -EEXIST : add_watch(epoll, file, fd, &event, 2 * files->table.limit);
    case EPOLL_CTL_MOD:
        if (watch == NULL)
            return -ENOENT;
        watch->event = event;
        watch->disabled = false;
        return 0;
    case EPOLL_CTL_DEL:
        if (watch == NULL)
            return -ENOENT;
        watch_free(watch);
        return 0;
    default:
        return -EINVAL;
    }
}

/* Copy what is ready, up to `room` events; how many, or -EFAULT. */
static int
report(struct vmk_process *process, struct vmk_epoll_watch **watches,
       const struct vmk_poll_entry *entries, uint32_t count, uint64_t va, int32_t room)
{
    int reported = 0;
    for (uint32_t i = 0; i < count && reported < room; i++) {
        if (entries[i].ready == 0)
            continue;
        struct epoll_event event = {.events = (uint16_t)entries[i].ready,
                                    .data = watches[i]->event.data};
        event.events &= watches[i]->event.events | EPOLLERR | EPOLLHUP;
        if (vmk_uaccess_write(process->space, va + (uint64_t)reported * sizeof event, &event,
                              sizeof event) < 0)
            return reported != 0 ? reported : -EFAULT;
        watches[i]->disabled = (watches[i]->event.events & EPOLLONESHOT) != 0;
        reported++;
    }
    return reported;
}

int64_t
vmk_epoll_serve(struct vmk_process *process, const uint64_t args[6], uint64_t deadline_ns)
{
    struct vmk_file *instance = vmk_files_get(process->files, args[0]);
    int32_t room = (int32_t)args[2];
    if (room <= 0 || room > EVENTS_MAX)
        return -EINVAL;
    if (instance == NULL)
        return -EBADF;
    if (instance->ops != &epoll_ops)
        return -EINVAL;

    struct epoll *epoll = (struct epoll *)instance;
    uint32_t count = epoll->count;
    struct vmk_poll_entry *entries = calloc((size_t)count + 1, sizeof *entries);
    struct vmk_epoll_watch **watches = calloc((size_t)count + 1, sizeof(void *));
    int result = entries == NULL || watches == NULL ? -ENOMEM : 0;
    if (result == 0) {
        uint32_t used = 0;
        for (struct vmk_epoll_watch *watch = epoll->watches; watch != NULL; watch = watch->next) {
            watches[used] = watch;
            if (!watch->disabled)
                entries[used++] = (struct vmk_poll_entry){watch->file, events_of(watch), 0};
        }
        result = vmk_poll_wait(process, entries, used, deadline_ns);
        if (result > 0)
            result = report(process, watches, entries, used, args[1], room);
    }
    free(entries);
    free(watches);
    return result;
}

int64_t
vmk_sys_epoll_pwait(struct vmk_process *process, const uint64_t args[6])
{
    int32_t milliseconds = (int32_t)args[3];
    uint64_t deadline =
        milliseconds < 0 ? UINT64_MAX : vmk_poll_deadline((uint64_t)milliseconds * 1000000u);
    int64_t result = vmk_signals_begin_mask(process, args[4], args[5]);
    if (result < 0)
        return result;
    result = vmk_epoll_serve(process, args, deadline);
    bool interrupted = result == -EINTR;
    /* The mask that was put in force has to hold for the delivery; without one, Linux never
     * restarts the call. */
    vmk_signals_end_mask(process, interrupted);
    return interrupted && args[4] != 0 ? -VMK_ERESTARTNOHAND : result;
}
