/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)

struct probe {
    struct vmk_loop *loop;
    struct vmk_source *source;
    struct vmk_source *other;
    atomic_uint calls;
    atomic_uint released;
    atomic_uint events;
    sem_t called;
    int fd;
};

static struct vmk_loop *loop;

static void
on_release(void *data)
{
    atomic_fetch_add(&((struct probe *)data)->released, 1);
}

static void
on_event(void *data, uint32_t events)
{
    struct probe *probe = data;
    ck_assert(vmk_loop_is_here(loop));
    atomic_fetch_add(&probe->calls, 1);
    atomic_store(&probe->events, events);
    sem_post(&probe->called);
}

static struct vmk_loop_handler
make_handler(struct probe *probe, vmk_loop_callback callback)
{
    memset(probe, 0, sizeof *probe);
    probe->loop = loop;
    sem_init(&probe->called, 0, 0);
    return (struct vmk_loop_handler){callback, on_release, probe};
}

static void
wait_for_call(struct probe *probe)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    while (sem_timedwait(&probe->called, &until) < 0)
        ck_assert_int_eq(errno, EINTR);
}

/* One round through the loop: whatever was due before is over then. */
static void
pass_through_loop(void)
{
    struct probe probe;
    struct vmk_loop_handler handler = make_handler(&probe, on_event);
    ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.source, NULL), 0);
    for (int i = 0; i < 2; i++) {
        vmk_source_signal(probe.source);
        wait_for_call(&probe);
    }
    vmk_source_remove(probe.source);
    while (atomic_load(&probe.released) == 0)
        usleep(100);
}

static void
set_up(void)
{
    loop = NULL;
    ck_assert_int_eq(vmk_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(vmk_loop_start(loop, "vmkit-loop", NULL), 0);
}

static void
tear_down(void)
{
    vmk_loop_free(loop);
}

START_TEST(a_signal_is_a_callback_on_the_loops_thread)
{
    struct probe probe;
    set_up();
    struct vmk_loop_handler handler = make_handler(&probe, on_event);
    ck_assert(!vmk_loop_is_here(loop));
    ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.source, NULL), 0);
    for (uint32_t i = 1; i <= 100; i++) {
        vmk_source_signal(probe.source);
        wait_for_call(&probe);
        ck_assert_uint_eq(atomic_load(&probe.calls), i);
    }
    ck_assert_int_ge(vmk_source_get_fd(probe.source), 3);
    tear_down();
    ck_assert_uint_eq(atomic_load(&probe.released), 1);
}
END_TEST

static void
on_readable(void *data, uint32_t events)
{
    struct probe *probe = data;
    char byte;
    if ((events & EPOLLIN) != 0 && read(probe->fd, &byte, 1) != 1)
        events = 0;
    on_event(data, events);
}

START_TEST(a_descriptor_is_watched_for_what_was_asked)
{
    struct probe probe;
    int fds[2];
    set_up();
    struct vmk_loop_handler handler = make_handler(&probe, on_readable);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    probe.fd = fds[0];
    ck_assert_int_eq(vmk_loop_add_fd(loop, fds[0], 0, &handler, &probe.source, NULL), 0);
    ck_assert_int_eq(write(fds[1], "ab", 2), 2);
    pass_through_loop();
    ck_assert_uint_eq(atomic_load(&probe.calls), 0);

    vmk_source_set_events(probe.source, EPOLLIN);
    wait_for_call(&probe);
    wait_for_call(&probe);
    ck_assert_uint_eq(atomic_load(&probe.events), EPOLLIN);
    vmk_source_set_events(probe.source, 0);
    pass_through_loop();
    uint32_t calls = atomic_load(&probe.calls);
    /* A hang-up, of which epoll tells always. */
    close(fds[1]);
    pass_through_loop();
    ck_assert_uint_eq(atomic_load(&probe.calls), calls);
    vmk_source_set_events(probe.source, EPOLLIN);
    wait_for_call(&probe);
    ck_assert_uint_eq(atomic_load(&probe.events), EPOLLHUP);
    vmk_source_remove(probe.source);
    close(fds[0]);
    tear_down();
    ck_assert_uint_eq(atomic_load(&probe.released), 1);
}
END_TEST

START_TEST(a_file_that_is_always_ready_is_refused)
{
    vmkit_error *error = NULL;
    struct probe probe;
    set_up();
    struct vmk_loop_handler handler = make_handler(&probe, on_event);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(vmk_loop_add_fd(loop, fd, EPOLLOUT, &handler, &probe.source, &error), -EPERM);
    ck_assert_str_eq(vmk_error_get_message(error),
                     "an event loop could not watch a descriptor: Operation not permitted");
    vmk_error_unref(error);
    close(fd);
    tear_down();
    ck_assert_uint_eq(atomic_load(&probe.released), 0);
}
END_TEST

static uint64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 * MILLISECOND + (uint64_t)time.tv_nsec;
}

START_TEST(a_timer_comes_once_and_not_before_its_time)
{
    struct probe probe;
    set_up();
    struct vmk_loop_handler handler = make_handler(&probe, on_event);
    ck_assert_int_eq(vmk_loop_add_timer(loop, &handler, &probe.source, NULL), 0);
    uint64_t start = now();
    vmk_source_set_timer(probe.source, 20 * MILLISECOND);
    wait_for_call(&probe);
    ck_assert_uint_ge(now() - start, 20 * MILLISECOND);
    usleep(50000);
    pass_through_loop();
    ck_assert_uint_eq(atomic_load(&probe.calls), 1);

    vmk_source_set_timer(probe.source, 20 * MILLISECOND);
    vmk_source_set_timer(probe.source, 0);
    usleep(50000);
    pass_through_loop();
    ck_assert_uint_eq(atomic_load(&probe.calls), 1);
    tear_down();
}
END_TEST

static void
on_event_remove_both(void *data, uint32_t events)
{
    struct probe *probe = data;
    vmk_source_remove(probe->source);
    vmk_source_remove(probe->other);
    on_event(data, events);
}

static void
on_event_signal_both(void *data, uint32_t events)
{
    struct probe *probe = data;
    vmk_source_signal(probe->other);
    vmk_source_signal(probe->source);
}

/* Both are due in one batch: whichever comes first removes the other too. */
START_TEST(a_callback_removes_itself_and_one_that_is_due)
{
    struct probe probe;
    struct vmk_source *start;
    set_up();
    for (int round = 0; round < 200; round++) {
        struct vmk_loop_handler handler = make_handler(&probe, on_event_remove_both);
        ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.source, NULL), 0);
        ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.other, NULL), 0);
        handler.callback = on_event_signal_both;
        ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &start, NULL), 0);
        vmk_source_signal(start);
        wait_for_call(&probe);
        vmk_source_remove(start);
        while (atomic_load(&probe.released) != 3)
            usleep(100);
        ck_assert_uint_eq(atomic_load(&probe.calls), 1);
    }
    tear_down();
}
END_TEST

static void
on_event_add(void *data, uint32_t events)
{
    struct probe *probe = data;
    struct vmk_loop_handler handler = {on_event, on_release, probe};
    ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe->other, NULL), 0);
    vmk_source_signal(probe->other);
    vmk_source_remove(probe->source);
}

START_TEST(a_callback_adds_another_source)
{
    struct probe probe;
    set_up();
    struct vmk_loop_handler handler = make_handler(&probe, on_event_add);
    ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.source, NULL), 0);
    vmk_source_signal(probe.source);
    wait_for_call(&probe);
    tear_down();
    ck_assert_uint_eq(atomic_load(&probe.calls), 1);
    ck_assert_uint_eq(atomic_load(&probe.released), 2);
}
END_TEST

static void
on_event_stop(void *data, uint32_t events)
{
    vmk_loop_stop(loop);
    on_event(data, events);
}

START_TEST(a_callback_stops_the_loop)
{
    struct probe probe, later;
    set_up();
    struct vmk_loop_handler handler = make_handler(&probe, on_event_stop);
    struct vmk_loop_handler later_handler = make_handler(&later, on_event);
    ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.source, NULL), 0);
    ck_assert_int_eq(vmk_loop_add_signal(loop, &later_handler, &later.source, NULL), 0);
    vmk_source_signal(probe.source);
    wait_for_call(&probe);
    vmk_source_signal(later.source);
    usleep(20000);
    ck_assert_uint_eq(atomic_load(&later.calls), 0);
    vmk_source_remove(later.source);
    tear_down();
    ck_assert_uint_eq(atomic_load(&later.released), 1);
    ck_assert_uint_eq(atomic_load(&probe.released), 1);
}
END_TEST

START_TEST(a_loop_that_never_ran_is_freed_with_its_sources)
{
    struct probe probe;
    ck_assert_int_eq(vmk_loop_new(&loop, NULL), 0);
    struct vmk_loop_handler handler = make_handler(&probe, on_event);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(vmk_loop_add_timer(loop, &handler, &probe.source, NULL), 0);
        ck_assert_int_eq(vmk_loop_add_signal(loop, &handler, &probe.source, NULL), 0);
        vmk_source_signal(probe.source);
    }
    vmk_source_remove(probe.source);
    vmk_loop_free(loop);
    vmk_loop_free(NULL);
    ck_assert_uint_eq(atomic_load(&probe.released), 6);
    ck_assert_uint_eq(atomic_load(&probe.calls), 0);
}
END_TEST

/* Threads that add, signal and remove at once: each source is called after its last signal, each is
 * released once, and none is called after its release. */
#define THREADS 4

static void
on_event_check(void *data, uint32_t events)
{
    ck_assert_uint_eq(atomic_load(&((struct probe *)data)->released), 0);
    on_event(data, events);
}

static void *
add_and_remove(void *data)
{
    uint32_t rounds = *(uint32_t *)data;
    struct probe *probes = calloc(rounds, sizeof *probes);
    for (uint32_t i = 0; i < rounds; i++) {
        struct probe *probe = &probes[i];
        struct vmk_loop_handler handler = make_handler(probe, on_event_check);
        int result = i % 2 == 0 ? vmk_loop_add_signal(loop, &handler, &probe->source, NULL)
                                : vmk_loop_add_timer(loop, &handler, &probe->source, NULL);
        ck_assert_int_eq(result, 0);
        for (int n = 0; n < 3; n++) {
            if (i % 2 == 0)
                vmk_source_signal(probe->source);
            else
                vmk_source_set_timer(probe->source, 1000);
            if (n == 1 || i % 3 == 0)
                wait_for_call(probe);
        }
        vmk_source_remove(probe->source);
    }
    for (uint32_t i = 0; i < rounds; i++)
        while (atomic_load(&probes[i].released) == 0)
            usleep(100);
    pass_through_loop();
    for (uint32_t i = 0; i < rounds; i++) {
        ck_assert_uint_eq(atomic_load(&probes[i].released), 1);
        ck_assert_uint_ge(atomic_load(&probes[i].calls), 1);
    }
    free(probes);
    return NULL;
}

START_TEST(threads_add_signal_and_remove_at_once)
{
    uint32_t rounds = 500 / harness_get_step(5);
    pthread_t threads[THREADS];
    set_up();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_and_remove, &rounds), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("loop");
    TCase *cases = tcase_create("loop");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_signal_is_a_callback_on_the_loops_thread);
    tcase_add_test(cases, a_descriptor_is_watched_for_what_was_asked);
    tcase_add_test(cases, a_file_that_is_always_ready_is_refused);
    tcase_add_test(cases, a_timer_comes_once_and_not_before_its_time);
    tcase_add_test(cases, a_callback_removes_itself_and_one_that_is_due);
    tcase_add_test(cases, a_callback_adds_another_source);
    tcase_add_test(cases, a_callback_stops_the_loop);
    tcase_add_test(cases, a_loop_that_never_ran_is_freed_with_its_sources);
    tcase_add_test(cases, threads_add_signal_and_remove_at_once);
    suite_add_tcase(suite, cases);
    return suite;
}
