/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll(7). What is watched with EPOLLET is reported once, and again after it ceased to hold or
 * the file told of news: pipes and counters do when something is put in or taken out, a stream of
 * the host's when the guest used it, since nobody tells of what else happens to it. An instance
 * cannot watch another one.
 */
#ifndef VMK_SANDBOX_EPOLL_H
#define VMK_SANDBOX_EPOLL_H

#include <stdint.h>

struct vmk_file;
struct vmk_process;

/* A file is about to be freed. */
void
vmk_epoll_forget(struct vmk_file *file);

/* There is news about these of POLLIN, POLLOUT, POLLERR and POLLHUP, if they hold. */
void
vmk_epoll_renew(struct vmk_file *file, short events);

/* epoll_wait(2) with the deadline already here. */
int64_t
vmk_epoll_serve(struct vmk_process *process, const uint64_t args[6], uint64_t deadline_ns);

#endif
