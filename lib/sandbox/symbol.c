/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/symbol.h"

#include "boot/symbols.h"
#include "sandbox/files.h"
#include "sandbox/load.h"
#include "sandbox/process.h"
#include "util/error.h"

#include <errno.h>

static int
need_symbols(struct vmk_process *process, vmkit_error **ret_error)
{
    if (process->symbols != NULL)
        return 0;
    struct vmk_program program = {
        .file = vmk_files_get_program(process->files),
        .image = -1,
        .path = process->files->program_path,
    };
    return vmk_load_read_symbols(process, &program, &process->symbols, &process->symbol_bias,
                                 ret_error);
}

static int
not_found(const struct vmk_process *process, const char *name, vmkit_error **ret_error)
{
    const char *program = process->files->program_path;
    if (vmk_symbols_get_count(process->symbols) == 0)
        return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "%s has no symbol table: it was stripped", program);
    const char *other = vmk_symbols_suggest(process->symbols, name);
    if (other != NULL)
        return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "%s has no symbol \"%.200s\"; it has \"%s\"", program, name, other);
    return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND, "%s has no symbol \"%.200s\"",
                         program, name);
}

/* Why a symbol has no address that could be used; NULL when it has one. */
static const char *
objection(const struct vmk_symbol *symbol, bool function)
{
    if (symbol->is_ambiguous)
        return "stands for several things; use an address";
    switch (symbol->kind) {
    case VMK_SYMBOL_FUNCTION:
        return NULL;
    case VMK_SYMBOL_OBJECT:
        return function ? "is data and no function" : NULL;
    case VMK_SYMBOL_INDIRECT:
        return "is chosen when the program starts (IFUNC); use an address";
    case VMK_SYMBOL_THREAD_LOCAL:
        return "is a thread's own variable and has no address";
    }
    return NULL;
}

int
vmk_symbol_find(struct vmk_process *process, const char *name, bool function, uint64_t *ret_va,
                vmkit_error **ret_error)
{
    int r = need_symbols(process, ret_error);
    if (r < 0)
        return r;
    const struct vmk_symbol *symbol = vmk_symbols_find(process->symbols, name);
    if (symbol == NULL)
        return not_found(process, name, ret_error);
    const char *why_not = objection(symbol, function);
    if (why_not != NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "symbol \"%.200s\" of %s %s", name, process->files->program_path,
                             why_not);
    *ret_va = symbol->va + process->symbol_bias;
    return 0;
}

void
vmk_symbol_clear(struct vmk_process *process)
{
    vmk_symbols_unref(process->symbols);
    process->symbols = NULL;
}
