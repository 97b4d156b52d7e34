/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of a call: made for it, and gone when it returns. They block all signals, so that the
 * embedder's come to the embedder's threads, and call none of its callbacks.
 */
#ifndef VMK_ARCHIVE_THREADS_H
#define VMK_ARCHIVE_THREADS_H

#include "archive/settings.h"

#include <vmkit/error.h>

#include <pthread.h>
#include <stddef.h>

/* How many threads to work with, 1 to VMK_ARCHIVE_MAX_THREADS. */
uint32_t
vmk_threads_get_count(const struct vmk_archive_settings *settings);

/* Tell the embedder. 0, or -ECANCELED with an error. */
int
vmk_threads_report(const struct vmk_archive_settings *settings, uint64_t done, uint64_t total,
                   vmkit_error **ret_error);

/* Items that can be done in any order. */
struct vmk_threads_job {
    /* Called on any thread, each with a scratch of its own. 0, or a negative errno with an error.
     */
    int (*run)(void *context, uint64_t item, void *scratch, vmkit_error **ret_error);
    void *context;
    uint64_t count;
    size_t scratch_size;
    uint64_t done_before; /* for the progress: items of jobs before this one */
    uint64_t total;       /* of them all */
    uint64_t unit;        /* bytes that an item stands for */
};

/* Do all items; the calling thread is one of those that work. The first error ends it. */
int
vmk_threads_run(const struct vmk_threads_job *job, const struct vmk_archive_settings *settings,
                vmkit_error **ret_error);

#endif
