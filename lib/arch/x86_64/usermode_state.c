/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a stopped user-mode vCPU that a program asks for: system call arguments, the segment
 * bases, the extended state. */
#include "usermode_private.h"

#include "kvm/x86_64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t
vmk_usermode_get_syscall(const struct vmk_usermode *usermode, uint64_t args[6])
{
    const struct vmk_user_regs *regs = usermode->regs;
    args[0] = regs->rdi;
    args[1] = regs->rsi;
    args[2] = regs->rdx;
    args[3] = regs->r10;
    args[4] = regs->r8;
    args[5] = regs->r9;
    return regs->rax;
}

uint64_t
vmk_usermode_get_generation_address(const struct vmk_usermode *usermode)
{
    return STUB_VA + STUB_GENERATION;
}

void
vmk_usermode_set_generation(struct vmk_usermode *usermode, uint64_t generation)
{
    memcpy(usermode->memory + usermode->stub_gpa + STUB_GENERATION, &generation, sizeof generation);
}

void
vmk_usermode_set_result(struct vmk_usermode *usermode, int64_t result)
{
    usermode->regs->rax = (uint64_t)result;
}

int
vmk_usermode_get_base(struct vmk_usermode *usermode, bool second, uint64_t *ret_value)
{
    struct vmkit_x86_msr msr = {.index = second ? MSR_GS_BASE : MSR_FS_BASE};
    int r = vmk_kvm_x86_get_msrs(usermode->vcpu, &msr, 1, NULL);
    if (r < 0)
        return r;
    *ret_value = msr.value;
    return 0;
}

int
vmk_usermode_set_base(struct vmk_usermode *usermode, bool second, uint64_t value)
{
    struct vmkit_x86_msr msr = {.index = second ? MSR_GS_BASE : MSR_FS_BASE, .value = value};
    return vmk_kvm_x86_set_msrs(usermode->vcpu, &msr, 1, NULL);
}

struct vmk_usermode_stubs
vmk_usermode_get_stubs(const struct vmk_usermode *usermode)
{
    return (struct vmk_usermode_stubs){
        .to_return = STUB_VA + STUB_RETURN,
        .to_return_vectors = STUB_VA + STUB_RETURN_VECTORS,
        .to_enter_vectors = STUB_VA + STUB_ENTER_VECTORS,
    };
}

void
vmk_usermode_get_auxv(const struct vmk_usermode *usermode, struct vmk_usermode_auxv *auxv)
{
    *auxv = (struct vmk_usermode_auxv){
        .hwcap = usermode->hwcap,
        .hwcap2 = usermode->hwcap2,
        /* The frame without the extended state, as Linux counts it, and that. */
        .minsigstksz = 1024 + usermode->xstate_size,
        .platform = "x86_64",
    };
}

size_t
vmk_usermode_get_xstate_size(const struct vmk_usermode *usermode)
{
    return usermode->xstate_size;
}

/* KVM copies its whole area, of a size that the host's processor decides. */
static int
need_xsave(struct vmk_usermode *usermode)
{
    if (usermode->xsave == NULL) {
        size_t size = vmk_kvm_system_get_xsave_size(
            vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(usermode->vcpu)));
        usermode->xsave = calloc(1, size > usermode->xstate_size ? size : usermode->xstate_size);
    }
    return usermode->xsave == NULL ? -ENOMEM : 0;
}

int
vmk_usermode_get_xstate(struct vmk_usermode *usermode, void *buffer, size_t size)
{
    if (size != usermode->xstate_size)
        return -EINVAL;
    int r = need_xsave(usermode);
    if (r == 0)
        r = vmk_kvm_x86_get_xsave(usermode->vcpu, usermode->xsave, NULL);
    if (r < 0)
        return r;
    memcpy(buffer, usermode->xsave, size);
    return 0;
}

int
vmk_usermode_set_xstate(struct vmk_usermode *usermode, const void *buffer, size_t size)
{
    if (size != usermode->xstate_size)
        return -EINVAL;
    int r = need_xsave(usermode);
    if (r < 0)
        return r;
    memcpy(usermode->xsave, buffer, size);

    /* What XRSTOR would refuse is not the guest's to set: unknown components, a compacted layout,
     * and bits of MXCSR that the mask of the processor lacks. */
    uint64_t header[8] = {0};
    memcpy(header, usermode->xsave + XSAVE_HEADER, sizeof header[0]);
    header[0] &= usermode->xcr0;
    memcpy(usermode->xsave + XSAVE_HEADER, header, sizeof header);
    uint32_t mxcsr;
    memcpy(&mxcsr, usermode->xsave + XSAVE_MXCSR, sizeof mxcsr);
    mxcsr &= 0xffff;
    memcpy(usermode->xsave + XSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    return vmk_kvm_x86_set_xsave(usermode->vcpu, usermode->xsave, NULL);
}

int
vmk_usermode_reset_xstate(struct vmk_usermode *usermode)
{
    int r = need_xsave(usermode);
    if (r < 0)
        return r;
    const uint16_t fcw = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    const uint64_t components = 3;
    memset(usermode->xsave, 0, usermode->xstate_size);
    memcpy(usermode->xsave, &fcw, sizeof fcw);
    memcpy(usermode->xsave + XSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    memcpy(usermode->xsave + XSAVE_HEADER, &components, sizeof components);
    return vmk_kvm_x86_set_xsave(usermode->vcpu, usermode->xsave, NULL);
}
