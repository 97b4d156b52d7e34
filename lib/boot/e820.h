/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a machine's memory as a PC's BIOS tells it (ACPI 6.5, 15.1, INT 15h E820h). */
#ifndef VMK_BOOT_E820_H
#define VMK_BOOT_E820_H

#include <stdint.h>

#define VMK_E820_MAX 8

enum vmk_e820_type {
    VMK_E820_RAM = 1,
    VMK_E820_RESERVED = 2,
};

struct vmk_e820_entry {
    uint64_t start;
    uint64_t size;
    enum vmk_e820_type type;
};

/* How many there are, in ascending order, of a machine with `low_size` bytes of RAM from 0 on, more
 * than the first MiB, and `high_size` from 4 GiB on. */
unsigned
vmk_e820_build(uint64_t low_size, uint64_t high_size, struct vmk_e820_entry entries[VMK_E820_MAX]);

#endif
