/* SPDX-License-Identifier: Apache-2.0 */
/* What a raw VM is besides its memory, through its bytes. */
#include "harness.h"

#include "vm/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct vmk_kvm_route routes[] = {
    {.gsi = 5, .kind = VMK_KVM_ROUTE_MSI, .msi_address = 0xfee01000, .msi_data = 0x4031},
    {.gsi = 7, .kind = VMK_KVM_ROUTE_PIN, .chip = 2, .pin = 9},
};
static struct vmk_vm_state_region regions[] = {
    {.gpa = 0, .size = 0x100000, .image = 0},
    {.gpa = 0x200000, .size = 0x1000, .read_only = true, .image = 0x200000},
    {.gpa = 0x300000, .size = 0x2000, .image = 0x8000},
};
static struct vmk_vm_state_vcpu vcpus[] = {
    {.id = 0, .vectors = {1, 2, 3, 4}, .bytes = (const uint8_t *)"first", .size = 5},
    {.id = 3, .nmi = true, .bytes = (const uint8_t *)"third one", .size = 9},
};
static struct vmk_bytes bytes;

static struct vmk_vm_state
make(void)
{
    return (struct vmk_vm_state){
        .irqchip = VMK_VM_IRQCHIP_SPLIT,
        .split_pins = 24,
        .real_mode = true,
        .has_routes = true,
        .routes = routes,
        .route_count = 2,
        .regions = regions,
        .region_count = 3,
        .bytes = (const uint8_t *)"kvm",
        .size = 3,
        .vcpus = vcpus,
        .vcpu_count = 2,
    };
}

static void
encode(const struct vmk_vm_state *state)
{
    vmk_bytes_clear(&bytes);
    ck_assert_int_eq(vmk_vm_state_encode(state, &bytes, NULL), 0);
}

static void
tear_down(void)
{
    vmk_bytes_clear(&bytes);
}

static void
assert_decodes(int result, const char *message)
{
    struct vmk_vm_state state = {0};
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_vm_state_decode(&state, bytes.data, bytes.size, &error), result);
    if (result < 0)
        ck_assert_str_eq(vmkit_error_get_message(error), message);
    vmkit_error_unref(error);
    vmk_vm_state_clear(&state);
}

START_TEST(all_comes_back)
{
    const struct vmk_vm_state from = make();
    struct vmk_vm_state state = {0};
    encode(&from);
    ck_assert_int_eq(vmk_vm_state_decode(&state, bytes.data, bytes.size, NULL), 0);
    ck_assert_int_eq(state.irqchip, VMK_VM_IRQCHIP_SPLIT);
    ck_assert_uint_eq(state.split_pins, 24);
    ck_assert(state.real_mode);
    ck_assert(state.has_routes);
    ck_assert_uint_eq(state.route_count, 2);
    ck_assert_mem_eq(state.routes, routes, sizeof routes);
    ck_assert_uint_eq(state.region_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(state.regions[i].gpa, regions[i].gpa);
        ck_assert_uint_eq(state.regions[i].size, regions[i].size);
        ck_assert_uint_eq(state.regions[i].image, regions[i].image);
        ck_assert_int_eq(state.regions[i].read_only, regions[i].read_only);
    }
    ck_assert_uint_eq(state.size, 3);
    ck_assert_mem_eq(state.bytes, "kvm", 3);
    ck_assert_uint_eq(state.vcpu_count, 2);
    ck_assert_mem_eq(state.vcpus[0].vectors, vcpus[0].vectors, sizeof vcpus[0].vectors);
    ck_assert_uint_eq(state.vcpus[1].id, 3);
    ck_assert(state.vcpus[1].nmi);
    ck_assert_uint_eq(state.vcpus[1].size, 9);
    ck_assert_mem_eq(state.vcpus[1].bytes, "third one", 9);
    vmk_vm_state_clear(&state);
}
END_TEST

START_TEST(a_later_form_is_told)
{
    const struct vmk_vm_state from = make();
    encode(&from);
    bytes.data[0] = 2;
    assert_decodes(-ENOTSUP, "the saved state of a VM has the form 2 of a later release, this one "
                             "knows 1");
}
END_TEST

START_TEST(regions_that_overlap_or_lie_nowhere_are_refused)
{
    static const struct vmk_vm_state_region bad[] = {
        {.gpa = 0xff000, .size = 0x2000, .image = 0xff000},   /* overlaps */
        {.gpa = 0x200000, .size = 0, .image = 0x200000},      /* empty */
        {.gpa = 0x200001, .size = 0x1000, .image = 0x200001}, /* not of pages */
        {.gpa = 0x200000, .size = 0x1000, .image = 0x500000}, /* of memory that is not there */
        {.gpa = 0x200000, .size = 0x2000, .image = 0xff000},  /* of a part of one */
        {.gpa = 0x200000, .size = UINT64_MAX - 4095, .image = 0x200000}, /* round the end */
        {.gpa = UINT64_C(1) << 52, .size = 0x1000, .image = UINT64_C(1) << 52},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct vmk_vm_state_region table[] = {regions[0], bad[i]};
        struct vmk_vm_state from = make();
        from.regions = table;
        from.region_count = 2;
        encode(&from);
        assert_decodes(-EINVAL, "the saved state of a VM is malformed in its memory regions");
    }
}
END_TEST

START_TEST(a_region_does_not_lie_in_one_that_lies_elsewhere_itself)
{
    struct vmk_vm_state_region table[] = {
        regions[0],
        {.gpa = 0x200000, .size = 0x2000, .image = 0x1000},
        {.gpa = 0x300000, .size = 0x1000, .image = 0x200000},
    };
    struct vmk_vm_state from = make();
    from.regions = table;
    encode(&from);
    assert_decodes(-EINVAL, "the saved state of a VM is malformed in its memory regions");
}
END_TEST

START_TEST(vcpus_come_once_and_in_order)
{
    struct vmk_vm_state_vcpu table[] = {vcpus[1], vcpus[1]};
    struct vmk_vm_state from = make();
    from.vcpus = table;
    encode(&from);
    assert_decodes(-EINVAL, "the saved state of a VM is malformed in its vCPUs");
}
END_TEST

START_TEST(routes_need_controllers_and_pins_a_split_one)
{
    struct vmk_vm_state from = make();
    from.irqchip = VMK_VM_IRQCHIP_KERNEL;
    encode(&from);
    assert_decodes(-EINVAL, "the saved state of a VM is malformed in its head");
    from.irqchip = VMK_VM_IRQCHIP_NONE;
    from.split_pins = 0;
    encode(&from);
    assert_decodes(-EINVAL, "the saved state of a VM is malformed in its interrupt routes");
}
END_TEST

START_TEST(a_count_that_the_bytes_cannot_hold_is_refused)
{
    struct vmk_vm_state from = make();
    encode(&from);
    /* Version, controller, pins, real mode, whether there are routes; then how many. */
    memset(bytes.data + 14, 0xff, 4);
    assert_decodes(-EINVAL, "the saved state of a VM is malformed in its interrupt routes");
}
END_TEST

START_TEST(every_truncation_and_every_addition_is_refused)
{
    const struct vmk_vm_state from = make();
    encode(&from);
    size_t size = bytes.size;
    for (size_t cut = 0; cut < size; cut++) {
        struct vmk_vm_state state = {0};
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, bytes.data, cut);
        ck_assert_msg(vmk_vm_state_decode(&state, copy, cut, NULL) == -EINVAL, "%zu", cut);
        vmk_vm_state_clear(&state);
        free(copy);
    }
    vmk_bytes_put_u8(&bytes, 0);
    assert_decodes(-EINVAL, "the saved state of a VM is malformed in its end");
}
END_TEST

/* The same sequence in every run. */
static uint32_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(*seed >> 33);
}

START_TEST(mutations_are_refused_or_make_a_state_that_can_be_written_again)
{
    const struct vmk_vm_state from = make();
    uint64_t seed = 3;
    int refused = 0, taken = 0;
    encode(&from);
    for (int round = 0; round < 50000; round++) {
        struct vmk_vm_state state = {0};
        struct vmk_bytes again = {0};
        uint8_t *copy = malloc(bytes.size);
        memcpy(copy, bytes.data, bytes.size);
        for (uint32_t i = 0; i <= next_random(&seed) % 3; i++) {
            uint32_t at = next_random(&seed) % (uint32_t)bytes.size;
            copy[at] = next_random(&seed) % 2 == 0
                           ? (uint8_t)(copy[at] ^ 1u << next_random(&seed) % 8)
                           : (uint8_t)next_random(&seed);
        }
        if (vmk_vm_state_decode(&state, copy, bytes.size, NULL) == 0) {
            ck_assert_int_eq(vmk_vm_state_encode(&state, &again, NULL), 0);
            taken++;
        } else {
            refused++;
        }
        vmk_bytes_clear(&again);
        vmk_vm_state_clear(&state);
        free(copy);
    }
    ck_assert_int_gt(refused, 1000);
    ck_assert_int_gt(taken, 1000);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_state");
    TCase *tcase = tcase_create("state");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, all_comes_back);
    tcase_add_test(tcase, a_later_form_is_told);
    tcase_add_test(tcase, regions_that_overlap_or_lie_nowhere_are_refused);
    tcase_add_test(tcase, a_region_does_not_lie_in_one_that_lies_elsewhere_itself);
    tcase_add_test(tcase, vcpus_come_once_and_in_order);
    tcase_add_test(tcase, routes_need_controllers_and_pins_a_split_one);
    tcase_add_test(tcase, a_count_that_the_bytes_cannot_hold_is_refused);
    tcase_add_test(tcase, every_truncation_and_every_addition_is_refused);
    tcase_add_test(tcase, mutations_are_refused_or_make_a_state_that_can_be_written_again);
    suite_add_tcase(suite, tcase);
    return suite;
}
