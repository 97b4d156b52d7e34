/* SPDX-License-Identifier: Apache-2.0 */
/* A VM with half a MiB of memory and a vCPU in real mode at address 0. */
#include "bench.h"
#include "floor.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

void
floor_vm_new(struct floor_vm *vm, const uint8_t *code, size_t size)
{
    const struct floor_system *system = floor_system_get();
    vm->vm = BENCH_CHECK(ioctl(system->fd, KVM_CREATE_VM, 0));
    vm->memory = mmap(NULL, FLOOR_VM_MEMORY, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (vm->memory == MAP_FAILED)
        bench_die("no memory for a VM");
    memcpy(vm->memory, code, size);
    struct kvm_userspace_memory_region region = {.memory_size = FLOOR_VM_MEMORY,
                                                 .userspace_addr = (uintptr_t)vm->memory};
    BENCH_CHECK(ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region));
    vm->vcpu = BENCH_CHECK(ioctl(vm->vm, KVM_CREATE_VCPU, 0));
    vm->run = mmap(NULL, system->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
    if (vm->run == MAP_FAILED)
        bench_die("mapping a vCPU");
    BENCH_CHECK(ioctl(vm->vcpu, KVM_SET_CPUID2, system->cpuid));

    struct kvm_sregs sregs;
    BENCH_CHECK(ioctl(vm->vcpu, KVM_GET_SREGS, &sregs));
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    BENCH_CHECK(ioctl(vm->vcpu, KVM_SET_SREGS, &sregs));
    struct kvm_regs regs = {.rflags = 2};
    BENCH_CHECK(ioctl(vm->vcpu, KVM_SET_REGS, &regs));
}

void
floor_vm_run(const struct floor_vm *vm, uint32_t expected_exit)
{
    BENCH_CHECK(ioctl(vm->vcpu, KVM_RUN, 0));
    if (vm->run->exit_reason != expected_exit)
        bench_die("exit %u instead of %u", vm->run->exit_reason, expected_exit);
}

void
floor_vm_free(struct floor_vm *vm)
{
    munmap(vm->run, floor_system_get()->run_size);
    close(vm->vcpu);
    close(vm->vm);
    munmap(vm->memory, FLOOR_VM_MEMORY);
}

double
floor_supervisor_instruction_ns(void)
{
    /* mov $1000, %cx; loop .; hlt */
    static const uint8_t code[] = {0xb9, 0xe8, 0x03, 0xe2, 0xfe, 0xf4};
    struct floor_vm vm;
    floor_vm_new(&vm, code, sizeof code);
    double start = bench_now();
    floor_vm_run(&vm, KVM_EXIT_HLT);
    double end = bench_now();
    floor_vm_free(&vm);
    return end - start;
}
