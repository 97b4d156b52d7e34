/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of raw VMs that are whole, every checksum right, and that say of the processor what this
 * host is not. Each is refused with a sentence that names it, and leaves nothing behind.
 */
#include "guest.h"

#include "other_processor.h"
#include "usage.h"
#include "vm/vm_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A VM whose guest goes to a port, again and again. */
static vmkit_snapshot *
take(void)
{
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc}; /* out %al,$0x10; jmp */
    struct guest guest;
    vmkit_snapshot *snapshot = NULL;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    guest_free(&guest);
    return snapshot;
}

/* The state of the VM, with its vCPU as `change` leaves it. */
static void
encode_changed(const vmkit_snapshot *snapshot, void (*change)(struct vmk_x86_vcpu_state *),
               struct vmk_bytes *bytes)
{
    struct vmk_vm_state state = *vmk_vm_snapshot_get_state(snapshot);
    struct vmk_vm_state_vcpu vcpu = state.vcpus[0];
    struct vmk_x86_vcpu_state *parts = calloc(1, sizeof *parts);
    struct vmk_bytes changed = {0};
    ck_assert_ptr_nonnull(parts);
    ck_assert_uint_eq(state.vcpu_count, 1);
    ASSERT_OK(vmk_x86_vcpu_state_decode(parts, vcpu.bytes, vcpu.size, &error));
    change(parts);
    ASSERT_OK(vmk_x86_vcpu_state_encode(parts, &changed, &error));
    vcpu.bytes = changed.data;
    vcpu.size = changed.size;
    state.vcpus = &vcpu;
    ASSERT_OK(vmk_vm_state_encode(&state, bytes, &error));
    vmk_bytes_clear(&changed);
    free(parts);
}

/* The same snapshot with another vCPU, saved and opened. */
static vmkit_snapshot *
reopen_changed(vmkit_snapshot *snapshot, void (*change)(struct vmk_x86_vcpu_state *))
{
    vmkit_snapshot *other = NULL, *opened = NULL;
    struct vmk_bytes bytes = {0};
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    encode_changed(snapshot, change, &bytes);
    ASSERT_OK(vmk_vm_snapshot_new(vmk_image_ref(vmk_vm_snapshot_get_image(snapshot)), &bytes,
                                  &other, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(other, fd, NULL, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
    vmk_bytes_clear(&bytes);
    vmkit_snapshot_unref(other);
    vmkit_snapshot_unref(snapshot);
    close(fd);
    return opened;
}

static void
leave_as_it_is(struct vmk_x86_vcpu_state *parts)
{
    (void)parts;
}

/* A whole machine's kernel may use what user mode has nothing of. */
static void
add_for_a_kernel(struct vmk_x86_vcpu_state *parts)
{
    other_processor_add_feature(parts, 1, 3, 30);
}

static void
add_without_a_name(struct vmk_x86_vcpu_state *parts)
{
    other_processor_add_feature(parts, 0x40000001, 0, 31);
}

static void
use_unknown_component(struct vmk_x86_vcpu_state *parts)
{
    parts->xcrs[0].value |= UINT64_C(1) << 40;
}

static void
need_an_msr(struct vmk_x86_vcpu_state *parts)
{
    parts->msrs[parts->msr_count++] = (struct vmkit_x86_msr){.index = 0x12345, .value = 1};
}

static const struct {
    void (*change)(struct vmk_x86_vcpu_state *);
    const char *message;
} refusals[] = {
    {other_processor_change_vendor,
     "the snapshot's processor is of the vendor \"AnotherMaker\", this host's is "},
    {other_processor_add_instructions,
     "the snapshot's processor has avx512er, this host's KVM does not offer it"},
    {add_for_a_kernel, "the snapshot's processor has ia64, this host's KVM does not offer it"},
    {add_without_a_name, "the snapshot's processor has bit 31 of EAX in CPUID leaf 0x40000001, 0"},
    {use_unknown_component, "the snapshot's processor has the part 40 of the extended state"},
    {need_an_msr, "the snapshot's processor has the MSR 0x12345, this host's KVM does not"},
};

START_TEST(another_processor_is_refused_by_what_it_lacks)
{
    vmkit_vm *vm = NULL;
    vmkit_vcpu *vcpu = NULL;
    vmkit_snapshot *opened = reopen_changed(take(), refusals[_i].change);
    unsigned long descriptors = usage_count_descriptors();
    ASSERT_FAILS(vmkit_vm_new_from_snapshot(opened, NULL, 0, &vcpu, 1, NULL, &vm, &error), ENOTSUP,
                 VMKIT_ERROR_KVM_INCAPABLE, refusals[_i].message);
    ck_assert_ptr_null(vm);
    ck_assert_ptr_null(vcpu);
    ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    vmkit_snapshot_unref(opened);
}
END_TEST

START_TEST(the_same_processor_goes_on)
{
    struct guest guest = {.exit.size = sizeof guest.exit};
    vmkit_snapshot *opened = reopen_changed(take(), leave_as_it_is);
    ASSERT_OK(vmkit_vm_new_from_snapshot(opened, NULL, 0, &guest.vcpu, 1, NULL, &guest.vm, &error));
    vmkit_snapshot_unref(opened);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x10);
    guest_free(&guest);
}
END_TEST

/* A file of a few kilobytes: one memory that many regions show. KVM keeps books on each of them. */
START_TEST(regions_that_cost_more_than_opening_may_take_are_refused)
{
    const uint64_t size = UINT64_C(64) << 20;
    vmkit_vm *vm = NULL;
    vmkit_memory *memory = NULL;
    vmkit_snapshot *snapshot = NULL, *opened = NULL;
    vmkit_snapshot_options *options = NULL;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(size, 0, &memory, &error));
    for (uint64_t i = 0; i < 16; i++)
        ASSERT_OK(vmkit_vm_add_memory(vm, i * size, memory, 0, size, 0, &error));
    ASSERT_OK(vmkit_vm_snapshot(vm, NULL, 0, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error));
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_memory_limit(options, (2 << 20) - 1, &error));
    ASSERT_FAILS(vmkit_snapshot_open_fd(fd, 0, options, &opened, &error), E2BIG, VMKIT_ERROR_LIMIT,
                 "16 memory regions have 262144 pages");
    ck_assert_ptr_null(opened);
    ASSERT_OK(vmkit_snapshot_options_set_memory_limit(options, 2 << 20, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, options, &opened, &error));
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
    vmkit_snapshot_options_unref(options);
    vmkit_memory_unref(memory);
    vmkit_vm_unref(vm);
    close(fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot_hostile");
    TCase *tcase = tcase_create("hostile");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_same_processor_goes_on);
    tcase_add_loop_test(tcase, another_processor_is_refused_by_what_it_lacks, 0,
                        sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tcase, regions_that_cost_more_than_opening_may_take_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
