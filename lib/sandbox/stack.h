/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack that a program starts on (System V ABI, AMD64 supplement, 3.4.1): argument count,
 * argument and environment pointers, the auxiliary vector, and above them the strings.
 */
#ifndef VMK_SANDBOX_STACK_H
#define VMK_SANDBOX_STACK_H

#include "sandbox/space.h"

#define VMK_STACK_SIZE (UINT64_C(8) << 20)
#define VMK_STACK_BOTTOM (VMK_SPACE_HIGH - VMK_STACK_SIZE)

struct vmk_process;
struct vmk_program;

/* Whether the strings and the pointers to them stay below VMK_LOAD_STRINGS_MAX. */
bool
vmk_stack_fits(const struct vmk_program *program);

/* Map a stack, executable if the program asks for that (for trampolines of nested functions, say),
 * and fill it for a program that was moved by `bias`. 0, -E2BIG or -ENOMEM. */
int
vmk_stack_build(struct vmk_process *process, const struct vmk_program *program, uint64_t bias,
                uint64_t *ret_stack_pointer);

#endif
