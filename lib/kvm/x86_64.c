/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/x86_64.h"
#include "kvm/private.h"
#include "kvm/x86_64_convert.h"
#include "kvm/x86_64_facts.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* struct vmk_user_regs is struct kvm_regs under another name. */
_Static_assert(sizeof(struct vmk_user_regs) == sizeof(struct kvm_regs), "layout");
_Static_assert(offsetof(struct vmk_user_regs, rsi) == offsetof(struct kvm_regs, rsi), "layout");
_Static_assert(offsetof(struct vmk_user_regs, rsp) == offsetof(struct kvm_regs, rsp), "layout");
_Static_assert(offsetof(struct vmk_user_regs, r8) == offsetof(struct kvm_regs, r8), "layout");
_Static_assert(offsetof(struct vmk_user_regs, r15) == offsetof(struct kvm_regs, r15), "layout");
_Static_assert(offsetof(struct vmk_user_regs, rip) == offsetof(struct kvm_regs, rip), "layout");
_Static_assert(offsetof(struct vmk_user_regs, rflags) == offsetof(struct kvm_regs, rflags),
               "layout");

#define CPUID_LIMIT VMK_KVM_X86_CPUID_LIMIT

static struct kvm_cpuid2 *
cpuid_new(uint32_t count)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + count * sizeof(struct kvm_cpuid_entry2));
    if (cpuid != NULL)
        cpuid->nent = count;
    return cpuid;
}

int
vmk_kvm_arch_facts(const struct vmk_kvm_system *system, struct vmk_kvm_facts *facts,
                   vmkit_error **ret_error)
{
    struct vmk_kvm_x86_facts *x86 = calloc(1, sizeof *x86);
    facts->arch = x86;
    if (x86 != NULL)
        x86->uapi = cpuid_new(CPUID_LIMIT);
    if (x86 == NULL || x86->uapi == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the host's CPUID leaves");

    int result = vmk_kvm_system_ioctl(system, KVM_GET_SUPPORTED_CPUID, (uintptr_t)x86->uapi);
    if (result < 0)
        return vmk_kvm_fail(ret_error, result, "KVM_GET_SUPPORTED_CPUID");
    x86->count = x86->uapi->nent < CPUID_LIMIT ? x86->uapi->nent : CPUID_LIMIT;
    for (uint32_t i = 0; i < x86->count; i++)
        vmk_kvm_cpuid_from_uapi(&x86->leaves[i], &x86->uapi->entries[i]);

    result = vmk_kvm_x86_state_facts(system, x86, ret_error);
    if (result < 0)
        return result;

    /* Hosts older than KVM_CAP_XSAVE2 (Linux 5.17) have one page, always. */
    if (facts->xsave_size == 0)
        facts->xsave_size = sizeof(struct kvm_xsave);
    return 0;
}

void
vmk_kvm_arch_facts_free(struct vmk_kvm_facts *facts)
{
    struct vmk_kvm_x86_facts *x86 = facts->arch;
    if (x86 == NULL)
        return;
    free(x86->uapi);
    free(x86);
}

const struct vmkit_x86_cpuid *
vmk_kvm_x86_get_supported_cpuid(const struct vmk_kvm_system *system, uint32_t *ret_count)
{
    const struct vmk_kvm_x86_facts *x86 = system->facts->arch;
    *ret_count = x86->count;
    return x86->leaves;
}

int
vmk_kvm_x86_set_tss_address(struct vmk_kvm_vm *vm, uint64_t gpa, vmkit_error **ret_error)
{
    int result = vmk_kvm_vm_ioctl(vm, KVM_SET_TSS_ADDR, (uintptr_t)gpa);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_SET_TSS_ADDR") : 0;
}

int
vmk_kvm_x86_split_irqchip(struct vmk_kvm_vm *vm, uint32_t pins, vmkit_error **ret_error)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {pins}};
    int result = vmk_kvm_vm_ioctl(vm, KVM_ENABLE_CAP, (uintptr_t)&cap);
    return result < 0 ? vmk_kvm_fail(ret_error, result, "KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)")
                      : 0;
}

int
vmk_kvm_x86_get_regs(struct vmk_kvm_vcpu *vcpu, struct vmk_user_regs *regs, vmkit_error **ret_error)
{
    return vmk_kvm_vcpu_call(vcpu, KVM_GET_REGS, regs, "KVM_GET_REGS", ret_error);
}

int
vmk_kvm_x86_set_regs(struct vmk_kvm_vcpu *vcpu, const struct vmk_user_regs *regs,
                     vmkit_error **ret_error)
{
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_REGS, regs, "KVM_SET_REGS", ret_error);
}

int
vmk_kvm_x86_get_sregs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_sregs *sregs,
                      vmkit_error **ret_error)
{
    struct kvm_sregs uapi = {0};
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_SREGS, &uapi, "KVM_GET_SREGS", ret_error);
    if (result == 0)
        vmk_kvm_sregs_from_uapi(sregs, &uapi);
    return result;
}

int
vmk_kvm_x86_set_sregs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                      vmkit_error **ret_error)
{
    struct kvm_sregs uapi = {0};
    vmk_kvm_sregs_to_uapi(&uapi, sregs);
    int result = vmk_kvm_vcpu_call(vcpu, KVM_SET_SREGS, &uapi, "KVM_SET_SREGS", ret_error);
    /* Without a local controller in the kernel, each KVM_RUN takes it from there (KVM API 5). */
    if (result == 0)
        vcpu->run->cr8 = sregs->cr8;
    return result;
}

int
vmk_kvm_x86_get_xsave(struct vmk_kvm_vcpu *vcpu, void *buffer, vmkit_error **ret_error)
{
    if (vmk_kvm_system_has(vcpu->vm->system, VMKIT_CAPABILITY_XSAVE2))
        return vmk_kvm_vcpu_call(vcpu, KVM_GET_XSAVE2, buffer, "KVM_GET_XSAVE2", ret_error);
    return vmk_kvm_vcpu_call(vcpu, KVM_GET_XSAVE, buffer, "KVM_GET_XSAVE", ret_error);
}

int
vmk_kvm_x86_set_xsave(struct vmk_kvm_vcpu *vcpu, const void *buffer, vmkit_error **ret_error)
{
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_XSAVE, buffer, "KVM_SET_XSAVE", ret_error);
}

/* The x87 and SSE registers are moved as a part of the extended state: what KVM_SET_FPU sets does
 * not count as in use, and is lost where a later step takes only what is. */
static int
get_xsave_copy(struct vmk_kvm_vcpu *vcpu, uint8_t **ret_buffer, vmkit_error **ret_error)
{
    size_t size = vcpu->vm->system->facts->xsave_size;
    uint8_t *buffer = calloc(1, size);
    if (buffer == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %zu bytes of extended state", size);
    int result = vmk_kvm_x86_get_xsave(vcpu, buffer, ret_error);
    if (result < 0)
        free(buffer);
    else
        *ret_buffer = buffer;
    return result;
}

int
vmk_kvm_x86_get_fpu(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_fpu *fpu, vmkit_error **ret_error)
{
    uint8_t *xsave = NULL;
    int result = get_xsave_copy(vcpu, &xsave, ret_error);
    if (result < 0)
        return result;
    vmk_kvm_fpu_from_xsave(fpu, xsave);
    free(xsave);
    return 0;
}

int
vmk_kvm_x86_set_fpu(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_fpu *fpu,
                    vmkit_error **ret_error)
{
    uint8_t *xsave = NULL;
    int result = get_xsave_copy(vcpu, &xsave, ret_error);
    if (result < 0)
        return result;
    vmk_kvm_fpu_to_xsave(xsave, fpu);
    result = vmk_kvm_x86_set_xsave(vcpu, xsave, ret_error);
    free(xsave);
    return result;
}

int
vmk_kvm_x86_get_xcr0(struct vmk_kvm_vcpu *vcpu, uint64_t *ret_value, vmkit_error **ret_error)
{
    struct kvm_xcrs xcrs = {0};
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_XCRS, &xcrs, "KVM_GET_XCRS", ret_error);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++) {
        if (xcrs.xcrs[i].xcr == 0) {
            *ret_value = xcrs.xcrs[i].value;
            return 0;
        }
    }
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED, "KVM_GET_XCRS: it gave no XCR0");
}

int
vmk_kvm_x86_set_xcr0(struct vmk_kvm_vcpu *vcpu, uint64_t value, vmkit_error **ret_error)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = value}}};
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS", ret_error);
}

int
vmk_kvm_x86_set_cpuid(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves,
                      uint32_t count, vmkit_error **ret_error)
{
    if (count > CPUID_LIMIT)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%u CPUID leaves are more than the %d that KVM takes", count,
                             CPUID_LIMIT);
    struct kvm_cpuid2 *uapi = cpuid_new(count);
    if (uapi == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %u CPUID leaves", count);
    for (uint32_t i = 0; i < count; i++)
        vmk_kvm_cpuid_to_uapi(&uapi->entries[i], &leaves[i]);
    int result = vmk_kvm_vcpu_call(vcpu, KVM_SET_CPUID2, uapi, "KVM_SET_CPUID2", ret_error);
    free(uapi);
    return result;
}

int
vmk_kvm_x86_get_cpuid(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_cpuid *leaves,
                      uint32_t *ret_count, vmkit_error **ret_error)
{
    struct kvm_cpuid2 *uapi = cpuid_new(CPUID_LIMIT);
    if (uapi == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %d CPUID leaves", CPUID_LIMIT);
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_CPUID2, uapi, "KVM_GET_CPUID2", ret_error);
    if (result == 0) {
        *ret_count = uapi->nent < CPUID_LIMIT ? uapi->nent : CPUID_LIMIT;
        for (uint32_t i = 0; i < *ret_count; i++)
            vmk_kvm_cpuid_from_uapi(&leaves[i], &uapi->entries[i]);
    }
    free(uapi);
    return result;
}

/* Leaf 1 and the topology leaves name the processor that asked the host; the guest's own number
 * belongs there (Intel SDM 2A, CPUID). */
static void
set_apic_id(struct kvm_cpuid2 *cpuid, uint32_t id)
{
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        if (entry->function == 1)
            entry->ebx = (entry->ebx & 0x00ffffff) | id << 24;
        else if (entry->function == 0xb || entry->function == 0x1f)
            entry->edx = id;
    }
}

int
vmk_kvm_x86_set_supported_cpuid(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    const struct vmk_kvm_x86_facts *x86 = vcpu->vm->system->facts->arch;
    size_t size = sizeof *x86->uapi + x86->count * sizeof x86->uapi->entries[0];
    struct kvm_cpuid2 *uapi = malloc(size);
    if (uapi == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %u CPUID leaves", x86->count);
    memcpy(uapi, x86->uapi, size);
    uapi->nent = x86->count;
    set_apic_id(uapi, vcpu->id);
    int result = vmk_kvm_vcpu_call(vcpu, KVM_SET_CPUID2, uapi, "KVM_SET_CPUID2", ret_error);
    free(uapi);
    return result;
}

int
vmk_kvm_x86_get_debug_regs(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_debug_regs *regs,
                           vmkit_error **ret_error)
{
    struct kvm_debugregs uapi = {0};
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_DEBUGREGS, &uapi, "KVM_GET_DEBUGREGS", ret_error);
    if (result < 0)
        return result;
    memcpy(regs->address, uapi.db, sizeof regs->address);
    regs->dr6 = uapi.dr6;
    regs->dr7 = uapi.dr7;
    return 0;
}

int
vmk_kvm_x86_set_debug_regs(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_debug_regs *regs,
                           vmkit_error **ret_error)
{
    struct kvm_debugregs uapi = {.dr6 = regs->dr6, .dr7 = regs->dr7};
    memcpy(uapi.db, regs->address, sizeof uapi.db);
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_DEBUGREGS, &uapi, "KVM_SET_DEBUGREGS", ret_error);
}

int
vmk_kvm_x86_get_events(struct vmk_kvm_vcpu *vcpu, struct vmkit_x86_events *events,
                       vmkit_error **ret_error)
{
    struct kvm_vcpu_events uapi = {0};
    int result =
        vmk_kvm_vcpu_call(vcpu, KVM_GET_VCPU_EVENTS, &uapi, "KVM_GET_VCPU_EVENTS", ret_error);
    if (result == 0)
        vmk_kvm_events_from_uapi(events, &uapi);
    return result;
}

int
vmk_kvm_x86_set_events(struct vmk_kvm_vcpu *vcpu, const struct vmkit_x86_events *events,
                       vmkit_error **ret_error)
{
    struct kvm_vcpu_events uapi = {0};
    vmk_kvm_events_to_uapi(&uapi, events);
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_VCPU_EVENTS, &uapi, "KVM_SET_VCPU_EVENTS", ret_error);
}

int
vmk_kvm_x86_get_mp_state(struct vmk_kvm_vcpu *vcpu, uint32_t *ret_state, vmkit_error **ret_error)
{
    struct kvm_mp_state state = {0};
    int result = vmk_kvm_vcpu_call(vcpu, KVM_GET_MP_STATE, &state, "KVM_GET_MP_STATE", ret_error);
    if (result == 0)
        *ret_state = state.mp_state;
    return result;
}

int
vmk_kvm_x86_set_mp_state(struct vmk_kvm_vcpu *vcpu, uint32_t state, vmkit_error **ret_error)
{
    struct kvm_mp_state uapi = {.mp_state = state};
    return vmk_kvm_vcpu_call(vcpu, KVM_SET_MP_STATE, &uapi, "KVM_SET_MP_STATE", ret_error);
}

int
vmk_kvm_x86_interrupt(struct vmk_kvm_vcpu *vcpu, uint8_t vector, vmkit_error **ret_error)
{
    struct kvm_interrupt interrupt = {.irq = vector};
    return vmk_kvm_vcpu_call(vcpu, KVM_INTERRUPT, &interrupt, "KVM_INTERRUPT", ret_error);
}

int
vmk_kvm_x86_nmi(struct vmk_kvm_vcpu *vcpu, vmkit_error **ret_error)
{
    return vmk_kvm_vcpu_call(vcpu, KVM_NMI, NULL, "KVM_NMI", ret_error);
}

/* Without VMX or SVM a guest in user mode runs with the thread's own DS and ES, and what it loads
 * into them stays there: for the embedder to find, and for the next guest on this thread. Nothing
 * addresses by them in 64-bit mode. FS and GS are not brought back: loading one of them loses its
 * base, which is the thread's own memory, until it is written again. */
uint32_t
vmk_kvm_arch_save_thread(void)
{
    uint16_t ds, es;
    __asm__ __volatile__("mov %%ds, %0\n\tmov %%es, %1" : "=r"(ds), "=r"(es));
    return (uint32_t)es << 16 | ds;
}

void
vmk_kvm_arch_restore_thread(uint32_t saved)
{
    if (vmk_kvm_arch_save_thread() == saved)
        return;
    __asm__ __volatile__("mov %0, %%ds\n\tmov %1, %%es"
                         :
                         : "r"((uint16_t)saved), "r"((uint16_t)(saved >> 16)));
}
