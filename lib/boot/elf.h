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
#define VMK_ELF_MAX_NOTES 16

enum vmk_elf_rights {
    VMK_ELF_READ = 4,
    VMK_ELF_WRITE = 2,
    VMK_ELF_EXECUTE = 1,
};

struct vmk_elf_segment {
    uint64_t va; /* Of a kernel, the physical address. */
    uint64_t memory_size;
    uint64_t offset;
    uint64_t file_size; /* At most memory_size; the rest is zeros. */
    unsigned rights;    /* enum vmk_elf_rights, which are the values of p_flags. */
};

/* A segment of notes, which nobody has looked at yet: see vmk_elf_find_note(). */
struct vmk_elf_notes {
    uint64_t offset;
    uint64_t size;
    uint64_t alignment;
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
    unsigned notes_count; /* May be more than there is room for. */
    struct vmk_elf_notes notes[VMK_ELF_MAX_NOTES];
};

/* Read and check the headers of an executable for `machine` (EM_*). Addresses are below `va_limit`.
 * 0, -ENOEXEC with a sentence that says what is wrong with the file, or an errno of reading. */
int
vmk_elf_read(const struct vmk_boot_file *file, unsigned machine, uint64_t va_limit,
             struct vmk_elf *ret_elf, vmkit_error **ret_error);

/* The same of a kernel, which is loaded by physical addresses, all of them below `pa_limit`. Its
 * entry point is a physical address too, and 0 when the file names none that is in an executable
 * segment: there may be another way in, by a note. */
int
vmk_elf_read_kernel(const struct vmk_boot_file *file, unsigned machine, uint64_t pa_limit,
                    struct vmk_elf *ret_elf, vmkit_error **ret_error);

/* Copy out what the first note of this owner and type says. 1 with its whole size, of which no more
 * than `capacity` bytes were copied; 0 when there is none; -ENOEXEC with a sentence for notes that
 * are not in order, an errno of reading, -ENOMEM. */
int
vmk_elf_find_note(const struct vmk_boot_file *file, const struct vmk_elf *elf, const char *owner,
                  uint32_t type, void *buffer, size_t capacity, size_t *ret_size,
                  vmkit_error **ret_error);

/* Whether [address, address + size) is in one segment. */
bool
vmk_elf_holds(const struct vmk_elf *elf, uint64_t address, uint64_t size);

/* Whether a file of `size` bytes holds all segments. */
bool
vmk_elf_ends_within(const struct vmk_elf *elf, uint64_t size);

#endif
