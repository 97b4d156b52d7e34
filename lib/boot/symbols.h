/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of an ELF executable (System V ABI, chapter 4, "Symbol Table"), read from a hostile
 * file: what this returns lies inside of the program's segments. Immutable and counted, so that all
 * who run the program share it.
 */
#ifndef VMK_BOOT_SYMBOLS_H
#define VMK_BOOT_SYMBOLS_H

#include "boot/elf.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vmk_symbol_kind {
    VMK_SYMBOL_FUNCTION,
    VMK_SYMBOL_OBJECT,
    VMK_SYMBOL_INDIRECT,     /* STT_GNU_IFUNC: `va` is a function that returns the function. */
    VMK_SYMBOL_THREAD_LOCAL, /* `va` is an offset. */
};

struct vmk_symbol {
    uint64_t va; /* As the file has it; a program that is moved moves it along. */
    uint64_t size;
    enum vmk_symbol_kind kind;
    bool is_ambiguous; /* Several things that differ have this name, and none is the global one. */
};

struct vmk_symbols;

/* Read the symbols of the program whose headers are `elf`; none at all when it was stripped. 0,
 * -ENOEXEC with a sentence, an errno of reading, -ENOMEM. */
int
vmk_symbols_read(const struct vmk_boot_file *file, const struct vmk_elf *elf,
                 struct vmk_symbols **ret_symbols, vmkit_error **ret_error);

struct vmk_symbols *
vmk_symbols_ref(struct vmk_symbols *symbols);

/* Accepts NULL. */
void
vmk_symbols_unref(struct vmk_symbols *symbols);

/* How many names there are. */
size_t
vmk_symbols_get_count(const struct vmk_symbols *symbols);

/* NULL when there is no such name. */
const struct vmk_symbol *
vmk_symbols_find(const struct vmk_symbols *symbols, const char *name);

/* The name of a function that contains `name`, or differs from it in case alone, for whoever
 * mistyped it or does not know how C++ spells it; fit to be shown. NULL when there is none. */
const char *
vmk_symbols_suggest(const struct vmk_symbols *symbols, const char *name);

#endif
