/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel is told: boot_params (Linux, Documentation/arch/x86/zero-page.rst), or the start
 * info of PVH, version 1 (Xen, include/public/arch-x86/hvm/start_info.h). */
#ifndef VMK_BOOT_PARAMS_H
#define VMK_BOOT_PARAMS_H

#include "boot/e820.h"
#include "boot/kernel.h"

struct vmk_boot_params {
    uint64_t initrd;
    uint64_t initrd_size; /* 0: none */
    uint64_t command_line;
    uint64_t rsdp; /* 0: none */
    unsigned e820_count;
    struct vmk_e820_entry e820[VMK_E820_MAX];
};

/* Write boot_params to VMK_X86_BOOT_PARAMS. 0 or -EFAULT. */
int
vmk_boot_write_params(const struct vmk_boot_params *params, const struct vmk_boot_kernel *kernel,
                      const struct vmk_boot_memory *memory, vmkit_error **ret_error);

/* Write the start info, with its lists behind it, to VMK_X86_START_INFO. 0 or -EFAULT. */
int
vmk_boot_write_start_info(const struct vmk_boot_params *params,
                          const struct vmk_boot_memory *memory, vmkit_error **ret_error);

#endif
