/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw VM taken back to the snapshot that it was made from, with all that KVM has of it kept. What
 * can be refused, or fail without harm, comes first; a failure behind that is the end of the VM.
 * The order is that of making one (vm_restore.c): memory before the vCPUs, some of whose registers
 * have KVM look at it; the clock too, from which KVM derives what they show; the outer interrupt
 * controllers last, since what waits in them goes on to the vCPUs.
 */
#include "vm/hold.h"
#include "vm/private.h"
#include "vm/reset_memory.h"
#include "vm/vm_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resetting {
    struct vmkit_vm *vm;
    const struct vmk_vm_state *state;
    const struct vmk_vm_reset_parts *parts;
    struct vmk_held_vcpus held;
    struct vmk_arch_tables tables;
    struct vmk_kvm_route *routes; /* that are to be set, or NULL */
    uint32_t route_count;
};

static int
check_vcpus(const struct resetting *resetting, vmkit_error **ret_error)
{
    const struct vmk_held_vcpus *held = &resetting->held;
    const struct vmk_vm_state *state = resetting->state;
    uint32_t i = 0;
    while (i < held->count && i < state->vcpu_count &&
           vmk_vcpu_get_id(held->vcpus[i]) == state->vcpus[i].id)
        i++;
    bool is_less = i < state->vcpu_count &&
                   (i == held->count || vmk_vcpu_get_id(held->vcpus[i]) > state->vcpus[i].id);
    if (is_less)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                             "vCPU %u of the snapshot was released, and KVM makes it only once: "
                             "make another VM",
                             state->vcpus[i].id);
    if (i < held->count)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                             "vCPU %u was made since the VM was, and KVM keeps it: make another VM",
                             vmk_vcpu_get_id(held->vcpus[i]));
    for (i = 0; i < held->count; i++) {
        if (held->vcpus[i]->cpuid_is_set)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                                 "the CPUID of vCPU %u was set since the VM was made, and KVM "
                                 "takes no other once it has run: make another VM",
                                 vmk_vcpu_get_id(held->vcpus[i]));
    }
    return 0;
}

/* The table of routes that the snapshot has, or KVM began with. */
static int
prepare_routes(struct resetting *resetting, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = resetting->state;
    if (!resetting->vm->routes_changed)
        return 0;
    size_t room =
        state->route_count > VMK_ARCH_DEFAULT_ROUTES ? state->route_count : VMK_ARCH_DEFAULT_ROUTES;
    resetting->routes = calloc(room, sizeof *resetting->routes);
    if (resetting->routes == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %zu interrupt routes", room);
    if (!state->has_routes) {
        resetting->route_count = vmk_arch_vm_list_default_routes(
            vmk_vm_get_controllers(state->irqchip), resetting->routes);
        return 0;
    }
    resetting->route_count = state->route_count;
    memcpy(resetting->routes, state->routes, state->route_count * sizeof *state->routes);
    return 0;
}

/* All that may be refused. */
static int
prepare(struct resetting *resetting, vmkit_error **ret_error)
{
    struct vmkit_vm *vm = resetting->vm;
    int result = vmk_image_check(vm->lazy, ret_error);
    if (result == 0)
        result = vmk_vm_check_regions(vm, ret_error);
    if (result == 0)
        result = vmk_vm_list_vcpus(vm, &resetting->held, ret_error);
    if (result == 0)
        result = check_vcpus(resetting, ret_error);
    if (result == 0)
        result = prepare_routes(resetting, ret_error);
    /* Whatever asks KVM about a vCPU waits for its run to end. */
    if (result == 0)
        result = vmk_vm_hold_to_reset(&resetting->held, ret_error);
    if (result == 0)
        result = vmk_vm_snapshot_get_reset_parts(vm->home, resetting->held.vcpus, &resetting->parts,
                                                 ret_error);
    for (uint32_t i = 0; result == 0 && i < resetting->held.count; i++)
        result =
            vmk_vcpu_state_add_tables(resetting->held.vcpus[i]->kvm, resetting->parts->vcpus[i],
                                      &resetting->tables, ret_error);
    return result < 0 ? result : vmk_vm_prepare_memory_reset(vm, ret_error);
}

/* What the program has raised stays so in the kernel's controllers, whatever is set there. */
static int
lower_lines(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = 0;
    for (uint32_t word = 0; word < VMK_VM_LINES / 64; word++) {
        if (atomic_load(&vm->raised[word]) == 0)
            continue;
        uint64_t left = atomic_exchange(&vm->raised[word], 0);
        for (; result == 0 && left != 0; left &= left - 1)
            result = vmk_kvm_vm_set_irq_line(vm->kvm, word * 64 + (unsigned)__builtin_ctzll(left),
                                             false, ret_error);
    }
    return result;
}

static int
reset_routes(struct resetting *resetting, vmkit_error **ret_error)
{
    struct vmkit_vm *vm = resetting->vm;
    if (resetting->routes == NULL)
        return 0;
    int result = vmk_vm_replace_routes(vm, resetting->routes, resetting->route_count, ret_error);
    if (result < 0)
        return result;
    resetting->routes = NULL;
    vm->has_routes = resetting->state->has_routes;
    if (!vm->has_routes)
        vm->route_count = 0;
    vm->routes_changed = false;
    return 0;
}

/* A kick is for what ran before. */
static void
forget_kicks(struct vmkit_vcpu *vcpu)
{
    atomic_store(&vcpu->kick_pending, false);
    vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, false);
    if (atomic_load(&vcpu->kick_pending))
        vmk_kvm_vcpu_set_immediate_exit(vcpu->kvm, true);
}

static int
reset_vcpu(struct resetting *resetting, uint32_t index, struct vmk_vcpu_state_clock *clock,
           vmkit_error **ret_error)
{
    struct vmkit_vcpu *vcpu = resetting->held.vcpus[index];
    const struct vmk_vm_state_vcpu *state = &resetting->state->vcpus[index];
    int result = vmk_vcpu_state_reset(vcpu->kvm, resetting->parts->vcpus[index], clock, ret_error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&vcpu->lock);
    vcpu->state_is_set = true;
    pthread_mutex_unlock(&vcpu->lock);
    atomic_store(&vcpu->nmi, state->nmi);
    for (size_t k = 0; k < 4; k++)
        atomic_store(&vcpu->vectors[k], state->vectors[k]);
    atomic_store(&vcpu->injections, true);
    forget_kicks(vcpu);
    return 0;
}

static int
bring_back(struct resetting *resetting, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = resetting->state;
    struct vmkit_vm *vm = resetting->vm;
    struct vmk_vcpu_state_clock clock = {0};
    int result = lower_lines(vm, ret_error);
    if (result == 0)
        result = reset_routes(resetting, ret_error);
    if (result == 0)
        result = vmk_vm_reset_memory(vm, resetting->parts, &resetting->tables, ret_error);
    if (result == 0)
        result = vmk_arch_vm_state_load_clock(vm->kvm, state->bytes, state->size, ret_error);
    for (uint32_t i = 0; result == 0 && i < resetting->held.count; i++)
        result = reset_vcpu(resetting, i, &clock, ret_error);
    if (result == 0)
        result = vmk_arch_vm_state_load_controllers(vm->kvm, vmk_vm_get_controllers(vm->irqchip),
                                                    state->bytes, state->size, ret_error);
    return result;
}

/* One that is brought back by halves is good for nothing, whatever the reason. */
static int
finish(struct resetting *resetting, vmkit_error **ret_error)
{
    vmkit_error *error = NULL;
    if (bring_back(resetting, &error) == 0)
        return 0;
    char reason[128];
    snprintf(reason, sizeof reason, "its reset failed: %s",
             error == NULL ? "no memory" : vmkit_error_get_message(error));
    vmk_error_unref(error);
    vmk_vm_fail(resetting->vm, reason);
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED, "the VM has failed: %s", reason);
}

int
vmk_vm_reset(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    struct resetting resetting = {.vm = vm};
    int result = vmk_vm_check(vm, ret_error);
    if (result == 0 && vm->home == NULL)
        result = vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                               "the VM was not made from a snapshot that it could go back to");
    if (result < 0)
        return result;
    resetting.state = vmk_vm_snapshot_get_state(vm->home);
    pthread_mutex_lock(&vm->lock);
    result = prepare(&resetting, ret_error);
    if (result == 0)
        result = finish(&resetting, ret_error);
    pthread_mutex_unlock(&vm->lock);
    vmk_vm_let_go(&resetting.held);
    free(resetting.routes);
    return result;
}
