/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MSRs of a vCPU's state: those that the kernel lists (KVM API 4.3), and those that it keeps
 * without listing them, the memory types and the machine-check banks.
 *
 * Left out are the ones that other parts of the state hold: the special registers (EFER, FS and GS
 * base, the base of the local controller), the local controller itself, the TSC. What cannot be
 * read has no state. What cannot be set is well when it already has the value: some are constants
 * of the host, and some take a value only while the feature behind them is there. An MSR that this
 * host lacks altogether is missed only if it held something.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MSR_MCG_CAP 0x179
#define MSR_MC0_CTL 0x400
#define MC_BANK_LIMIT 32
#define MC_BANK_SIZE 4

struct range {
    uint32_t first;
    uint32_t last;
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Held elsewhere in the state, or none of it: the acknowledgement of a page that has come is not
 * kept but acted on. */
static const struct range elsewhere[] = {
    {0x10, 0x10},             /* TSC */
    {0x1b, 0x1b},             /* APIC_BASE */
    {0x800, 0x8ff},           /* the local controller */
    {0xc0000080, 0xc0000080}, /* EFER */
    {0xc0000100, 0xc0000101}, /* FS_BASE, GS_BASE */
    {0x40000020, 0x40000020}, /* Hyper-V's TIME_REF_COUNT, which follows from KVM's clock */
    {0x4b564d07, 0x4b564d07}, /* KVM_ASYNC_PF_ACK */
};

/* Kept by KVM and not listed, or not by every one. What of them is 0 is not said. */
static const struct range unlisted[] = {
    {0x200, 0x20f},           {0x250, 0x250}, {0x258, 0x259},
    {0x268, 0x26f},           {0x2ff, 0x2ff}, /* MTRR */
    {0xc0000103, 0xc0000103},                 /* TSC_AUX */
    {0xc0010140, 0xc0010141},                 /* OSVW_ID_LENGTH, OSVW_STATUS */
    {0x4b564d10, 0x4b564d10},                 /* of a KVM without VMX and SVM */
};

/* What the meaning of others depends on, and what starts something that depends on others: counters
 * before they count, interrupts before they are sent, the deadline after the clock. */
static const struct range first[] = {
    {0x3a, 0x3a},   /* FEATURE_CONTROL */
    {0x10a, 0x10a}, /* ARCH_CAPABILITIES */
    {0x345, 0x345}, /* PERF_CAPABILITIES */
    {0x480, 0x491}, /* what VMX can do */
};
static const struct range last[] = {
    {0x38d, 0x38d},           /* FIXED_CTR_CTRL */
    {0x38f, 0x38f},           /* PERF_GLOBAL_CTRL */
    {0xc0000301, 0xc0000301}, /* PERF_CNTR_GLOBAL_CTL */
    {0x4b564d02, 0x4b564d02}, /* KVM_ASYNC_PF_EN */
    {0x6e0, 0x6e0},           /* TSC_DEADLINE */
};

static bool
is_in(uint32_t index, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (index >= ranges[i].first && index <= ranges[i].last)
            return true;
    }
    return false;
}

static void
add(struct vmk_x86_vcpu_state *state, uint32_t index)
{
    if (state->msr_count < VMK_X86_STATE_MSR_LIMIT)
        state->msrs[state->msr_count++] = (struct vmkit_x86_msr){.index = index};
}

/* Read those from `start` on, and drop what cannot be read, or is 0 and need not be said. */
static int
read_from(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state, uint32_t start,
          bool drop_zeros, vmkit_error **ret_error)
{
    struct vmkit_x86_msr *msrs = state->msrs;
    uint32_t kept = start;
    for (uint32_t at = start; at < state->msr_count;) {
        int moved = vmk_kvm_x86_try_get_msrs(vcpu, &msrs[at], state->msr_count - at, ret_error);
        if (moved < 0)
            return moved;
        for (uint32_t end = at + (uint32_t)moved; at < end; at++) {
            if (!drop_zeros || msrs[at].value != 0)
                msrs[kept++] = msrs[at];
        }
        at++;
    }
    state->msr_count = kept;
    return 0;
}

/* How many banks the vCPU has is in an MSR of its own, a constant. */
static int
count_banks(struct vmk_kvm_vcpu *vcpu, uint32_t *ret_count, vmkit_error **ret_error)
{
    struct vmkit_x86_msr msr = {.index = MSR_MCG_CAP};
    int moved = vmk_kvm_x86_try_get_msrs(vcpu, &msr, 1, ret_error);
    if (moved < 0)
        return moved;
    uint32_t count = moved == 0 ? 0 : msr.value & 0xff;
    *ret_count = count < MC_BANK_LIMIT ? count : MC_BANK_LIMIT;
    return 0;
}

int
vmk_x86_vcpu_state_get_msrs(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state,
                            vmkit_error **ret_error)
{
    struct vmk_kvm_system *system = vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(vcpu));
    uint32_t listed, banks;
    const uint32_t *list = vmk_kvm_x86_get_msr_list(system, &listed);
    int result = count_banks(vcpu, &banks, ret_error);
    if (result < 0)
        return result;

    state->msr_count = 0;
    for (uint32_t i = 0; i < listed; i++) {
        if (!is_in(list[i], elsewhere, COUNT(elsewhere)) &&
            !is_in(list[i], unlisted, COUNT(unlisted)))
            add(state, list[i]);
    }
    result = read_from(vcpu, state, 0, false, ret_error);
    if (result < 0)
        return result;

    uint32_t start = state->msr_count;
    for (size_t i = 0; i < COUNT(unlisted); i++) {
        for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++)
            add(state, index);
    }
    for (uint32_t i = 0; i < banks * MC_BANK_SIZE; i++)
        add(state, MSR_MC0_CTL + i);
    return read_from(vcpu, state, start, true, ret_error);
}

static int
fail_missing(const struct vmkit_x86_msr *msr, vmkit_error **ret_error)
{
    const char *name = vmk_x86_msr_get_name(msr->index);
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                         "the snapshot's processor has the MSR 0x%x%s%s%s, this host's KVM does "
                         "not offer it",
                         msr->index, name == NULL ? "" : " (", name == NULL ? "" : name,
                         name == NULL ? "" : ")");
}

static int
fail_value(const struct vmkit_x86_msr *msr, uint64_t present, vmkit_error **ret_error)
{
    const char *name = vmk_x86_msr_get_name(msr->index);
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                         "the snapshot's processor has 0x%" PRIx64
                         " in the MSR 0x%x%s%s%s, this host's has 0x%" PRIx64 " and takes no other",
                         msr->value, msr->index, name == NULL ? "" : " (", name == NULL ? "" : name,
                         name == NULL ? "" : ")", present);
}

/* KVM refused to set it. */
static int
judge_refused(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msr, vmkit_error **ret_error)
{
    struct vmkit_x86_msr present = {.index = msr->index};
    int moved = vmk_kvm_x86_try_get_msrs(vcpu, &present, 1, ret_error);
    if (moved < 0)
        return moved;
    if (moved == 0)
        return msr->value == 0 ? 0 : fail_missing(msr, ret_error);
    return present.value == msr->value ? 0 : fail_value(msr, present.value, ret_error);
}

int
vmk_x86_vcpu_state_put_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msrs,
                            uint32_t count, vmkit_error **ret_error)
{
    for (uint32_t at = 0; at < count; at++) {
        int moved = vmk_kvm_x86_try_set_msrs(vcpu, &msrs[at], count - at, ret_error);
        if (moved < 0)
            return moved;
        at += (uint32_t)moved;
        if (at == count)
            return 0;
        int result = judge_refused(vcpu, &msrs[at], ret_error);
        if (result < 0)
            return result;
    }
    return 0;
}

/* 0 for those that go first, 2 for those that go last. */
static int
rank(uint32_t index)
{
    if (is_in(index, first, COUNT(first)))
        return 0;
    return is_in(index, last, COUNT(last)) ? 2 : 1;
}

static void
sort(const struct vmkit_x86_msr *msrs, uint32_t count, struct vmkit_x86_msr *sorted)
{
    uint32_t done = 0;
    for (int now = 0; now <= 2; now++) {
        for (uint32_t i = 0; i < count; i++) {
            if (rank(msrs[i].index) == now)
                sorted[done++] = msrs[i];
        }
    }
}

static bool
has_msr(const struct vmk_x86_vcpu_state *state, uint32_t index)
{
    for (uint32_t i = 0; i < state->msr_count; i++) {
        if (state->msrs[i].index == index)
            return true;
    }
    return false;
}

static int
fail_memory(uint32_t count, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for %u MSRs",
                         count);
}

int
vmk_x86_vcpu_state_set_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                            vmkit_error **ret_error)
{
    struct vmkit_x86_msr *sorted = calloc((size_t)state->msr_count + 1, sizeof *sorted);
    if (sorted == NULL)
        return fail_memory(state->msr_count, ret_error);
    sort(state->msrs, state->msr_count, sorted);
    int result = vmk_x86_vcpu_state_put_msrs(vcpu, sorted, state->msr_count, ret_error);
    free(sorted);
    return result;
}

/* Keep those that the vCPU has. */
static int
keep_present(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t *count,
             vmkit_error **ret_error)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < *count; at++) {
        int moved = vmk_kvm_x86_try_get_msrs(vcpu, &msrs[at], *count - at, ret_error);
        if (moved < 0)
            return moved;
        for (uint32_t end = at + (uint32_t)moved; at < end; at++)
            msrs[kept++] = (struct vmkit_x86_msr){.index = msrs[at].index};
    }
    *count = kept;
    return 0;
}

/* With room for all of them. */
static uint32_t
add_zeros(const struct vmk_x86_vcpu_state *state, uint32_t banks, struct vmkit_x86_msr *msrs)
{
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT(unlisted); i++) {
        for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++) {
            if (!has_msr(state, index))
                msrs[count++] = (struct vmkit_x86_msr){.index = index};
        }
    }
    for (uint32_t i = 0; i < banks * MC_BANK_SIZE; i++) {
        if (!has_msr(state, MSR_MC0_CTL + i))
            msrs[count++] = (struct vmkit_x86_msr){.index = MSR_MC0_CTL + i};
    }
    return count;
}

int
vmk_x86_vcpu_state_sort_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                             struct vmkit_x86_msr **ret_msrs, uint32_t *ret_count,
                             vmkit_error **ret_error)
{
    uint32_t banks, room = state->msr_count + MC_BANK_LIMIT * MC_BANK_SIZE;
    int result = count_banks(vcpu, &banks, ret_error);
    if (result < 0)
        return result;
    for (size_t i = 0; i < COUNT(unlisted); i++)
        room += unlisted[i].last - unlisted[i].first + 1;
    struct vmkit_x86_msr *all = calloc(2 * (size_t)room, sizeof *all);
    if (all == NULL)
        return fail_memory(room, ret_error);
    struct vmkit_x86_msr *sorted = all, *unsorted = all + room;
    memcpy(unsorted, state->msrs, state->msr_count * sizeof *unsorted);
    uint32_t zeros = add_zeros(state, banks, unsorted + state->msr_count);
    result = keep_present(vcpu, unsorted + state->msr_count, &zeros, ret_error);
    if (result < 0) {
        free(all);
        return result;
    }
    *ret_count = state->msr_count + zeros;
    sort(unsorted, *ret_count, sorted);
    *ret_msrs = all;
    return 0;
}
