/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/syscall.h"

#include <stddef.h>

static const struct vmk_syscall table[VMK_SYSCALL_LIMIT] = {
#define VMK_SYSCALL(number, call_name) [number] = {#call_name, vmk_sys_##call_name},
#define VMK_SYSCALL_UNSERVED(number, call_name) [number] = {#call_name, NULL},
#include "syscall_table.inc"
};

const struct vmk_syscall *
vmk_syscall_find(uint64_t number)
{
    if (number >= VMK_SYSCALL_LIMIT || table[number].name == NULL)
        return NULL;
    return &table[number];
}
