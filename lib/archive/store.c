/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of batches. The caller's thread fills one after the other with pointers to pages, other
 * threads sum up and compress the pages, and the caller's thread writes the batches in the order in
 * which it filled them. The same pages give the same bytes however many threads there are. With one
 * thread there is no other, and the caller's does it all; nor are there others where the pages come
 * with their sums.
 */
#include "archive/store.h"

#include "archive/deflate.h"
#include "archive/format.h"
#include "archive/hash.h"
#include "archive/threads.h"
#include "util/error.h"
#include "util/thread.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ((size_t)VMK_ARCHIVE_PAGE_SIZE)
#define RAW_PAGES 512 /* of a batch that is not compressed */
#define CHUNK_SIZE (VMK_FORMAT_CHUNK_PAGES * PAGE)
#define BATCHES_A_WORKER 4

struct batch {
    struct iovec pieces[RAW_PAGES];
    uint64_t sums[RAW_PAGES]; /* little-endian */
    int piece_count;
    size_t page_count;
    uint8_t *packed; /* CHUNK_SIZE bytes, or NULL */
    size_t packed_size;
    bool summed; /* by the caller */
    bool done;   /* under the lock */
};

struct worker {
    struct vmk_archive_store *store;
    struct vmk_deflate *deflate;
    uint8_t *gathered; /* CHUNK_SIZE bytes */
    pthread_t thread;
};

/* A list of numbers as the file has them. */
struct list {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

struct vmk_archive_store {
    struct vmk_archive_output *output;
    uint32_t level;
    size_t batch_pages;
    struct list sums;
    struct list chunks;
    uint8_t *held; /* pages of a chunk that waits for more; CHUNK_SIZE bytes, or NULL */

    /* Batches are counted; number n is batches[n % batch_count]. */
    struct batch *batches;
    size_t batch_count;
    bool started;     /* the threads; the caller's thread's own, like what follows */
    uint64_t written; /* batches */
    bool summed;      /* what was added last came with sums */
    uint64_t pages_added;
    uint64_t pages_written;

    pthread_mutex_t lock;
    pthread_cond_t to_do;
    pthread_cond_t done;
    uint64_t filled; /* under the lock from here on */
    uint64_t taken;
    bool stop;

    /* With no thread, the first worker is the caller's own. */
    struct worker workers[VMK_ARCHIVE_MAX_THREADS];
    uint32_t worker_count;
    uint32_t thread_count;
};

static const uint8_t zeros[VMK_ARCHIVE_PAGE_SIZE];

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory to write a snapshot");
}

/* Sum up and compress a batch, on any thread. */
static void
process(struct worker *worker, struct batch *batch)
{
    size_t page = 0;
    for (int i = 0; i < batch->piece_count; i++) {
        const uint8_t *at = batch->pieces[i].iov_base;
        size_t size = batch->pieces[i].iov_len;
        if (batch->packed != NULL)
            memcpy(worker->gathered + page * PAGE, at, size);
        for (size_t offset = 0; offset < size; offset += PAGE)
            batch->sums[page++] = htole64(vmk_archive_hash(at + offset, PAGE, 0));
    }
    if (batch->packed != NULL)
        batch->packed_size =
            vmk_deflate_run(worker->deflate, worker->gathered, page * PAGE, batch->packed);
}

static void *
run_worker(void *argument)
{
    struct worker *worker = argument;
    struct vmk_archive_store *store = worker->store;
    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (store->taken == store->filled && !store->stop)
            pthread_cond_wait(&store->to_do, &store->lock);
        if (store->stop)
            break;
        struct batch *batch = &store->batches[store->taken++ % store->batch_count];
        pthread_mutex_unlock(&store->lock);
        process(worker, batch);
        pthread_mutex_lock(&store->lock);
        batch->done = true;
        pthread_cond_signal(&store->done);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

static bool
prepare_worker(struct vmk_archive_store *store, struct worker *worker)
{
    worker->store = store;
    if (store->level == 0)
        return true;
    worker->deflate = vmk_deflate_new(store->level);
    worker->gathered = malloc(CHUNK_SIZE);
    return worker->deflate != NULL && worker->gathered != NULL;
}

static bool
prepare_batches(struct vmk_archive_store *store)
{
    store->batch_count = (size_t)store->worker_count * BATCHES_A_WORKER;
    store->batches = calloc(store->batch_count, sizeof *store->batches);
    if (store->batches == NULL)
        return false;
    for (size_t i = 0; i < store->batch_count && store->level > 0; i++) {
        store->batches[i].packed = malloc(CHUNK_SIZE);
        if (store->batches[i].packed == NULL)
            return false;
    }
    return true;
}

/* Summing up is so much faster than writing that one thread for it is enough. */
static uint32_t
count_workers(const struct vmk_archive_settings *settings)
{
    uint32_t threads = vmk_threads_get_count(settings);
    return settings->level == 0 && threads > 1 ? 2 : threads;
}

/* Not before there is something for them to do. */
static void
start_threads(struct vmk_archive_store *store)
{
    uint32_t count = store->level > 0 ? store->worker_count : 1;
    if (store->started || store->worker_count == 1)
        return;
    store->started = true;
    for (uint32_t i = 0; i < count; i++) {
        struct worker *worker = &store->workers[i];
        if (vmk_thread_start(&worker->thread, run_worker, worker) != 0)
            break;
        store->thread_count++;
    }
}

int
vmk_store_new(struct vmk_archive_output *output, const struct vmk_archive_settings *settings,
              struct vmk_archive_store **ret_store, vmkit_error **ret_error)
{
    struct vmk_archive_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return no_memory(ret_error);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->to_do, NULL);
    pthread_cond_init(&store->done, NULL);
    store->output = output;
    store->level = settings->level;
    store->batch_pages = settings->level > 0 ? VMK_FORMAT_CHUNK_PAGES : RAW_PAGES;
    store->worker_count = count_workers(settings);
    bool ready = prepare_batches(store);
    for (uint32_t i = 0; i < store->worker_count && ready; i++)
        ready = prepare_worker(store, &store->workers[i]);
    if (!ready) {
        vmk_store_free(store);
        return no_memory(ret_error);
    }
    *ret_store = store;
    return 0;
}

void
vmk_store_stop(struct vmk_archive_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->stop = true;
    pthread_cond_broadcast(&store->to_do);
    pthread_mutex_unlock(&store->lock);
    for (uint32_t i = 0; i < store->thread_count; i++)
        pthread_join(store->workers[i].thread, NULL);
    store->thread_count = 0;
}

void
vmk_store_free(struct vmk_archive_store *store)
{
    if (store == NULL)
        return;
    vmk_store_stop(store);
    for (uint32_t i = 0; i < store->worker_count; i++) {
        vmk_deflate_free(store->workers[i].deflate);
        free(store->workers[i].gathered);
    }
    for (size_t i = 0; store->batches != NULL && i < store->batch_count; i++)
        free(store->batches[i].packed);
    free(store->batches);
    free(store->sums.data);
    free(store->chunks.data);
    free(store->held);
    pthread_cond_destroy(&store->done);
    pthread_cond_destroy(&store->to_do);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static int
append(struct list *list, const void *data, size_t size, vmkit_error **ret_error)
{
    if (list->capacity - list->size < size) {
        size_t capacity = list->capacity * 2 + size + 4096;
        uint8_t *grown = realloc(list->data, capacity);
        if (grown == NULL)
            return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "no memory for %zu bytes of checksums", capacity);
        list->data = grown;
        list->capacity = capacity;
    }
    memcpy(list->data + list->size, data, size);
    list->size += size;
    return 0;
}

/* Write a batch that is done, and empty it. */
static int
write_batch(struct vmk_archive_store *store, struct batch *batch, vmkit_error **ret_error)
{
    bool packed = batch->packed_size > 0;
    uint32_t size = htole32((uint32_t)(packed ? batch->packed_size : batch->page_count * PAGE));
    int result =
        append(&store->sums, batch->sums, batch->page_count * sizeof *batch->sums, ret_error);
    if (result == 0 && store->level > 0)
        result = append(&store->chunks, &size, sizeof size, ret_error);
    if (result == 0 && packed)
        result = vmk_output_write(store->output, batch->packed, batch->packed_size, ret_error);
    else if (result == 0)
        result = vmk_output_writev(store->output, batch->pieces, batch->piece_count, ret_error);
    store->pages_written += batch->page_count;
    batch->piece_count = 0;
    batch->page_count = 0;
    batch->packed_size = 0;
    batch->summed = false;
    batch->done = false;
    return result;
}

/* Write what is done; wait until no more than `left` batches are not written. */
static int
drain(struct vmk_archive_store *store, uint64_t left, vmkit_error **ret_error)
{
    int result = 0;
    pthread_mutex_lock(&store->lock);
    while (result == 0 && store->written < store->filled) {
        struct batch *batch = &store->batches[store->written % store->batch_count];
        if (!batch->done && store->filled - store->written <= left)
            break;
        while (!batch->done)
            pthread_cond_wait(&store->done, &store->lock);
        pthread_mutex_unlock(&store->lock);
        result = write_batch(store, batch, ret_error);
        pthread_mutex_lock(&store->lock);
        store->written++;
    }
    pthread_mutex_unlock(&store->lock);
    return result;
}

static struct batch *
current(struct vmk_archive_store *store)
{
    /* Only this thread changes `filled`. */
    return &store->batches[store->filled % store->batch_count];
}

static int
submit(struct vmk_archive_store *store, vmkit_error **ret_error)
{
    struct batch *batch = current(store);
    if (!batch->summed)
        start_threads(store);
    if (!batch->summed && store->thread_count == 0)
        process(&store->workers[0], batch);
    if (batch->summed || store->thread_count == 0)
        return write_batch(store, batch, ret_error);
    pthread_mutex_lock(&store->lock);
    store->filled++;
    pthread_cond_signal(&store->to_do);
    pthread_mutex_unlock(&store->lock);
    return drain(store, store->batch_count - 1, ret_error);
}

/* The sums of pages that are about to be added to a batch; NULL: of zeros. */
static void
put_sums(struct batch *batch, const struct vmk_archive_sum *sums, size_t count)
{
    batch->summed = true;
    for (size_t i = 0; i < count; i++)
        batch->sums[batch->page_count + i] =
            htole64(sums == NULL ? vmk_archive_hash(zeros, PAGE, 0) : sums[i].checksum);
}

/* As many pages as one batch takes; of zeros, one. */
static size_t
put_pages(struct vmk_archive_store *store, struct batch *batch, const uint8_t *at, uint64_t count)
{
    size_t room = store->batch_pages - batch->page_count;
    size_t part = count < room ? (size_t)count : room;
    if (at == NULL)
        part = 1;
    /* writev() only reads it. */
    batch->pieces[batch->piece_count++] = (struct iovec){
        .iov_base = (void *)(uintptr_t)(at == NULL ? zeros : at), .iov_len = part * PAGE};
    return part;
}

int
vmk_store_add(struct vmk_archive_store *store, const void *pages, uint64_t count,
              const struct vmk_archive_sum *sums, vmkit_error **ret_error)
{
    const uint8_t *at = pages;
    store->summed = pages == NULL ? store->summed : sums != NULL;
    store->pages_added += count;
    while (count > 0) {
        struct batch *batch = current(store);
        size_t part = put_pages(store, batch, at, count);
        if (store->summed)
            put_sums(batch, sums, part);
        batch->page_count += part;
        count -= part;
        at = at == NULL ? NULL : at + part * PAGE;
        sums = sums == NULL ? NULL : sums + part;
        int result = batch->page_count == store->batch_pages ? submit(store, ret_error) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

/* Copy the pages of a chunk that is not full, so that they are needed no more where they are. */
static int
hold(struct vmk_archive_store *store, struct batch *batch, vmkit_error **ret_error)
{
    if (store->held == NULL)
        store->held = malloc(CHUNK_SIZE);
    if (store->held == NULL)
        return no_memory(ret_error);
    uint8_t *to = store->held;
    for (int i = 0; i < batch->piece_count; i++) {
        /* What was held before is there already. */
        if (batch->pieces[i].iov_base != to)
            memcpy(to, batch->pieces[i].iov_base, batch->pieces[i].iov_len);
        to += batch->pieces[i].iov_len;
    }
    batch->pieces[0] = (struct iovec){.iov_base = store->held, .iov_len = batch->page_count * PAGE};
    batch->piece_count = 1;
    return 0;
}

int
vmk_store_flush(struct vmk_archive_store *store, vmkit_error **ret_error)
{
    if (store->level == 0)
        return vmk_store_finish(store, ret_error);
    int result = drain(store, 0, ret_error);
    struct batch *batch = current(store);
    return result < 0 || batch->page_count == 0 ? result : hold(store, batch, ret_error);
}

int
vmk_store_finish(struct vmk_archive_store *store, vmkit_error **ret_error)
{
    int result = current(store)->page_count > 0 ? submit(store, ret_error) : 0;
    return result < 0 ? result : drain(store, 0, ret_error);
}

uint64_t
vmk_store_get_added(const struct vmk_archive_store *store)
{
    return store->pages_added;
}

uint64_t
vmk_store_get_settled(const struct vmk_archive_store *store)
{
    return store->pages_written;
}

int
vmk_store_settle(struct vmk_archive_store *store, uint64_t count, vmkit_error **ret_error)
{
    int result = 0;
    while (result == 0 && store->pages_written < count && store->written < store->filled)
        result = drain(store, store->filled - store->written - 1, ret_error);
    return result == 0 && store->pages_written < count ? vmk_store_flush(store, ret_error) : result;
}

const void *
vmk_store_get_sums(const struct vmk_archive_store *store, uint64_t *ret_size)
{
    *ret_size = store->sums.size;
    return store->sums.data;
}

const void *
vmk_store_get_chunks(const struct vmk_archive_store *store, uint64_t *ret_size)
{
    *ret_size = store->chunks.size;
    return store->chunks.data;
}
