/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* KVM keeps a vCPU's number taken when the vCPU itself is gone. */
static int
fail_create(uint32_t id, int result, vmkit_error **ret_error)
{
    if (result == -EEXIST)
        return vmk_error_set(ret_error, EEXIST, VMKIT_ERROR_EXISTS,
                             "vCPU %u was made before: a VM uses each number once", id);
    return vmk_kvm_fail_known(ret_error, result, VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE),
                              "KVM_CREATE_VCPU");
}

int
vmk_kvm_vcpu_new(struct vmk_kvm_vm *vm, uint32_t id, struct vmk_kvm_vcpu **ret_vcpu,
                 vmkit_error **ret_error)
{
    const struct vmk_kvm_ops *ops = &vm->system->ops;
    struct vmk_kvm_vcpu *vcpu = calloc(1, sizeof *vcpu);
    if (vcpu == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for vCPU %u",
                             id);
    vcpu->vm = vm;
    vcpu->id = id;
    vcpu->fd = vmk_kvm_vm_ioctl(vm, KVM_CREATE_VCPU, id);
    if (vcpu->fd < 0) {
        int result = fail_create(id, vcpu->fd, ret_error);
        free(vcpu);
        return result;
    }

    void *run = NULL;
    int result = ops->map(ops->context, vcpu->fd, vm->system->facts->run_size, &run);
    if (result < 0) {
        ops->close(ops->context, vcpu->fd);
        free(vcpu);
        return vmk_kvm_fail(ret_error, result, "mapping the pages that a vCPU shares");
    }
    vcpu->run = run;
    *ret_vcpu = vcpu;
    return 0;
}

void
vmk_kvm_vcpu_free(struct vmk_kvm_vcpu *vcpu)
{
    if (vcpu == NULL)
        return;
    const struct vmk_kvm_ops *ops = &vcpu->vm->system->ops;
    ops->unmap(ops->context, vcpu->run, vcpu->vm->system->facts->run_size);
    ops->close(ops->context, vcpu->fd);
    free(vcpu);
}

struct vmk_kvm_vm *
vmk_kvm_vcpu_get_vm(const struct vmk_kvm_vcpu *vcpu)
{
    return vcpu->vm;
}

uint32_t
vmk_kvm_vcpu_get_id(const struct vmk_kvm_vcpu *vcpu)
{
    return vcpu->id;
}

/* The kernel fills in the exit reason of a failed run only with KVM_EXIT_MEMORY_FAULT, and leaves
 * an older one there otherwise: what was read is taken away, so that it is never read twice. */
static int
note_fault(struct vmk_kvm_vcpu *vcpu, int result)
{
    vcpu->faulted = true;
    memset(&vcpu->fault, 0, sizeof vcpu->fault);
    if (vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
        memcpy(&vcpu->fault, &vcpu->run->hw, sizeof vcpu->fault);
        vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
    }
    return result;
}

/* A vCPU that sleeps until another one starts it leaves KVM_RUN with EAGAIN when it was woken, as
 * it does when the kernel has no task left for the VM. What the vCPU is now does not tell whether
 * it slept: it may be started already, and then nothing but the next KVM_RUN does. The first vCPU
 * never sleeps so. */
static bool
waits_for_start(struct vmk_kvm_vcpu *vcpu)
{
    struct kvm_mp_state state = {0};
    if (vmk_kvm_vcpu_ioctl(vcpu, KVM_GET_MP_STATE, (uintptr_t)&state) < 0)
        return false;
    if (state.mp_state != KVM_MP_STATE_RUNNABLE)
        return true;
    if (vcpu->id == 0 || vcpu->was_started)
        return false;
    vcpu->was_started = true;
    return true;
}

int
vmk_kvm_vcpu_run(struct vmk_kvm_vcpu *vcpu)
{
    vcpu->faulted = false;
    uint32_t thread = vmk_kvm_arch_save_thread();
    int result = vmk_kvm_vcpu_ioctl(vcpu, KVM_RUN, 0);
    vmk_kvm_arch_restore_thread(thread);
    if (result == -EAGAIN && waits_for_start(vcpu))
        return -ERESTART;
    vcpu->was_started = false;
    if (result == -EFAULT || result == -EHWPOISON)
        return note_fault(vcpu, result);
    return result < 0 ? result : 0;
}

static void
get_pio(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit)
{
    struct kvm_run *run = vcpu->run;
    exit->reason = VMK_KVM_EXIT_PIO;
    exit->pio.port = run->io.port;
    exit->pio.is_write = run->io.direction == KVM_EXIT_IO_OUT;
    exit->pio.size = run->io.size;
    exit->pio.count = run->io.count;
    exit->pio.data = (uint8_t *)run + run->io.data_offset;
}

static void
get_mmio(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit)
{
    struct kvm_run *run = vcpu->run;
    exit->reason = VMK_KVM_EXIT_MMIO;
    exit->mmio.gpa = run->mmio.phys_addr;
    exit->mmio.is_write = run->mmio.is_write != 0;
    exit->mmio.size = run->mmio.len;
    exit->mmio.data = run->mmio.data;
}

static void
get_internal(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit)
{
    const struct kvm_run *run = vcpu->run;
    uint32_t room = sizeof run->internal.data / sizeof run->internal.data[0];
    exit->reason = VMK_KVM_EXIT_INTERNAL_ERROR;
    exit->internal.suberror = run->internal.suberror;
    exit->internal.count = run->internal.ndata < room ? run->internal.ndata : room;
    exit->internal.data = (const uint64_t *)run->internal.data;
}

static void
get_fault(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit)
{
    exit->reason = VMK_KVM_EXIT_MEMORY_FAULT;
    exit->memory_fault.known = vcpu->fault.size != 0;
    exit->memory_fault.is_private = (vcpu->fault.flags & 8) != 0;
    exit->memory_fault.gpa = vcpu->fault.gpa;
    exit->memory_fault.size = vcpu->fault.size;
}

/* The ones that carry little or nothing. */
static void
get_plain(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit)
{
    const struct kvm_run *run = vcpu->run;
    switch (run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        exit->reason = VMK_KVM_EXIT_SHUTDOWN;
        return;
    case KVM_EXIT_FAIL_ENTRY:
        exit->reason = VMK_KVM_EXIT_FAIL_ENTRY;
        exit->fail_entry.hardware_reason = run->fail_entry.hardware_entry_failure_reason;
        exit->fail_entry.cpu = run->fail_entry.cpu;
        return;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        exit->reason = VMK_KVM_EXIT_IRQ_WINDOW;
        return;
    case KVM_EXIT_DEBUG:
        exit->reason = VMK_KVM_EXIT_DEBUG;
        return;
    case KVM_EXIT_SYSTEM_EVENT:
        exit->reason = VMK_KVM_EXIT_SYSTEM_EVENT;
        exit->system_event.type = run->system_event.type;
        exit->system_event.data = run->system_event.data[0];
        return;
    case KVM_EXIT_IOAPIC_EOI:
        exit->reason = VMK_KVM_EXIT_EOI;
        exit->eoi_vector = run->eoi.vector;
        return;
    default:
        exit->reason = VMK_KVM_EXIT_UNKNOWN;
    }
}

void
vmk_kvm_vcpu_get_exit(const struct vmk_kvm_vcpu *vcpu, struct vmk_kvm_exit *exit)
{
    exit->code = vcpu->run->exit_reason;
    if (vcpu->faulted) {
        get_fault(vcpu, exit);
        return;
    }
    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_IO:
        get_pio(vcpu, exit);
        return;
    case KVM_EXIT_MMIO:
        get_mmio(vcpu, exit);
        return;
    case KVM_EXIT_HLT:
        exit->reason = VMK_KVM_EXIT_HLT;
        return;
    case KVM_EXIT_INTERNAL_ERROR:
        get_internal(vcpu, exit);
        return;
    default:
        get_plain(vcpu, exit);
    }
}

void
vmk_kvm_vcpu_set_immediate_exit(struct vmk_kvm_vcpu *vcpu, bool on)
{
    __atomic_store_n(&vcpu->run->immediate_exit, (uint8_t)on, __ATOMIC_SEQ_CST);
}

int
vmk_kvm_vcpu_set_signal_mask(struct vmk_kvm_vcpu *vcpu, const sigset_t *mask,
                             vmkit_error **ret_error)
{
    /* The kernel's own set has 64 signals; it is the first part of the C library's. */
    struct {
        uint32_t length;
        uint8_t set[8];
    } argument = {.length = sizeof argument.set};
    _Static_assert(sizeof argument == sizeof(struct kvm_signal_mask) + 8, "struct kvm_signal_mask");
    memcpy(argument.set, mask, sizeof argument.set);
    int result = vmk_kvm_vcpu_ioctl(vcpu, KVM_SET_SIGNAL_MASK, (uintptr_t)&argument);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_SET_SIGNAL_MASK") : 0;
}

void
vmk_kvm_vcpu_request_irq_window(struct vmk_kvm_vcpu *vcpu, bool on)
{
    vcpu->run->request_interrupt_window = on;
}

bool
vmk_kvm_vcpu_can_take_interrupt(const struct vmk_kvm_vcpu *vcpu)
{
    return vcpu->run->ready_for_interrupt_injection != 0;
}

bool
vmk_kvm_vcpu_has_interrupts_enabled(const struct vmk_kvm_vcpu *vcpu)
{
    return vcpu->run->if_flag != 0;
}
