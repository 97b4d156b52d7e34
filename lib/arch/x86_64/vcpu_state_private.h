/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a vCPU between KVM and its bytes; shared by the files vcpu_state*.c. */
#ifndef VMK_ARCH_X86_64_VCPU_STATE_PRIVATE_H
#define VMK_ARCH_X86_64_VCPU_STATE_PRIVATE_H

#include "arch/vcpu_state.h"
#include "kvm/x86_64_state.h"

/* Twice as many as any kernel lists. */
#define VMK_X86_STATE_MSR_LIMIT 2048
#define VMK_X86_STATE_WORD_LIMIT 64
/* A legacy region and a header, and eight times what a processor with AMX has. */
#define VMK_X86_STATE_XSAVE_LEAST 576
#define VMK_X86_STATE_XSAVE_LIMIT (96 << 10)
#define VMK_X86_STATE_NESTED_LIMIT (64 << 10)

/* Bits that CPUID answers with, and that a host has to offer. */
struct vmk_x86_feature_word {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t reg; /* 0 to 3: EAX, EBX, ECX, EDX */
    uint32_t bits;
};

struct vmk_x86_vcpu_state {
    char vendor[12]; /* of the processor, as KVM_GET_SUPPORTED_CPUID tells it */
    uint32_t tsc_khz;
    uint32_t word_count;
    struct vmk_x86_feature_word words[VMK_X86_STATE_WORD_LIMIT];
    uint32_t leaf_count;
    struct vmkit_x86_cpuid leaves[VMK_KVM_X86_CPUID_LIMIT];
    struct vmk_user_regs regs;
    struct vmkit_x86_sregs sregs;
    struct vmk_kvm_x86_pdptrs pdptrs;
    struct vmkit_x86_debug_regs debug;
    uint32_t xcr_count;
    struct vmk_kvm_x86_xcr xcrs[VMK_KVM_X86_XCR_LIMIT];
    struct vmkit_x86_events events;
    uint32_t mp_state;
    uint64_t tsc;
    bool has_tsc_offset;
    uint64_t tsc_offset;
    uint32_t msr_count;
    struct vmkit_x86_msr msrs[VMK_X86_STATE_MSR_LIMIT];
    bool has_lapic;
    uint8_t lapic[VMK_KVM_X86_LAPIC_SIZE];
    /* Lent by the bytes, or kept in `owned`. */
    const uint8_t *xsave;
    size_t xsave_size;
    const uint8_t *nested;
    size_t nested_size; /* 0 while the guest has no guests of its own */
    uint8_t *owned;     /* by whoever read it from a vCPU */
};

#define VMK_X86_MSR_TSC 0x10

/* vcpu_state_load.c: what reading and setting share. */
struct vmk_kvm_system *
vmk_x86_vcpu_get_system(const struct vmk_kvm_vcpu *vcpu);

/* All zero, or -ENOMEM. */
int
vmk_x86_vcpu_state_new(struct vmk_x86_vcpu_state **ret_state, vmkit_error **ret_error);

/* Accepts NULL. */
void
vmk_x86_vcpu_state_free(struct vmk_x86_vcpu_state *state);

/* Whether what KVM_GET_NESTED_STATE gave says that there is no guest's guest. */
bool
vmk_x86_nested_is_idle(const uint8_t *bytes, uint32_t size);

/* vcpu_state_codec.c: to bytes and back. */
int
vmk_x86_vcpu_state_encode(const struct vmk_x86_vcpu_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error);

/* -EINVAL for bytes that are no state, -ENOTSUP for those of another architecture or of a later
 * release. `state` is all zero before. */
int
vmk_x86_vcpu_state_decode(struct vmk_x86_vcpu_state *state, const void *bytes, size_t size,
                          vmkit_error **ret_error);

/* The same for one that never leaves user mode, which has some of the fields alone. */
int
vmk_x86_user_state_encode(const struct vmk_x86_vcpu_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error);

int
vmk_x86_user_state_decode(struct vmk_x86_vcpu_state *state, const void *bytes, size_t size,
                          vmkit_error **ret_error);

/* vcpu_state_msrs.c: which MSRs belong to the state, and in what order. */
int
vmk_x86_vcpu_state_get_msrs(struct vmk_kvm_vcpu *vcpu, struct vmk_x86_vcpu_state *state,
                            vmkit_error **ret_error);
int
vmk_x86_vcpu_state_set_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                            vmkit_error **ret_error);

/* The same in two steps, for a vCPU that may have set more of them since: in their order, with
 * zeros for those that are left out where they are 0, allocated; and into the vCPU. */
int
vmk_x86_vcpu_state_sort_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                             struct vmkit_x86_msr **ret_msrs, uint32_t *ret_count,
                             vmkit_error **ret_error);
int
vmk_x86_vcpu_state_put_msrs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_msr *msrs,
                            uint32_t count, vmkit_error **ret_error);

/* vcpu_state_compare.c: what the state needs of a host, and whether this one offers it. */
void
vmk_x86_vcpu_state_note_host(const struct vmk_kvm_system *system, struct vmk_x86_vcpu_state *state);
/* `user_only`: it never leaves user mode, and needs nothing of what is for a kernel alone. */
int
vmk_x86_vcpu_state_compare(const struct vmk_kvm_system *system,
                           const struct vmk_x86_vcpu_state *state, bool user_only,
                           vmkit_error **ret_error);
int
vmk_x86_vcpu_state_compare_tsc(struct vmk_kvm_vcpu *vcpu, const struct vmk_x86_vcpu_state *state,
                               vmkit_error **ret_error);

/* state_parts.c: the form that the states of a vCPU and of a VM share: a head, and parts with a tag
 * and a length. */
struct vmk_x86_part {
    uint32_t tag;
    const char *name;
    bool required;
    /* Append what the part holds; one that is not required is left out when that is nothing. */
    void (*encode)(const void *state, struct vmk_bytes *bytes);
    /* Read it; false for something that it cannot hold. */
    bool (*decode)(void *state, struct vmk_byte_cursor *cursor);
};

/* `what` is "vCPU" or "VM", for the messages. */
int
vmk_x86_parts_encode(const struct vmk_x86_part *parts, uint32_t count, const char *what,
                     const void *state, struct vmk_bytes *bytes, vmkit_error **ret_error);

/* -EINVAL for bytes that are no such state; -ENOTSUP for those of another architecture or of a
 * later release. */
int
vmk_x86_parts_decode(const struct vmk_x86_part *parts, uint32_t count, const char *what,
                     void *state, const void *bytes, size_t size, vmkit_error **ret_error);

/* The names of features. */

/* One bit of a word that CPUID answers with, such as "avx512f"; NULL when it is not known. */
const char *
vmk_x86_feature_get_name(uint32_t leaf, uint32_t subleaf, uint32_t reg, uint32_t bit);

/* The bits of a word that user mode has to do with; those that are not known are among them. */
uint32_t
vmk_x86_feature_get_user_bits(uint32_t leaf, uint32_t subleaf, uint32_t reg);

/* The words that hold features: `words` receives their places, without bits. */
uint32_t
vmk_x86_feature_list_words(struct vmk_x86_feature_word words[VMK_X86_STATE_WORD_LIMIT]);

/* A part of the extended state, by its number in XCR0; NULL when it is not known. */
const char *
vmk_x86_xstate_get_name(uint32_t component);

/* An MSR, in lower case as Linux names it; NULL when it is not known. */
const char *
vmk_x86_msr_get_name(uint32_t index);

#endif
