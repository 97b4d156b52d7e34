/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a vCPU's saved state (doc/processor-state.md). A field that can
 * hold only some values is refused with any other; what the processor allows in combination is
 * KVM's to judge.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <string.h>

enum tag {
    TAG_PROCESSOR = 1,
    TAG_CPUID = 2,
    TAG_GENERAL = 3,
    TAG_SPECIAL = 4,
    TAG_DEBUG = 5,
    TAG_XCRS = 6,
    TAG_XSAVE = 7,
    TAG_MSRS = 8,
    TAG_EVENTS = 9,
    TAG_MP_STATE = 10,
    TAG_TSC = 11,
    TAG_LAPIC = 12,
    TAG_NESTED = 13,
    TAG_USER = 14,
};

#define MP_STATE_LAST 4 /* start-up received */

/* A byte that is 0 or 1, or up to `last`; `ok` becomes false for any other. */
static uint8_t
get_small(struct vmk_byte_cursor *cursor, uint8_t last, bool *ok)
{
    uint8_t value = vmk_cursor_get_u8(cursor);
    *ok = *ok && value <= last;
    return value;
}

static uint32_t
get_u32_up_to(struct vmk_byte_cursor *cursor, uint32_t last, bool *ok)
{
    uint32_t value = vmk_cursor_get_u32(cursor);
    *ok = *ok && value <= last;
    return value;
}

static void
encode_processor(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put(bytes, state->vendor, sizeof state->vendor);
    vmk_bytes_put_u32(bytes, state->tsc_khz);
    vmk_bytes_put_u32(bytes, state->word_count);
    for (uint32_t i = 0; i < state->word_count; i++) {
        vmk_bytes_put_u32(bytes, state->words[i].leaf);
        vmk_bytes_put_u32(bytes, state->words[i].subleaf);
        vmk_bytes_put_u32(bytes, state->words[i].reg);
        vmk_bytes_put_u32(bytes, state->words[i].bits);
    }
}

static bool
decode_processor(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    bool ok = true;
    const uint8_t *vendor = vmk_cursor_get(cursor, sizeof state->vendor);
    if (vendor == NULL)
        return false;
    memcpy(state->vendor, vendor, sizeof state->vendor);
    for (size_t i = 0; i < sizeof state->vendor; i++)
        ok = ok && vendor[i] >= ' ' && vendor[i] <= '~';
    state->tsc_khz = vmk_cursor_get_u32(cursor);
    state->word_count = get_u32_up_to(cursor, VMK_X86_STATE_WORD_LIMIT, &ok);
    for (uint32_t i = 0; ok && i < state->word_count; i++) {
        state->words[i].leaf = vmk_cursor_get_u32(cursor);
        state->words[i].subleaf = vmk_cursor_get_u32(cursor);
        state->words[i].reg = get_u32_up_to(cursor, 3, &ok);
        state->words[i].bits = vmk_cursor_get_u32(cursor);
    }
    return ok;
}

static void
encode_cpuid(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put_u32(bytes, state->leaf_count);
    for (uint32_t i = 0; i < state->leaf_count; i++) {
        const struct vmkit_x86_cpuid *leaf = &state->leaves[i];
        const uint32_t fields[] = {leaf->leaf, leaf->subleaf, leaf->indexed, leaf->eax,
                                   leaf->ebx,  leaf->ecx,     leaf->edx};
        for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++)
            vmk_bytes_put_u32(bytes, fields[k]);
    }
}

static bool
decode_cpuid(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    bool ok = true;
    state->leaf_count = get_u32_up_to(cursor, VMK_KVM_X86_CPUID_LIMIT, &ok);
    for (uint32_t i = 0; ok && i < state->leaf_count; i++) {
        struct vmkit_x86_cpuid *leaf = &state->leaves[i];
        leaf->leaf = vmk_cursor_get_u32(cursor);
        leaf->subleaf = vmk_cursor_get_u32(cursor);
        leaf->indexed = get_u32_up_to(cursor, 1, &ok);
        leaf->eax = vmk_cursor_get_u32(cursor);
        leaf->ebx = vmk_cursor_get_u32(cursor);
        leaf->ecx = vmk_cursor_get_u32(cursor);
        leaf->edx = vmk_cursor_get_u32(cursor);
    }
    return ok;
}

/* The general registers are nothing but 64-bit numbers, in the kernel's order. */
#define REGS_COUNT (sizeof(struct vmk_user_regs) / sizeof(uint64_t))

static void
encode_general(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    uint64_t values[REGS_COUNT];
    memcpy(values, &state->regs, sizeof values);
    for (size_t i = 0; i < REGS_COUNT; i++)
        vmk_bytes_put_u64(bytes, values[i]);
}

static bool
decode_general(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    uint64_t values[REGS_COUNT];
    for (size_t i = 0; i < REGS_COUNT; i++)
        values[i] = vmk_cursor_get_u64(cursor);
    memcpy(&state->regs, values, sizeof values);
    return true;
}

static void
encode_segment(const struct vmkit_x86_segment *segment, struct vmk_bytes *bytes)
{
    const uint8_t fields[] = {segment->type, segment->present, segment->dpl,
                              segment->db,   segment->s,       segment->l,
                              segment->g,    segment->avl,     segment->unusable};
    vmk_bytes_put_u64(bytes, segment->base);
    vmk_bytes_put_u32(bytes, segment->limit);
    vmk_bytes_put_u32(bytes, segment->selector);
    vmk_bytes_put(bytes, fields, sizeof fields);
}

static void
decode_segment(struct vmkit_x86_segment *segment, struct vmk_byte_cursor *cursor, bool *ok)
{
    segment->base = vmk_cursor_get_u64(cursor);
    segment->limit = vmk_cursor_get_u32(cursor);
    segment->selector = (uint16_t)get_u32_up_to(cursor, UINT16_MAX, ok);
    segment->type = get_small(cursor, 15, ok);
    segment->present = get_small(cursor, 1, ok);
    segment->dpl = get_small(cursor, 3, ok);
    segment->db = get_small(cursor, 1, ok);
    segment->s = get_small(cursor, 1, ok);
    segment->l = get_small(cursor, 1, ok);
    segment->g = get_small(cursor, 1, ok);
    segment->avl = get_small(cursor, 1, ok);
    segment->unusable = get_small(cursor, 1, ok);
}

static void
encode_table(const struct vmkit_x86_table *table, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u64(bytes, table->base);
    vmk_bytes_put_u32(bytes, table->limit);
}

static void
decode_table(struct vmkit_x86_table *table, struct vmk_byte_cursor *cursor, bool *ok)
{
    table->base = vmk_cursor_get_u64(cursor);
    table->limit = (uint16_t)get_u32_up_to(cursor, UINT16_MAX, ok);
}

/* The bitmap of interrupts is not among them: the events say the same. */
static void
encode_special(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    const struct vmkit_x86_sregs *sregs = &state->sregs;
    const struct vmkit_x86_segment *segments[] = {&sregs->cs, &sregs->ds, &sregs->es, &sregs->fs,
                                                  &sregs->gs, &sregs->ss, &sregs->tr, &sregs->ldt};
    const uint64_t values[] = {sregs->cr0, sregs->cr2,  sregs->cr3,      sregs->cr4,
                               sregs->cr8, sregs->efer, sregs->apic_base};
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++)
        encode_segment(segments[i], bytes);
    encode_table(&sregs->gdt, bytes);
    encode_table(&sregs->idt, bytes);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        vmk_bytes_put_u64(bytes, values[i]);
    vmk_bytes_put_u8(bytes, state->pdptrs.valid);
    for (size_t i = 0; i < 4; i++)
        vmk_bytes_put_u64(bytes, state->pdptrs.values[i]);
}

static bool
decode_special(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    struct vmkit_x86_sregs *sregs = &state->sregs;
    struct vmkit_x86_segment *segments[] = {&sregs->cs, &sregs->ds, &sregs->es, &sregs->fs,
                                            &sregs->gs, &sregs->ss, &sregs->tr, &sregs->ldt};
    uint64_t *values[] = {&sregs->cr0, &sregs->cr2,  &sregs->cr3,      &sregs->cr4,
                          &sregs->cr8, &sregs->efer, &sregs->apic_base};
    bool ok = true;
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++)
        decode_segment(segments[i], cursor, &ok);
    decode_table(&sregs->gdt, cursor, &ok);
    decode_table(&sregs->idt, cursor, &ok);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        *values[i] = vmk_cursor_get_u64(cursor);
    state->pdptrs.valid = get_small(cursor, 1, &ok) != 0;
    for (size_t i = 0; i < 4; i++)
        state->pdptrs.values[i] = vmk_cursor_get_u64(cursor);
    return ok;
}

static void
encode_debug(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    for (size_t i = 0; i < 4; i++)
        vmk_bytes_put_u64(bytes, state->debug.address[i]);
    vmk_bytes_put_u64(bytes, state->debug.dr6);
    vmk_bytes_put_u64(bytes, state->debug.dr7);
}

static bool
decode_debug(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    for (size_t i = 0; i < 4; i++)
        state->debug.address[i] = vmk_cursor_get_u64(cursor);
    state->debug.dr6 = vmk_cursor_get_u64(cursor);
    state->debug.dr7 = vmk_cursor_get_u64(cursor);
    return state->debug.dr6 <= UINT32_MAX && state->debug.dr7 <= UINT32_MAX;
}

static void
encode_xcrs(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put_u32(bytes, state->xcr_count);
    for (uint32_t i = 0; i < state->xcr_count; i++) {
        vmk_bytes_put_u32(bytes, state->xcrs[i].index);
        vmk_bytes_put_u64(bytes, state->xcrs[i].value);
    }
}

static bool
decode_xcrs(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    bool ok = true;
    state->xcr_count = get_u32_up_to(cursor, VMK_KVM_X86_XCR_LIMIT, &ok);
    for (uint32_t i = 0; ok && i < state->xcr_count; i++) {
        state->xcrs[i].index = vmk_cursor_get_u32(cursor);
        state->xcrs[i].value = vmk_cursor_get_u64(cursor);
    }
    return ok;
}

static void
encode_xsave(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put(bytes, state->xsave, state->xsave_size);
}

static bool
decode_xsave(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    state->xsave_size = cursor->left;
    state->xsave = vmk_cursor_get(cursor, cursor->left);
    return state->xsave_size >= VMK_X86_STATE_XSAVE_LEAST &&
           state->xsave_size <= VMK_X86_STATE_XSAVE_LIMIT;
}

static void
encode_msrs(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put_u32(bytes, state->msr_count);
    for (uint32_t i = 0; i < state->msr_count; i++) {
        vmk_bytes_put_u32(bytes, state->msrs[i].index);
        vmk_bytes_put_u64(bytes, state->msrs[i].value);
    }
}

static bool
decode_msrs(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    bool ok = true;
    state->msr_count = get_u32_up_to(cursor, VMK_X86_STATE_MSR_LIMIT, &ok);
    for (uint32_t i = 0; ok && i < state->msr_count; i++) {
        state->msrs[i].index = vmk_cursor_get_u32(cursor);
        state->msrs[i].value = vmk_cursor_get_u64(cursor);
    }
    return ok;
}

static void
encode_events(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    const struct vmkit_x86_events *events = &state->events;
    const uint8_t fields[] = {
        events->exception_injected, events->exception_pending,
        events->exception_vector,   events->exception_has_error_code,
        events->interrupt_injected, events->interrupt_vector,
        events->interrupt_soft,     events->interrupt_shadow,
        events->nmi_injected,       events->nmi_pending,
        events->nmi_masked,         events->smm,
        events->smm_pending,        events->smm_inside_nmi,
        events->smm_latched_init,
    };
    vmk_bytes_put(bytes, fields, sizeof fields);
    vmk_bytes_put_u32(bytes, events->exception_error_code);
    vmk_bytes_put_u32(bytes, events->sipi_vector);
}

static bool
decode_events(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmkit_x86_events *events = &((struct vmk_x86_vcpu_state *)data)->events;
    bool ok = true;
    events->exception_injected = get_small(cursor, 1, &ok);
    events->exception_pending = get_small(cursor, 1, &ok);
    events->exception_vector = vmk_cursor_get_u8(cursor);
    events->exception_has_error_code = get_small(cursor, 1, &ok);
    events->interrupt_injected = get_small(cursor, 1, &ok);
    events->interrupt_vector = vmk_cursor_get_u8(cursor);
    events->interrupt_soft = get_small(cursor, 1, &ok);
    events->interrupt_shadow = get_small(cursor, 3, &ok);
    events->nmi_injected = get_small(cursor, 1, &ok);
    /* The kernel counts them, up to two. */
    events->nmi_pending = get_small(cursor, 2, &ok);
    events->nmi_masked = get_small(cursor, 1, &ok);
    events->smm = get_small(cursor, 1, &ok);
    events->smm_pending = get_small(cursor, 1, &ok);
    events->smm_inside_nmi = get_small(cursor, 1, &ok);
    events->smm_latched_init = get_small(cursor, 1, &ok);
    events->exception_error_code = vmk_cursor_get_u32(cursor);
    events->sipi_vector = get_u32_up_to(cursor, UINT8_MAX, &ok);
    return ok;
}

static void
encode_mp_state(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put_u32(bytes, state->mp_state);
}

static bool
decode_mp_state(void *data, struct vmk_byte_cursor *cursor)
{
    bool ok = true;
    ((struct vmk_x86_vcpu_state *)data)->mp_state = get_u32_up_to(cursor, MP_STATE_LAST, &ok);
    return ok;
}

static void
encode_tsc(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put_u64(bytes, state->tsc);
    vmk_bytes_put_u8(bytes, state->has_tsc_offset);
    vmk_bytes_put_u64(bytes, state->tsc_offset);
}

static bool
decode_tsc(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    bool ok = true;
    state->tsc = vmk_cursor_get_u64(cursor);
    state->has_tsc_offset = get_small(cursor, 1, &ok) != 0;
    state->tsc_offset = vmk_cursor_get_u64(cursor);
    return ok;
}

static void
encode_lapic(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    if (state->has_lapic)
        vmk_bytes_put(bytes, state->lapic, sizeof state->lapic);
}

static bool
decode_lapic(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    const uint8_t *registers = vmk_cursor_get(cursor, sizeof state->lapic);
    if (registers == NULL)
        return false;
    memcpy(state->lapic, registers, sizeof state->lapic);
    state->has_lapic = true;
    return true;
}

static void
encode_nested(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    vmk_bytes_put(bytes, state->nested, state->nested_size);
}

static bool
decode_nested(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    state->nested_size = cursor->left;
    state->nested = vmk_cursor_get(cursor, cursor->left);
    return state->nested_size >= VMK_KVM_X86_NESTED_HEAD &&
           state->nested_size <= VMK_X86_STATE_NESTED_LIMIT;
}

/* Of the special registers, those that user mode has a part in: the selectors that it may load, and
 * where FS and GS point. */
static void
encode_user(const void *data, struct vmk_bytes *bytes)
{
    const struct vmk_x86_vcpu_state *state = data;
    const struct vmkit_x86_sregs *sregs = &state->sregs;
    vmk_bytes_put_u64(bytes, sregs->fs.base);
    vmk_bytes_put_u64(bytes, sregs->gs.base);
    vmk_bytes_put_u32(bytes, sregs->ds.selector);
    vmk_bytes_put_u32(bytes, sregs->es.selector);
    vmk_bytes_put_u32(bytes, sregs->fs.selector);
    vmk_bytes_put_u32(bytes, sregs->gs.selector);
}

static bool
decode_user(void *data, struct vmk_byte_cursor *cursor)
{
    struct vmk_x86_vcpu_state *state = data;
    struct vmkit_x86_sregs *sregs = &state->sregs;
    bool ok = true;
    sregs->fs.base = vmk_cursor_get_u64(cursor);
    sregs->gs.base = vmk_cursor_get_u64(cursor);
    sregs->ds.selector = (uint16_t)get_u32_up_to(cursor, UINT16_MAX, &ok);
    sregs->es.selector = (uint16_t)get_u32_up_to(cursor, UINT16_MAX, &ok);
    sregs->fs.selector = (uint16_t)get_u32_up_to(cursor, UINT16_MAX, &ok);
    sregs->gs.selector = (uint16_t)get_u32_up_to(cursor, UINT16_MAX, &ok);
    return ok;
}

static const struct vmk_x86_part parts[] = {
    {TAG_PROCESSOR, "processor", true, encode_processor, decode_processor},
    {TAG_CPUID, "CPUID leaves", true, encode_cpuid, decode_cpuid},
    {TAG_GENERAL, "general registers", true, encode_general, decode_general},
    {TAG_SPECIAL, "special registers", true, encode_special, decode_special},
    {TAG_DEBUG, "debug registers", true, encode_debug, decode_debug},
    {TAG_XCRS, "extended control registers", true, encode_xcrs, decode_xcrs},
    {TAG_XSAVE, "extended state", true, encode_xsave, decode_xsave},
    {TAG_MSRS, "MSRs", true, encode_msrs, decode_msrs},
    {TAG_EVENTS, "events", true, encode_events, decode_events},
    {TAG_MP_STATE, "multiprocessor state", true, encode_mp_state, decode_mp_state},
    {TAG_TSC, "TSC", true, encode_tsc, decode_tsc},
    {TAG_LAPIC, "local interrupt controller", false, encode_lapic, decode_lapic},
    {TAG_NESTED, "nested virtualisation", false, encode_nested, decode_nested},
};

#define PART_COUNT (sizeof parts / sizeof parts[0])

/* All that a vCPU has which never leaves user mode; the library makes the rest. */
static const struct vmk_x86_part user_parts[] = {
    {TAG_PROCESSOR, "processor", true, encode_processor, decode_processor},
    {TAG_CPUID, "CPUID leaves", true, encode_cpuid, decode_cpuid},
    {TAG_GENERAL, "general registers", true, encode_general, decode_general},
    {TAG_XCRS, "extended control registers", true, encode_xcrs, decode_xcrs},
    {TAG_XSAVE, "extended state", true, encode_xsave, decode_xsave},
    {TAG_USER, "user-mode segments", true, encode_user, decode_user},
};

#define USER_PART_COUNT (sizeof user_parts / sizeof user_parts[0])

int
vmk_x86_vcpu_state_encode(const struct vmk_x86_vcpu_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error)
{
    return vmk_x86_parts_encode(parts, PART_COUNT, "vCPU", state, bytes, ret_error);
}

int
vmk_x86_vcpu_state_decode(struct vmk_x86_vcpu_state *state, const void *bytes, size_t size,
                          vmkit_error **ret_error)
{
    return vmk_x86_parts_decode(parts, PART_COUNT, "vCPU", state, bytes, size, ret_error);
}

int
vmk_x86_user_state_encode(const struct vmk_x86_vcpu_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error)
{
    return vmk_x86_parts_encode(user_parts, USER_PART_COUNT, "user-mode vCPU", state, bytes,
                                ret_error);
}

int
vmk_x86_user_state_decode(struct vmk_x86_vcpu_state *state, const void *bytes, size_t size,
                          vmkit_error **ret_error)
{
    return vmk_x86_parts_decode(user_parts, USER_PART_COUNT, "user-mode vCPU", state, bytes, size,
                                ret_error);
}
