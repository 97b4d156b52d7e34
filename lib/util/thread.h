/* SPDX-License-Identifier: Apache-2.0 */
/* Telling threads apart, also from those that are gone: pthread_t and gettid(2) are used again. */
#ifndef VMK_UTIL_THREAD_H
#define VMK_UTIL_THREAD_H

#include <stdint.h>

/* A number of the calling thread that no other thread of the process has, or had; never 0. A child
 * of fork(2) goes on with that of the thread that forked. */
uint64_t
vmk_thread_get_id(void);

#endif
