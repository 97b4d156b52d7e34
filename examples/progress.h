/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bar on standard error, when that is a terminal, and Ctrl-C: both through the progress callback
 * of libvmkit, so that a call that is interrupted cleans up behind itself.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

/* From now on SIGINT, SIGTERM and SIGHUP cancel the call that is under way. */
void
progress_begin(void);

/* The callback; `user_data` is a const char * that says what is done. */
int32_t
progress_tell(void *user_data, uint64_t done, uint64_t total);

/* Take the bar away. */
void
progress_clear(void);

/* The signal that came, or 0. */
int
progress_get_signal(void);

#endif
