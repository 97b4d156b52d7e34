/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel, its initrd and its command line, put into the memory of a guest together with what the
 * kernel is told of the machine. Whatever the files hold, what is written lies in the guest's
 * memory, and no two parts overlap. Nothing is executed: the result says where a vCPU enters.
 */
#ifndef VMK_BOOT_LOAD_H
#define VMK_BOOT_LOAD_H

#include "boot/file.h"
#include "boot/memory.h"
#include "boot_regs.h"

#include <vmkit/error.h>

#include <stddef.h>
#include <stdint.h>

/* Below that a machine has no room for what a boot leaves. */
#define VMK_BOOT_MEMORY_MIN (UINT64_C(2) << 20)

enum vmk_boot_format {
    VMK_BOOT_ANY,     /* by the file's magic: a bzImage, or an ELF file, by PVH if it can be */
    VMK_BOOT_BZIMAGE, /* by the 64-bit protocol */
    VMK_BOOT_PVH,     /* an ELF file with a PVH entry point */
    VMK_BOOT_ELF_64,  /* an ELF file by its 64-bit entry point, with boot_params */
    VMK_BOOT_RAW,     /* bytes that start at raw_address, entered as a 64-bit kernel is */
};

struct vmk_boot_options {
    enum vmk_boot_format format;
    const struct vmk_boot_file *kernel;
    uint64_t raw_address;
    /* One after another, each padded to four bytes, as cpio archives may be. */
    const struct vmk_boot_file *initrds;
    size_t initrd_count;
    const char *command_line; /* NULL: none */
    /* What goes to VMK_X86_ACPI, the RSDP first; of no size without ACPI. */
    const void *acpi;
    size_t acpi_size;
};

/* 0; -ENOEXEC with a sentence for a kernel that is not in order; -E2BIG for a kernel or initrd that
 * does not fit into the memory, and a command line that is too long; -EINVAL for too little memory;
 * -EFAULT where the guest has none; -ENOMEM; an errno of reading. On failure the guest's memory
 * holds some of it. */
int
vmk_boot_load(const struct vmk_boot_options *options, const struct vmk_boot_memory *memory,
              struct vmk_x86_boot_entry *ret_entry, vmkit_error **ret_error);

#endif
