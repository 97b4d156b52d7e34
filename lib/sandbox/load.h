/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a program: its segments into the address space, its strings and the auxiliary vector onto
 * a fresh stack, as Linux's binfmt_elf leaves them.
 */
#ifndef VMK_SANDBOX_LOAD_H
#define VMK_SANDBOX_LOAD_H

#include "boot/elf.h"
#include "sandbox/file.h"
#include "sandbox/shared.h"

#include <vmkit/error.h>

#include <stdint.h>

struct vmk_process;
struct vmk_symbols;

/* The most that arguments and environment may take together, as on Linux with a stack of 8 MiB. */
#define VMK_LOAD_STRINGS_MAX (UINT64_C(2) << 20)

struct vmk_program {
    struct vmk_file *file;
    int image;                  /* A sealed memfd with the bytes of the file, or -1. */
    const char *path;           /* AT_EXECFN and messages */
    struct vmk_blob *arguments; /* Strings with their NULs, one after the other. */
    struct vmk_blob *environment;
    struct vmk_elf elf;
};

/* Read and check the headers of `program->file`: fills `program->elf`. 0, -ENOEXEC with a sentence,
 * or the errno of reading. */
int
vmk_load_check(struct vmk_process *process, struct vmk_program *program, vmkit_error **ret_error);

/* Read the symbols of the program that is loaded, and by how much it was moved. As
 * vmk_symbols_read(), and as vmk_load_check(). */
int
vmk_load_read_symbols(struct vmk_process *process, struct vmk_program *program,
                      struct vmk_symbols **ret_symbols, uint64_t *ret_bias,
                      vmkit_error **ret_error);

/* Map the checked program into an empty address space and start it. 0; -ENOMEM or -E2BIG when it
 * does not fit under the memory limit, and then the address space is not usable. */
int
vmk_load(struct vmk_process *process, const struct vmk_program *program, vmkit_error **ret_error);

#endif
