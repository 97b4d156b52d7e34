/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's standard input, output and error, as the embedder connected them. What the two output
 * streams take together counts against the output limit; the bytes up to a limit are delivered, and
 * then the run ends.
 */
#ifndef VMK_SANDBOX_STREAM_H
#define VMK_SANDBOX_STREAM_H

#include "sandbox/config.h"

#include <stddef.h>
#include <sys/types.h>

struct vmk_file;
struct vmk_files;
struct vmk_process;

/* Open one of the three streams. 0 or a negative errno. */
int
vmk_stream_open(struct vmk_files *files, enum vmkit_stream stream,
                const struct vmk_stream_config streams[3], struct vmk_file **ret_file);

/* The same for a descriptor, in stream_fd.c. */
int
vmk_stream_open_fd(struct vmk_files *files, enum vmkit_stream stream,
                   const struct vmk_stream_config streams[3], struct vmk_file **ret_file);

/* How many of `size` bytes the output limit lets through, none of them if the run has ended. */
size_t
vmk_stream_allow(const struct vmk_process *process, size_t size);

/* Note what an output stream took of the `wanted` bytes, of which `allowed` were allowed: the run
 * ends if it took all that was allowed and there is more. Returns `taken`. */
ssize_t
vmk_stream_account(struct vmk_process *process, size_t wanted, size_t allowed, ssize_t taken);

#endif
