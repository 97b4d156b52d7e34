/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of the floor's guest, for floor_guest.c and floor_guest_run.c alone. */
#ifndef VMK_BENCH_FLOOR_GUEST_H
#define VMK_BENCH_FLOOR_GUEST_H

#include "floor.h"

#define PAGE 4096u
#define WINDOW UINT64_C(0x400000)
#define WINDOW_SIZE UINT64_C(0x200000)
#define STACK_TOP (WINDOW + WINDOW_SIZE - 3 * PAGE)

#define PORT_FAULT 0xce
#define PORT_SYSCALL 0xe0

#define PTE_PRESENT UINT64_C(1)
#define PTE_WRITE UINT64_C(2)
#define PTE_USER UINT64_C(4)
#define PTE_AD UINT64_C(0x60)
#define PTE_NX (UINT64_C(1) << 63)

/* The host's address of the guest's `va`, and its entry in the last page table. */
uint8_t *
floor_guest_at(const struct floor_guest *guest, uint64_t va);

uint64_t *
floor_guest_entry(const struct floor_guest *guest, uint64_t va);

/* Read what the file has of one page. */
void
floor_guest_read_page(const struct floor_guest *guest, uint64_t page);

/* The VM, with memory of `guest->size` bytes: `fd` copied as it is written to, or -1 for none. */
void
floor_guest_make_vm(struct floor_guest *guest, int fd, uint32_t slot_flags);

void
floor_guest_fill_sregs(struct kvm_sregs *sregs);

/* All that has to be told to a vCPU that was just made; its registers are in `guest->run`. */
void
floor_guest_set_up_vcpu(const struct floor_guest *guest, const struct kvm_sregs *sregs);

void
floor_guest_set_msrs(const struct floor_guest *guest, const struct kvm_msr_entry *entries,
                     uint32_t count);

#endif
