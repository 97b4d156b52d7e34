/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/epoll.h"

#include "sandbox/files.h"
#include "sandbox/guest_abi.h"
#include "sandbox/poll.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/state_codec.h"
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
    short told;    /* what of the file's readiness is no news, with EPOLLET */
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

void
vmk_epoll_renew(struct vmk_file *file, short events)
{
    if ((events & POLLIN) != 0)
        events |= POLLRDNORM;
    if ((events & POLLOUT) != 0)
        events |= POLLWRNORM;
    for (struct vmk_epoll_watch *watch = file->watches; watch != NULL; watch = watch->next_of_file)
        watch->told &= (short)~events;
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

static struct vmk_poll_entry
entry_of(struct vmk_epoll_watch *watch)
{
    bool edges = (watch->event.events & EPOLLET) != 0;
    return (struct vmk_poll_entry){
        .file = watch->file, .events = events_of(watch), .told = edges ? &watch->told : NULL};
}

static short
epoll_poll(struct vmk_file *file)
{
    const struct epoll *epoll = (struct epoll *)file;
    unsigned steps = 0;
    for (struct vmk_epoll_watch *watch = epoll->watches; watch != NULL; watch = watch->next) {
        struct vmk_poll_entry entry = entry_of(watch);
        if (!watch->disabled && vmk_poll_check(&entry))
            return POLLIN;
        if (++steps % WATCHES_BETWEEN_CHECKS == 0 && vmk_process_must_stop(epoll->process))
            break;
    }
    return 0;
}

static const struct vmk_file_ops epoll_ops = {
    .kind = "anon_inode",
    .poll = epoll_poll,
    .state = &vmk_state_epoll,
    .destroy = epoll_destroy,
};

static int
epoll_make(struct vmk_process *process, struct vmk_files *files, struct vmk_file **ret_file)
{
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL)
        return -ENOMEM;
    vmk_file_init(&epoll->file, &epoll_ops, O_RDWR, NULL);
    epoll->process = process;
    epoll->account = files->account;
    *ret_file = &epoll->file;
    return 0;
}

int64_t
vmk_sys_epoll_create1(struct vmk_process *process, const uint64_t args[6])
{
    struct vmk_files *files = process->files;
    if ((args[0] & ~(uint64_t)EPOLL_CLOEXEC) != 0)
        return -EINVAL;
    struct vmk_file *file;
    int result = epoll_make(process, files, &file);
    if (result < 0)
        return result;
    file->number = vmk_files_next_number(files);
    return vmk_files_install(files, file, (args[0] & EPOLL_CLOEXEC) != 0);
}

static struct vmk_epoll_watch *
find_watch(const struct epoll *epoll, const struct vmk_file *file, uint32_t fd)
{
    struct vmk_epoll_watch *watch = epoll->watches;
    while (watch != NULL && (watch->file != file || watch->fd != fd))
        watch = watch->next;
    return watch;
}

/* `at` is where in the list of the watches the new one goes. */
static int
add_watch(struct epoll *epoll, struct vmk_epoll_watch **at, struct vmk_file *file, uint32_t fd,
          const struct epoll_event *event, uint32_t limit)
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
                                      .next = *at,
                                      .link = at,
                                      .fd = fd,
                                      .event = *event};
    if (file->watches != NULL)
        file->watches->link_of_file = &watch->next_of_file;
    if (*at != NULL)
        (*at)->link = &watch->next;
    file->watches = watch;
    *at = watch;
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
        return watch != NULL
                   ? -EEXIST
                   : add_watch(epoll, &epoll->watches, file, fd, &event, 2 * files->table.limit);
    case EPOLL_CTL_MOD:
        if (watch == NULL)
            return -ENOENT;
        watch->event = event;
        watch->disabled = false;
        watch->told = 0;
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
        watches[i]->told = entries[i].ready;
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
                entries[used++] = entry_of(watch);
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

static int
epoll_save(struct vmk_state_writer *writer, struct vmk_file *file)
{
    return 0;
}

static int
epoll_load(struct vmk_state_reader *reader, const struct vmk_state_file *common,
           struct vmk_file **ret_file)
{
    int r = epoll_make(reader->process, reader->files, ret_file);
    return r < 0 ? vmk_state_no_memory(reader->ret_error) : 0;
}

static int
epoll_save_watches(struct vmk_state_writer *writer, struct vmk_file *file)
{
    const struct epoll *epoll = (struct epoll *)file;
    struct vmk_bytes *bytes = writer->bytes;
    vmk_bytes_put_u32(bytes, epoll->count);
    for (const struct vmk_epoll_watch *watch = epoll->watches; watch != NULL; watch = watch->next) {
        vmk_bytes_put_u32(bytes, watch->file->state_number);
        vmk_bytes_put_u32(bytes, watch->fd);
        vmk_bytes_put_u8(bytes, watch->disabled);
        vmk_bytes_put_u32(bytes, watch->event.events);
        vmk_bytes_put_u64(bytes, watch->event.data.u64);
    }
    return 0;
}

static int
load_watch(struct vmk_state_reader *reader, struct epoll *epoll, struct vmk_epoll_watch **at)
{
    struct vmk_byte_cursor *in = &reader->in;
    struct epoll_event event;
    bool disabled = false;
    uint32_t number = vmk_cursor_get_u32(in);
    uint32_t fd = vmk_cursor_get_u32(in);
    int r = vmk_state_get_bool(reader, &disabled);
    event.events = vmk_cursor_get_u32(in);
    event.data.u64 = vmk_cursor_get_u64(in);
    struct vmk_file *file = r < 0 || in->failed ? NULL : vmk_state_get_file(reader, number);
    if (r == 0 && in->failed)
        return vmk_state_bad(reader, "the watches of an epoll instance end early");
    if (file == NULL)
        return -EINVAL;
    if (file->ops == &epoll_ops || file->ops->poll == NULL)
        return vmk_state_bad(reader, "file %u is watched, which cannot be", number);
    switch (add_watch(epoll, at, file, fd, &event, 2 * reader->files->table.limit)) {
    case 0:
        (*at)->disabled = disabled;
        return 0;
    case -ENOSPC:
        return vmk_state_bad(reader, "more than %u watches", 2 * reader->files->table.limit);
    default:
        return vmk_state_no_room(reader, "the watches of an epoll instance");
    }
}

static int
epoll_load_watches(struct vmk_state_reader *reader, struct vmk_file *file)
{
    struct epoll *epoll = (struct epoll *)file;
    struct vmk_epoll_watch **at = &epoll->watches;
    uint32_t count = vmk_cursor_get_u32(&reader->in);
    for (uint32_t i = 0; i < count; i++) {
        int r = load_watch(reader, epoll, at);
        if (r < 0)
            return r;
        at = &(*at)->next;
    }
    return 0;
}

const struct vmk_state_kind vmk_state_epoll = {
    .number = VMK_STATE_EPOLL,
    .save = epoll_save,
    .load = epoll_load,
    .save_links = epoll_save_watches,
    .load_links = epoll_load_watches,
};
