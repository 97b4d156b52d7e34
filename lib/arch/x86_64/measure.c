/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether supervisor mode is native. A guest in real mode counts down and halts; two runs of
 * different lengths are timed, so that the way in and out drops out of the difference.
 */
#include "arch/machine.h"
#include "kvm/x86_64.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define GUEST_SIZE 0x2000
#define GUEST_CODE 0x1000

/* dec %cx; jnz .-1; hlt */
static const uint8_t guest_code[] = {0x49, 0x75, 0xfd, 0xf4};

/* An interpreted loop of a thousand rounds takes milliseconds. A native one drowns in the noise of
 * the way in and out, and is measured again with as many rounds as CX can count. */
#define SHORT_LOOP 100
#define LONG_LOOP 1100
#define NATIVE_LOOP 65000
#define CLEAR_NS 500000

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int
run_once(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    struct vmk_kvm_exit exit;
    int result;
    do {
        result = vmk_kvm_vcpu_run(vcpu);
    } while (result == -EINTR || result == -ERESTART);
    if (result < 0)
        return vmk_error_set_errno(ret_error, -result, VMKIT_ERROR_KVM_FAILED,
                                   "running a guest of three instructions");
    vmk_kvm_vcpu_get_exit(vcpu, &exit);
    if (exit.reason != VMK_KVM_EXIT_HLT)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED,
                             "a guest of three instructions left with KVM's reason %u, not by HLT",
                             exit.code);
    return 0;
}

static int
time_loop(struct vmk_kvm_vcpu *vcpu, uint64_t count, uint64_t *ret_ns, vmkit_error **ret_error)
{
    struct vmk_user_regs regs = {.rip = GUEST_CODE, .rcx = count, .rflags = 2};
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        int result = vmk_kvm_x86_set_regs(vcpu, &regs, ret_error);
        uint64_t start = now_ns();
        if (result == 0)
            result = run_once(vcpu, ret_error);
        if (result < 0)
            return result;
        uint64_t took = now_ns() - start;
        best = took < best ? took : best;
    }
    *ret_ns = best;
    return 0;
}

static int
measure(struct vmk_kvm_vcpu *vcpu, uint64_t *ret_picoseconds, vmkit_error **ret_error)
{
    struct vmkit_x86_sregs sregs;
    uint64_t brief = 0;
    uint64_t longer = 0;
    int result = vmk_kvm_x86_get_sregs(vcpu, &sregs, ret_error);
    if (result == 0) {
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        result = vmk_kvm_x86_set_sregs(vcpu, &sregs, ret_error);
    }
    uint64_t rounds = LONG_LOOP;
    if (result == 0)
        result = time_loop(vcpu, SHORT_LOOP, &brief, ret_error);
    if (result == 0)
        result = time_loop(vcpu, rounds, &longer, ret_error);
    if (result == 0 && longer < brief + CLEAR_NS) {
        rounds = NATIVE_LOOP;
        result = time_loop(vcpu, rounds, &longer, ret_error);
    }
    if (result == 0)
        *ret_picoseconds =
            longer > brief ? (longer - brief) * 1000 / (2 * (rounds - SHORT_LOOP)) : 0;
    return result;
}

static int
measure_in_vm(struct vmk_kvm_vm *vm, void *memory, uint64_t *ret_picoseconds,
              vmkit_error **ret_error)
{
    struct vmk_kvm_vcpu *vcpu = NULL;
    memcpy((uint8_t *)memory + GUEST_CODE, guest_code, sizeof guest_code);
    int result = vmk_arch_vm_prepare(vm, ret_error);
    if (result == 0)
        result = vmk_kvm_vm_set_slot(vm, 0, 0, 0, GUEST_SIZE, memory, ret_error);
    if (result == 0)
        result = vmk_kvm_vcpu_new(vm, 0, &vcpu, ret_error);
    if (result == 0)
        result = measure(vcpu, ret_picoseconds, ret_error);
    vmk_kvm_vcpu_free(vcpu);
    return result;
}

int
vmk_arch_measure_supervisor(struct vmk_kvm_system *system, uint64_t *ret_picoseconds,
                            vmkit_error **ret_error)
{
    void *memory =
        mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a guest of two pages");
    struct vmk_kvm_vm *vm = NULL;
    int result = vmk_kvm_vm_new(system, &vm, ret_error);
    if (result == 0)
        result = measure_in_vm(vm, memory, ret_picoseconds, ret_error);
    vmk_kvm_vm_free(vm);
    munmap(memory, GUEST_SIZE);
    return result;
}
