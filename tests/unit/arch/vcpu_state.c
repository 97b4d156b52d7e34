/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's whole state through its bytes, against a KVM that the test plays. */
#include "fake_vcpu.h"

#include "arch/x86_64/vcpu_state_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL VMK_ARCH_CONTROLLERS_ALL
#define PART_HEAD 16

static struct fake_host *saved;
static struct fake_host *loaded;
static struct vmk_bytes bytes;

static void
save(void)
{
    ck_assert_int_eq(vmk_vcpu_state_save(saved->vcpu, ALL, &bytes, NULL), 0);
}

static int
load(vmkit_error **error)
{
    struct vmk_vcpu_state_clock clock = {0};
    return vmk_vcpu_state_load(loaded->vcpu, ALL, bytes.data, bytes.size, &clock, error);
}

/* The host to load on has what the other has, but for what the test changes before it opens it. */
static void
set_up(void)
{
    saved = fake_host_new();
    fake_host_open(saved);
    loaded = fake_host_new_like(saved);
}

static void
tear_down(void)
{
    fake_host_free(saved);
    fake_host_free(loaded);
    vmk_bytes_clear(&bytes);
}

static void
assert_refused(int result, const char *message)
{
    vmkit_error *error = NULL;
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(vmk_vcpu_state_check(loaded->system, bytes.data, bytes.size, &error), result);
    ck_assert_str_eq(vmkit_error_get_message(error), message);
    vmkit_error_unref(error);
    ck_assert_int_eq(load(NULL), result);
    ck_assert_uint_eq(loaded->call_count, 0);
}

START_TEST(all_that_was_saved_is_set)
{
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(load(NULL), 0);
    ck_assert_mem_eq(&loaded->regs, &saved->regs, sizeof saved->regs);
    ck_assert_mem_eq(&loaded->sregs, &saved->sregs, sizeof saved->sregs);
    ck_assert_mem_eq(loaded->debug.db, saved->debug.db, sizeof saved->debug.db);
    ck_assert_uint_eq(loaded->debug.dr6, saved->debug.dr6);
    ck_assert_uint_eq(loaded->debug.dr7, saved->debug.dr7);
    ck_assert_uint_eq(loaded->xcrs.xcrs[0].value, 7);
    ck_assert_mem_eq(loaded->xsave, saved->xsave, FAKE_XSAVE_SIZE);
    ck_assert_mem_eq(&loaded->events, &saved->events, sizeof saved->events);
    ck_assert_uint_eq(loaded->mp_state.mp_state, KVM_MP_STATE_HALTED);
    ck_assert_mem_eq(&loaded->lapic, &saved->lapic, sizeof saved->lapic);
    ck_assert_mem_eq(loaded->nested, saved->nested, FAKE_NESTED_SIZE);
    ck_assert_uint_eq(loaded->cpuid_count, saved->cpuid_count);
    ck_assert_mem_eq(loaded->cpuid, saved->cpuid,
                     saved->cpuid_count * sizeof(struct kvm_cpuid_entry2));
    for (uint32_t i = 0; i < saved->msr_count; i++) {
        /* EFER is a special register; the TSC goes by its offset here. */
        if (saved->msrs[i].index != 0xc0000080 && saved->msrs[i].index != 0x10)
            ck_assert_msg(loaded->msrs[i].value == saved->msrs[i].value, "MSR 0x%x",
                          saved->msrs[i].index);
    }
}
END_TEST

START_TEST(a_host_without_the_newer_calls_loads_as_well)
{
    loaded->no_sregs2 = loaded->no_offset = true;
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(load(NULL), 0);
    ck_assert_mem_eq(&loaded->sregs, &saved->sregs, offsetof(struct kvm_sregs2, flags));
    ck_assert_uint_eq(fake_host_find_msr(loaded, 0x10)->value, 0x500000000);
    ck_assert_int_eq(fake_host_find_call(loaded, KVM_SET_DEVICE_ATTR), -1);
}
END_TEST

START_TEST(what_depends_on_something_is_set_after_it)
{
    static const struct {
        unsigned long before, after;
    } pairs[] = {{KVM_SET_CPUID2, KVM_SET_SREGS2},
                 {KVM_SET_CPUID2, KVM_SET_XSAVE},
                 {KVM_SET_SREGS2, KVM_SET_LAPIC},
                 {KVM_SET_LAPIC, 0x6e0},
                 {KVM_SET_DEVICE_ATTR, 0x6e0},
                 {0x3a, 0x174},
                 {0xc1, 0x38f},
                 {0x4b564d06, 0x4b564d02},
                 {KVM_SET_REGS, KVM_SET_VCPU_EVENTS},
                 {KVM_SET_SREGS2, KVM_SET_NESTED_STATE},
                 {0x174, KVM_SET_NESTED_STATE},
                 {KVM_SET_NESTED_STATE, KVM_SET_VCPU_EVENTS},
                 {KVM_SET_VCPU_EVENTS, KVM_SET_MP_STATE}};
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(load(NULL), 0);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int before = fake_host_find_call(loaded, pairs[i].before);
        int after = fake_host_find_call(loaded, pairs[i].after);
        ck_assert_msg(before >= 0 && after > before, "pair %zu: %d, %d", i, before, after);
    }
}
END_TEST

START_TEST(counters_stay_as_far_apart_as_they_were)
{
    struct vmk_vcpu_state_clock clock = {0};
    fake_host_open(loaded);
    save();
    loaded->tsc_offset = 1000;
    fake_host_find_msr(loaded, 0x10)->value = 0x400000000;
    ck_assert_int_eq(vmk_vcpu_state_load(loaded->vcpu, ALL, bytes.data, bytes.size, &clock, NULL),
                     0);
    ck_assert_uint_eq(loaded->tsc_offset, 1000 + 0x100000000);

    /* A second vCPU, 5 ticks ahead, whose counter was read much later. */
    vmk_bytes_clear(&bytes);
    saved->tsc_offset += 5;
    fake_host_find_msr(saved, 0x10)->value += 123456;
    save();
    loaded->tsc_offset = 77;
    ck_assert_int_eq(vmk_vcpu_state_load(loaded->vcpu, ALL, bytes.data, bytes.size, &clock, NULL),
                     0);
    ck_assert_uint_eq(loaded->tsc_offset, 1005 + 0x100000000);
}
END_TEST

START_TEST(another_vendor_is_named)
{
    fake_host_find_leaf(loaded, 0, 0)->ebx = 0x68747541;
    fake_host_find_leaf(loaded, 0, 0)->edx = 0x69746e65;
    fake_host_find_leaf(loaded, 0, 0)->ecx = 0x444d4163;
    assert_refused(-ENOTSUP, "the snapshot's processor is of the vendor \"GenuineIntel\", this "
                             "host's is \"AuthenticAMD\"");
}
END_TEST

START_TEST(a_missing_feature_is_named)
{
    fake_host_find_leaf(loaded, 7, 0)->ebx &= ~0x10000u;
    assert_refused(-ENOTSUP,
                   "the snapshot's processor has avx512f, this host's KVM does not offer it");
}
END_TEST

START_TEST(a_missing_feature_without_a_name_is_told_by_its_place)
{
    fake_host_free(saved);
    saved = fake_host_new();
    fake_host_find_leaf(saved, 1, 0)->edx |= 1u << 10;
    saved->cpuid[1].edx |= 1u << 10;
    fake_host_open(saved);
    assert_refused(-ENOTSUP,
                   "the snapshot's processor has bit 10 of EDX in CPUID leaf 0x1, 0, this "
                   "host's KVM does not offer it");
}
END_TEST

/* A state that needs one bit of CPUID, which the host has not. */
static int
compare_one(uint32_t leaf, uint32_t subleaf, uint32_t reg, uint32_t bit, bool user_only,
            vmkit_error **error)
{
    static const uint8_t xsave[VMK_X86_STATE_XSAVE_LEAST];
    struct vmk_x86_vcpu_state *state = calloc(1, sizeof *state);
    ck_assert_ptr_nonnull(state);
    memcpy(state->vendor, "GenuineIntel", sizeof state->vendor);
    state->word_count = 1;
    state->words[0] = (struct vmk_x86_feature_word){leaf, subleaf, reg, UINT32_C(1) << bit};
    state->xsave = xsave;
    state->xsave_size = sizeof xsave;
    int result = vmk_x86_vcpu_state_compare(loaded->system, state, user_only, error);
    free(state);
    return result;
}

START_TEST(user_mode_needs_what_user_mode_can_use)
{
    enum { EAX, EBX, ECX, EDX };
    static const struct {
        uint32_t leaf, subleaf, reg, bit;
        bool user;
        const char *name;
    } features[] = {
        {0x1, 0, ECX, 5, false, "vmx"},
        {0x1, 0, ECX, 21, false, "x2apic"},
        {0x1, 0, ECX, 12, true, "fma"},
        {0x1, 0, ECX, 16, true, "bit 16 of ECX in CPUID leaf 0x1, 0"},
        {0x1, 0, EDX, 12, false, "mtrr"},
        {0x6, 0, EAX, 9, false, "bit 9 of EAX in CPUID leaf 0x6, 0"},
        {0x7, 0, EBX, 7, false, "smep"},
        {0x7, 0, EBX, 10, false, "invpcid"},
        {0x7, 0, EBX, 27, true, "avx512er"},
        {0x7, 0, ECX, 16, false, "la57"},
        {0x7, 0, ECX, 22, true, "rdpid"},
        {0x7, 0, EDX, 26, false, "spec_ctrl"},
        {0x7, 0, EDX, 14, true, "serialize"},
        {0x7, 1, EAX, 4, true, "avx_vnni"},
        {0x7, 2, EDX, 0, false, "psfd"},
        {0xd, 1, EAX, 3, false, "xsaves"},
        {0xd, 1, EAX, 1, true, "xsavec"},
        {0x80000001, 0, ECX, 2, false, "svm"},
        {0x80000001, 0, ECX, 6, true, "sse4a"},
        {0x80000001, 0, EDX, 20, false, "nx"},
        {0x80000001, 0, EDX, 27, true, "rdtscp"},
        {0x80000007, 0, EDX, 8, true, "constant_tsc"},
        {0x80000008, 0, EBX, 12, false, "amd_ibpb"},
        {0x80000008, 0, EBX, 0, true, "clzero"},
        {0x40000001, 0, EAX, 24, false, "kvm_clocksource_stable"},
        /* A later release may know it. */
        {0x24, 0, EBX, 3, true, "bit 3 of EBX in CPUID leaf 0x24, 0"},
    };
    loaded->supported_count = 1; /* no leaf but that of the vendor */
    fake_host_open(loaded);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        for (int user_only = 0; user_only < 2; user_only++) {
            vmkit_error *error = NULL;
            char message[128];
            bool needed = user_only == 0 || features[i].user;
            int result = compare_one(features[i].leaf, features[i].subleaf, features[i].reg,
                                     features[i].bit, user_only != 0, &error);
            ck_assert_msg(result == (needed ? -ENOTSUP : 0), "%s: %d", features[i].name, result);
            snprintf(message, sizeof message,
                     "the snapshot's processor has %s, this host's KVM does not offer it",
                     features[i].name);
            if (needed)
                ck_assert_str_eq(vmkit_error_get_message(error), message);
            vmkit_error_unref(error);
        }
    }
}
END_TEST

START_TEST(what_the_embedder_made_up_is_not_asked_of_another_host)
{
    saved->cpuid[2].edx |= 1u << 22; /* amx_bf16, which its host does not offer */
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(load(NULL), 0);
    ck_assert_uint_eq(loaded->cpuid[2].edx, 1u << 22);
}
END_TEST

START_TEST(a_smaller_extended_state_names_the_part_that_it_lacks)
{
    fake_host_find_leaf(loaded, 0xd, 0)->eax = 3;
    assert_refused(-ENOTSUP,
                   "the snapshot's processor has the AVX state, this host's KVM does not offer "
                   "it");
}
END_TEST

START_TEST(a_part_of_the_extended_state_in_another_place_is_named)
{
    fake_host_find_leaf(loaded, 0xd, 2)->ebx = 640;
    assert_refused(-ENOTSUP, "the snapshot's processor has the AVX state, this host's KVM keeps it "
                             "in another place");
}
END_TEST

START_TEST(bytes_beyond_the_hosts_extended_state_are_not_dropped)
{
    loaded->xsave_size = 2048;
    assert_refused(-ENOTSUP, "the snapshot's processor has an extended state of 4096 bytes, this "
                             "host's KVM offers 2048");
}
END_TEST

START_TEST(a_larger_extended_state_that_ends_in_zeros_fits)
{
    memset(saved->xsave + 2048, 0, 2048);
    loaded->xsave_size = 2048;
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(load(NULL), 0);
    ck_assert_mem_eq(loaded->xsave, saved->xsave, 2048);
}
END_TEST

START_TEST(guests_of_a_guest_need_a_host_that_has_them)
{
    loaded->nested_size = 0;
    assert_refused(-ENOTSUP, "the snapshot's processor has guests of its own, this host's KVM does "
                             "not offer it");
}
END_TEST

static void
assert_load(int result, const char *message)
{
    vmkit_error *error = NULL;
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(load(&error), result);
    if (result < 0)
        ck_assert_str_eq(vmkit_error_get_message(error), message);
    vmkit_error_unref(error);
}

START_TEST(another_frequency_of_the_tsc_is_told)
{
    loaded->khz = 2000000;
    assert_load(-ENOTSUP, "the snapshot's processor has a TSC of 2400000 kHz, this host's KVM "
                          "offers 2000000 kHz and cannot scale it");
}
END_TEST

START_TEST(a_frequency_within_the_kernels_tolerance_is_the_same)
{
    loaded->khz = 2400500;
    assert_load(0, NULL);
    ck_assert_uint_eq(loaded->khz, 2400500);
}
END_TEST

START_TEST(a_host_that_scales_takes_the_frequency)
{
    loaded->khz = 2000000;
    loaded->tsc_control = true;
    assert_load(0, NULL);
    ck_assert_uint_eq(loaded->khz, 2400000);
}
END_TEST

START_TEST(a_missing_msr_is_named)
{
    fake_host_find_msr(loaded, 0xc0000082)->missing = true;
    assert_load(-ENOTSUP,
                "the snapshot's processor has the MSR 0xc0000082 (lstar), this host's KVM "
                "does not offer it");
}
END_TEST

START_TEST(a_missing_msr_that_held_nothing_is_not_missed)
{
    fake_host_find_msr(saved, 0xc0000082)->value = 0;
    fake_host_find_msr(loaded, 0xc0000082)->missing = true;
    assert_load(0, NULL);
    ck_assert_uint_eq(fake_host_find_msr(loaded, 0x277)->value, 0x7040600070406);
}
END_TEST

START_TEST(a_constant_msr_of_another_value_is_named)
{
    fake_host_find_msr(loaded, 0x10a)->value = 0x8000000;
    assert_load(-ENOTSUP, "the snapshot's processor has 0xc000000 in the MSR 0x10a "
                          "(arch_capabilities), this host's has 0x8000000 and takes no other");
}
END_TEST

START_TEST(a_vm_without_local_controllers_does_not_take_one)
{
    struct vmk_vcpu_state_clock clock = {0};
    vmkit_error *error = NULL;
    fake_host_open(loaded);
    save();
    ck_assert_int_eq(vmk_vcpu_state_load(loaded->vcpu, VMK_ARCH_CONTROLLERS_NONE, bytes.data,
                                         bytes.size, &clock, &error),
                     -EINVAL);
    ck_assert_str_eq(vmkit_error_get_message(error), "the saved state of a vCPU has a local "
                                                     "interrupt controller, and the VM has none");
    vmkit_error_unref(error);
}
END_TEST

static void
assert_bytes(int result, const char *message)
{
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_vcpu_state_check(loaded->system, bytes.data, bytes.size, &error), result);
    if (result < 0)
        ck_assert_str_eq(vmkit_error_get_message(error), message);
    vmkit_error_unref(error);
}

START_TEST(another_form_or_architecture_is_told)
{
    fake_host_open(loaded);
    save();
    bytes.data[0] = 2;
    assert_bytes(-ENOTSUP, "the saved state of a vCPU has the form 2 of a later release, this one "
                           "knows 1");
    bytes.data[0] = 1;
    bytes.data[4] = 9;
    assert_bytes(-ENOTSUP,
                 "the saved state of a vCPU is of the architecture 9, this host is x86-64");
    bytes.data[0] = 0;
    assert_bytes(-EINVAL, "the saved state of a vCPU has no head");
}
END_TEST

START_TEST(an_unknown_part_is_skipped_only_when_it_says_so)
{
    fake_host_open(loaded);
    save();
    size_t at = bytes.size;
    vmk_bytes_put_u32(&bytes, 99);
    vmk_bytes_put_u32(&bytes, 1);
    vmk_bytes_put_u64(&bytes, 3);
    vmk_bytes_put(&bytes, "abc", 3);
    assert_bytes(0, NULL);
    bytes.data[at + 4] = 0;
    assert_bytes(-ENOTSUP,
                 "the saved state of a vCPU has a part 99 that this release does not know");
    /* A length that goes round the end. */
    memset(bytes.data + at + 8, 0xff, 8);
    assert_bytes(-EINVAL, "the saved state of a vCPU ends inside of a part");
}
END_TEST

START_TEST(a_part_that_is_missing_or_comes_twice_is_named)
{
    fake_host_open(loaded);
    save();
    uint64_t length;
    memcpy(&length, bytes.data + 16, sizeof length);
    size_t first = 8, next = first + PART_HEAD + (size_t)length;
    vmk_bytes_put(&bytes, bytes.data + first, next - first);
    assert_bytes(-EINVAL, "the saved state of a vCPU repeats its processor");
    bytes.size -= next - first;
    memmove(bytes.data + first, bytes.data + next, bytes.size - next);
    bytes.size -= next - first;
    assert_bytes(-EINVAL, "the saved state of a vCPU lacks its processor");
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    fake_host_open(loaded);
    save();
    size_t size = bytes.size, optional = 0;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, bytes.data, cut);
        int result = vmk_vcpu_state_check(loaded->system, copy, cut, NULL);
        /* What is left when a part at the end is gone that need not be there is a state. */
        optional += result == 0;
        ck_assert_msg(result == 0 || result == -EINVAL || result == -ENOTSUP, "%zu: %d", cut,
                      result);
        free(copy);
    }
    ck_assert_uint_eq(optional, 2);
}
END_TEST

/* The same sequence in every run. */
static uint32_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(*seed >> 33);
}

START_TEST(mutations_are_refused_or_loaded_and_never_crash)
{
    uint64_t seed = 42;
    int refused = 0, taken = 0;
    fake_host_open(loaded);
    save();
    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(bytes.size);
        struct vmk_vcpu_state_clock clock = {0};
        memcpy(copy, bytes.data, bytes.size);
        for (uint32_t i = 0; i <= next_random(&seed) % 4; i++) {
            /* Mostly near the beginning, where the heads and counts are. */
            uint32_t limit = next_random(&seed) % 2 == 0 ? 2048 : (uint32_t)bytes.size;
            uint32_t at = next_random(&seed) % limit;
            uint32_t kind = next_random(&seed) % 3;
            copy[at] = kind == 0   ? (uint8_t)(copy[at] ^ 1u << next_random(&seed) % 8)
                       : kind == 1 ? 0xff
                                   : (uint8_t)next_random(&seed);
        }
        loaded->call_count = 0;
        loaded->khz = saved->khz;
        int result = vmk_vcpu_state_load(loaded->vcpu, ALL, copy, bytes.size, &clock, NULL);
        ck_assert_int_le(result, 0);
        refused += result < 0;
        taken += result == 0;
        free(copy);
    }
    ck_assert_int_gt(refused, 1000);
    ck_assert_int_gt(taken, 1000);
}
END_TEST

START_TEST(every_call_that_fails_is_an_error)
{
    fake_host_open(loaded);
    int at = 0, result;
    do {
        vmkit_error *error = NULL;
        saved->number = 0;
        saved->fail_at = ++at;
        result = vmk_vcpu_state_save(saved->vcpu, ALL, &bytes, &error);
        ck_assert_int_eq(result == 0, error == NULL);
        vmkit_error_unref(error);
        if (result < 0)
            vmk_bytes_clear(&bytes);
    } while (result < 0);
    ck_assert_int_ge(at, 16);

    at = 0;
    do {
        vmkit_error *error = NULL;
        loaded->number = 0;
        loaded->call_count = 0;
        loaded->fail_at = ++at;
        result = load(&error);
        ck_assert_int_eq(result == 0, error == NULL);
        vmkit_error_unref(error);
    } while (result < 0);
    /* A failure to tell the TSC's frequency means that there is none to be told. */
    ck_assert_int_ge(at, 14);
}
END_TEST

START_TEST(the_state_of_a_vm_comes_back)
{
    fake_host_open(loaded);
    ck_assert_int_eq(vmk_arch_vm_state_save(saved->vm, ALL, &bytes, NULL), 0);
    ck_assert_int_eq(vmk_arch_vm_state_check(bytes.data, bytes.size, ALL, NULL), 0);
    ck_assert_int_eq(vmk_arch_vm_state_load_clock(loaded->vm, bytes.data, bytes.size, NULL), 0);
    ck_assert_uint_eq(loaded->clock.clock, 123456789);
    ck_assert_int_eq(
        vmk_arch_vm_state_load_controllers(loaded->vm, ALL, bytes.data, bytes.size, NULL), 0);
    ck_assert_mem_eq(loaded->chips, saved->chips, sizeof saved->chips);
    ck_assert(loaded->has_pit);
    ck_assert_mem_eq(&loaded->pit, &saved->pit, sizeof saved->pit);
}
END_TEST

START_TEST(the_state_of_a_vm_fits_its_controllers)
{
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_arch_vm_state_save(saved->vm, ALL, &bytes, NULL), 0);
    ck_assert_int_eq(
        vmk_arch_vm_state_check(bytes.data, bytes.size, VMK_ARCH_CONTROLLERS_LOCAL, &error),
        -EINVAL);
    ck_assert_str_eq(vmkit_error_get_message(error),
                     "the saved state of a VM has interrupt controllers or a timer, and the VM has "
                     "none in the kernel");
    vmkit_error_unref(error);
    vmk_bytes_clear(&bytes);
    ck_assert_int_eq(vmk_arch_vm_state_save(saved->vm, VMK_ARCH_CONTROLLERS_NONE, &bytes, NULL), 0);
    ck_assert_int_eq(vmk_arch_vm_state_check(bytes.data, bytes.size, ALL, NULL), -EINVAL);
    ck_assert_int_eq(
        vmk_arch_vm_state_check(bytes.data, bytes.size, VMK_ARCH_CONTROLLERS_NONE, NULL), 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("arch_vcpu_state");
    TCase *tcase = tcase_create("vcpu_state");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, all_that_was_saved_is_set);
    tcase_add_test(tcase, a_host_without_the_newer_calls_loads_as_well);
    tcase_add_test(tcase, what_depends_on_something_is_set_after_it);
    tcase_add_test(tcase, counters_stay_as_far_apart_as_they_were);
    tcase_add_test(tcase, another_vendor_is_named);
    tcase_add_test(tcase, a_missing_feature_is_named);
    tcase_add_test(tcase, a_missing_feature_without_a_name_is_told_by_its_place);
    tcase_add_test(tcase, user_mode_needs_what_user_mode_can_use);
    tcase_add_test(tcase, what_the_embedder_made_up_is_not_asked_of_another_host);
    tcase_add_test(tcase, a_smaller_extended_state_names_the_part_that_it_lacks);
    tcase_add_test(tcase, a_part_of_the_extended_state_in_another_place_is_named);
    tcase_add_test(tcase, bytes_beyond_the_hosts_extended_state_are_not_dropped);
    tcase_add_test(tcase, a_larger_extended_state_that_ends_in_zeros_fits);
    tcase_add_test(tcase, guests_of_a_guest_need_a_host_that_has_them);
    tcase_add_test(tcase, another_frequency_of_the_tsc_is_told);
    tcase_add_test(tcase, a_frequency_within_the_kernels_tolerance_is_the_same);
    tcase_add_test(tcase, a_host_that_scales_takes_the_frequency);
    tcase_add_test(tcase, a_missing_msr_is_named);
    tcase_add_test(tcase, a_missing_msr_that_held_nothing_is_not_missed);
    tcase_add_test(tcase, a_constant_msr_of_another_value_is_named);
    tcase_add_test(tcase, a_vm_without_local_controllers_does_not_take_one);
    tcase_add_test(tcase, another_form_or_architecture_is_told);
    tcase_add_test(tcase, an_unknown_part_is_skipped_only_when_it_says_so);
    tcase_add_test(tcase, a_part_that_is_missing_or_comes_twice_is_named);
    tcase_add_test(tcase, every_truncation_is_refused);
    tcase_add_test(tcase, mutations_are_refused_or_loaded_and_never_crash);
    tcase_add_test(tcase, every_call_that_fails_is_an_error);
    tcase_add_test(tcase, the_state_of_a_vm_comes_back);
    tcase_add_test(tcase, the_state_of_a_vm_fits_its_controllers);
    suite_add_tcase(suite, tcase);
    return suite;
}
