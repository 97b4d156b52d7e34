/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs with a computation in them in which every register has a part (guests/compute.S): stopped
 * anywhere and carried on elsewhere, it comes to what it comes to when nobody stops it.
 */
#ifndef VMK_TEST_COMPUTE_GUEST_H
#define VMK_TEST_COMPUTE_GUEST_H

#include "guest.h"

#include <stdbool.h>

#define COMPUTE_DATA UINT64_C(0x20000)
#define COMPUTE_STEP UINT64_C(0x10000) /* from one vCPU's data to the next one's */

/* In its data, as guests/compute.S has them: how many rounds it goes, its table, and what comes
 * out. */
#define COMPUTE_ROUNDS 0x00
#define COMPUTE_TABLE 0x1000
#define COMPUTE_RESULT 0x2000
#define COMPUTE_RESULT_SIZE 0x600

#define COMPUTE_ENDLESS (UINT64_C(1) << 62)
#define COMPUTE_VCPUS 2

struct compute {
    vmkit_vm *vm;
    vmkit_vcpu *vcpus[COMPUTE_VCPUS];
    uint32_t count;
};

/* Numbers that are the same in every run of a test; the seed is printed at the first. */
uint32_t
compute_random(void);

void
compute_sleep_ns(uint32_t ns);

/* A VM that has not begun yet. User mode has a part in all registers; supervisor mode, which some
 * hosts interpret, in the general ones. */
struct compute
compute_new(uint32_t controller, uint32_t count, bool user, uint64_t rounds);

void
compute_free(struct compute *machine);

void
compute_set_word(struct compute *machine, uint64_t gpa, uint64_t value);

vmkit_snapshot *
compute_take(struct compute *machine, vmkit_snapshot *parent, uint64_t flags);

struct compute
compute_restore(vmkit_snapshot *snapshot, uint64_t flags);

/* Run once and assert the reason; VMKIT_EXIT_MMIO is its end. */
void
compute_run(vmkit_vcpu *vcpu, uint32_t reason);

/* The thread that stops vCPUs, for compute_get_on(). */
void
compute_kicker_start(void);

void
compute_kicker_stop(void);

/* Let it compute for a random time, below `most_ns`, which is adapted, until it has gone on from
 * round `before`. */
void
compute_get_on(vmkit_vcpu *vcpu, uint64_t before, uint32_t *most_ns);

/* The round that it is in. */
uint64_t
compute_get_rounds(vmkit_vcpu *vcpu);

void
compute_get_result(struct compute *machine, uint32_t id, uint8_t result[COMPUTE_RESULT_SIZE]);

/* Print which kinds of register had a part, and assert that these are the ones of this host. */
void
compute_print_registers(struct compute *machine, uint32_t id);

/* It came to what comes out in one go. */
void
compute_assert_result(struct compute *machine, uint32_t id, bool user, uint64_t rounds);

#endif
