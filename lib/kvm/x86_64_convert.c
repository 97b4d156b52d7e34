/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/x86_64_convert.h"

#include <string.h>

static void
segment_from_uapi(struct vmkit_x86_segment *to, const struct kvm_segment *from)
{
    *to = (struct vmkit_x86_segment){
        .base = from->base,
        .limit = from->limit,
        .selector = from->selector,
        .type = from->type,
        .present = from->present,
        .dpl = from->dpl,
        .db = from->db,
        .s = from->s,
        .l = from->l,
        .g = from->g,
        .avl = from->avl,
        .unusable = from->unusable,
    };
}

static void
segment_to_uapi(struct kvm_segment *to, const struct vmkit_x86_segment *from)
{
    *to = (struct kvm_segment){
        .base = from->base,
        .limit = from->limit,
        .selector = from->selector,
        .type = from->type,
        .present = from->present,
        .dpl = from->dpl,
        .db = from->db,
        .s = from->s,
        .l = from->l,
        .g = from->g,
        .avl = from->avl,
        .unusable = from->unusable,
    };
}

static void
table_from_uapi(struct vmkit_x86_table *to, const struct kvm_dtable *from)
{
    *to = (struct vmkit_x86_table){.base = from->base, .limit = from->limit};
}

static void
table_to_uapi(struct kvm_dtable *to, const struct vmkit_x86_table *from)
{
    *to = (struct kvm_dtable){.base = from->base, .limit = from->limit};
}

void
vmk_kvm_sregs_from_uapi(struct vmkit_x86_sregs *to, const struct kvm_sregs *from)
{
    segment_from_uapi(&to->cs, &from->cs);
    segment_from_uapi(&to->ds, &from->ds);
    segment_from_uapi(&to->es, &from->es);
    segment_from_uapi(&to->fs, &from->fs);
    segment_from_uapi(&to->gs, &from->gs);
    segment_from_uapi(&to->ss, &from->ss);
    segment_from_uapi(&to->tr, &from->tr);
    segment_from_uapi(&to->ldt, &from->ldt);
    table_from_uapi(&to->gdt, &from->gdt);
    table_from_uapi(&to->idt, &from->idt);
    to->cr0 = from->cr0;
    to->cr2 = from->cr2;
    to->cr3 = from->cr3;
    to->cr4 = from->cr4;
    to->cr8 = from->cr8;
    to->efer = from->efer;
    to->apic_base = from->apic_base;
    memcpy(to->interrupt_bitmap, from->interrupt_bitmap, sizeof to->interrupt_bitmap);
}

void
vmk_kvm_sregs_to_uapi(struct kvm_sregs *to, const struct vmkit_x86_sregs *from)
{
    segment_to_uapi(&to->cs, &from->cs);
    segment_to_uapi(&to->ds, &from->ds);
    segment_to_uapi(&to->es, &from->es);
    segment_to_uapi(&to->fs, &from->fs);
    segment_to_uapi(&to->gs, &from->gs);
    segment_to_uapi(&to->ss, &from->ss);
    segment_to_uapi(&to->tr, &from->tr);
    segment_to_uapi(&to->ldt, &from->ldt);
    table_to_uapi(&to->gdt, &from->gdt);
    table_to_uapi(&to->idt, &from->idt);
    to->cr0 = from->cr0;
    to->cr2 = from->cr2;
    to->cr3 = from->cr3;
    to->cr4 = from->cr4;
    to->cr8 = from->cr8;
    to->efer = from->efer;
    to->apic_base = from->apic_base;
    memcpy(to->interrupt_bitmap, from->interrupt_bitmap, sizeof to->interrupt_bitmap);
}

/* The legacy region of XSAVE (Intel SDM 1, table 10-2). */
struct legacy_region {
    uint16_t fcw;
    uint16_t fsw;
    uint8_t ftwx;
    uint8_t reserved;
    uint16_t last_opcode;
    uint64_t last_ip;
    uint64_t last_dp;
    uint32_t mxcsr;
    uint32_t mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
};

_Static_assert(sizeof(struct legacy_region) == 416, "the legacy region");

#define XSTATE_BV_OFFSET 512
#define XSTATE_X87_SSE 3

void
vmk_kvm_fpu_from_xsave(struct vmkit_x86_fpu *to, const uint8_t *xsave)
{
    struct legacy_region from;
    memcpy(&from, xsave, sizeof from);
    memcpy(to->st, from.st, sizeof to->st);
    memcpy(to->xmm, from.xmm, sizeof to->xmm);
    to->fcw = from.fcw;
    to->fsw = from.fsw;
    to->ftwx = from.ftwx;
    to->last_opcode = from.last_opcode;
    to->last_ip = from.last_ip;
    to->last_dp = from.last_dp;
    to->mxcsr = from.mxcsr;
}

void
vmk_kvm_fpu_to_xsave(uint8_t *xsave, const struct vmkit_x86_fpu *from)
{
    struct legacy_region to;
    uint64_t in_use;
    memcpy(&to, xsave, sizeof to);
    memcpy(to.st, from->st, sizeof to.st);
    memcpy(to.xmm, from->xmm, sizeof to.xmm);
    to.fcw = from->fcw;
    to.fsw = from->fsw;
    to.ftwx = from->ftwx;
    to.last_opcode = from->last_opcode;
    to.last_ip = from->last_ip;
    to.last_dp = from->last_dp;
    to.mxcsr = from->mxcsr;
    memcpy(xsave, &to, sizeof to);

    memcpy(&in_use, xsave + XSTATE_BV_OFFSET, sizeof in_use);
    in_use |= XSTATE_X87_SSE;
    memcpy(xsave + XSTATE_BV_OFFSET, &in_use, sizeof in_use);
}

void
vmk_kvm_events_from_uapi(struct vmkit_x86_events *to, const struct kvm_vcpu_events *from)
{
    to->exception_injected = from->exception.injected;
    to->exception_pending = from->exception.pending;
    to->exception_vector = from->exception.nr;
    to->exception_has_error_code = from->exception.has_error_code;
    to->exception_error_code = from->exception.error_code;
    to->interrupt_injected = from->interrupt.injected;
    to->interrupt_vector = from->interrupt.nr;
    to->interrupt_soft = from->interrupt.soft;
    to->interrupt_shadow = from->interrupt.shadow;
    to->nmi_injected = from->nmi.injected;
    to->nmi_pending = from->nmi.pending;
    to->nmi_masked = from->nmi.masked;
    to->smm = from->smi.smm;
    to->smm_pending = from->smi.pending;
    to->smm_inside_nmi = from->smi.smm_inside_nmi;
    to->smm_latched_init = from->smi.latched_init;
    to->sipi_vector = from->sipi_vector;
}

void
vmk_kvm_events_to_uapi(struct kvm_vcpu_events *to, const struct vmkit_x86_events *from)
{
    *to = (struct kvm_vcpu_events){
        .exception.injected = from->exception_injected,
        .exception.pending = from->exception_pending,
        .exception.nr = from->exception_vector,
        .exception.has_error_code = from->exception_has_error_code,
        .exception.error_code = from->exception_error_code,
        .interrupt.injected = from->interrupt_injected,
        .interrupt.nr = from->interrupt_vector,
        .interrupt.soft = from->interrupt_soft,
        .interrupt.shadow = from->interrupt_shadow,
        .nmi.injected = from->nmi_injected,
        .nmi.pending = from->nmi_pending,
        .nmi.masked = from->nmi_masked,
        .smi.smm = from->smm,
        .smi.pending = from->smm_pending,
        .smi.smm_inside_nmi = from->smm_inside_nmi,
        .smi.latched_init = from->smm_latched_init,
        .sipi_vector = from->sipi_vector,
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                 KVM_VCPUEVENT_VALID_SIPI_VECTOR,
    };
    /* A host without system-management mode refuses the flag even for a state that is all zero. */
    if (from->smm || from->smm_pending || from->smm_inside_nmi || from->smm_latched_init)
        to->flags |= KVM_VCPUEVENT_VALID_SMM;
}

void
vmk_kvm_cpuid_from_uapi(struct vmkit_x86_cpuid *to, const struct kvm_cpuid_entry2 *from)
{
    *to = (struct vmkit_x86_cpuid){
        .leaf = from->function,
        .subleaf = from->index,
        .indexed = (from->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
        .eax = from->eax,
        .ebx = from->ebx,
        .ecx = from->ecx,
        .edx = from->edx,
    };
}

void
vmk_kvm_cpuid_to_uapi(struct kvm_cpuid_entry2 *to, const struct vmkit_x86_cpuid *from)
{
    *to = (struct kvm_cpuid_entry2){
        .function = from->leaf,
        .index = from->subleaf,
        .flags = from->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = from->eax,
        .ebx = from->ebx,
        .ecx = from->ecx,
        .edx = from->edx,
    };
}
