/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system call layer. Each sys_*.c serves one family; arch/<name>/syscall_table.inc says which
 * number is which call and whether it is served, and syscall.c makes the table of it.
 */
#ifndef VMK_SANDBOX_SYSCALL_H
#define VMK_SANDBOX_SYSCALL_H

#include <stdint.h>

struct vmk_process;

/* Numbers from here on are no calls. */
#define VMK_SYSCALL_LIMIT 512

/* The call's result, or a negative errno as Linux returns it. */
typedef int64_t
vmk_syscall_fn(struct vmk_process *process, const uint64_t args[6]);

struct vmk_syscall {
    const char *name;
    vmk_syscall_fn *serve; /* NULL: known by name alone, answered with ENOSYS and counted. */
};

/* The entry of a number, or NULL for a number without a name. */
const struct vmk_syscall *
vmk_syscall_find(uint64_t number);

#define VMK_SYSCALL(number, name) vmk_syscall_fn vmk_sys_##name;
#define VMK_SYSCALL_UNSERVED(number, name)
#include "syscall_table.inc"
#undef VMK_SYSCALL
#undef VMK_SYSCALL_UNSERVED

#endif
