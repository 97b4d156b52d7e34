/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe of the guest to itself. Its one thread is on both ends, so that a pipe is a ring in
 * memory, and waiting for it can only end by a signal.
 */
#ifndef VMK_SANDBOX_PIPE_H
#define VMK_SANDBOX_PIPE_H

#include <stdint.h>

struct vmk_file;
struct vmk_files;

/* Make the two ends. `flags`: O_NONBLOCK or 0. 0, -ENFILE at the memory limit, or -ENOMEM. */
int
vmk_pipe_new(struct vmk_files *files, uint32_t flags, struct vmk_file *ret_ends[2]);

/* F_GETPIPE_SZ and F_SETPIPE_SZ; -EBADF for what is no pipe. */
int64_t
vmk_pipe_get_size(struct vmk_file *file);

int64_t
vmk_pipe_set_size(struct vmk_file *file, uint64_t size);

#endif
