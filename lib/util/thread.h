/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the library's own, and telling threads apart, also from those that are gone: pthread_t
 * and gettid(2) are used again. */
#ifndef VMK_UTIL_THREAD_H
#define VMK_UTIL_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* A number of the calling thread that no other thread of the process has, or had; never 0. A child
 * of fork(2) goes on with that of the thread that forked. */
uint64_t
vmk_thread_get_id(void);

/* pthread_create() of a thread that blocks all signals, so that it takes none of the embedder's. 0
 * or a positive errno. */
int
vmk_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
