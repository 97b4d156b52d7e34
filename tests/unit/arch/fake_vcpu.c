/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_FD 1000
#define VM_FD 1001
#define VCPU_FD 1002

static int
get(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return 0;
}

static int
set(struct fake_host *host, unsigned long request, void *to, const void *from, size_t size)
{
    host->calls[host->call_count++] = request;
    memcpy(to, from, size);
    return 0;
}

struct fake_msr *
fake_host_find_msr(struct fake_host *host, uint32_t index)
{
    for (uint32_t i = 0; i < host->msr_count; i++) {
        if (host->msrs[i].index == index)
            return &host->msrs[i];
    }
    return NULL;
}

struct kvm_cpuid_entry2 *
fake_host_find_leaf(struct fake_host *host, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < host->supported_count; i++) {
        if (host->supported[i].function == leaf && host->supported[i].index == subleaf)
            return &host->supported[i];
    }
    ck_abort_msg("no leaf 0x%x", leaf);
    return NULL;
}

int
fake_host_find_call(const struct fake_host *host, unsigned long request)
{
    for (uint32_t i = 0; i < host->call_count; i++) {
        if (host->calls[i] == request)
            return (int)i;
    }
    return -1;
}

static int
move_msrs(struct fake_host *host, struct kvm_msrs *msrs, bool write)
{
    for (uint32_t i = 0; i < msrs->nmsrs; i++) {
        struct kvm_msr_entry *entry = &msrs->entries[i];
        struct fake_msr *msr = fake_host_find_msr(host, entry->index);
        if (msr == NULL || msr->missing || (write && msr->constant))
            return (int)i;
        if (write) {
            host->calls[host->call_count++] = entry->index;
            msr->value = entry->data;
        } else {
            entry->data = msr->value;
        }
    }
    return (int)msrs->nmsrs;
}

static int
list_msrs(const struct fake_host *host, struct kvm_msr_list *list)
{
    list->nmsrs = 0;
    for (uint32_t i = 0; i < host->msr_count; i++) {
        if (!host->msrs[i].unlisted)
            list->indices[list->nmsrs++] = host->msrs[i].index;
    }
    return 0;
}

static int
check_extension(const struct fake_host *host, uintptr_t capability)
{
    switch (capability) {
    case KVM_CAP_XSAVE2:
        return (int)host->xsave_size;
    case KVM_CAP_NESTED_STATE:
        return (int)host->nested_size;
    case KVM_CAP_SREGS2:
        return !host->no_sregs2;
    case KVM_CAP_VCPU_ATTRIBUTES:
        return !host->no_offset;
    case KVM_CAP_TSC_CONTROL:
        return host->tsc_control;
    default:
        return 1;
    }
}

static int
system_ioctl(struct fake_host *host, unsigned long request, uintptr_t argument)
{
    struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)argument;
    switch (request) {
    case KVM_GET_API_VERSION:
        return 12;
    case KVM_GET_VCPU_MMAP_SIZE:
        return sizeof host->run;
    case KVM_CHECK_EXTENSION:
        return check_extension(host, argument);
    case KVM_GET_MSR_INDEX_LIST:
        return list_msrs(host, (struct kvm_msr_list *)argument);
    case KVM_GET_SUPPORTED_CPUID:
        cpuid->nent = host->supported_count;
        memcpy(cpuid->entries, host->supported, sizeof host->supported);
        return 0;
    case KVM_CREATE_VM:
        return VM_FD;
    default:
        return -ENOTTY;
    }
}

static int
vm_ioctl(struct fake_host *host, unsigned long request, void *argument)
{
    struct kvm_irqchip *chip = argument;
    switch (request) {
    case KVM_CREATE_VCPU:
        return VCPU_FD;
    case KVM_GET_CLOCK:
        return get(argument, &host->clock, sizeof host->clock);
    case KVM_SET_CLOCK:
        return set(host, request, &host->clock, argument, sizeof host->clock);
    case KVM_GET_IRQCHIP:
        return get(argument, &host->chips[chip->chip_id], sizeof *chip);
    case KVM_SET_IRQCHIP:
        return set(host, request, &host->chips[chip->chip_id], argument, sizeof *chip);
    case KVM_CREATE_PIT2:
        host->has_pit = true;
        return 0;
    case KVM_GET_PIT2:
        return host->has_pit ? get(argument, &host->pit, sizeof host->pit) : -ENXIO;
    case KVM_SET_PIT2:
        return set(host, request, &host->pit, argument, sizeof host->pit);
    default:
        return -ENOTTY;
    }
}

static int
set_nested(struct fake_host *host, const void *argument)
{
    struct kvm_nested_state head; /* it may lie anywhere, as for the kernel */
    memcpy(&head, argument, sizeof head);
    if (head.size > host->nested_size || head.size > sizeof host->nested)
        return -EINVAL;
    return set(host, KVM_SET_NESTED_STATE, host->nested, argument, head.size);
}

static int
move_cpuid(struct fake_host *host, struct kvm_cpuid2 *cpuid, bool write)
{
    if (write) {
        host->cpuid_count = cpuid->nent;
        return set(host, KVM_SET_CPUID2, host->cpuid, cpuid->entries,
                   cpuid->nent * sizeof host->cpuid[0]);
    }
    cpuid->nent = host->cpuid_count;
    return get(cpuid->entries, host->cpuid, host->cpuid_count * sizeof host->cpuid[0]);
}

/* The pairs of a request that gets and one that sets the same. */
static int
move_plain(struct fake_host *host, unsigned long request, void *argument)
{
    const struct {
        unsigned long get_request, set_request;
        void *place;
        size_t size;
    } pairs[] = {
        {KVM_GET_REGS, KVM_SET_REGS, &host->regs, sizeof host->regs},
        {KVM_GET_SREGS2, KVM_SET_SREGS2, &host->sregs, sizeof host->sregs},
        {KVM_GET_SREGS, KVM_SET_SREGS, &host->sregs, offsetof(struct kvm_sregs2, flags)},
        {KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, &host->debug, sizeof host->debug},
        {KVM_GET_XCRS, KVM_SET_XCRS, &host->xcrs, sizeof host->xcrs},
        {KVM_GET_XSAVE2, KVM_SET_XSAVE, host->xsave, host->xsave_size},
        {KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, &host->events, sizeof host->events},
        {KVM_GET_MP_STATE, KVM_SET_MP_STATE, &host->mp_state, sizeof host->mp_state},
        {KVM_GET_LAPIC, KVM_SET_LAPIC, &host->lapic, sizeof host->lapic},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].get_request == request)
            return get(argument, pairs[i].place, pairs[i].size);
        if (pairs[i].set_request == request)
            return set(host, request, pairs[i].place, argument, pairs[i].size);
    }
    return -ENOTTY;
}

static int
vcpu_ioctl(struct fake_host *host, unsigned long request, uintptr_t argument)
{
    struct kvm_device_attr *attribute = (struct kvm_device_attr *)argument;
    switch (request) {
    case KVM_GET_MSRS:
        return move_msrs(host, (struct kvm_msrs *)argument, false);
    case KVM_SET_MSRS:
        return move_msrs(host, (struct kvm_msrs *)argument, true);
    case KVM_GET_CPUID2:
        return move_cpuid(host, (struct kvm_cpuid2 *)argument, false);
    case KVM_SET_CPUID2:
        return move_cpuid(host, (struct kvm_cpuid2 *)argument, true);
    case KVM_GET_TSC_KHZ:
        return (int)host->khz;
    case KVM_SET_TSC_KHZ:
        host->khz = (uint32_t)argument;
        return 0;
    case KVM_GET_DEVICE_ATTR:
        return get((void *)(uintptr_t)attribute->addr, &host->tsc_offset, sizeof(uint64_t));
    case KVM_SET_DEVICE_ATTR:
        return set(host, request, &host->tsc_offset, (void *)(uintptr_t)attribute->addr,
                   sizeof(uint64_t));
    case KVM_GET_NESTED_STATE:
        return get((void *)argument, host->nested, ((struct kvm_nested_state *)host->nested)->size);
    case KVM_SET_NESTED_STATE:
        return set_nested(host, (const void *)argument);
    default:
        return move_plain(host, request, (void *)argument);
    }
}

static int
fake_ioctl(void *context, int fd, unsigned long request, uintptr_t argument)
{
    struct fake_host *host = context;
    if (++host->number == host->fail_at)
        return -EINVAL;
    if (fd == SYSTEM_FD)
        return system_ioctl(host, request, argument);
    return fd == VM_FD ? vm_ioctl(host, request, (void *)argument)
                       : vcpu_ioctl(host, request, argument);
}

static int
fake_open(void *context, const char *path)
{
    return SYSTEM_FD;
}

static int
fake_map(void *context, int fd, size_t size, void **ret_address)
{
    *ret_address = ((struct fake_host *)context)->run;
    return 0;
}

static void
fake_unmap(void *context, void *address, size_t size)
{
}

static void
fake_close(void *context, int fd)
{
}

void
fake_host_open(struct fake_host *host)
{
    const struct vmk_kvm_ops ops = {.open = fake_open,
                                    .ioctl = fake_ioctl,
                                    .map = fake_map,
                                    .unmap = fake_unmap,
                                    .close = fake_close,
                                    .context = host};
    ck_assert_int_eq(vmk_kvm_system_open(&ops, "/dev/fake", &host->system, NULL), 0);
    ck_assert_int_eq(vmk_kvm_vm_new(host->system, &host->vm, NULL), 0);
    ck_assert_int_eq(vmk_kvm_vcpu_new(host->vm, 0, &host->vcpu, NULL), 0);
    host->number = 0;
}

void
fake_host_free(struct fake_host *host)
{
    vmk_kvm_vcpu_free(host->vcpu);
    vmk_kvm_vm_free(host->vm);
    vmk_kvm_system_unref(host->system);
    free(host);
}

/* Bytes that differ from each other and from one field to the next. */
static void
fill(void *place, size_t size, uint8_t seed)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)place)[i] = (uint8_t)(seed + i * 7 + 1);
}

static void
fill_segment(struct kvm_segment *segment, uint8_t seed)
{
    *segment = (struct kvm_segment){.base = UINT64_C(0x123456789) * seed,
                                    .limit = 0x89abcdefu + seed,
                                    .selector = (uint16_t)(seed * 257),
                                    .type = seed & 15,
                                    .present = 1,
                                    .dpl = seed & 3,
                                    .db = seed & 1,
                                    .s = 1,
                                    .l = seed >> 1 & 1,
                                    .g = 1,
                                    .avl = seed & 1,
                                    .unusable = seed >> 2 & 1};
}

static void
fill_vcpu(struct fake_host *host)
{
    struct kvm_segment *segments = &host->sregs.cs;
    fill(&host->regs, sizeof host->regs, 3);
    fill(&host->sregs, sizeof host->sregs, 5);
    for (uint8_t i = 0; i < 8; i++)
        fill_segment(&segments[i], (uint8_t)(i + 1));
    host->sregs.gdt = (struct kvm_dtable){.base = 0x1111222233334444, .limit = 0x1235};
    host->sregs.idt = (struct kvm_dtable){.base = 0x5555666677778888, .limit = 0x6789};
    host->sregs.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    fill(host->debug.db, sizeof host->debug.db, 11);
    host->debug.dr6 = 0xffff0ff1;
    host->debug.dr7 = 0x401;
    host->xcrs = (struct kvm_xcrs){.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = 7}}};
    fill(host->xsave, host->xsave_size, 13);
    memset(host->xsave + 512, 0, 64);
    host->xsave[512] = 7;
    host->events = (struct kvm_vcpu_events){.exception = {.injected = 1, .nr = 14, .error_code = 6},
                                            .interrupt = {.injected = 1, .nr = 0x31, .shadow = 2},
                                            .nmi = {.pending = 1, .masked = 1},
                                            .flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
                                                     KVM_VCPUEVENT_VALID_SHADOW |
                                                     KVM_VCPUEVENT_VALID_SIPI_VECTOR,
                                            .sipi_vector = 0x9a};
    host->events.exception.has_error_code = 1;
    host->mp_state.mp_state = KVM_MP_STATE_HALTED;
    fill(&host->lapic, sizeof host->lapic, 17);
    host->tsc_offset = 0xfffffffffffff000;
    fill(host->nested, sizeof host->nested, 19);
    *(struct kvm_nested_state *)host->nested = (struct kvm_nested_state){
        .flags = KVM_STATE_NESTED_GUEST_MODE, .format = 1, .size = FAKE_NESTED_SIZE};
    host->clock.clock = 123456789;
    for (uint32_t i = 0; i < 3; i++) {
        fill(&host->chips[i], sizeof host->chips[i], (uint8_t)(23 + i));
        host->chips[i].chip_id = i;
        host->chips[i].pad = 0;
    }
    fill(&host->pit, sizeof host->pit, 29);
    memcpy(host->cpuid, host->supported, sizeof host->supported);
    host->cpuid_count = host->supported_count;
}

struct fake_host *
fake_host_new(void)
{
    static const struct kvm_cpuid_entry2 leaves[] = {
        {.function = 0, .eax = 0xd, .ebx = 0x756e6547, .edx = 0x49656e69, .ecx = 0x6c65746e},
        {.function = 1, .ecx = 0x14000001, .edx = 0x178bfbff},
        {.function = 7, .flags = 1, .ebx = 0x10020 | 1u << 9, .ecx = 4},
        {.function = 0xd, .flags = 1, .eax = 7, .ebx = 832, .ecx = 832},
        {.function = 0xd, .index = 2, .flags = 1, .eax = 256, .ebx = 576},
        {.function = 0x80000001, .ecx = 0x100, .edx = 0x2c100800},
    };
    static const struct fake_msr msrs[] = {
        {.index = 0x6e0, .value = 0x600000000},
        {.index = 0x174, .value = 0x10},
        {.index = 0x10, .value = 0x500000000},
        {.index = 0xc0000082, .value = 0xffffffff81000000},
        {.index = 0x10a, .value = 0xc000000, .constant = true},
        {.index = 0x38f, .value = 3},
        {.index = 0xc1, .value = 77},
        {.index = 0x3a, .value = 5},
        {.index = 0x4b564d02, .value = 0x1001},
        {.index = 0x4b564d06, .value = 0xf3},
        {.index = 0x277, .value = 0x7040600070406},
        {.index = 0x201, .value = 0x3ffffc000800, .unlisted = true},
        {.index = 0x179, .value = 0x2, .unlisted = true, .constant = true},
        {.index = 0x400, .value = 0, .unlisted = true},
        {.index = 0x404, .value = UINT64_MAX, .unlisted = true},
        {.index = 0xc0000080, .value = 0xd01, .unlisted = true},
    };
    struct fake_host *host = calloc(1, sizeof *host);
    ck_assert_ptr_nonnull(host);
    memcpy(host->supported, leaves, sizeof leaves);
    host->supported_count = sizeof leaves / sizeof leaves[0];
    memcpy(host->msrs, msrs, sizeof msrs);
    host->msr_count = sizeof msrs / sizeof msrs[0];
    host->khz = 2400000;
    host->nested_size = FAKE_NESTED_SIZE;
    host->xsave_size = FAKE_XSAVE_SIZE;
    host->has_pit = true;
    fill_vcpu(host);
    return host;
}

struct fake_host *
fake_host_new_like(const struct fake_host *other)
{
    struct fake_host *host = calloc(1, sizeof *host);
    ck_assert_ptr_nonnull(host);
    memcpy(host->supported, other->supported, sizeof host->supported);
    host->supported_count = other->supported_count;
    memcpy(host->msrs, other->msrs, sizeof host->msrs);
    host->msr_count = other->msr_count;
    for (uint32_t i = 0; i < host->msr_count; i++) {
        if (!host->msrs[i].constant)
            host->msrs[i].value = 0;
    }
    host->khz = other->khz;
    host->tsc_control = other->tsc_control;
    host->no_sregs2 = other->no_sregs2;
    host->no_offset = other->no_offset;
    host->nested_size = other->nested_size;
    host->xsave_size = other->xsave_size;
    return host;
}
