/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floors: what the benchmarks hold the library against, written with bare ioctls and nothing
 * else, as lean as they come. They know their guest, trust it, and can nothing that it does not
 * need.
 */
#ifndef VMK_BENCH_FLOOR_H
#define VMK_BENCH_FLOOR_H

#include "guest.h"

#include <elf.h>
#include <linux/kvm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* /dev/kvm, and what a program would ask it once: shared by all floors of the process. */
struct floor_system {
    int fd;
    size_t run_size;
    struct kvm_cpuid2 *cpuid;
    uint64_t xcr0; /* 0 without XSAVE. */
};

const struct floor_system *
floor_system_get(void);

/* floor_vm.c: a VM in real mode that runs a few bytes of code at address 0. */
struct floor_vm {
    int vm;
    int vcpu;
    struct kvm_run *run;
    uint8_t *memory;
};

/* An access behind it is MMIO, and real mode reaches it. */
#define FLOOR_VM_MEMORY 0x80000

void
floor_vm_new(struct floor_vm *vm, const uint8_t *code, size_t size);

/* KVM_RUN, once. */
void
floor_vm_run(const struct floor_vm *vm, uint32_t expected_exit);

void
floor_vm_free(struct floor_vm *vm);

/* Nanoseconds that an instruction of supervisor mode takes, and from where on it is interpreted. */
double
floor_supervisor_instruction_ns(void);

#define FLOOR_INTERPRETED_NS 100

/* floor_guest.c: a static program in user mode of a vCPU. */
struct floor_guest {
    int vm;
    int vcpu;
    struct kvm_run *run;
    uint8_t *memory;
    int file; /* While its pages are read one by one; else -1. */
    unsigned segment_count;
    Elf64_Phdr segments[8];
    uint64_t entry;
    uint64_t stack_pointer;
    uint64_t brk;
    uint64_t exits;
    uint64_t syscalls;
    uint64_t faults;
    struct bench_input input; /* What it reads from its standard input. */
    size_t size;              /* of the memory */
    bool level_known;
    bool syscall_at_user;
    bool ended;
};

/* Which pages the guest finds missing, in the order in which it touches them. */
struct floor_plan {
    bool learn;   /* All pages are missing, and come as they are touched: collect which. */
    size_t count; /* Else: the first `count` of `pages` are missing. */
    size_t length;
    size_t own; /* Of the touched ones: those that the guest may write to. */
    uint64_t pages[512];
    uint64_t
        table_size; /* Bytes that the guest maps at BENCH_TABLE, whole MiB of an even number. */
    struct bench_input input;
};

void
floor_guest_new(struct floor_guest *guest, const char *program, const struct floor_plan *plan);

/* Run until the guest ends, or pauses: when it writes a byte 'p' to its standard output, or says
 * that it is ready. */
void
floor_guest_run(struct floor_guest *guest, struct floor_plan *plan);

void
floor_guest_free(struct floor_guest *guest);

/* floor_image.c: what a guest that is ready was, for others that go on from there. */
struct floor_image {
    int fd;
    uint8_t *memory;
    size_t size;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    void *xsave;
    uint64_t *log; /* Room for KVM's dirty log. */
    bool syscall_at_user;
};

void
floor_image_take(struct floor_image *image, const struct floor_guest *guest);

void
floor_image_free(struct floor_image *image);

/* A VM of its own over a copy of the memory, whose writes KVM logs. */
void
floor_guest_fork(struct floor_guest *guest, struct floor_image *image);

/* Read the log, and have the vCPU go on where the image was taken. The memory is the caller's. */
void
floor_guest_rewind(struct floor_guest *guest, struct floor_image *image);

/* Where the table lies in the guest's memory. */
#define FLOOR_TABLE UINT64_C(0x400000)

#endif
