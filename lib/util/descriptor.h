/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that the library makes, in a process of which it knows nothing. One that was started
 * with its standard streams closed would get them at the streams' numbers, and what it prints would
 * go into the memory of a guest. One that has a limit of file sizes (RLIMIT_FSIZE) would be ended
 * by SIGXFSZ for the size of a memfd.
 */
#ifndef VMK_UTIL_DESCRIPTOR_H
#define VMK_UTIL_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

/* No descriptor of the library is below. */
#define VMK_DESCRIPTOR_FIRST 3

/* What a call made, or its -1 with errno: the same, moved away from the standard streams. The
 * result has the flag close-on-exec; -1 with errno when there is no place to move to, and then it
 * is closed. */
int
vmk_descriptor_keep(int fd);

/* ftruncate(2) without the signal. 0 or a negative errno, -EFBIG above the limit. */
int
vmk_descriptor_set_size(int fd, uint64_t size);

/* The same of a memfd: what it has no room for is memory. */
int
vmk_descriptor_set_memory_size(int fd, uint64_t size);

/* Whether both are of one regular file. Neither has to be open. */
bool
vmk_descriptor_is_same_file(int fd, int other);

#endif
