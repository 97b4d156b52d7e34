/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of raw VMs while something fails: each call of KVM in turn, and a state that a stranger
 * wrote. Nothing is left behind. */
#include "harness.h"
#include "saboteur.h"

#include "vm/vm_snapshot.h"
#include "vm/x86_64.h"
#include "usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY 0x10000

/* out %al,$0x10; jmp */
static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc};

static struct vmkit_vm *
make_vm(struct vmk_kvm_system *system, enum vmk_vm_irqchip irqchip, struct vmkit_vcpu **ret_vcpu)
{
    const struct vmk_vm_options options = {
        .system = system,
        .real_mode = true,
        .irqchip = irqchip,
        .split_pins = irqchip == VMK_VM_IRQCHIP_SPLIT ? 24 : 0,
    };
    const struct vmkit_route route = {.gsi = 5, .kind = VMKIT_ROUTE_MSI, .msi_address = 0xfee00000};
    struct vmkit_vm *vm;
    struct vmkit_memory *memory;
    ck_assert_int_eq(vmk_vm_new(&options, &vm, NULL), 0);
    ck_assert_int_eq(vmk_memory_new_anonymous(MEMORY, 0, &memory, NULL), 0);
    memcpy((uint8_t *)vmk_memory_get_pointer(memory) + 0x1000, code, sizeof code);
    ck_assert_int_eq(vmk_vm_add_memory(vm, 0, memory, 0, MEMORY, false, NULL), 0);
    vmk_memory_unref(memory);
    if (irqchip != VMK_VM_IRQCHIP_NONE)
        ck_assert_int_eq(vmk_vm_set_routes(vm, &route, 1, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_new(vm, 0, ret_vcpu, NULL), 0);
    ck_assert_int_eq(vmk_vcpu_set_x86_real_mode(*ret_vcpu, 0x1000, 0x8000, NULL), 0);
    return vm;
}

static void
run_once(struct vmkit_vcpu *vcpu)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ck_assert_int_eq(vmk_vcpu_run(vcpu, &exit, NULL), 0);
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
}

static void
assert_error(struct saboteur *saboteur, int result, vmkit_error *error)
{
    ck_assert_msg(saboteur->failed == (result < 0), "call %d: result %d", saboteur->fail_at,
                  result);
    ck_assert_int_eq(result < 0, error != NULL);
    if (result < 0)
        ck_assert_uint_gt(strlen(vmkit_error_get_message(error)), 8);
}

/* Taking: the VM itself goes on after each failure. */
static struct vmkit_snapshot *
fail_taking(struct saboteur *saboteur, struct vmk_kvm_system *system, enum vmk_vm_irqchip irqchip,
            int least)
{
    struct vmkit_vcpu *vcpu;
    struct vmkit_snapshot *snapshot = NULL;
    struct vmkit_vm *vm = make_vm(system, irqchip, &vcpu);
    unsigned long descriptors = usage_count_descriptors();
    int at = 0, result;
    do {
        vmkit_error *error = NULL;
        run_once(vcpu);
        *saboteur = (struct saboteur){.fail_at = at++, .err = EINVAL};
        result = vmk_vm_snapshot(vm, NULL, true, &snapshot, &error);
        saboteur->fail_at = -1;
        assert_error(saboteur, result, error);
        vmkit_error_unref(error);
        if (result < 0)
            ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    } while (result < 0);
    ck_assert_int_ge(at, least);
    /* One on top of it. */
    run_once(vcpu);
    struct vmkit_snapshot *next = NULL;
    ck_assert_int_eq(vmk_vm_snapshot(vm, snapshot, true, &next, NULL), 0);
    vmk_snapshot_unref(next);
    vmk_vcpu_unref(vcpu);
    vmk_vm_unref(vm);
    return snapshot;
}

static void
fail_restoring(struct saboteur *saboteur, struct vmk_kvm_system *system,
               struct vmkit_snapshot *snapshot, int least)
{
    unsigned long descriptors = usage_count_descriptors();
    int at = 0, result;
    do {
        struct vmkit_vm *vm = NULL;
        struct vmkit_vcpu *vcpu = NULL;
        const struct vmk_vm_room room = {.vcpus = &vcpu, .capacity = 1};
        vmkit_error *error = NULL;
        *saboteur = (struct saboteur){.fail_at = at++, .err = EINVAL};
        result = vmk_vm_new_from_snapshot(snapshot, system, true, &room, &vm, &error);
        saboteur->fail_at = -1;
        assert_error(saboteur, result, error);
        vmkit_error_unref(error);
        if (result == 0)
            run_once(vcpu);
        vmk_vcpu_unref(vcpu);
        vmk_vm_unref(vm);
        ck_assert_uint_eq(usage_count_descriptors(), descriptors);
        ck_assert_uint_eq(usage_count_mappings("kvm-vcpu"), 0);
    } while (result < 0);
    ck_assert_int_ge(at, least);
}

/* One that a failed reset left as it was goes on; another one says what it is. Either of the first
 * reset or of a later one. */
static void
fail_resetting(struct saboteur *saboteur, struct vmk_kvm_system *system,
               struct vmkit_snapshot *snapshot, bool again, int least)
{
    int at = 0, result, failed = 0;
    do {
        struct vmkit_vm *vm = NULL;
        struct vmkit_vcpu *vcpu = NULL;
        const struct vmk_vm_room room = {.vcpus = &vcpu, .capacity = 1};
        vmkit_error *error = NULL;
        ck_assert_int_eq(vmk_vm_new_from_snapshot(snapshot, system, false, &room, &vm, NULL), 0);
        run_once(vcpu);
        if (again) {
            ck_assert_int_eq(vmk_vm_reset(vm, NULL), 0);
            run_once(vcpu);
        }
        *saboteur = (struct saboteur){.fail_at = at++, .err = EINVAL};
        result = vmk_vm_reset(vm, &error);
        bool reached = saboteur->failed;
        saboteur->fail_at = -1;
        ck_assert_int_eq(result < 0, error != NULL);
        vmkit_error_unref(error);
        failed += result < 0;
        if (vmk_vm_check(vm, NULL) == 0) {
            run_once(vcpu);
            ck_assert_int_eq(vmk_vm_reset(vm, NULL), 0);
            run_once(vcpu);
        } else {
            ck_assert_int_eq(result, -EIO);
            ck_assert_int_eq(vmk_vm_reset(vm, NULL), -EIO);
        }
        vmk_vcpu_unref(vcpu);
        vmk_vm_unref(vm);
        if (!reached)
            break;
    } while (true);
    ck_assert_int_ge(failed, least);
}

static void
fail_each_call(enum vmk_vm_irqchip irqchip, int least_taking, int least_restoring)
{
    struct saboteur saboteur = {.fail_at = -1};
    struct vmk_kvm_ops ops = saboteur_get_ops(&saboteur);
    struct vmk_kvm_system *system;
    ck_assert_int_eq(vmk_kvm_system_open(&ops, NULL, &system, NULL), 0);
    struct vmkit_snapshot *snapshot = fail_taking(&saboteur, system, irqchip, least_taking);
    fail_restoring(&saboteur, system, snapshot, least_restoring);
    fail_resetting(&saboteur, system, snapshot, false, 10);
    fail_resetting(&saboteur, system, snapshot, true, 10);
    vmk_snapshot_unref(snapshot);
    vmk_kvm_system_unref(system);
}

START_TEST(each_call_that_fails_is_a_clean_error)
{
    fail_each_call(VMK_VM_IRQCHIP_NONE, 16, 16);
}
END_TEST

START_TEST(each_call_that_fails_with_a_local_controller_is_a_clean_error)
{
    fail_each_call(VMK_VM_IRQCHIP_SPLIT, 17, 19);
}
END_TEST

START_TEST(each_call_that_fails_with_all_controllers_is_a_clean_error)
{
    fail_each_call(VMK_VM_IRQCHIP_KERNEL, 20, 20);
}
END_TEST

/* The same sequence in every run. */
static uint32_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(*seed >> 33);
}

START_TEST(a_state_that_a_stranger_changed_is_refused_or_loaded)
{
    struct vmk_kvm_system *system;
    struct vmkit_vcpu *vcpu;
    struct vmkit_snapshot *snapshot = NULL;
    uint64_t seed = 5;
    int refused = 0, taken = 0;
    ck_assert_int_eq(vmk_kvm_system_open(NULL, NULL, &system, NULL), 0);
    struct vmkit_vm *vm = make_vm(system, VMK_VM_IRQCHIP_NONE, &vcpu);
    run_once(vcpu);
    ck_assert_int_eq(vmk_vm_snapshot(vm, NULL, false, &snapshot, NULL), 0);
    const struct vmk_bytes *bytes = vmk_vm_snapshot_get_bytes(snapshot);
    unsigned long descriptors = usage_count_descriptors();
    for (int round = 0; round < 400; round++) {
        struct vmk_bytes copy = {0};
        struct vmkit_snapshot *changed = NULL;
        struct vmkit_vm *other = NULL;
        struct vmkit_vcpu *other_vcpu = NULL;
        const struct vmk_vm_room room = {.vcpus = &other_vcpu, .capacity = 1};
        vmk_bytes_put(&copy, bytes->data, bytes->size);
        uint32_t at = next_random(&seed) % (uint32_t)copy.size;
        copy.data[at] = (uint8_t)(copy.data[at] ^ 1u << next_random(&seed) % 8);
        struct vmk_image *image = vmk_image_ref(vmk_vm_snapshot_get_image(snapshot));
        int result = vmk_vm_snapshot_new(image, &copy, &changed, NULL);
        if (result < 0)
            vmk_image_unref(image);
        else
            result = vmk_vm_new_from_snapshot(changed, system, false, &room, &other, NULL);
        refused += result < 0;
        taken += result == 0;
        vmk_vcpu_unref(other_vcpu);
        vmk_vm_unref(other);
        vmk_snapshot_unref(changed);
        vmk_bytes_clear(&copy);
        ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    }
    ck_assert_int_gt(refused, 20);
    ck_assert_int_gt(taken, 20);
    vmk_snapshot_unref(snapshot);
    vmk_vcpu_unref(vcpu);
    vmk_vm_unref(vm);
    vmk_kvm_system_unref(system);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot_failures");
    TCase *tcase = tcase_create("failures");

    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, each_call_that_fails_is_a_clean_error);
    tcase_add_test(tcase, each_call_that_fails_with_a_local_controller_is_a_clean_error);
    tcase_add_test(tcase, each_call_that_fails_with_all_controllers_is_a_clean_error);
    tcase_add_test(tcase, a_state_that_a_stranger_changed_is_refused_or_loaded);
    suite_add_tcase(suite, tcase);
    return suite;
}
