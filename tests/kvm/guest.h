/* SPDX-License-Identifier: Apache-2.0 */
/* A small guest for the tests of the raw VM: 1 MiB of memory at 0, code at 0x1000, one vCPU. */
#ifndef VMK_TEST_GUEST_H
#define VMK_TEST_GUEST_H

#include "../api/assert.h"

#include <stddef.h>
#include <stdint.h>

#define GUEST_MEMORY 0x100000
#define GUEST_CODE 0x1000
#define GUEST_STACK 0x8000
#define GUEST_TABLES 0x10000

struct guest {
    vmkit_vm *vm;
    vmkit_vcpu *vcpu;
    uint8_t *memory;
    struct vmkit_exit exit;
};

/* Make the VM with `controller`, and its memory. */
void
guest_new(struct guest *guest, uint32_t controller, const void *code, size_t size);

/* The same with a vCPU in real mode at the code. */
void
guest_new_real(struct guest *guest, const void *code, size_t size);

void
guest_free(struct guest *guest);

/* Run once and assert the reason. */
void
guest_run(struct guest *guest, uint32_t reason);

/* Run to the halt, which must come next, and give the registers. */
struct vmkit_x86_regs
guest_halt(struct guest *guest);

struct vmkit_x86_regs
guest_get_regs(struct guest *guest);

#endif
