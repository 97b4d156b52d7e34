/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

void
guest_new(struct guest *guest, uint32_t controller, const void *code, size_t size)
{
    vmkit_vm_config *config = NULL;
    vmkit_memory *memory = NULL;
    memset(guest, 0, sizeof *guest);
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, controller, 0, &error));
    ASSERT_OK(vmkit_vm_new(config, &guest->vm, &error));
    vmkit_vm_config_unref(config);
    ASSERT_OK(vmkit_memory_new_anonymous(GUEST_MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest->vm, 0, memory, 0, GUEST_MEMORY, 0, &error));
    guest->memory = vmkit_memory_get_pointer(memory);
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_vm_write(guest->vm, GUEST_CODE, code, size, &error));
    guest->exit.size = sizeof guest->exit;
}

void
guest_new_real(struct guest *guest, const void *code, size_t size)
{
    guest_new(guest, VMKIT_INTERRUPT_CONTROLLER_NONE, code, size);
    ASSERT_OK(vmkit_vcpu_new(guest->vm, 0, &guest->vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest->vcpu, GUEST_CODE, GUEST_STACK, &error));
}

void
guest_free(struct guest *guest)
{
    vmkit_vcpu_unref(guest->vcpu);
    vmkit_vm_unref(guest->vm);
}

void
guest_run(struct guest *guest, uint32_t reason)
{
    ASSERT_OK(vmkit_vcpu_run(guest->vcpu, &guest->exit, &error));
    ck_assert_msg(guest->exit.reason == reason,
                  "reason %u, not %u (code %u, address 0x%llx, suberror %u)", guest->exit.reason,
                  reason, guest->exit.code, (unsigned long long)guest->exit.address,
                  guest->exit.suberror);
}

struct vmkit_x86_regs
guest_get_regs(struct guest *guest)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    ASSERT_OK(vmkit_vcpu_get_x86_regs(guest->vcpu, &regs, &error));
    return regs;
}

struct vmkit_x86_regs
guest_halt(struct guest *guest)
{
    guest_run(guest, VMKIT_EXIT_HALT);
    return guest_get_regs(guest);
}
