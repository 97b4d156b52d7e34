/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a machine: one thread, on which its devices wait for descriptors (epoll(7)),
 * for each other and for vCPUs (eventfd(2)), and for time (timerfd(2)).
 *
 * Sources are added, changed and removed from any thread, in callbacks too. Callbacks run on the
 * loop's thread one at a time, with no lock held. A source that was removed has no callback that
 * begins afterwards; one that had begun on another thread may still be running, which its owner's
 * lock tells. Its release callback says when none will ever run.
 */
#ifndef VMK_IO_LOOP_H
#define VMK_IO_LOOP_H

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

struct vmk_loop;
struct vmk_source;

/* `events` as epoll_wait(2) gives them; 0 for a signal and a timer. */
typedef void (*vmk_loop_callback)(void *data, uint32_t events);
typedef void (*vmk_loop_release_callback)(void *data);

/* What a source calls. `release` may be NULL; it is called once, on the loop's thread, or in
 * vmk_loop_free(). */
struct vmk_loop_handler {
    vmk_loop_callback callback;
    vmk_loop_release_callback release;
    void *data;
};

/* -EMFILE, -ENFILE, -ENOMEM. */
int
vmk_loop_new(struct vmk_loop **ret_loop, vmkit_error **ret_error);

/* Start its thread, with a name of up to 15 bytes. Once. -EAGAIN. */
int
vmk_loop_start(struct vmk_loop *loop, const char *name, vmkit_error **ret_error);

/* End the thread after the callback that runs; sources stay. Any thread, any time, in a callback
 * too: it does not wait. */
void
vmk_loop_stop(struct vmk_loop *loop);

/* Stop, and wait for the thread. Not in a callback. */
void
vmk_loop_join(struct vmk_loop *loop);

/* Join, and remove all sources. Not in a callback. NULL is nothing. */
void
vmk_loop_free(struct vmk_loop *loop);

/* Whether the caller is the loop's thread. */
bool
vmk_loop_is_here(const struct vmk_loop *loop);

/* Watch a descriptor, which is lent until the source is removed, for `events` (EPOLLIN, EPOLLOUT;
 * level-triggered; 0: none for now, also no hang-up). -EPERM for a file that is always ready, as a
 * regular one. The source is stored before its first callback. Likewise below: -EMFILE, -ENFILE,
 * -ENOMEM. */
int
vmk_loop_add_fd(struct vmk_loop *loop, int fd, uint32_t events,
                const struct vmk_loop_handler *handler, struct vmk_source **ret_source,
                vmkit_error **ret_error);

/* A source of an eventfd of its own. Signals that come together are one callback. */
int
vmk_loop_add_signal(struct vmk_loop *loop, const struct vmk_loop_handler *handler,
                    struct vmk_source **ret_source, vmkit_error **ret_error);

/* A source of a timer, not set yet. */
int
vmk_loop_add_timer(struct vmk_loop *loop, const struct vmk_loop_handler *handler,
                   struct vmk_source **ret_source, vmkit_error **ret_error);

/* NULL is nothing. A descriptor that was lent may be closed afterwards. */
void
vmk_source_remove(struct vmk_source *source);

/* What a source of vmk_loop_add_fd() is watched for. */
void
vmk_source_set_events(struct vmk_source *source, uint32_t events);

/* Signal a source of vmk_loop_add_signal(). */
void
vmk_source_signal(struct vmk_source *source);

/* The eventfd of a source of vmk_loop_add_signal(), for who signals it by itself. */
int
vmk_source_get_fd(const struct vmk_source *source);

/* Set a timer to `nanoseconds` from now, once; 0 takes it back. A callback that is due already may
 * still come. */
void
vmk_source_set_timer(struct vmk_source *source, uint64_t nanoseconds);

#endif
