/* SPDX-License-Identifier: Apache-2.0 */
#include "machine_cpuid.h"

#include "layout.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>

#define LEAF1_EBX_COUNT_SHIFT 16
#define LEAF1_EBX_APIC_SHIFT 24
#define LEAF1_ECX_VMX (1u << 5)
#define LEAF1_ECX_PDCM (1u << 15)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define LEAF1_EDX_HTT (1u << 28)
#define EXTENDED1_ECX_CMP_LEGACY (1u << 1)
#define EXTENDED1_ECX_SVM (1u << 2)
#define EXTENDED1_ECX_PERF_CORE (1u << 23)
#define EXTENDED1_ECX_PERF_NB (1u << 24)

#define INTEL_EBX 0x756e6547 /* "Genu" */

#define LEVEL_SMT 1u
#define LEVEL_CORE 2u
#define LEVEL_SHIFT 8

#define FEATURE_LEAF 0x40000001

/* Of KVM's own features (cpuid.rst), those that need nothing of whoever runs the VM, and hold no
 * state that comes into being while a vCPU does not run: clock (0, 3, 24), I/O without delay (1),
 * stolen time (5), end of interrupt (6), spin locks (7), remote TLB flush (9), interrupts between
 * processors (11), halt polling (12) and yielding (13). */
#define SAFE_FEATURES                                                                            \
    (1u << 0 | 1u << 1 | 1u << 3 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 9 | 1u << 11 | 1u << 12 | \
     1u << 13 | 1u << 24)

/* Nothing of a machine that has guests of its own, nor of counters of performance. */
static const struct vmk_x86_cpuid_mask hidden[] = {
    {.leaf = 0x1, .ecx = LEAF1_ECX_VMX | LEAF1_ECX_PDCM},
    {.leaf = 0xa, .eax = UINT32_MAX, .ebx = UINT32_MAX, .ecx = UINT32_MAX, .edx = UINT32_MAX},
    {.leaf = FEATURE_LEAF, .eax = ~SAFE_FEATURES},
    {.leaf = 0x80000001,
     .ecx = EXTENDED1_ECX_SVM | EXTENDED1_ECX_PERF_CORE | EXTENDED1_ECX_PERF_NB},
    {.leaf = 0x8000000a,
     .eax = UINT32_MAX,
     .ebx = UINT32_MAX,
     .ecx = UINT32_MAX,
     .edx = UINT32_MAX},
    {.leaf = 0x80000022,
     .eax = UINT32_MAX,
     .ebx = UINT32_MAX,
     .ecx = UINT32_MAX,
     .edx = UINT32_MAX},
};

struct builder {
    const struct vmk_x86_cpuid_options *options;
    struct vmkit_x86_cpuid *leaves;
    uint32_t capacity;
    uint32_t count; /* may be more than there is room for */
    uint32_t max_basic;
    bool is_intel;
    bool has_leaf_1f;
};

static void
add(struct builder *builder, const struct vmkit_x86_cpuid *leaf)
{
    if (builder->count++ < builder->capacity)
        builder->leaves[builder->count - 1] = *leaf;
}

/* How many bits number `count` things. */
static uint32_t
count_bits(uint32_t count)
{
    uint32_t bits = 0;
    while ((1u << bits) < count)
        bits++;
    return bits;
}

static void
fill_leaf_1(const struct builder *builder, struct vmkit_x86_cpuid *leaf)
{
    const struct vmk_x86_cpuid_options *options = builder->options;
    leaf->ebx &= 0xffff;
    leaf->ebx |= options->vcpu << LEAF1_EBX_APIC_SHIFT;
    leaf->edx &= ~LEAF1_EDX_HTT;
    if (options->vcpu_count > 1) {
        leaf->ebx |= (1u << count_bits(options->vcpu_count)) % 256 << LEAF1_EBX_COUNT_SHIFT;
        leaf->edx |= LEAF1_EDX_HTT;
    }
    leaf->ecx |= LEAF1_ECX_HYPERVISOR;
    leaf->ecx &= ~LEAF1_ECX_TSC_DEADLINE;
    if (options->has_tsc_deadline)
        leaf->ecx |= LEAF1_ECX_TSC_DEADLINE;
}

/* Caches of the first two levels are a core's own, and the others the package's (both of Intel's
 * leaf and of AMD's). Intel's says how many cores the package has besides. */
static void
fill_cache(const struct builder *builder, struct vmkit_x86_cpuid *leaf)
{
    const struct vmk_x86_cpuid_options *options = builder->options;
    uint32_t type = leaf->eax & 0x1f, level = leaf->eax >> 5 & 7;
    uint32_t last = (1u << count_bits(options->vcpu_count)) - 1;
    if (type == 0)
        return;
    leaf->eax &= 0x3fff;
    if (level > 2)
        leaf->eax |= last << 14;
    if (leaf->leaf == 4)
        leaf->eax |= (last > 63 ? 63 : last) << 26;
}

static void
fill_extended_8(const struct builder *builder, struct vmkit_x86_cpuid *leaf)
{
    const struct vmk_x86_cpuid_options *options = builder->options;
    leaf->ecx &= ~UINT32_C(0xf0ff);
    leaf->ecx |= (options->vcpu_count - 1) | count_bits(options->vcpu_count) << 12;
}

static void
fill_extended_1e(const struct builder *builder, struct vmkit_x86_cpuid *leaf)
{
    leaf->eax = builder->options->vcpu;
    leaf->ebx = builder->options->vcpu;
    leaf->ecx = 0;
}

/* AMD's sign that what leaf 1 counts are cores, not threads. */
static void
fill_extended_1(const struct builder *builder, struct vmkit_x86_cpuid *leaf)
{
    leaf->ecx &= ~EXTENDED1_ECX_CMP_LEGACY;
    if (!builder->is_intel && builder->options->vcpu_count > 1)
        leaf->ecx |= EXTENDED1_ECX_CMP_LEGACY;
}

static const struct {
    uint32_t leaf;
    void (*fill)(const struct builder *builder, struct vmkit_x86_cpuid *leaf);
} fills[] = {
    {0x1, fill_leaf_1},
    {0x4, fill_cache},
    {0x80000001, fill_extended_1},
    {0x80000008, fill_extended_8},
    {0x8000001d, fill_cache},
    {0x8000001e, fill_extended_1e},
};

static void
mask_leaf(struct vmkit_x86_cpuid *leaf, const struct vmk_x86_cpuid_mask *masks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (masks[i].leaf != leaf->leaf || (leaf->indexed && masks[i].subleaf != leaf->subleaf))
            continue;
        leaf->eax &= ~masks[i].eax;
        leaf->ebx &= ~masks[i].ebx;
        leaf->ecx &= ~masks[i].ecx;
        leaf->edx &= ~masks[i].edx;
    }
}

/* The leaves of extended topology, Intel's two and AMD's: what the host says there is of the host.
 * AMD's is left out, and says then that it is empty. */
static bool
is_topology(uint32_t leaf)
{
    return leaf == 0xb || leaf == 0x1f || leaf == 0x80000026;
}

static void
add_topology(struct builder *builder, uint32_t number)
{
    const struct vmk_x86_cpuid_options *options = builder->options;
    const struct vmkit_x86_cpuid levels[] = {
        {.ebx = 1, .ecx = LEVEL_SMT << LEVEL_SHIFT},
        {.eax = count_bits(options->vcpu_count),
         .ebx = options->vcpu_count,
         .ecx = LEVEL_CORE << LEVEL_SHIFT},
        {0},
    };
    for (uint32_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        struct vmkit_x86_cpuid leaf = levels[i];
        leaf.leaf = number;
        leaf.subleaf = i;
        leaf.indexed = 1;
        leaf.ecx |= i;
        leaf.edx = options->vcpu;
        mask_leaf(&leaf, options->masks, options->mask_count);
        add(builder, &leaf);
    }
}

static void
add_supported(struct builder *builder, const struct vmkit_x86_cpuid *supported)
{
    struct vmkit_x86_cpuid leaf = *supported;
    if (is_topology(leaf.leaf))
        return;
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
        if (fills[i].leaf == leaf.leaf)
            fills[i].fill(builder, &leaf);
    }
    mask_leaf(&leaf, hidden, sizeof hidden / sizeof *hidden);
    mask_leaf(&leaf, builder->options->masks, builder->options->mask_count);
    add(builder, &leaf);
}

static void
look_at(struct builder *builder, const struct vmkit_x86_cpuid *leaf)
{
    if (leaf->leaf == 0) {
        builder->max_basic = leaf->eax;
        builder->is_intel = leaf->ebx == INTEL_EBX;
    }
    if (leaf->leaf == 0x1f)
        builder->has_leaf_1f = true;
}

int
vmk_x86_machine_cpuid(const struct vmk_x86_cpuid_options *options, struct vmkit_x86_cpuid *leaves,
                      uint32_t capacity, uint32_t *ret_count, vmkit_error **ret_error)
{
    struct builder builder = {.options = options, .leaves = leaves, .capacity = capacity};
    if (options->vcpu_count == 0 || options->vcpu_count > VMK_X86_VCPU_LIMIT ||
        options->vcpu >= options->vcpu_count)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "vCPU %u of %u; a machine has 1 to %d", options->vcpu,
                             options->vcpu_count, VMK_X86_VCPU_LIMIT);
    for (uint32_t i = 0; i < options->supported_count; i++)
        look_at(&builder, &options->supported[i]);
    for (uint32_t i = 0; i < options->supported_count; i++)
        add_supported(&builder, &options->supported[i]);
    if (builder.max_basic >= 0xb)
        add_topology(&builder, 0xb);
    if (builder.has_leaf_1f)
        add_topology(&builder, 0x1f);
    if (builder.count > capacity)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%u CPUID leaves, and there is room for %u", builder.count, capacity);
    *ret_count = builder.count;
    return 0;
}
