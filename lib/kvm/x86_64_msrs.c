/* SPDX-License-Identifier: Apache-2.0 */
/* Model-specific registers (KVM API 4.18, 4.19). The kernel stops at the first one that it refuses,
 * and says how many came before it. */
#include "kvm/private.h"
#include "kvm/x86_64_state.h"

#include <errno.h>
#include <stddef.h>

/* How many one call of the kernel takes are MAX_IO_MSRS, 256; a batch lies on the stack. */
#define MSR_BATCH 64

/* struct kvm_msrs with its entries. */
struct msr_batch {
    uint32_t count;
    uint32_t pad;
    struct kvm_msr_entry entries[MSR_BATCH];
};

_Static_assert(offsetof(struct msr_batch, entries) == sizeof(struct kvm_msrs), "struct kvm_msrs");

/* How many were moved. */
static int
move(struct vmk_kvm_vcpu *vcpu, unsigned long request, struct msr_batch *batch,
     vmkit_error **ret_error)
{
    int result = vmk_kvm_vcpu_ioctl(vcpu, request, (uintptr_t)batch);
    if (result < 0)
        return vmk_kvm_fail(ret_error, result,
                            request == KVM_GET_MSRS ? "KVM_GET_MSRS" : "KVM_SET_MSRS");
    return (uint32_t)result < batch->count ? result : (int)batch->count;
}

int
vmk_kvm_x86_try_get_msrs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                         vmkit_error **ret_error)
{
    uint32_t done = 0;
    while (done < count) {
        struct msr_batch batch = {.count = count - done < MSR_BATCH ? count - done : MSR_BATCH};
        for (uint32_t i = 0; i < batch.count; i++)
            batch.entries[i].index = msrs[done + i].index;
        int moved = move(vcpu, KVM_GET_MSRS, &batch, ret_error);
        if (moved < 0)
            return moved;
        for (int i = 0; i < moved; i++)
            msrs[done + (uint32_t)i].value = batch.entries[i].data;
        done += (uint32_t)moved;
        if ((uint32_t)moved < batch.count)
            break;
    }
    return (int)done;
}

int
vmk_kvm_x86_try_set_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msrs,
                         uint32_t count, vmkit_error **ret_error)
{
    uint32_t done = 0;
    while (done < count) {
        struct msr_batch batch = {.count = count - done < MSR_BATCH ? count - done : MSR_BATCH};
        for (uint32_t i = 0; i < batch.count; i++) {
            batch.entries[i].index = msrs[done + i].index;
            batch.entries[i].data = msrs[done + i].value;
        }
        int moved = move(vcpu, KVM_SET_MSRS, &batch, ret_error);
        if (moved < 0)
            return moved;
        done += (uint32_t)moved;
        if ((uint32_t)moved < batch.count)
            break;
    }
    return (int)done;
}

static int
fail_at(const struct vmkit_x86_msr *msrs, int moved, uint32_t count, bool reads,
        vmkit_error **ret_error)
{
    if (moved < 0 || (uint32_t)moved == count)
        return moved < 0 ? moved : 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "%s: MSR 0x%x cannot be %s", reads ? "KVM_GET_MSRS" : "KVM_SET_MSRS",
                         msrs[moved].index, reads ? "read" : "set to that value");
}

int
vmk_kvm_x86_get_msrs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                     vmkit_error **ret_error)
{
    int moved = vmk_kvm_x86_try_get_msrs(vcpu, msrs, count, ret_error);
    return fail_at(msrs, moved, count, true, ret_error);
}

int
vmk_kvm_x86_set_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msrs, uint32_t count,
                     vmkit_error **ret_error)
{
    int moved = vmk_kvm_x86_try_set_msrs(vcpu, msrs, count, ret_error);
    return fail_at(msrs, moved, count, false, ret_error);
}
