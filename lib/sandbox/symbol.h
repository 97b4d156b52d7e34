/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the running program's functions and variables, by name. */
#ifndef VMK_SANDBOX_SYMBOL_H
#define VMK_SANDBOX_SYMBOL_H

#include <vmkit/error.h>

#include <stdbool.h>
#include <stdint.h>

struct vmk_process;

/* The guest address of a symbol; with `function`, of one that can be called. The symbols are read
 * from the program's file when they are first asked for. 0, -ENOENT, -EINVAL for a symbol of
 * another kind, or what reading gave. */
int
vmk_symbol_find(struct vmk_process *process, const char *name, bool function, uint64_t *ret_va,
                vmkit_error **ret_error);

/* Forget the symbols: another program is loaded. */
void
vmk_symbol_clear(struct vmk_process *process);

#endif
