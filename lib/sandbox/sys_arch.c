/* SPDX-License-Identifier: Apache-2.0 */
/* arch_prctl(2): the thread pointer, which a static C library sets before anything else. */
#include "arch/usermode.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>

/* arch/x86/include/uapi/asm/prctl.h */
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

int64_t
vmk_sys_arch_prctl(struct vmk_process *process, const uint64_t args[6])
{
    bool second = args[0] == ARCH_SET_GS || args[0] == ARCH_GET_GS;
    uint64_t value;
    switch (args[0]) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (args[1] >= VMK_SPACE_HIGH)
            return -EPERM;
        return vmk_usermode_set_base(process->usermode, second, args[1]) < 0 ? -EIO : 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        if (vmk_usermode_get_base(process->usermode, second, &value) < 0)
            return -EIO;
        return vmk_uaccess_write(process->space, args[1], &value, sizeof value);
    default:
        return -EINVAL;
    }
}
