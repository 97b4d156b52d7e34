/* SPDX-License-Identifier: Apache-2.0 */
/* A KVM whose vCPUs keep whatever they are given: what is set comes back, and every call is noted.
 */
#ifndef VMK_TEST_FAKE_VCPU_H
#define VMK_TEST_FAKE_VCPU_H

#include "harness.h"

#include "arch/vcpu_state.h"

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_XSAVE_SIZE 4096
#define FAKE_NESTED_SIZE 512
#define FAKE_MSR_LIMIT 64
#define FAKE_CALL_LIMIT 64

struct fake_msr {
    uint32_t index;
    uint64_t value;
    bool constant; /* it takes no other value */
    bool missing;
    bool unlisted;
};

/* What a host has, and the state of its one vCPU and VM. */
struct fake_host {
    struct kvm_cpuid_entry2 supported[16];
    uint32_t supported_count;
    struct fake_msr msrs[FAKE_MSR_LIMIT];
    uint32_t msr_count;
    uint32_t khz;
    bool tsc_control;
    bool no_sregs2;
    bool no_offset;
    uint32_t nested_size;
    uint32_t xsave_size;
    bool has_pit;

    struct kvm_cpuid_entry2 cpuid[256];
    uint32_t cpuid_count;
    struct kvm_regs regs;
    struct kvm_sregs2 sregs;
    struct kvm_debugregs debug;
    struct kvm_xcrs xcrs;
    uint8_t xsave[FAKE_XSAVE_SIZE];
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    struct kvm_lapic_state lapic;
    uint64_t tsc_offset;
    _Alignas(8) uint8_t nested[FAKE_NESTED_SIZE];
    struct kvm_clock_data clock;
    struct kvm_irqchip chips[3];
    struct kvm_pit_state2 pit;

    /* The requests that set something, in order; an MSR stands for its own call. */
    unsigned long calls[FAKE_CALL_LIMIT * 8];
    uint32_t call_count;
    int fail_at; /* the call of this number from 1 on fails with EINVAL */
    int number;
    _Alignas(8) uint8_t run[12288];

    struct vmk_kvm_system *system;
    struct vmk_kvm_vm *vm;
    struct vmk_kvm_vcpu *vcpu;
};

/* A host of an ordinary processor, with its vCPU in a state of which every field differs. */
struct fake_host *
fake_host_new(void);

/* Open it; what it has may be changed before. */
void
fake_host_open(struct fake_host *host);

void
fake_host_free(struct fake_host *host);

/* Another one that has the same, with its vCPU as after a reset. */
struct fake_host *
fake_host_new_like(const struct fake_host *other);

struct fake_msr *
fake_host_find_msr(struct fake_host *host, uint32_t index);

struct kvm_cpuid_entry2 *
fake_host_find_leaf(struct fake_host *host, uint32_t leaf, uint32_t subleaf);

/* The place of a request among the calls, or of an MSR among those set; -1 without. */
int
fake_host_find_call(const struct fake_host *host, unsigned long request);

#endif
