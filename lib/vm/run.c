/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop of a raw vCPU: enter the guest, serve what has a handler, return the rest. The
 * accesses follow KVM API 5 (KVM_EXIT_IO, KVM_EXIT_MMIO): the data lie in the shared pages, and the
 * instruction is finished by the next KVM_RUN.
 */
#include "vm/private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* KVM repeats a string instruction no more often than 1,024 times before it enters the guest again,
 * and an access lies in two pages at the most. */
#define MAX_EXITS 4096

/* What a step of the loop tells, besides a negative errno. */
enum step { STEP_LEAVE = 0, STEP_GO_ON = 1 };

static void
refresh_bus(struct vmkit_vcpu *vcpu)
{
    struct vmkit_vm *vm = vcpu->vm;
    if (atomic_load_explicit(&vm->bus_generation, memory_order_acquire) == vcpu->bus_generation)
        return;
    struct vmk_bus *old = vcpu->bus;
    pthread_mutex_lock(&vm->lock);
    vcpu->bus = vmk_bus_ref(vm->bus);
    vcpu->bus_generation = atomic_load_explicit(&vm->bus_generation, memory_order_relaxed);
    pthread_mutex_unlock(&vm->lock);
    vmk_bus_unref(old);
}

static int
fail_handler(const struct vmk_vcpu_access *access, int result, vmkit_error **ret_error)
{
    const char *space = access->space == VMKIT_SPACE_PIO ? "port" : "address";
    if (result > 0 || result == INT_MIN)
        return vmk_error_set(ret_error, EIO, VMKIT_ERROR_CANCELLED,
                             "the handler of %s 0x%" PRIx64 " returned %d, which says nothing",
                             space, access->address, result);
    return vmk_error_set(ret_error, vmk_error_filter(-result), VMKIT_ERROR_CANCELLED,
                         "the handler of %s 0x%" PRIx64 " returned the error %d", space,
                         access->address, -result);
}

/* Hand one element to its handler. */
static int
call_handler(struct vmkit_vcpu *vcpu, const struct vmk_bus_handler *handler, uint64_t start,
             uint8_t *data, vmkit_error **ret_error)
{
    struct vmk_vcpu_access *access = &vcpu->access;
    struct vmkit_access record = {
        .size = sizeof record,
        .space = access->space,
        .address = access->address,
        .offset = access->address - start,
        .length = access->length,
        .is_write = access->is_write,
        .value = access->is_write ? 0 : UINT64_MAX,
    };
    if (access->is_write)
        memcpy(&record.value, data, access->length);

    bool was_in_read = vcpu->in_read;
    vcpu->in_read = !access->is_write;
    int result = handler->callback(handler->user_data, vcpu, &record);
    vcpu->in_read = was_in_read;
    /* A callback that forked comes back in the child too, whose parent has the pages. */
    if (!vmk_vm_is_own(vcpu->vm))
        return vmk_vm_check(vcpu->vm, ret_error);
    /* A callback that set registers has finished the access, and there is nothing to fill in. */
    if (!record.is_write && access->pending)
        memcpy(data, &record.value, access->length);
    if (result == VMKIT_HANDLED || result == VMKIT_HANDLED_STOP)
        return result;
    return fail_handler(access, result, ret_error);
}

static void
return_access(struct vmkit_vcpu *vcpu, uint8_t *data, struct vmkit_exit *exit)
{
    const struct vmk_vcpu_access *access = &vcpu->access;
    exit->reason = access->space == VMKIT_SPACE_PIO ? VMKIT_EXIT_PIO : VMKIT_EXIT_MMIO;
    exit->address = access->address;
    exit->length = access->length;
    exit->is_write = access->is_write;
    if (access->is_write) {
        memcpy(&exit->value, data, access->length);
    } else {
        exit->value = UINT64_MAX;
        memset(data, 0xff, access->length);
        vcpu->answer = data;
    }
}

static int
serve_access(struct vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error)
{
    struct vmk_vcpu_access *access = &vcpu->access;
    while (access->index < access->count) {
        uint8_t *data = access->data + (size_t)access->index * access->length;
        uint64_t start;
        const struct vmk_bus_handler *handler =
            vmk_bus_find(vcpu->bus, access->space, access->address, access->length, &start);
        access->index++;
        if (handler == NULL) {
            return_access(vcpu, data, exit);
            return STEP_LEAVE;
        }
        int result = call_handler(vcpu, handler, start, data, ret_error);
        if (result < 0)
            return result;
        if (result == VMKIT_HANDLED_STOP) {
            exit->reason = VMKIT_EXIT_STOPPED;
            return STEP_LEAVE;
        }
    }
    return STEP_GO_ON;
}

static int
begin_pio(struct vmkit_vcpu *vcpu, const struct vmk_kvm_exit *left, struct vmkit_exit *exit,
          vmkit_error **ret_error)
{
    vcpu->access = (struct vmk_vcpu_access){
        .pending = true,
        .is_write = left->pio.is_write,
        .space = VMKIT_SPACE_PIO,
        .address = left->pio.port,
        .length = left->pio.size,
        .count = left->pio.count,
        .data = left->pio.data,
    };
    return serve_access(vcpu, exit, ret_error);
}

static int
begin_mmio(struct vmkit_vcpu *vcpu, const struct vmk_kvm_exit *left, struct vmkit_exit *exit,
           vmkit_error **ret_error)
{
    vcpu->access = (struct vmk_vcpu_access){
        .pending = true,
        .is_write = left->mmio.is_write,
        .space = VMKIT_SPACE_MMIO,
        .address = left->mmio.gpa,
        .length = left->mmio.size,
        .count = 1,
        .data = left->mmio.data,
    };
    return serve_access(vcpu, exit, ret_error);
}

static void
return_fault(const struct vmk_kvm_exit *left, struct vmkit_exit *exit)
{
    exit->reason = VMKIT_EXIT_MEMORY_FAULT;
    exit->fault_known = left->memory_fault.known;
    exit->address = left->memory_fault.gpa;
    exit->fault_size = left->memory_fault.size;
}

static void
return_internal(const struct vmk_kvm_exit *left, struct vmkit_exit *exit)
{
    exit->reason = VMKIT_EXIT_INTERNAL_ERROR;
    exit->suberror = left->internal.suberror;
    exit->data_count = left->internal.count;
    memcpy(exit->data, left->internal.data, left->internal.count * sizeof exit->data[0]);
}

/* The exits that are returned as they are. */
static int
return_exit(const struct vmk_kvm_exit *left, struct vmkit_exit *exit)
{
    static const uint8_t reasons[] = {
        [VMK_KVM_EXIT_UNKNOWN] = VMKIT_EXIT_UNKNOWN,
        [VMK_KVM_EXIT_HLT] = VMKIT_EXIT_HALT,
        [VMK_KVM_EXIT_SHUTDOWN] = VMKIT_EXIT_SHUTDOWN,
        [VMK_KVM_EXIT_FAIL_ENTRY] = VMKIT_EXIT_FAIL_ENTRY,
        [VMK_KVM_EXIT_DEBUG] = VMKIT_EXIT_DEBUG,
        [VMK_KVM_EXIT_SYSTEM_EVENT] = VMKIT_EXIT_SYSTEM_EVENT,
        [VMK_KVM_EXIT_EOI] = VMKIT_EXIT_INTERRUPT_DONE,
    };
    exit->code = left->code;
    switch (left->reason) {
    case VMK_KVM_EXIT_MEMORY_FAULT:
        return_fault(left, exit);
        return STEP_LEAVE;
    case VMK_KVM_EXIT_INTERNAL_ERROR:
        return_internal(left, exit);
        return STEP_LEAVE;
    case VMK_KVM_EXIT_FAIL_ENTRY:
        exit->hardware_reason = left->fail_entry.hardware_reason;
        exit->cpu = left->fail_entry.cpu;
        break;
    case VMK_KVM_EXIT_SYSTEM_EVENT:
        exit->code = left->system_event.type;
        break;
    case VMK_KVM_EXIT_EOI:
        exit->code = left->eoi_vector;
        break;
    default:
        break;
    }
    exit->reason = reasons[left->reason];
    return STEP_LEAVE;
}

static int
serve_exit(struct vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error)
{
    struct vmk_kvm_exit left;
    vmk_kvm_vcpu_get_exit(vcpu->kvm, &left);
    switch (left.reason) {
    case VMK_KVM_EXIT_PIO:
        return begin_pio(vcpu, &left, exit, ret_error);
    case VMK_KVM_EXIT_MMIO:
        return begin_mmio(vcpu, &left, exit, ret_error);
    case VMK_KVM_EXIT_IRQ_WINDOW:
        return STEP_GO_ON;
    case VMK_KVM_EXIT_HLT:
        if (vmk_vcpu_wakes_from_halt(vcpu))
            return STEP_GO_ON;
        return return_exit(&left, exit);
    default:
        return return_exit(&left, exit);
    }
}

static int
fail_run(struct vmkit_vcpu *vcpu, int result, vmkit_error **ret_error)
{
    char reason[96];
    snprintf(reason, sizeof reason, "running vCPU %u failed", vmk_kvm_vcpu_get_id(vcpu->kvm));
    return vmk_vcpu_fail_run(vcpu, result, reason, ret_error);
}

static int
enter(struct vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error)
{
    if (atomic_load_explicit(&vcpu->injections, memory_order_relaxed)) {
        int result = vmk_vcpu_inject(vcpu, ret_error);
        if (result < 0)
            return result;
    }
    bool pending = vcpu->access.pending, state_is_set = vcpu->state_is_set;
    vcpu->access.pending = false;
    vcpu->state_is_set = false;
    int result = vmk_vcpu_enter_once(vcpu);
    switch (result) {
    case 0:
    case -EFAULT:
    case -EHWPOISON:
        return serve_exit(vcpu, exit, ret_error);
    case -ERESTART:
        return STEP_GO_ON;
    case -EINTR:
        if (!vmk_vcpu_was_kicked(vcpu))
            return STEP_GO_ON;
        exit->reason = VMKIT_EXIT_KICKED;
        return STEP_LEAVE;
    case -EAGAIN:
        /* KVM has not begun: the vCPU is as it was. */
        vcpu->access.pending = pending;
        vcpu->state_is_set = state_is_set;
        return fail_run(vcpu, result, ret_error);
    default:
        return fail_run(vcpu, result, ret_error);
    }
}

static int
step(struct vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error)
{
    refresh_bus(vcpu);
    if (vcpu->access.index < vcpu->access.count)
        return serve_access(vcpu, exit, ret_error);
    if (vcpu->exit_waits) {
        vcpu->exit_waits = false;
        return serve_exit(vcpu, exit, ret_error);
    }
    return enter(vcpu, exit, ret_error);
}

/* A guest that found zeros where its memory could not be decompressed is not to be believed. */
static int
check_memory(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    vmkit_error *error = NULL;
    int result = vmk_image_check(vcpu->vm->lazy, &error);
    if (result == 0)
        return 0;
    vmk_vm_fail(vcpu->vm, vmk_error_get_message(error));
    vmk_error_hand_over(error, ret_error);
    return result;
}

int
vmk_vcpu_run(struct vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error)
{
    int result = vmk_vcpu_begin(vcpu, ret_error);
    if (result < 0)
        return result;
    /* A callback may give up the last reference but this one. */
    vmk_vcpu_ref(vcpu);
    memset(exit, 0, sizeof *exit);
    exit->size = sizeof *exit;
    vcpu->answer = NULL;
    do {
        result = step(vcpu, exit, ret_error);
    } while (result == STEP_GO_ON);
    if (result >= 0 && vcpu->vm->lazy != NULL)
        result = check_memory(vcpu, ret_error) < 0 ? -EIO : result;
    vmk_vcpu_end(vcpu);
    vmk_vcpu_unref(vcpu);
    return result;
}

int
vmk_vcpu_set_exit_value(struct vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error)
{
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    if (vcpu->answer == NULL)
        result = vmk_error_set(ret_error, ENXIO, VMKIT_ERROR_WRONG_STATE,
                               "vCPU %u does not wait for the value of a read",
                               vmk_kvm_vcpu_get_id(vcpu->kvm));
    else
        memcpy(vcpu->answer, &value, vcpu->access.length);
    vmk_vcpu_unlock(vcpu);
    return result;
}

/* With the vCPU locked. 0; 1 when the instruction goes on; or a negative errno. */
static int
settle(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    uint32_t id = vmk_kvm_vcpu_get_id(vcpu->kvm);
    if (vcpu->in_read)
        return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                             "vCPU %u waits for the value of a read: return it first", id);
    if (vcpu->exit_waits || vcpu->access.index < vcpu->access.count)
        return 1;
    if (!vcpu->access.pending)
        return 0;
    int result = vmk_vcpu_complete(vcpu);
    /* Memory that is missing in the middle of the instruction is an exit like another. */
    if (result == -EFAULT || result == -EHWPOISON)
        result = 1;
    if (result < 0)
        return fail_run(vcpu, result, ret_error);
    vcpu->access.pending = false;
    vcpu->exit_waits = result == 1;
    vcpu->answer = NULL;
    return result;
}

int
vmk_vcpu_finish_access(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = settle(vcpu, ret_error);
    vmk_vcpu_unlock(vcpu);
    return result;
}

int
vmk_vcpu_lock_settled(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vcpu_lock(vcpu, ret_error);
    if (result < 0)
        return result;
    result = settle(vcpu, ret_error);
    if (result == 0)
        return 0;
    vmk_vcpu_unlock(vcpu);
    if (result < 0)
        return result;
    return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                         "vCPU %u is in the middle of an instruction that makes a further access: "
                         "run it first",
                         vmk_kvm_vcpu_get_id(vcpu->kvm));
}

int
vmk_vcpu_abandon(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    uint32_t id = vmk_kvm_vcpu_get_id(vcpu->kvm);
    if (vcpu->running)
        return vmk_error_set(
            ret_error, EBUSY, VMKIT_ERROR_BUSY,
            "vCPU %u is running on this thread: its VM cannot be reset inside of a "
            "callback",
            id);
    int result = vcpu->access.pending || vcpu->exit_waits ? 1 : 0;
    for (int tries = 0; result == 1 && tries < MAX_EXITS; tries++)
        result = vmk_vcpu_complete(vcpu);
    /* Memory that is missing ends the instruction. */
    if (result < 0 && result != -EFAULT && result != -EHWPOISON)
        return fail_run(vcpu, result, ret_error);
    if (result == 1)
        return vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY,
                             "vCPU %u is in the middle of an instruction that makes more than %d "
                             "further accesses: run it first",
                             id, MAX_EXITS);
    vcpu->access = (struct vmk_vcpu_access){0};
    vcpu->exit_waits = false;
    vcpu->answer = NULL;
    return 0;
}

int
vmk_vcpu_lock_to_set(struct vmkit_vcpu *vcpu, vmkit_error **ret_error)
{
    int result = vmk_vcpu_lock_settled(vcpu, ret_error);
    if (result == 0)
        vcpu->state_is_set = true;
    return result;
}
