/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/threads.h"

#include "util/error.h"
#include "util/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Less is done sooner than a thread is made. */
#define ITEMS_A_THREAD 4

uint32_t
vmk_threads_get_count(const struct vmk_archive_settings *settings)
{
    uint32_t count = settings->threads;
    cpu_set_t set;
    if (count == 0)
        count = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
    if (count == 0)
        return 1;
    return count < VMK_ARCHIVE_MAX_THREADS ? count : VMK_ARCHIVE_MAX_THREADS;
}

int
vmk_threads_report(const struct vmk_archive_settings *settings, uint64_t done, uint64_t total,
                   vmkit_error **ret_error)
{
    if (settings->progress == NULL || settings->progress(settings->user_data, done, total) == 0)
        return 0;
    return vmk_error_set(ret_error, ECANCELED, VMKIT_ERROR_CANCELLED,
                         "the progress callback cancelled the call after %llu of %llu bytes",
                         (unsigned long long)done, (unsigned long long)total);
}

struct crew {
    const struct vmk_threads_job *job;
    const struct vmk_archive_settings *settings;
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t done;
    atomic_int result; /* of the first one that failed */
    pthread_mutex_t lock;
    vmkit_error *error; /* of that; under the lock */
};

static void
fail(struct crew *crew, int result, vmkit_error *error)
{
    pthread_mutex_lock(&crew->lock);
    if (atomic_load(&crew->result) == 0) {
        atomic_store(&crew->result, result);
        crew->error = error;
        error = NULL;
    }
    pthread_mutex_unlock(&crew->lock);
    vmk_error_unref(error);
}

static int
report(struct crew *crew, vmkit_error **ret_error)
{
    const struct vmk_threads_job *job = crew->job;
    return vmk_threads_report(crew->settings,
                              (job->done_before + atomic_load(&crew->done)) * job->unit,
                              job->total * job->unit, ret_error);
}

static void
work(struct crew *crew, bool may_report)
{
    vmkit_error *error = NULL;
    int result = 0;
    void *scratch = malloc(crew->job->scratch_size + 1);
    if (scratch == NULL)
        result = vmk_error_set(&error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                               "no memory for %zu bytes of a thread", crew->job->scratch_size);
    while (result == 0 && atomic_load(&crew->result) == 0) {
        uint64_t item = atomic_fetch_add(&crew->next, 1);
        if (item >= crew->job->count)
            break;
        result = crew->job->run(crew->job->context, item, scratch, &error);
        atomic_fetch_add(&crew->done, 1);
        if (result == 0 && may_report)
            result = report(crew, &error);
    }
    free(scratch);
    if (result < 0)
        fail(crew, result, error);
}

static void *
run_worker(void *argument)
{
    work(argument, false);
    return NULL;
}

int
vmk_threads_run(const struct vmk_threads_job *job, const struct vmk_archive_settings *settings,
                vmkit_error **ret_error)
{
    struct crew crew = {.job = job, .settings = settings};
    pthread_t threads[VMK_ARCHIVE_MAX_THREADS];
    uint32_t wanted = vmk_threads_get_count(settings), count = 0;
    if (wanted > job->count / ITEMS_A_THREAD + 1)
        wanted = (uint32_t)(job->count / ITEMS_A_THREAD + 1);
    pthread_mutex_init(&crew.lock, NULL);
    while (count + 1 < wanted && vmk_thread_start(&threads[count], run_worker, &crew) == 0)
        count++;
    work(&crew, true);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&crew.lock);

    int result = atomic_load(&crew.result);
    if (result < 0 && ret_error != NULL)
        *ret_error = crew.error;
    else
        vmk_error_unref(crew.error);
    return result;
}
