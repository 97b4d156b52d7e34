/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF executables (System V ABI, chapters 4 and 5), read from a hostile file: what this returns is
 * consistent. Segments are sorted, apart from each other, inside of the file and without overflow.
 */
#ifndef VMK_BOOT_ELF_H
#define VMK_BOOT_ELF_H

#include "boot/file.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stdint.h>

#define VMK_ELF_MAX_SEGMENTS 64

enum vmk_elf_rights {
    VMK_ELF_READ = 4,
    VMK_ELF_WRITE = 2,
    VMK_ELF_EXECUTE = 1,
};

struct vmk_elf_segment {
    uint64_t va;
    uint64_t memory_size;
    uint64_t offset;
    uint64_t file_size; /* At most memory_size; the rest is zeros. */
    unsigned rights;    /* enum vmk_elf_rights, which are the values of p_flags. */
};

struct vmk_elf {
    bool relocatable; /* ET_DYN: may be moved as a whole. */
    bool wants_interpreter;
    bool executable_stack; /* As PT_GNU_STACK asks for; without one, it is not. */
    uint64_t entry;
    uint64_t alignment;  /* The largest p_align, at least a page. */
    uint64_t low;        /* First byte of the lowest segment, rounded down to a page. */
    uint64_t high;       /* Last byte + 1 of the highest, rounded up to a page. */
    uint64_t headers_va; /* Of the program headers in memory, 0 when no segment holds them. */
    uint16_t header_count;
    uint16_t header_size;
    unsigned segment_count;
    struct vmk_elf_segment segments[VMK_ELF_MAX_SEGMENTS];
};

/* Read and check the headers of an executable for `machine` (EM_*). Addresses are below `va_limit`.
 * 0, -ENOEXEC with a sentence that says what is wrong with the file, or an errno of reading. */
int
vmk_elf_read(const struct vmk_boot_file *file, unsigned machine, uint64_t va_limit,
             struct vmk_elf *ret_elf, vmkit_error **ret_error);

/* Whether a file of `size` bytes holds all segments. */
bool
vmk_elf_ends_within(const struct vmk_elf *elf, uint64_t size);

#endif
