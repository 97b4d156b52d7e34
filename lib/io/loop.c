/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "util/descriptor.h"
#include "util/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BATCH 32
#define SECOND UINT64_C(1000000000)

struct vmk_source {
    struct vmk_loop *loop;
    struct vmk_source *next; /* of the living, or of the removed */
    struct vmk_source *previous;
    struct vmk_loop_handler handler;
    int fd;
    bool is_own;  /* an eventfd or a timerfd, whose counter the loop reads */
    bool removed; /* under the loop's lock, like `events` */
    uint32_t events;
};

struct vmk_loop {
    int epoll;
    struct vmk_source *wake;
    pthread_mutex_t lock;
    struct vmk_source *sources;
    struct vmk_source *removed; /* freed where the loop's thread holds no pointer to one */
    pthread_t thread;
    atomic_ullong thread_id; /* of vmk_thread_get_id(); 0 before it runs */
    bool started;
    atomic_bool stopping;
};

static int
fail(const char *what, vmkit_error **ret_error)
{
    return vmk_error_set_known(ret_error, errno,
                               VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE) | VMK_ERRNO(ENOMEM) |
                                   VMK_ERRNO(EPERM) | VMK_ERRNO(EAGAIN) | VMK_ERRNO(EEXIST),
                               VMKIT_ERROR_IO, "an event loop could not %s", what);
}

/* Under the lock. Without events a descriptor is taken out, since epoll reports a hang-up always.
 */
static int
watch(struct vmk_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    int operation = source->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (source->events == events)
        return 0;
    if (events == 0)
        operation = EPOLL_CTL_DEL;
    if (epoll_ctl(source->loop->epoll, operation, source->fd, &event) < 0)
        return -1;
    source->events = events;
    return 0;
}

static void
wake(struct vmk_loop *loop)
{
    vmk_source_signal(loop->wake);
}

static int
add(struct vmk_loop *loop, int fd, bool is_own, uint32_t events,
    const struct vmk_loop_handler *handler, struct vmk_source **ret_source, vmkit_error **ret_error)
{
    struct vmk_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a source of events");
    *source = (struct vmk_source){.loop = loop, .handler = *handler, .fd = fd, .is_own = is_own};

    pthread_mutex_lock(&loop->lock);
    /* The lock keeps the loop's thread from the source until its owner has it. */
    int result = watch(source, events);
    int err = errno;
    if (result == 0) {
        source->next = loop->sources;
        if (source->next != NULL)
            source->next->previous = source;
        loop->sources = source;
        *ret_source = source;
    }
    pthread_mutex_unlock(&loop->lock);
    if (result == 0)
        return 0;
    free(source);
    errno = err;
    return fail("watch a descriptor", ret_error);
}

static int
add_own(struct vmk_loop *loop, int made, const struct vmk_loop_handler *handler,
        struct vmk_source **ret_source, vmkit_error **ret_error)
{
    int fd = vmk_descriptor_keep(made);
    if (fd < 0)
        return fail("make a descriptor", ret_error);
    int result = add(loop, fd, true, EPOLLIN, handler, ret_source, ret_error);
    if (result < 0)
        close(fd);
    return result;
}

int
vmk_loop_add_fd(struct vmk_loop *loop, int fd, uint32_t events,
                const struct vmk_loop_handler *handler, struct vmk_source **ret_source,
                vmkit_error **ret_error)
{
    return add(loop, fd, false, events, handler, ret_source, ret_error);
}

int
vmk_loop_add_signal(struct vmk_loop *loop, const struct vmk_loop_handler *handler,
                    struct vmk_source **ret_source, vmkit_error **ret_error)
{
    return add_own(loop, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), handler, ret_source, ret_error);
}

int
vmk_loop_add_timer(struct vmk_loop *loop, const struct vmk_loop_handler *handler,
                   struct vmk_source **ret_source, vmkit_error **ret_error)
{
    return add_own(loop, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), handler,
                   ret_source, ret_error);
}

static void
source_free(struct vmk_source *source)
{
    if (source->handler.release != NULL)
        source->handler.release(source->handler.data);
    free(source);
}

void
vmk_source_remove(struct vmk_source *source)
{
    if (source == NULL)
        return;
    struct vmk_loop *loop = source->loop;
    pthread_mutex_lock(&loop->lock);
    watch(source, 0);
    source->removed = true;
    if (source->next != NULL)
        source->next->previous = source->previous;
    *(source->previous != NULL ? &source->previous->next : &loop->sources) = source->next;
    source->next = loop->removed;
    loop->removed = source;
    if (source->is_own)
        close(source->fd);
    pthread_mutex_unlock(&loop->lock);
    /* The thread releases it, as soon as it can. */
    wake(loop);
}

void
vmk_source_set_events(struct vmk_source *source, uint32_t events)
{
    pthread_mutex_lock(&source->loop->lock);
    watch(source, events);
    pthread_mutex_unlock(&source->loop->lock);
}

void
vmk_source_signal(struct vmk_source *source)
{
    static const uint64_t one = 1;
    /* It fails only where the counter is full, and then there is a signal. */
    while (write(source->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

int
vmk_source_get_fd(const struct vmk_source *source)
{
    return source->fd;
}

void
vmk_source_set_timer(struct vmk_source *source, uint64_t nanoseconds)
{
    struct itimerspec due = {.it_value = {.tv_sec = (time_t)(nanoseconds / SECOND),
                                          .tv_nsec = (long)(nanoseconds % SECOND)}};
    timerfd_settime(source->fd, 0, &due, NULL);
}

/* Free what was removed before the last batch was fetched. */
static void
free_removed(struct vmk_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct vmk_source *source = loop->removed;
    loop->removed = NULL;
    pthread_mutex_unlock(&loop->lock);
    while (source != NULL) {
        struct vmk_source *next = source->next;
        source_free(source);
        source = next;
    }
}

/* Whether the source is to be called; its counter is read then, so that a signal that comes later
 * is a callback of its own. */
static bool
take(struct vmk_loop *loop, struct vmk_source *source)
{
    uint64_t count;
    pthread_mutex_lock(&loop->lock);
    bool wanted = !source->removed;
    if (wanted && source->is_own)
        wanted = read(source->fd, &count, sizeof count) == sizeof count;
    pthread_mutex_unlock(&loop->lock);
    return wanted;
}

static void *
run(void *data)
{
    struct vmk_loop *loop = data;
    struct epoll_event events[BATCH];
    atomic_store(&loop->thread_id, vmk_thread_get_id());
    while (!atomic_load(&loop->stopping)) {
        free_removed(loop);
        int count = epoll_wait(loop->epoll, events, BATCH, -1);
        for (int i = 0; i < count && !atomic_load(&loop->stopping); i++) {
            struct vmk_source *source = events[i].data.ptr;
            if (take(loop, source))
                source->handler.callback(source->handler.data,
                                         source->is_own ? 0 : events[i].events);
        }
    }
    return NULL;
}

static void
nothing(void *data, uint32_t events)
{
}

int
vmk_loop_new(struct vmk_loop **ret_loop, vmkit_error **ret_error)
{
    static const struct vmk_loop_handler handler = {.callback = nothing};
    struct vmk_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for an event loop");
    pthread_mutex_init(&loop->lock, NULL);
    loop->epoll = vmk_descriptor_keep(epoll_create1(EPOLL_CLOEXEC));
    int result = loop->epoll < 0 ? fail("be made", ret_error)
                                 : vmk_loop_add_signal(loop, &handler, &loop->wake, ret_error);
    if (result < 0) {
        vmk_loop_free(loop);
        return result;
    }
    *ret_loop = loop;
    return 0;
}

int
vmk_loop_start(struct vmk_loop *loop, const char *name, vmkit_error **ret_error)
{
    errno = vmk_thread_start(&loop->thread, run, loop);
    if (errno != 0)
        return fail("start its thread", ret_error);
    loop->started = true;
    pthread_setname_np(loop->thread, name);
    return 0;
}

void
vmk_loop_stop(struct vmk_loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
}

void
vmk_loop_join(struct vmk_loop *loop)
{
    if (!loop->started)
        return;
    vmk_loop_stop(loop);
    pthread_join(loop->thread, NULL);
    loop->started = false;
}

void
vmk_loop_free(struct vmk_loop *loop)
{
    if (loop == NULL)
        return;
    vmk_loop_join(loop);
    for (bool more = true; more;) {
        /* The first source of all is the last one in the list. */
        struct vmk_source *source = loop->sources == loop->wake ? NULL : loop->sources;
        more = source != NULL || loop->removed != NULL;
        vmk_source_remove(source);
        free_removed(loop);
    }
    if (loop->wake != NULL) {
        close(loop->wake->fd);
        free(loop->wake);
    }
    if (loop->epoll >= 0)
        close(loop->epoll);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

bool
vmk_loop_is_here(const struct vmk_loop *loop)
{
    return atomic_load(&loop->thread_id) == vmk_thread_get_id();
}
