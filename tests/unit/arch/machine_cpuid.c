/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID of a machine's vCPUs: topology that fits together, and nothing that is not to be seen. */
#include "machine_cpuid.h"

#include "harness.h"
#include "layout.h"

#include <errno.h>
#include <string.h>

#define INTEL 0x756e6547
#define AMD 0x68747541
#define CAPACITY 64

/* What a host of many cores and threads says. */
static struct vmkit_x86_cpuid host[] = {
    {.leaf = 0x0, .eax = 0x20, .ebx = INTEL},
    {.leaf = 0x1, .ebx = 0x07100800, .ecx = 0x00e0ffff, .edx = 0x1fffffff},
    {.leaf = 0x4, .subleaf = 0, .indexed = 1, .eax = 0xfc004121, .ebx = 1},
    {.leaf = 0x4, .subleaf = 1, .indexed = 1, .eax = 0xfc004143},
    {.leaf = 0x4, .subleaf = 2, .indexed = 1, .eax = 0xfc1fc163},
    {.leaf = 0x4, .subleaf = 3, .indexed = 1},
    {.leaf = 0x7, .indexed = 1, .ebx = 0x12345678},
    {.leaf = 0xa, .eax = 0x07300402, .edx = 0x603},
    {.leaf = 0xb, .subleaf = 0, .indexed = 1, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 7},
    {.leaf = 0xb, .subleaf = 1, .indexed = 1, .eax = 6, .ebx = 64, .ecx = 0x201, .edx = 7},
    {.leaf = 0x1f, .subleaf = 0, .indexed = 1, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 7},
    {.leaf = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d},
    {.leaf = 0x40000001, .eax = 0x0101ffff, .edx = 1},
    {.leaf = 0x80000001, .ecx = 0x01800127, .edx = 0x2c100800},
    {.leaf = 0x80000008, .eax = 0x3030, .ecx = 0x703f},
    {.leaf = 0x8000000a, .eax = 1, .ebx = 64, .edx = 0xff},
    {.leaf = 0x8000001d, .subleaf = 0, .indexed = 1, .eax = 0x4121},
    {.leaf = 0x8000001d, .subleaf = 3, .indexed = 1, .eax = 0x1c163},
    {.leaf = 0x8000001e, .eax = 7, .ebx = 0x103, .ecx = 0x300},
    {.leaf = 0x80000022, .eax = 1, .ebx = 6},
    {.leaf = 0x80000026, .subleaf = 1, .indexed = 1, .eax = 1, .ebx = 2, .ecx = 0x101},
};

static struct vmkit_x86_cpuid leaves[CAPACITY];
static uint32_t leaf_count;

static struct vmk_x86_cpuid_options
make_options(uint32_t vcpu, uint32_t vcpu_count)
{
    return (struct vmk_x86_cpuid_options){
        .supported = host,
        .supported_count = sizeof host / sizeof *host,
        .vcpu = vcpu,
        .vcpu_count = vcpu_count,
        .has_tsc_deadline = true,
    };
}

static void
build(const struct vmk_x86_cpuid_options *options)
{
    ck_assert_int_eq(vmk_x86_machine_cpuid(options, leaves, CAPACITY, &leaf_count, NULL), 0);
}

static const struct vmkit_x86_cpuid *
find(uint32_t leaf, uint32_t subleaf)
{
    const struct vmkit_x86_cpuid *found = NULL;
    for (uint32_t i = 0; i < leaf_count; i++) {
        if (leaves[i].leaf != leaf || leaves[i].subleaf != subleaf)
            continue;
        ck_assert_msg(found == NULL, "leaf 0x%x, %u is there twice", leaf, subleaf);
        found = &leaves[i];
    }
    return found;
}

static const struct vmkit_x86_cpuid *
get(uint32_t leaf, uint32_t subleaf)
{
    const struct vmkit_x86_cpuid *found = find(leaf, subleaf);
    ck_assert_msg(found != NULL, "leaf 0x%x, %u is missing", leaf, subleaf);
    return found;
}

static void
check_levels(uint32_t leaf, uint32_t vcpu, uint32_t count, uint32_t bits)
{
    ck_assert_uint_eq(get(leaf, 0)->eax, 0);
    ck_assert_uint_eq(get(leaf, 0)->ebx, 1);
    ck_assert_uint_eq(get(leaf, 0)->ecx, 0x100);
    ck_assert_uint_eq(get(leaf, 1)->eax, bits);
    ck_assert_uint_eq(get(leaf, 1)->ebx, count);
    ck_assert_uint_eq(get(leaf, 1)->ecx, 0x201);
    ck_assert_uint_eq(get(leaf, 2)->ebx, 0);
    ck_assert_uint_eq(get(leaf, 2)->ecx, 2);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(get(leaf, i)->edx, vcpu);
        ck_assert_uint_eq(get(leaf, i)->indexed, 1);
    }
}

START_TEST(every_leaf_tells_of_the_same_topology)
{
    static const struct {
        uint32_t vcpu, count, bits;
    } samples[] = {{0, 1, 0}, {0, 2, 1}, {1, 2, 1}, {2, 3, 2}, {7, 8, 3}, {253, 254, 8}};
    for (unsigned i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint32_t vcpu = samples[i].vcpu, count = samples[i].count, bits = samples[i].bits;
        struct vmk_x86_cpuid_options options = make_options(vcpu, count);
        build(&options);
        const struct vmkit_x86_cpuid *one = get(1, 0);
        ck_assert_uint_eq(one->ebx >> 24, vcpu);
        ck_assert_uint_eq(one->ebx >> 16 & 0xff, count == 1 ? 0 : (1u << bits) & 0xff);
        ck_assert_uint_eq(one->ebx & 0xffff, 0x0800);
        ck_assert_uint_eq(one->edx >> 28 & 1, count > 1);
        check_levels(0xb, vcpu, count, bits);
        check_levels(0x1f, vcpu, count, bits);
        uint32_t last = (1u << bits) - 1, cores = last > 63 ? 63 : last;
        ck_assert_uint_eq(get(4, 0)->eax, cores << 26 | 0x121);
        ck_assert_uint_eq(get(4, 1)->eax, cores << 26 | 0x143);
        ck_assert_uint_eq(get(4, 2)->eax, cores << 26 | last << 14 | 0x163);
        ck_assert_uint_eq(get(4, 3)->eax, 0);
        ck_assert_uint_eq(get(0x80000008, 0)->ecx, (count - 1) | bits << 12);
        ck_assert_uint_eq(get(0x80000008, 0)->eax, 0x3030);
        ck_assert_uint_eq(get(0x8000001d, 0)->eax, 0x121);
        ck_assert_uint_eq(get(0x8000001d, 3)->eax, last << 14 | 0x163);
        ck_assert_uint_eq(get(0x8000001e, 0)->eax, vcpu);
        ck_assert_uint_eq(get(0x8000001e, 0)->ebx, vcpu);
        ck_assert_uint_eq(get(0x8000001e, 0)->ecx, 0);
        ck_assert_ptr_null(find(0x80000026, 1));
    }
}
END_TEST

START_TEST(amd_says_that_threads_are_cores)
{
    struct vmk_x86_cpuid_options options = make_options(0, 2);
    build(&options);
    ck_assert_uint_eq(get(0x80000001, 0)->ecx & 2, 0);
    host[0].ebx = AMD;
    build(&options);
    ck_assert_uint_eq(get(0x80000001, 0)->ecx & 2, 2);
    options = make_options(0, 1);
    build(&options);
    ck_assert_uint_eq(get(0x80000001, 0)->ecx & 2, 0);
    host[0].ebx = INTEL;
}
END_TEST

START_TEST(leaves_that_the_host_lacks_are_not_made_up)
{
    struct vmk_x86_cpuid_options options = make_options(0, 2);
    options.supported_count = 10;
    build(&options);
    ck_assert_ptr_null(find(0x1f, 0));
    ck_assert_ptr_nonnull(find(0xb, 0));
    host[0].eax = 0xa;
    build(&options);
    ck_assert_ptr_null(find(0xb, 0));
    host[0].eax = 0x20;
}
END_TEST

START_TEST(features_that_are_not_safe_are_hidden)
{
    struct vmk_x86_cpuid_options options = make_options(0, 1);
    build(&options);
    ck_assert_uint_eq(get(1, 0)->ecx, (0x00e0ffffu & ~(1u << 5 | 1u << 15)) | 1u << 31 | 1u << 24);
    ck_assert_uint_eq(get(0xa, 0)->eax, 0);
    ck_assert_uint_eq(get(0xa, 0)->edx, 0);
    ck_assert_uint_eq(get(0x80000001, 0)->ecx, 0x121);
    ck_assert_uint_eq(get(0x80000001, 0)->edx, 0x2c100800);
    ck_assert_uint_eq(get(0x8000000a, 0)->edx, 0);
    ck_assert_uint_eq(get(0x80000022, 0)->ebx, 0);
    ck_assert_uint_eq(get(7, 0)->ebx, 0x12345678);
    /* The signature, and no asynchronous page faults, nor what the machine would have to serve. */
    ck_assert_uint_eq(get(0x40000000, 0)->ebx, 0x4b4d564b);
    ck_assert_uint_eq(get(0x40000001, 0)->eax, 0x01003aeb);
    options.has_tsc_deadline = false;
    build(&options);
    ck_assert_uint_eq(get(1, 0)->ecx >> 24 & 1, 0);
}
END_TEST

START_TEST(a_template_masks_more)
{
    static const struct vmk_x86_cpuid_mask masks[] = {
        {.leaf = 0x7, .ebx = 0xff},
        {.leaf = 0x4, .subleaf = 1, .eax = UINT32_MAX},
        {.leaf = 0x40000001, .eax = UINT32_MAX},
        {.leaf = 0x1, .ecx = 1u << 31},
        {.leaf = 0x1f, .subleaf = 1, .ebx = UINT32_MAX},
    };
    struct vmk_x86_cpuid_options options = make_options(0, 1);
    options.masks = masks;
    options.mask_count = sizeof masks / sizeof *masks;
    build(&options);
    ck_assert_uint_eq(get(7, 0)->ebx, 0x12345600);
    ck_assert_uint_eq(get(4, 0)->eax, 0x121);
    ck_assert_uint_eq(get(4, 1)->eax, 0);
    ck_assert_uint_eq(get(0x40000001, 0)->eax, 0);
    ck_assert_uint_eq(get(0x40000001, 0)->edx, 1);
    ck_assert_uint_eq(get(1, 0)->ecx >> 31, 0);
    ck_assert_uint_eq(get(0x1f, 1)->ebx, 0);
    ck_assert_uint_eq(get(0x1f, 0)->ebx, 1);
}
END_TEST

static void
refuse(const struct vmk_x86_cpuid_options *options, uint32_t capacity, int result, const char *word)
{
    vmkit_error *error = NULL;
    uint32_t count = 77;
    ck_assert_int_eq(vmk_x86_machine_cpuid(options, leaves, capacity, &count, &error), result);
    ck_assert_uint_eq(count, 77);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "%s",
                  vmkit_error_get_message(error));
    vmkit_error_unref(error);
}

START_TEST(numbers_out_of_range_are_refused)
{
    struct vmk_x86_cpuid_options options = make_options(0, 0);
    refuse(&options, CAPACITY, -EINVAL, "vCPU 0 of 0; a machine has 1 to 254");
    options = make_options(2, 2);
    refuse(&options, CAPACITY, -EINVAL, "vCPU 2 of 2");
    options = make_options(0, 300);
    refuse(&options, CAPACITY, -EINVAL, "of 300");
    options = make_options(0, 1);
    build(&options);
    leaves[leaf_count - 1].leaf = 0x1234;
    refuse(&options, leaf_count - 1, -E2BIG, "there is room for");
    ck_assert_uint_eq(leaves[leaf_count - 1].leaf, 0x1234);
    refuse(&options, 0, -E2BIG, "there is room for 0");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("arch_machine_cpuid");
    TCase *tests = tcase_create("machine_cpuid");
    tcase_add_test(tests, every_leaf_tells_of_the_same_topology);
    tcase_add_test(tests, amd_says_that_threads_are_cores);
    tcase_add_test(tests, leaves_that_the_host_lacks_are_not_made_up);
    tcase_add_test(tests, features_that_are_not_safe_are_hidden);
    tcase_add_test(tests, a_template_masks_more);
    tcase_add_test(tests, numbers_out_of_range_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
