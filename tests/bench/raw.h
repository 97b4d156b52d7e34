/* SPDX-License-Identifier: Apache-2.0 */
/* The library's side of struct floor_vm: a raw VM in real mode that runs a few bytes at address 0.
 */
#ifndef VMK_BENCH_RAW_H
#define VMK_BENCH_RAW_H

#include "library.h"

struct bench_raw {
    vmkit_vm *vm;
    vmkit_memory *memory;
    vmkit_vcpu *vcpu;
};

void
bench_raw_new(struct bench_raw *raw, const uint8_t *code, size_t size);

void
bench_raw_free(struct bench_raw *raw);

#endif
