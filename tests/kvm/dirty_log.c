/* SPDX-License-Identifier: Apache-2.0 */
/* The dirty log of a region of a raw VM: kept until it is cleared. */
#include "harness.h"
#include "kvm/x86_64.h"
#include "vm/vcpu.h"

#include <errno.h>
#include <string.h>

#define MEMORY_SIZE 0x10000u

/* mov %al,(0x2000); hlt; mov %al,(0x5000); hlt; jmp to the start. */
static const uint8_t code[] = {0xa2, 0x00, 0x20, 0xf4, 0xa2, 0x00, 0x50, 0xf4, 0xeb, 0xf6};

struct guest {
    struct vmkit_vm *vm;
    struct vmkit_vcpu *vcpu;
};

static struct guest
guest_new(bool keeps)
{
    struct guest guest;
    struct vmkit_memory *memory;
    struct vmk_vm_options options = {.real_mode = true};
    ck_assert_int_eq(vmk_vm_new(&options, &guest.vm, NULL), 0);
    if (keeps)
        ck_assert_int_eq(vmk_vm_keep_dirty_log(guest.vm, NULL), 0);
    ck_assert_int_eq(vmk_memory_new_anonymous(MEMORY_SIZE, 0, &memory, NULL), 0);
    memcpy((uint8_t *)vmk_memory_get_pointer(memory) + 0x1000, code, sizeof code);
    ck_assert_int_eq(vmk_vm_add_logged_memory(guest.vm, 0, memory, 0, MEMORY_SIZE, NULL), 0);
    ck_assert_int_eq(vmk_vm_add_memory(guest.vm, 0x100000, memory, 0, 0x1000, false, NULL), 0);
    vmk_memory_unref(memory);
    ck_assert_int_eq(vmk_vcpu_new(guest.vm, 0, &guest.vcpu, NULL), 0);

    struct vmk_kvm_vcpu *kvm = vmk_vcpu_get_kvm(guest.vcpu);
    struct vmkit_x86_sregs sregs;
    ck_assert_int_eq(vmk_kvm_x86_get_sregs(kvm, &sregs, NULL), 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    ck_assert_int_eq(vmk_kvm_x86_set_sregs(kvm, &sregs, NULL), 0);
    struct vmk_user_regs regs = {.rip = 0x1000, .rflags = 2};
    ck_assert_int_eq(vmk_kvm_x86_set_regs(kvm, &regs, NULL), 0);
    return guest;
}

static void
guest_free(struct guest *guest)
{
    vmk_vcpu_unref(guest->vcpu);
    vmk_vm_unref(guest->vm);
}

static void
run_to_halt(struct guest *guest)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ck_assert_int_eq(vmk_vcpu_run(guest->vcpu, &exit, NULL), 0);
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_HALT);
}

static uint64_t
read_log(struct guest *guest)
{
    uint64_t bitmap = UINT64_MAX;
    ck_assert_int_eq(vmk_vm_get_dirty_log(guest->vm, 0, &bitmap, NULL), 0);
    /* KVM may name more pages than were written: where SVM is emulated, that of the code too. */
    return bitmap & ~(UINT64_C(1) << 1);
}

START_TEST(a_kept_log_collects_until_it_is_cleared)
{
    struct guest guest = guest_new(true);
    ck_assert_uint_eq(read_log(&guest), 0);
    run_to_halt(&guest);
    ck_assert_uint_eq(read_log(&guest), 1u << 2);
    ck_assert_uint_eq(read_log(&guest), 1u << 2);
    run_to_halt(&guest);
    ck_assert_uint_eq(read_log(&guest), 1u << 2 | 1u << 5);

    uint64_t first = 1u << 2;
    ck_assert_int_eq(vmk_vm_clear_dirty_log(guest.vm, 0, &first, NULL), 0);
    ck_assert_uint_eq(read_log(&guest), 1u << 5);
    run_to_halt(&guest);
    ck_assert_uint_eq(read_log(&guest), 1u << 2 | 1u << 5);
    guest_free(&guest);
}
END_TEST

START_TEST(a_log_that_is_not_kept_begins_anew_when_it_is_read)
{
    struct guest guest = guest_new(false);
    run_to_halt(&guest);
    ck_assert_uint_eq(read_log(&guest), 1u << 2);
    ck_assert_uint_eq(read_log(&guest), 0);
    run_to_halt(&guest);
    run_to_halt(&guest);
    ck_assert_uint_eq(read_log(&guest), 1u << 2 | 1u << 5);
    guest_free(&guest);
}
END_TEST

START_TEST(a_refreshed_region_keeps_its_log_but_not_what_it_held)
{
    struct guest guest = guest_new(true);
    run_to_halt(&guest);
    ck_assert_int_eq(vmk_vm_refresh_memory(guest.vm, 0, NULL), 0);
    ck_assert_uint_eq(read_log(&guest), 0);
    run_to_halt(&guest);
    ck_assert_uint_eq(read_log(&guest), 1u << 5);
    guest_free(&guest);
}
END_TEST

START_TEST(a_region_without_a_log_is_refused)
{
    static const uint64_t addresses[] = {0x1000, 0x100000, 0x200000};
    struct guest guest = guest_new(true);
    uint64_t bitmap = 7;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_vm_get_dirty_log(guest.vm, addresses[_i], &bitmap, &error), -ENOENT);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "dirty log"));
    ck_assert_int_eq(vmk_vm_clear_dirty_log(guest.vm, addresses[_i], &bitmap, NULL), -ENOENT);
    ck_assert_uint_eq(bitmap, 7);
    vmkit_error_unref(error);
    guest_free(&guest);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("dirty_log");
    TCase *tcase = tcase_create("dirty_log");

    tcase_add_test(tcase, a_kept_log_collects_until_it_is_cleared);
    tcase_add_test(tcase, a_log_that_is_not_kept_begins_anew_when_it_is_read);
    tcase_add_test(tcase, a_refreshed_region_keeps_its_log_but_not_what_it_held);
    tcase_add_loop_test(tcase, a_region_without_a_log_is_refused, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite;
}
