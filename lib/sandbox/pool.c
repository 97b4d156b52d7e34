/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool.h"

#include "sandbox/config.h"
#include "sandbox/snapshot.h"
#include "util/error.h"
#include "util/origin.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define NANOSECONDS UINT64_C(1000000000)
#define NOWHERE UINT32_MAX

/* What stands at a place. */
enum occupant {
    EMPTY,  /* No sandbox; it is in the list of empty places. */
    IDLE,   /* One that waits to be taken; it is in the list of idle ones. */
    TAKEN,  /* One that a caller has. */
    MOVING, /* One that is being forked, reset or released, or that was handed to a waiter. */
};

struct place {
    vmkit_sandbox *sandbox; /* NULL where none is; of a taken one without a reference */
    enum occupant occupant;
    uint32_t next; /* in its list; NOWHERE at the end */
};

/* A thread that waits, on its own stack. */
struct waiter {
    pthread_cond_t served;
    uint32_t place; /* what it was handed: a sandbox, or an empty place; NOWHERE before */
    struct waiter *next;
};

struct vmkit_pool {
    atomic_uint references;
    vmkit_snapshot *snapshot;
    vmkit_sandbox_config *config;  /* NULL: the defaults */
    struct vmk_kvm_system *system; /* NULL: the host's own */
    pid_t process;                 /* whose VMs the sandboxes have */
    uint32_t limit;

    pthread_mutex_t lock; /* all below; no fork, reset or release happens under it */
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

/* A place, with its sandbox or without, is free: it goes to who waits longest, or into its list. */
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
    } else if (pool->places[place].sandbox != NULL) {
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

/* With the lock held: the place that the caller was handed, NOWHERE when the time has passed. */
static uint32_t
wait_for_place(vmkit_pool *pool, uint64_t timeout_ns)
{
    uint64_t deadline_ns;
    if (timeout_ns == 0)
        return NOWHERE;
    if (__builtin_add_overflow(vmk_process_now_ns(), timeout_ns, &deadline_ns))
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

/* Fork a sandbox into a place that the caller has. */
static int
fill_place(vmkit_pool *pool, uint32_t place, vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox;
    int r = vmk_snapshot_fork(pool->snapshot, pool->config, pool->system, &sandbox, ret_error);
    if (r == 0)
        sandbox->pool = (struct vmk_pool_place){.pool = pool, .place = place};
    pthread_mutex_lock(&pool->lock);
    if (r == 0) {
        pool->places[place].sandbox = sandbox;
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
        vmk_sandbox_unref(pool->places[place].sandbox);
    vmk_snapshot_unref(pool->snapshot);
    vmk_config_unref(pool->config);
    vmk_kvm_system_unref(pool->system);
    pthread_mutex_destroy(&pool->lock);
    free(pool->places);
    free(pool);
}

static int
fork_warm_ones(vmkit_pool *pool, uint32_t warm, vmkit_error **ret_error)
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

int
vmk_pool_new(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
             struct vmk_kvm_system *system, uint32_t warm, uint32_t limit, vmkit_pool **ret_pool,
             vmkit_error **ret_error)
{
    if (limit == 0 || limit > VMK_POOL_LIMIT_MAX)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_LIMIT,
                             "a pool of at most %u sandboxes: 1 to %u are possible", limit,
                             VMK_POOL_LIMIT_MAX);
    if (warm > limit)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%u warm sandboxes are more than the limit of %u", warm, limit);
    struct vmk_process_snapshot *process_snapshot;
    int r = vmk_snapshot_get_process(snapshot, &process_snapshot, ret_error);
    if (r < 0)
        return r;

    vmkit_pool *pool = calloc(1, sizeof *pool);
    struct place *places = calloc(limit, sizeof *places);
    vmkit_sandbox_config *copy = NULL;
    r = pool == NULL || places == NULL ? -ENOMEM : 0;
    if (r == 0 && config != NULL)
        r = vmk_config_copy_resources(config, &process_snapshot->config->program, &copy, ret_error);
    else if (r < 0)
        r = vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    if (r < 0) {
        free(places);
        free(pool);
        return r;
    }

    *pool = (vmkit_pool){.snapshot = vmk_snapshot_ref(snapshot),
                         .config = copy,
                         .system = vmk_kvm_system_ref(system),
                         .process = vmk_origin_get(),
                         .limit = limit,
                         .places = places,
                         .idle = NOWHERE,
                         .empty = NOWHERE};
    atomic_init(&pool->references, 1);
    pthread_mutex_init(&pool->lock, NULL);
    for (uint32_t i = limit; i > 0; i--)
        push(pool, &pool->empty, i - 1, EMPTY);
    r = fork_warm_ones(pool, warm, ret_error);
    if (r < 0) {
        pool_free(pool);
        return r;
    }
    *ret_pool = pool;
    return 0;
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
vmk_pool_take(vmkit_pool *pool, uint64_t timeout_ns, vmkit_sandbox **ret_sandbox,
              vmkit_error **ret_error)
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
    bool must_fork = place != NOWHERE && pool->places[place].sandbox == NULL;
    pthread_mutex_unlock(&pool->lock);

    if (place == NOWHERE)
        return vmk_error_set(ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
                             "all %u sandboxes of the pool are taken, and none was given back in "
                             "%llu ms",
                             pool->limit, (unsigned long long)(timeout_ns / 1000000));
    if (must_fork) {
        r = fill_place(pool, place, ret_error);
        if (r < 0)
            return r;
    }

    pthread_mutex_lock(&pool->lock);
    pool->places[place].occupant = TAKEN;
    pool->stats.taken++;
    pool->stats.takes++;
    *ret_sandbox = pool->places[place].sandbox;
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

/* Take the sandbox out of the hands of who took it. False when nobody did, of this pool. */
static bool
claim(vmkit_pool *pool, const vmkit_sandbox *sandbox)
{
    uint32_t place = sandbox->pool.place;
    if (sandbox->pool.pool != pool || place >= pool->limit)
        return false;
    pthread_mutex_lock(&pool->lock);
    struct place *at = &pool->places[place];
    bool taken = at->occupant == TAKEN && at->sandbox == sandbox;
    if (taken)
        at->occupant = MOVING;
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

static void
return_claim(vmkit_pool *pool, const vmkit_sandbox *sandbox)
{
    pthread_mutex_lock(&pool->lock);
    pool->places[sandbox->pool.place].occupant = TAKEN;
    pthread_mutex_unlock(&pool->lock);
}

/* Whether it is as good as new. One to which somebody else has a reference never is: who has it
 * could look at, or run, what the next one gets. */
static bool
renew(vmkit_sandbox *sandbox)
{
    return atomic_load_explicit(&sandbox->references, memory_order_acquire) == 1 &&
           vmk_sandbox_reset(sandbox, NULL) == 0;
}

int
vmk_pool_give_back(vmkit_pool *pool, vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    if (!claim(pool, sandbox))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the sandbox is not taken from this pool");
    int r = vmk_sandbox_lock(sandbox, ret_error);
    if (r < 0) {
        return_claim(pool, sandbox);
        return r;
    }
    vmk_sandbox_unlock(sandbox);

    uint32_t place = sandbox->pool.place;
    bool renewed = renew(sandbox);
    if (!renewed)
        vmk_sandbox_unref(sandbox);

    pthread_mutex_lock(&pool->lock);
    pool->stats.taken--;
    if (renewed) {
        pool->stats.resets++;
    } else {
        pool->stats.discarded++;
        pool->places[place].sandbox = NULL;
    }
    release_place(pool, place);
    pthread_mutex_unlock(&pool->lock);
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
