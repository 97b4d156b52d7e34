/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process made a thing. A child of fork(2) has a copy of everything that the library knows,
 * and shares pages and descriptors of KVM that only the parent may use; it has to be told from the
 * parent wherever the embedder's code may have forked, also in the middle of a run. So the question
 * is answered without a system call: by a page that a fork leaves empty in the child (madvise(2),
 * MADV_WIPEONFORK). The page holds nothing but a copy of what getpid(2) says.
 */
#ifndef VMK_UTIL_ORIGIN_H
#define VMK_UTIL_ORIGIN_H

#include <vmkit/error.h>

#include <stdbool.h>
#include <sys/types.h>

/* This process, to be kept with what it makes. */
pid_t
vmk_origin_get(void);

/* Whether `origin` is this process. */
bool
vmk_origin_is_here(pid_t origin);

/* 0, or -EIO: `what` was made by another process, and needs its VMs. */
int
vmk_origin_check(pid_t origin, const char *what, vmkit_error **ret_error);

#endif
