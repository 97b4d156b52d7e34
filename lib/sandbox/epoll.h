/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll(7). All events are reported for as long as they hold: one that was asked for with EPOLLET
 * is reported more often than Linux would, never less. An instance cannot watch another one.
 */
#ifndef VMK_SANDBOX_EPOLL_H
#define VMK_SANDBOX_EPOLL_H

#include <stdint.h>

struct vmk_file;
struct vmk_process;

/* A file is about to be freed. */
void
vmk_epoll_forget(struct vmk_file *file);

/* epoll_wait(2) with the deadline already here. */
int64_t
vmk_epoll_serve(struct vmk_process *process, const uint64_t args[6], uint64_t deadline_ns);

#endif
