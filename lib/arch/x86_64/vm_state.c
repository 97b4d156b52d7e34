/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM keeps for a whole VM: its clock (KVM API 4.29) and, where the kernel has all of the
 * interrupt controller, the two 8259, the I/O APIC and the 8254 timer (4.26, 4.71). The controllers
 * are in the layout that the kernel's ABI gives them; the kernel judges what they hold.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <string.h>

#define PIC_PINS 8
#define IOAPIC_PINS 24
#define CHIP_IOAPIC 2

enum tag { TAG_CLOCK = 1, TAG_CHIPS = 2, TAG_TIMER = 3 };

struct vm_state {
    uint64_t clock;
    bool has_chips;
    uint8_t chips[VMK_KVM_X86_IRQCHIP_COUNT][VMK_KVM_X86_IRQCHIP_SIZE];
    bool has_timer;
    uint8_t timer[VMK_KVM_X86_PIT_SIZE];
};

static void
encode_clock(const void *data, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u64(bytes, ((const struct vm_state *)data)->clock);
}

static bool
decode_clock(void *data, struct vmk_byte_cursor *cursor)
{
    ((struct vm_state *)data)->clock = vmk_cursor_get_u64(cursor);
    return true;
}

static void
encode_chips(const void *data, struct vmk_bytes *bytes)
{
    const struct vm_state *state = data;
    if (state->has_chips)
        vmk_bytes_put(bytes, state->chips, sizeof state->chips);
}

static bool
decode_chips(void *data, struct vmk_byte_cursor *cursor)
{
    struct vm_state *state = data;
    const uint8_t *chips = vmk_cursor_get(cursor, sizeof state->chips);
    if (chips == NULL)
        return false;
    memcpy(state->chips, chips, sizeof state->chips);
    state->has_chips = true;
    return true;
}

static void
encode_timer(const void *data, struct vmk_bytes *bytes)
{
    const struct vm_state *state = data;
    if (state->has_timer)
        vmk_bytes_put(bytes, state->timer, sizeof state->timer);
}

static bool
decode_timer(void *data, struct vmk_byte_cursor *cursor)
{
    struct vm_state *state = data;
    const uint8_t *timer = vmk_cursor_get(cursor, sizeof state->timer);
    if (timer == NULL)
        return false;
    memcpy(state->timer, timer, sizeof state->timer);
    state->has_timer = true;
    return true;
}

static const struct vmk_x86_part parts[] = {
    {TAG_CLOCK, "clock", true, encode_clock, decode_clock},
    {TAG_CHIPS, "interrupt controllers", false, encode_chips, decode_chips},
    {TAG_TIMER, "timer", false, encode_timer, decode_timer},
};

#define PART_COUNT (sizeof parts / sizeof parts[0])

int
vmk_arch_vm_state_save(struct vmk_kvm_vm *vm, enum vmk_arch_controllers controllers,
                       struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    struct vm_state state = {.has_chips = controllers == VMK_ARCH_CONTROLLERS_ALL};
    int result = vmk_kvm_x86_get_clock(vm, &state.clock, ret_error);
    /* From the outer ones inwards, as an interrupt goes. */
    if (result == 0 && state.has_chips) {
        result = vmk_kvm_x86_get_pit(vm, state.timer, ret_error);
        state.has_timer = result == 1;
        result = result < 0 ? result : 0;
    }
    for (uint32_t i = 0; result == 0 && state.has_chips && i < VMK_KVM_X86_IRQCHIP_COUNT; i++) {
        uint32_t chip = VMK_KVM_X86_IRQCHIP_COUNT - 1 - i;
        result = vmk_kvm_x86_get_irqchip(vm, chip, state.chips[chip], ret_error);
    }
    if (result < 0)
        return result;
    return vmk_x86_parts_encode(parts, PART_COUNT, "VM", &state, bytes, ret_error);
}

static int
decode(struct vm_state *state, const void *bytes, size_t size, vmkit_error **ret_error)
{
    return vmk_x86_parts_decode(parts, PART_COUNT, "VM", state, bytes, size, ret_error);
}

int
vmk_arch_vm_state_check(const void *bytes, size_t size, enum vmk_arch_controllers controllers,
                        vmkit_error **ret_error)
{
    struct vm_state state = {0};
    bool all = controllers == VMK_ARCH_CONTROLLERS_ALL;
    int result = decode(&state, bytes, size, ret_error);
    if (result < 0 || (state.has_chips == all && (all || !state.has_timer)))
        return result;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         all ? "the saved state of a VM has no interrupt controllers, and the VM "
                               "has them in the kernel"
                             : "the saved state of a VM has interrupt controllers or a timer, and "
                               "the VM has none in the kernel");
}

int
vmk_arch_vm_state_load_clock(struct vmk_kvm_vm *vm, const void *bytes, size_t size,
                             vmkit_error **ret_error)
{
    struct vm_state state = {0};
    int result = decode(&state, bytes, size, ret_error);
    return result < 0 ? result : vmk_kvm_x86_set_clock(vm, state.clock, ret_error);
}

static int
load_timer(struct vmk_kvm_vm *vm, const struct vm_state *state, vmkit_error **ret_error)
{
    uint8_t present[VMK_KVM_X86_PIT_SIZE];
    int result = vmk_kvm_x86_get_pit(vm, present, ret_error);
    if (result == 0)
        result = vmk_kvm_x86_create_pit(vm, ret_error);
    return result < 0 ? result : vmk_kvm_x86_set_pit(vm, state->timer, ret_error);
}

int
vmk_arch_vm_state_load_controllers(struct vmk_kvm_vm *vm, enum vmk_arch_controllers controllers,
                                   const void *bytes, size_t size, vmkit_error **ret_error)
{
    struct vm_state state = {0};
    int result = vmk_arch_vm_state_check(bytes, size, controllers, ret_error);
    if (result == 0)
        result = decode(&state, bytes, size, ret_error);
    for (uint32_t chip = 0; result == 0 && state.has_chips && chip < VMK_KVM_X86_IRQCHIP_COUNT;
         chip++)
        result = vmk_kvm_x86_set_irqchip(vm, chip, state.chips[chip], ret_error);
    if (result == 0 && state.has_timer)
        result = load_timer(vm, &state, ret_error);
    return result;
}

/* Each line to the pin of the I/O APIC, and the first ones to the 8259 too. */
uint32_t
vmk_arch_vm_list_default_routes(enum vmk_arch_controllers controllers, struct vmk_kvm_route *routes)
{
    uint32_t count = 0;
    if (controllers != VMK_ARCH_CONTROLLERS_ALL)
        return 0;
    for (uint32_t line = 0; line < IOAPIC_PINS; line++) {
        routes[count++] = (struct vmk_kvm_route){
            .gsi = line, .kind = VMK_KVM_ROUTE_PIN, .chip = CHIP_IOAPIC, .pin = line};
        if (line < 2 * PIC_PINS)
            routes[count++] = (struct vmk_kvm_route){.gsi = line,
                                                     .kind = VMK_KVM_ROUTE_PIN,
                                                     .chip = line / PIC_PINS,
                                                     .pin = line % PIC_PINS};
    }
    return count;
}
