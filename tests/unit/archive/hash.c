/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum against values of the reference implementation, libxxhash. */
#include "archive/hash.h"
#include "harness.h"

#include <stdlib.h>

static const struct {
    size_t size;
    uint64_t seed;
    uint64_t hash;
} samples[] = {
    {0, 0, UINT64_C(0xef46db3751d8e999)},    {0, 1, UINT64_C(0xd5afba1336a3be4b)},
    {1, 0, UINT64_C(0x8a4127811b21e730)},    {3, 0, UINT64_C(0x31d2363f52e564c9)},
    {4, 0, UINT64_C(0xb4d516af63f9c743)},    {7, 1, UINT64_C(0x734163f526dd7ed5)},
    {8, 0, UINT64_C(0xd5474d6ca50def58)},    {9, 0, UINT64_C(0xa6d41e4e74bc10e4)},
    {15, 1, UINT64_C(0x75a37777c96ceebc)},   {31, 0, UINT64_C(0xc025b4c3c4880c7a)},
    {32, 0, UINT64_C(0x178ae25cee6f7994)},   {32, 1, UINT64_C(0x246597d78a8b9827)},
    {33, 0, UINT64_C(0x4072a28263e977ef)},   {63, 0, UINT64_C(0x47948108b5ff3162)},
    {64, 1, UINT64_C(0x5838a7dd157f03b4)},   {100, 0, UINT64_C(0x3a7fdc0febf6f5dc)},
    {4096, 0, UINT64_C(0xc8066d80a6fe1426)}, {4097, 1, UINT64_C(0xae57c92c70ca7b5b)},
};

/* At every alignment: pages lie where they lie. */
START_TEST(the_values_are_those_of_xxh64)
{
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        size_t size = samples[i].size;
        uint8_t *bytes = malloc(size + 8);
        for (size_t shift = 0; shift < 8; shift++) {
            for (size_t j = 0; j < size; j++)
                bytes[shift + j] = (uint8_t)(j * 7 + size);
            ck_assert_uint_eq(vmk_archive_hash(bytes + shift, size, samples[i].seed),
                              samples[i].hash);
        }
        free(bytes);
    }
    ck_assert_uint_eq(vmk_archive_hash(NULL, 0, 0), samples[0].hash);
}
END_TEST

START_TEST(every_single_bit_changes_the_value)
{
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31);
    uint64_t hash = vmk_archive_hash(bytes, sizeof bytes, 0);
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        ck_assert_uint_ne(vmk_archive_hash(bytes, sizeof bytes, 0), hash);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    ck_assert_uint_eq(vmk_archive_hash(bytes, sizeof bytes, 0), hash);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("hash");
    TCase *tcase = tcase_create("hash");
    tcase_add_test(tcase, the_values_are_those_of_xxh64);
    tcase_add_test(tcase, every_single_bit_changes_the_value);
    suite_add_tcase(suite, tcase);
    return suite;
}
