/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a saved vCPU needs of its host, and whether this host offers it.
 *
 * Needed is what the vCPU's CPUID answered as far as the host that it was saved on backed it: what
 * the embedder made up is the embedder's, here as there. One that never leaves user mode needs no
 * feature that is for a kernel alone. An extended state is compared by the parts
 * that are in use, and by where each part lies: without compaction that differs between processors.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the kernel takes for the same frequency, in parts of a million (KVM's tsc_tolerance_ppm). */
#define TSC_TOLERANCE_PPM 250

#define XSTATE_HEADER 512 /* of an extended state: which parts are in use */
#define XSTATE_LEAF 0xd
#define XSTATE_FIRST_EXTENDED 2

static const struct vmkit_x86_cpuid *
find_leaf(const struct vmkit_x86_cpuid *leaves, uint32_t count, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < count; i++) {
        if (leaves[i].leaf == leaf && (leaves[i].indexed == 0 || leaves[i].subleaf == subleaf))
            return &leaves[i];
    }
    return NULL;
}

static uint32_t
find_word(const struct vmkit_x86_cpuid *leaves, uint32_t count,
          const struct vmk_x86_feature_word *word)
{
    const struct vmkit_x86_cpuid *leaf = find_leaf(leaves, count, word->leaf, word->subleaf);
    if (leaf == NULL)
        return 0;
    const uint32_t regs[] = {leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};
    return regs[word->reg & 3];
}

/* The twelve letters of leaf 0. */
static void
get_vendor(const struct vmkit_x86_cpuid *leaves, uint32_t count, char vendor[12])
{
    const struct vmkit_x86_cpuid *leaf = find_leaf(leaves, count, 0, 0);
    memset(vendor, '?', 12);
    if (leaf == NULL)
        return;
    memcpy(vendor, &leaf->ebx, 4);
    memcpy(vendor + 4, &leaf->edx, 4);
    memcpy(vendor + 8, &leaf->ecx, 4);
    for (size_t i = 0; i < 12; i++) {
        if (vendor[i] < ' ' || vendor[i] > '~')
            vendor[i] = '?';
    }
}

void
vmk_x86_vcpu_state_note_host(const struct vmk_kvm_system *system, struct vmk_x86_vcpu_state *state)
{
    uint32_t count, kept = 0;
    const struct vmkit_x86_cpuid *leaves = vmk_kvm_x86_get_supported_cpuid(system, &count);
    uint32_t words = vmk_x86_feature_list_words(state->words);
    get_vendor(leaves, count, state->vendor);
    for (uint32_t i = 0; i < words; i++) {
        struct vmk_x86_feature_word word = state->words[i];
        word.bits =
            find_word(leaves, count, &word) & find_word(state->leaves, state->leaf_count, &word);
        if (word.bits != 0)
            state->words[kept++] = word;
    }
    state->word_count = kept;
}

static int
fail_feature(const char *name, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                         "the snapshot's processor has %s, this host's KVM does not offer it",
                         name);
}

static int
compare_words(const struct vmkit_x86_cpuid *leaves, uint32_t count,
              const struct vmk_x86_vcpu_state *state, bool user_only, vmkit_error **ret_error)
{
    static const char *const regs[] = {"EAX", "EBX", "ECX", "EDX"};
    for (uint32_t i = 0; i < state->word_count; i++) {
        const struct vmk_x86_feature_word *word = &state->words[i];
        uint32_t missing = word->bits & ~find_word(leaves, count, word);
        if (user_only)
            missing &= vmk_x86_feature_get_user_bits(word->leaf, word->subleaf, word->reg);
        if (missing == 0)
            continue;
        uint32_t bit = (uint32_t)__builtin_ctz(missing);
        const char *name = vmk_x86_feature_get_name(word->leaf, word->subleaf, word->reg, bit);
        char text[80];
        snprintf(text, sizeof text, "bit %u of %s in CPUID leaf 0x%x, %u", bit, regs[word->reg & 3],
                 word->leaf, word->subleaf);
        return fail_feature(name == NULL ? text : name, ret_error);
    }
    return 0;
}

static uint64_t
get_xcr0(const struct vmk_x86_vcpu_state *state)
{
    for (uint32_t i = 0; i < state->xcr_count; i++) {
        if (state->xcrs[i].index == 0)
            return state->xcrs[i].value;
    }
    return 0;
}

static int
fail_xstate(uint32_t component, const char *problem, vmkit_error **ret_error)
{
    const char *name = vmk_x86_xstate_get_name(component);
    char text[32];
    snprintf(text, sizeof text, "part %u of the extended state", component);
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                         "the snapshot's processor has the %s, this host's KVM %s",
                         name == NULL ? text : name, problem);
}

/* A part that both have, where and as large as it was. */
static int
compare_component(const struct vmkit_x86_cpuid *leaves, uint32_t count,
                  const struct vmk_x86_vcpu_state *state, uint32_t component, size_t room,
                  vmkit_error **ret_error)
{
    const struct vmkit_x86_cpuid *here = find_leaf(leaves, count, XSTATE_LEAF, component);
    const struct vmkit_x86_cpuid *there =
        find_leaf(state->leaves, state->leaf_count, XSTATE_LEAF, component);
    if (here != NULL && there != NULL && (here->eax != there->eax || here->ebx != there->ebx))
        return fail_xstate(component, "keeps it in another place", ret_error);
    if (there != NULL && (uint64_t)there->eax + there->ebx > room)
        return fail_xstate(component, "has no room for it", ret_error);
    return 0;
}

static int
compare_xstate(const struct vmkit_x86_cpuid *leaves, uint32_t count, size_t room,
               const struct vmk_x86_vcpu_state *state, vmkit_error **ret_error)
{
    const struct vmkit_x86_cpuid *leaf = find_leaf(leaves, count, XSTATE_LEAF, 0);
    uint64_t offered = leaf == NULL ? 3 : (uint64_t)leaf->edx << 32 | leaf->eax;
    uint64_t in_use;
    memcpy(&in_use, state->xsave + XSTATE_HEADER, sizeof in_use);
    uint64_t needed = in_use | get_xcr0(state);
    if ((needed & ~offered) != 0)
        return fail_xstate((uint32_t)__builtin_ctzll(needed & ~offered), "does not offer it",
                           ret_error);
    int result = 0;
    for (uint32_t i = XSTATE_FIRST_EXTENDED; result == 0 && i < 63; i++) {
        if ((needed >> i & 1) != 0)
            result = compare_component(leaves, count, state, i, room, ret_error);
    }
    /* Beyond what this host takes there may be room, but nothing in it. */
    for (size_t i = room; result == 0 && i < state->xsave_size; i++) {
        if (state->xsave[i] != 0)
            result = vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                                   "the snapshot's processor has an extended state of %zu bytes, "
                                   "this host's KVM offers %zu",
                                   state->xsave_size, room);
    }
    return result;
}

int
vmk_x86_vcpu_state_compare(const struct vmk_kvm_system *system,
                           const struct vmk_x86_vcpu_state *state, bool user_only,
                           vmkit_error **ret_error)
{
    uint32_t count;
    char vendor[12];
    const struct vmkit_x86_cpuid *leaves = vmk_kvm_x86_get_supported_cpuid(system, &count);
    get_vendor(leaves, count, vendor);
    if (memcmp(vendor, state->vendor, sizeof vendor) != 0)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                             "the snapshot's processor is of the vendor \"%.12s\", this host's is "
                             "\"%.12s\"",
                             state->vendor, vendor);
    int result = compare_words(leaves, count, state, user_only, ret_error);
    if (result == 0)
        result =
            compare_xstate(leaves, count, vmk_kvm_system_get_xsave_size(system), state, ret_error);
    if (result == 0 && state->nested_size > vmk_kvm_x86_get_nested_size(system))
        result = fail_feature("guests of its own", ret_error);
    return result;
}

int
vmk_x86_vcpu_state_compare_tsc(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                               vmkit_error **ret_error)
{
    struct vmk_kvm_system *system = vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(vcpu));
    uint32_t khz = 0;
    int result = vmk_kvm_x86_get_tsc_khz(vcpu, &khz, ret_error);
    if (result < 0 || khz == 0 || state->tsc_khz == 0)
        return result;
    uint64_t apart = khz > state->tsc_khz ? khz - state->tsc_khz : state->tsc_khz - khz;
    if (apart * 1000000 <= (uint64_t)khz * TSC_TOLERANCE_PPM)
        return 0;
    if (vmk_kvm_system_has(system, VMKIT_CAPABILITY_TSC_CONTROL))
        return vmk_kvm_x86_set_tsc_khz(vcpu, state->tsc_khz, ret_error);
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                         "the snapshot's processor has a TSC of %u kHz, this host's KVM offers %u "
                         "kHz and cannot scale it",
                         state->tsc_khz, khz);
}
