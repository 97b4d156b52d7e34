/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"
#include "faults.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MEMORY 0x10000
#define ENTRY 0x1000
#define STACK 0x8000

static int
handle(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    return VMKIT_HANDLED;
}

/* Arguments are read from the stage where it has them. */
#define CALL(name, ...)                                           \
    static int name(struct stage *stage, vmkit_error **ret_error) \
    {                                                             \
        return vmkit_##name(__VA_ARGS__, ret_error);              \
    }

CALL(vm_add_memory, stage->vm, 2 * STAGE_SPARE, stage->memory, 0, 0x1000, 0)
CALL(vm_remove_memory, stage->vm, STAGE_SPARE)
CALL(vm_read, stage->vm, 0, stage->xsave, 16)
CALL(vm_write, stage->vm, STAGE_SPARE, stage->xsave, 16)
CALL(vm_get_pointer, stage->vm, 0, 16, &(void *){NULL})
CALL(vm_add_handler, stage->vm, VMKIT_SPACE_PIO, 0x50, 1, handle, NULL, NULL)
CALL(vm_remove_handler, stage->vm, VMKIT_SPACE_PIO, 0x30)
CALL(vm_add_ioeventfd, stage->vm, VMKIT_SPACE_PIO, 0x60, 1, 0, 0, stage->eventfd)
CALL(vm_remove_ioeventfd, stage->vm, VMKIT_SPACE_PIO, 0x40, 1, 0, 0, stage->doorbell)
CALL(vm_add_irqfd, stage->vm, stage->eventfd, 1, -1)
CALL(vm_remove_irqfd, stage->vm, stage->eventfd, 1)
CALL(vm_set_irq_line, stage->vm, 1, 0)
CALL(vm_signal_msi, stage->vm, 0xfee00000, 0x31)
CALL(vm_write_x86_identity_map, stage->vm, 0x4000, 1 << 21, 0, NULL)
CALL(vm_note_write, stage->vm, 0x1000, 0x1000)

static int
vm_snapshot(struct stage *stage, vmkit_error **ret_error)
{
    vmkit_snapshot *snapshot = NULL;
    int result = vmkit_vm_snapshot(stage->vm, NULL, VMKIT_VM_SNAPSHOT_TRACK, &snapshot, ret_error);
    vmkit_snapshot_unref(snapshot);
    return result;
}

CALL(vcpu_new, stage->vm, 1, &stage->other)

static int
vm_set_routes(struct stage *stage, vmkit_error **ret_error)
{
    const struct vmkit_route route = {.gsi = 1, .kind = VMKIT_ROUTE_MSI, .msi_address = 0xfee00000};
    return vmkit_vm_set_routes(stage->vm, &route, 1, ret_error);
}

static int
vcpu_run(struct stage *stage, vmkit_error **ret_error)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    return vmkit_vcpu_run(stage->vcpu, &exit, ret_error);
}

CALL(vcpu_set_exit_value, stage->vcpu, 1)
CALL(vcpu_complete, stage->vcpu)
CALL(vcpu_interrupt, stage->vcpu, 0x20)
CALL(vcpu_nmi, stage->vcpu)
CALL(vcpu_get_x86_regs, stage->vcpu, &stage->regs)
CALL(vcpu_set_x86_regs, stage->vcpu, &stage->regs)
CALL(vcpu_get_x86_sregs, stage->vcpu, &stage->sregs)
CALL(vcpu_set_x86_sregs, stage->vcpu, &stage->sregs)
CALL(vcpu_get_x86_fpu, stage->vcpu, &stage->fpu)
CALL(vcpu_set_x86_fpu, stage->vcpu, &stage->fpu)
CALL(vcpu_get_x86_debug_regs, stage->vcpu, &stage->debug_regs)
CALL(vcpu_set_x86_debug_regs, stage->vcpu, &stage->debug_regs)
CALL(vcpu_get_x86_events, stage->vcpu, &stage->events)
CALL(vcpu_set_x86_events, stage->vcpu, &stage->events)
CALL(vcpu_get_x86_msrs, stage->vcpu, &(struct vmkit_x86_msr){.index = 0xc0000082}, 1)
CALL(vcpu_set_x86_msrs, stage->vcpu, &(struct vmkit_x86_msr){.index = 0xc0000082}, 1)
CALL(vcpu_get_x86_cpuid, stage->vcpu, stage->leaves, 256, &stage->leaf_count)
CALL(vcpu_set_x86_cpuid, stage->vcpu, stage->leaves, stage->leaf_count)
CALL(vcpu_get_x86_xsave, stage->vcpu, stage->xsave, sizeof stage->xsave)
CALL(vcpu_set_x86_xsave, stage->vcpu, stage->xsave, sizeof stage->xsave)
CALL(vcpu_get_x86_xcr0, stage->vcpu, &(uint64_t){0})
CALL(vcpu_set_x86_xcr0, stage->vcpu, 3)
CALL(vcpu_get_x86_mp_state, stage->vcpu, &(uint32_t){0})
CALL(vcpu_set_x86_mp_state, stage->vcpu, VMKIT_X86_RUNNABLE)
CALL(vcpu_set_x86_real_mode, stage->vcpu, ENTRY, STACK)
CALL(vcpu_set_x86_protected_mode, stage->vcpu, ENTRY, STACK)
CALL(vcpu_set_x86_long_mode, stage->vcpu, ENTRY, STACK, 0x4000, 0)

/* A KVM whose first vCPU without a local controller comes, or whose last one goes, takes long. */
#define ROW(name, flags) ROW_OF(name, flags, VMKIT_INTERRUPT_CONTROLLER_SPLIT)
/* clang-format off */
#define ROW_OF(name, flags, controller) {#name, name, flags, controller}
/* clang-format on */
#define ROW_STATE(name) ROW(name, CALL_NEEDS_VCPU | CALL_ASKS_KVM)
#define ROW_SETS(name) ROW(name, CALL_NEEDS_VCPU | CALL_ASKS_KVM | CALL_RUNS)

const struct call calls[] = {
    ROW(vm_add_memory, CALL_ASKS_KVM | CALL_ALLOCATES),
    ROW(vm_remove_memory, CALL_ASKS_KVM),
    ROW(vm_read, CALL_IS_MEMORY),
    ROW(vm_write, CALL_IS_MEMORY),
    ROW(vm_get_pointer, CALL_IS_MEMORY),
    ROW(vm_add_handler, CALL_ALLOCATES),
    ROW(vm_remove_handler, CALL_ALLOCATES),
    ROW(vm_add_ioeventfd, CALL_ASKS_KVM),
    ROW(vm_remove_ioeventfd, CALL_ASKS_KVM),
    ROW(vm_add_irqfd, CALL_ASKS_KVM),
    ROW(vm_remove_irqfd, CALL_ASKS_KVM),
    ROW(vm_set_routes, CALL_ASKS_KVM | CALL_ALLOCATES),
    ROW(vm_signal_msi, CALL_ASKS_KVM),
    ROW_OF(vm_set_irq_line, CALL_ASKS_KVM, VMKIT_INTERRUPT_CONTROLLER_KERNEL),
    ROW(vm_write_x86_identity_map, CALL_IS_MEMORY),
    ROW(vm_note_write, 0),
    ROW(vm_snapshot, CALL_ASKS_KVM | CALL_ALLOCATES | CALL_RUNS | CALL_HOLDS_VCPUS | CALL_MAKES_DO),
    ROW(vcpu_new, CALL_ASKS_KVM | CALL_ALLOCATES | CALL_IS_ONCE),
    ROW_SETS(vcpu_run),
    ROW(vcpu_set_exit_value, CALL_NEEDS_VCPU),
    ROW_SETS(vcpu_complete),
    ROW_OF(vcpu_interrupt, CALL_TAKES_VCPU, VMKIT_INTERRUPT_CONTROLLER_NONE),
    ROW(vcpu_nmi, CALL_TAKES_VCPU),
    ROW_STATE(vcpu_get_x86_regs),
    ROW_SETS(vcpu_set_x86_regs),
    ROW_STATE(vcpu_get_x86_sregs),
    ROW_SETS(vcpu_set_x86_sregs),
    ROW(vcpu_get_x86_fpu, CALL_NEEDS_VCPU | CALL_ASKS_KVM | CALL_ALLOCATES),
    ROW(vcpu_set_x86_fpu, CALL_NEEDS_VCPU | CALL_ASKS_KVM | CALL_ALLOCATES | CALL_RUNS),
    ROW_STATE(vcpu_get_x86_debug_regs),
    ROW_SETS(vcpu_set_x86_debug_regs),
    ROW_STATE(vcpu_get_x86_events),
    ROW_SETS(vcpu_set_x86_events),
    ROW_STATE(vcpu_get_x86_msrs),
    ROW_SETS(vcpu_set_x86_msrs),
    ROW(vcpu_get_x86_cpuid, CALL_NEEDS_VCPU | CALL_ASKS_KVM | CALL_ALLOCATES),
    ROW(vcpu_set_x86_cpuid,
        CALL_NEEDS_VCPU | CALL_ASKS_KVM | CALL_ALLOCATES | CALL_IS_FIRST | CALL_RUNS),
    ROW_STATE(vcpu_get_x86_xsave),
    ROW_SETS(vcpu_set_x86_xsave),
    ROW_STATE(vcpu_get_x86_xcr0),
    ROW_SETS(vcpu_set_x86_xcr0),
    ROW_STATE(vcpu_get_x86_mp_state),
    ROW_SETS(vcpu_set_x86_mp_state),
    ROW_SETS(vcpu_set_x86_real_mode),
    ROW_SETS(vcpu_set_x86_protected_mode),
    ROW_SETS(vcpu_set_x86_long_mode),
};

const int call_count = sizeof calls / sizeof calls[0];

const struct call *
call_find(const char *name)
{
    for (int i = 0; i < call_count; i++) {
        if (strcmp(calls[i].name, name) == 0)
            return &calls[i];
    }
    ck_abort_msg("there is no call %s", name);
    return NULL;
}

static void
make_vm(struct stage *stage, uint32_t controller)
{
    static const uint8_t code[] = {0xe4, 0x10, 0xe6, 0x11}; /* in $0x10, %al; out %al, $0x11 */
    vmkit_vm_config *config = NULL;
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
    ASSERT_OK(vmkit_vm_config_set_interrupt_controller(config, controller, 0, &error));
    ASSERT_OK(vmkit_vm_new(config, &stage->vm, &error));
    vmkit_vm_config_unref(config);
    ASSERT_OK(vmkit_memory_new_anonymous(MEMORY, 0, &stage->memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(stage->vm, 0, stage->memory, 0, MEMORY, 0, &error));
    /* The tables that the library keeps of regions are full. */
    for (uint64_t i = 0; i < 3; i++)
        ASSERT_OK(vmkit_vm_add_memory(stage->vm, STAGE_SPARE + i * 0x1000, stage->memory, 0, 0x1000,
                                      0, &error));
    ASSERT_OK(vmkit_vm_write(stage->vm, ENTRY, code, sizeof code, &error));
    ASSERT_OK(
        vmkit_vm_add_handler(stage->vm, VMKIT_SPACE_PIO, 0x30, 1, handle, NULL, NULL, &error));
    stage->eventfd = eventfd(0, EFD_CLOEXEC);
    stage->doorbell = eventfd(0, EFD_CLOEXEC);
    ASSERT_OK(
        vmkit_vm_add_ioeventfd(stage->vm, VMKIT_SPACE_PIO, 0x40, 1, 0, 0, stage->doorbell, &error));
}

/* What the setters set is what the getters got. */
static void
fill_state(struct stage *stage)
{
    stage->regs.size = sizeof stage->regs;
    stage->sregs.size = sizeof stage->sregs;
    stage->fpu.size = sizeof stage->fpu;
    stage->debug_regs.size = sizeof stage->debug_regs;
    stage->events.size = sizeof stage->events;
    ASSERT_OK(vcpu_get_x86_regs(stage, &error));
    ASSERT_OK(vcpu_get_x86_sregs(stage, &error));
    ASSERT_OK(vcpu_get_x86_fpu(stage, &error));
    ASSERT_OK(vcpu_get_x86_debug_regs(stage, &error));
    ASSERT_OK(vcpu_get_x86_events(stage, &error));
    ASSERT_OK(vcpu_get_x86_cpuid(stage, &error));
    ck_assert_uint_le(vmkit_vcpu_get_x86_xsave_size(stage->vcpu), sizeof stage->xsave);
    ASSERT_OK(vcpu_get_x86_xsave(stage, &error));
}

void
stage_new(struct stage *stage, const struct call *call)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    memset(stage, 0, sizeof *stage);
    make_vm(stage, call->controller);
    ASSERT_OK(vmkit_vcpu_new(stage->vm, 0, &stage->vcpu, &error));
    ASSERT_OK(vcpu_set_x86_real_mode(stage, &error));
    fill_state(stage);
    if ((call->flags & CALL_IS_FIRST) != 0)
        return;
    ASSERT_OK(vmkit_vcpu_run(stage->vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(exit.is_write, 0);
}

void
stage_free(struct stage *stage)
{
    vmkit_vcpu_unref(stage->other);
    vmkit_vcpu_unref(stage->vcpu);
    vmkit_vm_unref(stage->vm);
    vmkit_memory_unref(stage->memory);
    close(stage->eventfd);
    close(stage->doorbell);
}

void
stage_break(struct stage *stage)
{
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, EIO, vcpu_run(stage, &error)), EIO,
                 VMKIT_ERROR_KVM_FAILED, "running vCPU 0 failed: Input/output error");
}

void
check_failure(const struct call *call, struct stage *stage, int err, uint32_t kind,
              const char *part)
{
    vmkit_error *error = NULL;
    int result = call->make(stage, &error);
    ck_assert_msg(result == -err, "%s: %d and not %d: %s", call->name, result, -err,
                  vmkit_error_get_message(error));
    ck_assert_msg(vmkit_error_get_kind(error) == kind, "%s: kind %s", call->name,
                  vmkit_error_kind_get_name(vmkit_error_get_kind(error)));
    ck_assert_msg(strstr(vmkit_error_get_message(error), part) != NULL, "%s: %s", call->name,
                  vmkit_error_get_message(error));
    vmkit_error_unref(error);
}
