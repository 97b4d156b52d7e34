/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thread cancellation (pthread_cancel(3)) waits until a call of the library has returned. Without
 * that it would take effect in any system call of one, with locks held and half of the work done,
 * and a sandbox would run for ever.
 */
#ifndef VMK_API_UNCANCELLED_H
#define VMK_API_UNCANCELLED_H

#include <pthread.h>

static inline int
vmk_api_hold_cancellation(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void
vmk_api_restore_cancellation(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

/* First in an exported function that makes system calls: holds until the function returns. */
#define VMK_API_UNCANCELLED                                                           \
    __attribute__((unused, cleanup(vmk_api_restore_cancellation))) int cancellation = \
        vmk_api_hold_cancellation()

#endif
