/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each function that takes a VM or a vCPU, called once with arguments that are right, on a VM that
 * has what it needs: so that a case can take one thing away from all of them.
 */
#ifndef VMK_TEST_ERRORS_CALLS_H
#define VMK_TEST_ERRORS_CALLS_H

#include "../api/assert.h"

#include <stdint.h>

enum call_flags {
    /* It takes a vCPU, and another thread must not run it. */
    CALL_NEEDS_VCPU = 1,
    /* It takes a vCPU that may run. */
    CALL_TAKES_VCPU = 2,
    /* It asks KVM for something. */
    CALL_ASKS_KVM = 4,
    /* It allocates. */
    CALL_ALLOCATES = 8,
    /* Only on a vCPU that has not run. */
    CALL_IS_FIRST = 16,
    /* It reaches the guest's memory alone, which a child of fork(2) has too. */
    CALL_IS_MEMORY = 32,
    /* It finishes the access that the vCPU stands in, or runs it. */
    CALL_RUNS = 64,
    /* It takes a number that stays taken, also when it fails. */
    CALL_IS_ONCE = 128,
    /* It needs all vCPUs to stand still. */
    CALL_HOLDS_VCPUS = 256,
    /* It does without some of what it asks KVM for. */
    CALL_MAKES_DO = 512,
};

/* A VM with memory at 0 and at STAGE_SPARE, a handler at port 0x30, a doorbell at port 0x40, and a
 * vCPU that stands in a read of port 0x10, with a write of port 0x11 behind it; and what the calls
 * take. */
struct stage {
    vmkit_vm *vm;
    vmkit_vcpu *vcpu;
    vmkit_vcpu *other; /* that vmkit_vcpu_new() made */
    vmkit_memory *memory;
    int doorbell;
    int eventfd;
    struct vmkit_x86_regs regs;
    struct vmkit_x86_sregs sregs;
    struct vmkit_x86_fpu fpu;
    struct vmkit_x86_debug_regs debug_regs;
    struct vmkit_x86_events events;
    struct vmkit_x86_cpuid leaves[256];
    uint32_t leaf_count;
    uint8_t xsave[1 << 14];
};

#define STAGE_SPARE 0x80000

struct call {
    const char *name;
    int (*make)(struct stage *stage, vmkit_error **ret_error);
    unsigned flags;
    uint32_t controller;
};

extern const struct call calls[];
extern const int call_count;

const struct call *
call_find(const char *name);

void
stage_new(struct stage *stage, const struct call *call);

void
stage_free(struct stage *stage);

/* Have KVM_RUN fail on it with EIO, after which the VM has failed. */
void
stage_break(struct stage *stage);

/* Assert that the call fails like that; the message has the name of the call. */
void
check_failure(const struct call *call, struct stage *stage, int err, uint32_t kind,
              const char *part);

#endif
