/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers of a VM. The VM's bus is replaced as a whole; a vCPU keeps the one that it looks
 * things up in until it sees that the generation moved. So that a handler is released soon after
 * its removal, the bus of a vCPU that does not run is taken from it, and one that runs is nudged
 * out of the guest.
 */
#include "vm/private.h"

#include <errno.h>
#include <stdlib.h>

/* Take the bus of a vCPU that does not run; NULL of one that does, which drops it by itself. */
static struct vmk_bus *
take_bus(struct vmkit_vcpu *vcpu)
{
    struct vmk_bus *bus = NULL;
    pthread_mutex_lock(&vcpu->lock);
    bool running = vcpu->running;
    if (!running) {
        bus = vcpu->bus;
        vcpu->bus = NULL;
        vcpu->bus_generation = 0;
    }
    pthread_mutex_unlock(&vcpu->lock);
    if (running)
        vmk_vcpu_nudge(vcpu);
    return bus;
}

/* Under the VM's lock. What has to be released without it is collected in `ret_old`. */
static uint32_t
replace_bus(struct vmkit_vm *vm, struct vmk_bus *bus, struct vmk_bus **ret_old)
{
    uint32_t count = 0;
    ret_old[count++] = vm->bus;
    vm->bus = bus;
    atomic_fetch_add(&vm->bus_generation, 1);
    for (struct vmkit_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next)
        ret_old[count++] = take_bus(vcpu);
    return count;
}

static struct vmk_bus **
make_room_for_old(const struct vmkit_vm *vm, vmkit_error **ret_error)
{
    size_t count = 1;
    for (const struct vmkit_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next)
        count++;
    struct vmk_bus **old = calloc(count, sizeof *old);
    if (old == NULL)
        vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                      "no memory for a table of handlers");
    return old;
}

/* What changes, and how the bus comes out. */
struct change {
    enum vmkit_space space;
    uint64_t address;
    uint64_t size;
    const struct vmk_bus_handler *handler; /* NULL: remove */
    bool all;                              /* remove all, whatever the others say */
};

static int
make_bus(struct vmkit_vm *vm, const struct change *change, struct vmk_bus **ret_bus,
         vmkit_error **ret_error)
{
    if (change->all)
        return 0;
    if (change->handler == NULL)
        return vmk_bus_new_without(vm->bus, change->space, change->address, ret_bus, ret_error);
    return vmk_bus_new_with(vm->bus, change->space, change->address, change->size, change->handler,
                            ret_bus, ret_error);
}

static int
apply(struct vmkit_vm *vm, const struct change *change, vmkit_error **ret_error)
{
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;

    uint32_t count = 0;
    pthread_mutex_lock(&vm->lock);
    struct vmk_bus *bus = NULL;
    struct vmk_bus **old = make_room_for_old(vm, ret_error);
    result = old == NULL ? -ENOMEM : make_bus(vm, change, &bus, ret_error);
    if (result == 0)
        count = replace_bus(vm, bus, old);
    pthread_mutex_unlock(&vm->lock);

    for (uint32_t i = 0; i < count; i++)
        vmk_bus_unref(old[i]);
    free(old);
    return result;
}

int
vmk_vm_add_handler(struct vmkit_vm *vm, enum vmkit_space space, uint64_t address, uint64_t size,
                   const struct vmk_bus_handler *handler, vmkit_error **ret_error)
{
    const struct change change = {
        .space = space, .address = address, .size = size, .handler = handler};
    return apply(vm, &change, ret_error);
}

int
vmk_vm_remove_handler(struct vmkit_vm *vm, enum vmkit_space space, uint64_t address,
                      vmkit_error **ret_error)
{
    const struct change change = {.space = space, .address = address};
    return apply(vm, &change, ret_error);
}

int
vmk_vm_remove_handlers(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    static const struct change change = {.all = true};
    pthread_mutex_lock(&vm->lock);
    bool has_some = vm->bus != NULL;
    pthread_mutex_unlock(&vm->lock);
    return has_some ? apply(vm, &change, ret_error) : 0;
}
