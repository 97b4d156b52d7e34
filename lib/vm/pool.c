/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/pool.h"

#include "util/error.h"
#include "util/origin.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define NANOSECONDS UINT64_C(1000000000)
#define NOWHERE UINT32_MAX

/* What stands at a place. */
enum occupant {
    EMPTY,  /* No machine; it is in the list of empty places. */
    IDLE,   /* One that waits to be taken; it is in the list of idle ones. */
    TAKEN,  /* One that a caller has. */
    MOVING, /* One that is being made, renewed or released, or that was handed to a waiter. */
};

struct place {
    void *machine; /* NULL where none is */
    enum occupant occupant;
    uint32_t next; /* in its list; NOWHERE at the end */
};

/* A thread that waits, on its own stack. */
struct waiter {
    pthread_cond_t served;
    uint32_t place; /* what it was handed: a machine, or an empty place; NOWHERE before */
    struct waiter *next;
};

struct vmkit_pool {
    atomic_uint references;
    const struct vmk_pool_kind *kind;
    void *source;
    pid_t process; /* whose VMs the machines have */
    uint32_t limit;

    pthread_mutex_t lock; /* all below; nothing is made, renewed or released under it */
    struct place *places;
    uint32_t idle;  /* the list's first: the one that was given back last is the warmest */
    uint32_t empty; /* the list's first */
    struct waiter *first_waiter;
    struct waiter *last_waiter;
    struct vmkit_pool_stats stats;
};

static void
push(vmkit_pool *pool, uint32_t *list, uint32_t place, enum occupant occupant)
{
    pool->places[place].occupant = occupant;
    pool->places[place].next = *list;
    *list = place;
}

static uint32_t
pop(vmkit_pool *pool, uint32_t *list)
{
    uint32_t place = *list;
    if (place != NOWHERE) {
        *list = pool->places[place].next;
        pool->places[place].occupant = MOVING;
    }
    return place;
}

/* A place, with its machine or without, is free: it goes to who waits longest, or into its list. */
static void
release_place(vmkit_pool *pool, uint32_t place)
{
    struct waiter *waiter = pool->first_waiter;
    if (waiter != NULL) {
        pool->first_waiter = waiter->next;
        if (pool->first_waiter == NULL)
            pool->last_waiter = NULL;
        pool->stats.waiting--;
        waiter->place = place;
        pthread_cond_signal(&waiter->served);
    } else if (pool->places[place].machine != NULL) {
        push(pool, &pool->idle, place, IDLE);
        pool->stats.idle++;
    } else {
        push(pool, &pool->empty, place, EMPTY);
    }
}

static void
leave_queue(vmkit_pool *pool, const struct waiter *waiter)
{
    struct waiter **at = &pool->first_waiter, *before = NULL;
    while (*at != waiter) {
        before = *at;
        at = &(*at)->next;
    }
    *at = waiter->next;
    if (pool->last_waiter == waiter)
        pool->last_waiter = before;
    pool->stats.waiting--;
}

/* Until a time of CLOCK_MONOTONIC, UINT64_MAX for ever. False when it came first. */
static bool
sleep_until(vmkit_pool *pool, struct waiter *waiter, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&waiter->served, &pool->lock);
        return true;
    }
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NANOSECONDS),
                                .tv_nsec = (long)(deadline_ns % NANOSECONDS)};
    return pthread_cond_timedwait(&waiter->served, &pool->lock, &deadline) == 0;
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/* With the lock held: the place that the caller was handed, NOWHERE when the time has passed. */
static uint32_t
wait_for_place(vmkit_pool *pool, uint64_t timeout_ns)
{
    uint64_t deadline_ns;
    if (timeout_ns == 0)
        return NOWHERE;
    if (__builtin_add_overflow(now_ns(), timeout_ns, &deadline_ns))
        deadline_ns = UINT64_MAX;

    struct waiter waiter = {.place = NOWHERE};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter.served, &attributes);
    pthread_condattr_destroy(&attributes);

    *(pool->last_waiter == NULL ? &pool->first_waiter : &pool->last_waiter->next) = &waiter;
    pool->last_waiter = &waiter;
    pool->stats.waiting++;
    bool in_time = true;
    while (waiter.place == NOWHERE && in_time)
        in_time = sleep_until(pool, &waiter, deadline_ns);
    if (waiter.place == NOWHERE)
        leave_queue(pool, &waiter);
    else
        pool->stats.waits++;
    pthread_cond_destroy(&waiter.served);
    return waiter.place;
}

/* Make a machine at a place that the caller has. */
static int
fill_place(vmkit_pool *pool, uint32_t place, vmkit_error **ret_error)
{
    const struct vmk_pool_place at = {.pool = pool, .place = place};
    void *machine = NULL;
    int r = pool->kind->make(pool->source, &at, &machine, ret_error);
    pthread_mutex_lock(&pool->lock);
    if (r == 0) {
        pool->places[place].machine = machine;
        pool->stats.forks++;
    } else {
        release_place(pool, place);
    }
    pthread_mutex_unlock(&pool->lock);
    return r;
}

static void
pool_free(vmkit_pool *pool)
{
    for (uint32_t place = pop(pool, &pool->idle); place != NOWHERE; place = pop(pool, &pool->idle))
        pool->kind->release(pool->places[place].machine);
    for (uint32_t place = 0; pool->kind->leave != NULL && place < pool->limit; place++) {
        if (pool->places[place].occupant == TAKEN)
            pool->kind->leave(pool->places[place].machine);
    }
    pool->kind->free_source(pool->source);
    pthread_mutex_destroy(&pool->lock);
    free(pool->places);
    free(pool);
}

static int
make_warm_ones(vmkit_pool *pool, uint32_t warm, vmkit_error **ret_error)
{
    for (uint32_t i = 0; i < warm; i++) {
        uint32_t place = pop(pool, &pool->empty);
        int r = fill_place(pool, place, ret_error);
        if (r < 0)
            return r;
        release_place(pool, place);
    }
    return 0;
}

static int
check_size(const struct vmk_pool_kind *kind, uint32_t warm, uint32_t limit, vmkit_error **ret_error)
{
    if (limit == 0 || limit > VMK_POOL_LIMIT_MAX)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_LIMIT,
                             "a pool of at most %u %s: 1 to %u are possible", limit, kind->plural,
                             VMK_POOL_LIMIT_MAX);
    if (warm > limit)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%u warm %s are more than the limit of %u", warm, kind->plural, limit);
    return 0;
}

static int
pool_alloc(uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error)
{
    vmkit_pool *pool = calloc(1, sizeof *pool);
    struct place *places = calloc(limit, sizeof *places);
    if (pool == NULL || places == NULL) {
        free(pool);
        free(places);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a pool of %u", limit);
    }
    *pool = (vmkit_pool){.limit = limit, .places = places, .idle = NOWHERE, .empty = NOWHERE};
    atomic_init(&pool->references, 1);
    pthread_mutex_init(&pool->lock, NULL);
    for (uint32_t i = limit; i > 0; i--)
        push(pool, &pool->empty, i - 1, EMPTY);
    *ret_pool = pool;
    return 0;
}

int
vmk_pool_new(const struct vmk_pool_kind *kind, void *source, uint32_t warm, uint32_t limit,
             vmkit_pool **ret_pool, vmkit_error **ret_error)
{
    vmkit_pool *pool = NULL;
    int r = check_size(kind, warm, limit, ret_error);
    if (r == 0)
        r = pool_alloc(limit, &pool, ret_error);
    if (r < 0) {
        kind->free_source(source);
        return r;
    }
    pool->kind = kind;
    pool->source = source;
    pool->process = vmk_origin_get();
    r = make_warm_ones(pool, warm, ret_error);
    if (r < 0)
        pool_free(pool);
    else
        *ret_pool = pool;
    return r;
}

vmkit_pool *
vmk_pool_ref(vmkit_pool *pool)
{
    atomic_fetch_add_explicit(&pool->references, 1, memory_order_relaxed);
    return pool;
}

void
vmk_pool_unref(vmkit_pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->references, 1, memory_order_acq_rel) == 1)
        pool_free(pool);
}

int
vmk_pool_check_kind(const vmkit_pool *pool, const struct vmk_pool_kind *kind,
                    vmkit_error **ret_error)
{
    if (pool->kind == kind)
        return 0;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         "the pool is one of %s, not of %s", pool->kind->plural, kind->plural);
}

void *
vmk_pool_get_source(const vmkit_pool *pool)
{
    return pool->source;
}

int
vmk_pool_take(vmkit_pool *pool, uint64_t timeout_ns, void **ret_machine, vmkit_error **ret_error)
{
    int r = vmk_origin_check(pool->process, "pool", ret_error);
    if (r < 0)
        return r;
    pthread_mutex_lock(&pool->lock);
    uint32_t place = pop(pool, &pool->idle);
    if (place != NOWHERE)
        pool->stats.idle--;
    else
        place = pop(pool, &pool->empty);
    if (place == NOWHERE)
        place = wait_for_place(pool, timeout_ns);
    bool must_make = place != NOWHERE && pool->places[place].machine == NULL;
    pthread_mutex_unlock(&pool->lock);

    if (place == NOWHERE)
        return vmk_error_set(ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
                             "all %u %s of the pool are taken, and none was given back in %llu ms",
                             pool->limit, pool->kind->plural,
                             (unsigned long long)(timeout_ns / 1000000));
    if (must_make) {
        r = fill_place(pool, place, ret_error);
        if (r < 0)
            return r;
    }

    pthread_mutex_lock(&pool->lock);
    pool->places[place].occupant = TAKEN;
    pool->stats.taken++;
    pool->stats.takes++;
    *ret_machine = pool->places[place].machine;
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

/* Take a machine out of the hands of who took it. NULL when nobody did, of this pool. */
static void *
claim(vmkit_pool *pool, const struct vmk_pool_place *place, const void *handle)
{
    if (place->pool != pool || place->place >= pool->limit)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    struct place *at = &pool->places[place->place];
    bool taken = at->occupant == TAKEN && pool->kind->get_handle(at->machine) == handle;
    void *machine = taken ? at->machine : NULL;
    if (taken)
        at->occupant = MOVING;
    pthread_mutex_unlock(&pool->lock);
    return machine;
}

static void
return_claim(vmkit_pool *pool, uint32_t place)
{
    pthread_mutex_lock(&pool->lock);
    pool->places[place].occupant = TAKEN;
    pthread_mutex_unlock(&pool->lock);
}

/* Into its place goes what was claimed from there, or nothing. */
static void
settle(vmkit_pool *pool, uint32_t place, bool renewed)
{
    pthread_mutex_lock(&pool->lock);
    pool->stats.taken--;
    if (renewed) {
        pool->stats.resets++;
    } else {
        pool->stats.discarded++;
        pool->places[place].machine = NULL;
    }
    release_place(pool, place);
    pthread_mutex_unlock(&pool->lock);
}

int
vmk_pool_give_back(vmkit_pool *pool, const struct vmk_pool_place *place, const void *handle,
                   vmkit_error **ret_error)
{
    uint32_t number = place->place;
    void *machine = claim(pool, place, handle);
    if (machine == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the %s is not taken from this pool", pool->kind->name);
    int r = pool->kind->check_still(machine, ret_error);
    if (r < 0) {
        return_claim(pool, number);
        return r;
    }
    bool renewed = pool->kind->renew(machine);
    if (!renewed)
        pool->kind->release(machine);
    settle(pool, number, renewed);
    return 0;
}

void
vmk_pool_get_stats(vmkit_pool *pool, struct vmkit_pool_stats *stats)
{
    uint32_t size = stats->size;
    pthread_mutex_lock(&pool->lock);
    *stats = pool->stats;
    pthread_mutex_unlock(&pool->lock);
    stats->size = size;
    stats->limit = pool->limit;
}
