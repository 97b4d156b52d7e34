/* SPDX-License-Identifier: Apache-2.0 */
/* bzImages: where they are put, what boot_params say, and that no broken one gets through. */
#include "harness.h"
#include "kernels.h"
#include "layout.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct guest guest;

static void
setup(void)
{
    guest = guest_make(16 * MIB);
}

static void
teardown(void)
{
    guest_free(&guest);
}

/* The fields' places are the kernel's own. */
START_TEST(fields_are_where_linux_has_them)
{
#define CHECK(field, member)                                                      \
    do {                                                                          \
        ck_assert_uint_eq(field.offset, offsetof(struct boot_params, member));    \
        ck_assert_uint_eq(field.size, sizeof(((struct boot_params *)0)->member)); \
    } while (0)
    CHECK(VMK_SETUP_ACPI_RSDP, acpi_rsdp_addr);
    CHECK(VMK_SETUP_EXT_RAMDISK_IMAGE, ext_ramdisk_image);
    CHECK(VMK_SETUP_EXT_RAMDISK_SIZE, ext_ramdisk_size);
    CHECK(VMK_SETUP_EXT_CMD_LINE, ext_cmd_line_ptr);
    CHECK(VMK_SETUP_E820_ENTRIES, e820_entries);
    CHECK(VMK_SETUP_SECTS, hdr.setup_sects);
    CHECK(VMK_SETUP_SYSSIZE, hdr.syssize);
    CHECK(VMK_SETUP_BOOT_FLAG, hdr.boot_flag);
    CHECK(VMK_SETUP_MAGIC, hdr.header);
    CHECK(VMK_SETUP_VERSION, hdr.version);
    CHECK(VMK_SETUP_LOADER, hdr.type_of_loader);
    CHECK(VMK_SETUP_LOADFLAGS, hdr.loadflags);
    CHECK(VMK_SETUP_CODE32_START, hdr.code32_start);
    CHECK(VMK_SETUP_RAMDISK_IMAGE, hdr.ramdisk_image);
    CHECK(VMK_SETUP_RAMDISK_SIZE, hdr.ramdisk_size);
    CHECK(VMK_SETUP_CMD_LINE, hdr.cmd_line_ptr);
    CHECK(VMK_SETUP_INITRD_ADDR_MAX, hdr.initrd_addr_max);
    CHECK(VMK_SETUP_KERNEL_ALIGNMENT, hdr.kernel_alignment);
    CHECK(VMK_SETUP_RELOCATABLE, hdr.relocatable_kernel);
    CHECK(VMK_SETUP_XLOADFLAGS, hdr.xloadflags);
    CHECK(VMK_SETUP_CMDLINE_SIZE, hdr.cmdline_size);
    CHECK(VMK_SETUP_SETUP_DATA, hdr.setup_data);
    CHECK(VMK_SETUP_PREF_ADDRESS, hdr.pref_address);
    CHECK(VMK_SETUP_INIT_SIZE, hdr.init_size);
    ck_assert_uint_eq(VMK_SETUP_E820_TABLE, offsetof(struct boot_params, e820_table));
    ck_assert_uint_eq(VMK_SETUP_JUMP.offset, offsetof(struct boot_params, hdr.jump) + 1);
}
END_TEST

START_TEST(a_kernel_goes_where_it_prefers)
{
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {.command_line = "console=ttyS0"};
    struct vmk_x86_boot_entry entry = guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_64);
    ck_assert_uint_eq(entry.address, BZIMAGE_PREF_ADDRESS + 0x200);
    ck_assert_uint_eq(entry.info, VMK_X86_BOOT_PARAMS);
    ck_assert_mem_eq(guest.bytes + BZIMAGE_PREF_ADDRESS, image.bytes + BZIMAGE_SETUP,
                     BZIMAGE_PAYLOAD);
    ck_assert_uint_eq(guest.bytes[BZIMAGE_PREF_ADDRESS - 1], 0xaa);
    ck_assert_uint_eq(guest.bytes[BZIMAGE_PREF_ADDRESS + BZIMAGE_PAYLOAD], 0xaa);
    ck_assert_str_eq((char *)guest.bytes + VMK_X86_COMMAND_LINE, "console=ttyS0");
}
END_TEST

START_TEST(boot_params_are_the_header_and_what_the_loader_says)
{
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {.acpi = "RSD PTR ", .acpi_size = 8};
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_MAGIC), 0x53726448);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_VERSION), 0x20f);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_PREF_ADDRESS), BZIMAGE_PREF_ADDRESS);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_INIT_SIZE), BZIMAGE_INIT_SIZE);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_LOADER), 0xff);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_CODE32_START), BZIMAGE_PREF_ADDRESS);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_SETUP_DATA), 0);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_CMD_LINE), VMK_X86_COMMAND_LINE);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_EXT_CMD_LINE), 0);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_SIZE), 0);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_IMAGE), 0);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_ACPI_RSDP), VMK_X86_ACPI);
    ck_assert_mem_eq(guest.bytes + VMK_X86_ACPI, "RSD PTR ", 8);
    /* Of the file, nothing but the header: Linux takes what lies before it for a sign of a loader
     * that copies too much. */
    ck_assert_uint_eq(guest_get(&guest, VMK_X86_BOOT_PARAMS + 0x1ef, 1), 0);
    ck_assert_uint_eq(guest_get(&guest, VMK_X86_BOOT_PARAMS + 0x26c, 4), 0);
    ck_assert_uint_eq(guest_get(&guest, VMK_X86_BOOT_PARAMS, 4), 0);
}
END_TEST

START_TEST(memory_is_told_by_e820)
{
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {0};
    guest.memory.high_size = 3 * MIB;
    guest_must_load(&guest, &image, sizeof image, &options);
    static const uint64_t expected[][3] = {
        {0, 0x9fc00, 1},         {0x9fc00, 0x60400, 2},     {0x100000, 15 * MIB, 1},
        {0xfffbc000, 0x4000, 2}, {0x100000000, 3 * MIB, 1},
    };
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_E820_ENTRIES), 5);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t at = VMK_X86_BOOT_PARAMS + VMK_SETUP_E820_TABLE + 20 * i;
        ck_assert_uint_eq(guest_get(&guest, at, 8), expected[i][0]);
        ck_assert_uint_eq(guest_get(&guest, at + 8, 8), expected[i][1]);
        ck_assert_uint_eq(guest_get(&guest, at + 16, 4), expected[i][2]);
    }
    guest.memory.high_size = 0;
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_E820_ENTRIES), 4);
}
END_TEST

START_TEST(the_first_4_gib_are_mapped_to_themselves)
{
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {0};
    guest_must_load(&guest, &image, sizeof image, &options);
    for (uint64_t address = 0; address < UINT64_C(4) << 30; address += 2 * MIB) {
        uint64_t table = VMK_X86_PAGE_TABLES;
        for (int shift = 39; shift > 21; shift -= 9) {
            uint64_t entry = guest_get(&guest, table + (address >> shift & 511) * 8, 8);
            ck_assert_uint_eq(entry & 0x83, 3);
            table = entry & ~UINT64_C(0xfff);
        }
        uint64_t entry = guest_get(&guest, table + (address >> 21 & 511) * 8, 8);
        ck_assert_uint_eq(entry & 0x83, 0x83);
        ck_assert_uint_eq(entry & ~UINT64_C(0xfff), address);
    }
    ck_assert_uint_eq(guest_get(&guest, VMK_X86_GDT + 0x10, 8), 0x00af9b000000ffff);
    ck_assert_uint_eq(guest_get(&guest, VMK_X86_GDT + 0x18, 8), 0x00cf93000000ffff);
}
END_TEST

static void
put(struct bzimage *image, struct vmk_setup_field field, uint64_t value)
{
    vmk_setup_put(image->bytes, field, value);
}

START_TEST(a_kernel_that_can_move_goes_low_where_memory_is_short)
{
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {0};
    put(&image, VMK_SETUP_PREF_ADDRESS, 16 * MIB);
    ck_assert_uint_eq(guest_must_load(&guest, &image, sizeof image, &options).address,
                      2 * MIB + 0x200);
    /* Or where it prefers a place that is not aligned. */
    put(&image, VMK_SETUP_PREF_ADDRESS, 5 * MIB);
    ck_assert_uint_eq(guest_must_load(&guest, &image, sizeof image, &options).address,
                      2 * MIB + 0x200);
    /* And one that cannot is refused. */
    put(&image, VMK_SETUP_RELOCATABLE, 0);
    ck_assert_uint_eq(guest_must_load(&guest, &image, sizeof image, &options).address,
                      5 * MIB + 0x200);
    put(&image, VMK_SETUP_PREF_ADDRESS, 15 * MIB);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "2097152 bytes at 0xf00000");
    put(&image, VMK_SETUP_PREF_ADDRESS, 0);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "at 0x0 is not within");
    put(&image, VMK_SETUP_PREF_ADDRESS, UINT64_MAX - 4095);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "[0x100000, 0x1000000)");
}
END_TEST

START_TEST(what_a_kernel_needs_counts_and_not_its_file)
{
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {.format = VMK_BOOT_BZIMAGE};
    put(&image, VMK_SETUP_INIT_SIZE, 14 * MIB);
    ck_assert_uint_eq(guest_must_load(&guest, &image, sizeof image, &options).address,
                      2 * MIB + 0x200);
    put(&image, VMK_SETUP_INIT_SIZE, 14 * MIB + 1);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "needs 14680065 bytes at 0x2000");
    put(&image, VMK_SETUP_INIT_SIZE, UINT32_MAX);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "needs 4294967295 bytes");
    put(&image, VMK_SETUP_INIT_SIZE, 0);
    guest_must_load(&guest, &image, sizeof image, &options);
}
END_TEST

START_TEST(an_old_kernel_has_four_sectors_of_setup)
{
    static uint8_t bytes[5 * 512 + BZIMAGE_PAYLOAD];
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {0};
    memcpy(bytes, image.bytes, BZIMAGE_SETUP);
    memcpy(bytes + 5 * 512, image.bytes + BZIMAGE_SETUP, BZIMAGE_PAYLOAD);
    bytes[VMK_SETUP_SECTS.offset] = 0;
    guest_must_load(&guest, bytes, sizeof bytes, &options);
    ck_assert_mem_eq(guest.bytes + BZIMAGE_PREF_ADDRESS, image.bytes + BZIMAGE_SETUP,
                     BZIMAGE_PAYLOAD);
}
END_TEST

#define REFUSE(field, value, word)                                            \
    do {                                                                      \
        struct bzimage image = bzimage_make();                                \
        struct vmk_boot_options options = {.format = VMK_BOOT_BZIMAGE};       \
        put(&image, field, value);                                            \
        guest_refuse(&guest, &image, sizeof image, &options, -ENOEXEC, word); \
    } while (0)

START_TEST(each_field_is_checked)
{
    REFUSE(VMK_SETUP_BOOT_FLAG, 0xaa54, "setup header is not there");
    REFUSE(VMK_SETUP_MAGIC, 0, "setup header is not there");
    REFUSE(VMK_SETUP_VERSION, 0x20b, "boot protocol 2.11");
    REFUSE(VMK_SETUP_JUMP, 0x65, "ends at 0x267");
    REFUSE(VMK_SETUP_JUMP, 0x8f, "ends at 0x291");
    REFUSE(VMK_SETUP_LOADFLAGS, 0, "zImage");
    REFUSE(VMK_SETUP_XLOADFLAGS, 2, "32-bit kernel");
    REFUSE(VMK_SETUP_SECTS, 4, "2560 bytes, and by its header there are 1536 at offset 2560");
    REFUSE(VMK_SETUP_SECTS, 255, "at offset 131072");
    REFUSE(VMK_SETUP_SECTS, 3, "1536 at offset 2048");
    REFUSE(VMK_SETUP_SYSSIZE, BZIMAGE_PAYLOAD / 16 + 1, "there are 1552");
    REFUSE(VMK_SETUP_SYSSIZE, UINT32_MAX, "there are 68719476720");
    REFUSE(VMK_SETUP_KERNEL_ALIGNMENT, 0, "alignment of 0x0");
    REFUSE(VMK_SETUP_KERNEL_ALIGNMENT, 2048, "alignment of 0x800");
    REFUSE(VMK_SETUP_KERNEL_ALIGNMENT, 3 * MIB, "alignment of 0x300000");
    REFUSE(VMK_SETUP_KERNEL_ALIGNMENT, 0x80000000, "alignment of 0x80000000");
    struct bzimage image = bzimage_make();
    struct vmk_boot_options options = {0};
    put(&image, VMK_SETUP_SYSSIZE, 0);
    guest_refuse(&guest, &image, BZIMAGE_SETUP + 0x200, &options, -ENOEXEC, "512 bytes of kernel");
    put(&image, VMK_SETUP_MAGIC, 0);
    guest_refuse(&guest, &image, sizeof image, &options, -ENOEXEC, "neither a bzImage nor");
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    struct bzimage image = bzimage_make();
    for (size_t size = 0; size < sizeof image; size += harness_get_step(7)) {
        struct vmk_boot_options options = {.format = VMK_BOOT_BZIMAGE};
        guest_refuse(&guest, &image, size, &options, -ENOEXEC, "");
    }
}
END_TEST

START_TEST(no_change_of_a_few_bytes_does_harm)
{
    const struct bzimage good = bzimage_make();
    uint64_t state = 88172645463325252;
    unsigned loaded = 0;
    for (int round = 0; round < 20000; round += (int)harness_get_step(4)) {
        struct bzimage image = good;
        struct vmk_boot_options options = {.format = VMK_BOOT_BZIMAGE};
        struct vmk_x86_boot_entry entry;
        for (uint64_t changes = 1 + next_random(&state) % 4; changes > 0; changes--)
            image.bytes[0x1f1 + next_random(&state) % 0x80] = (uint8_t)next_random(&state);
        if (guest_load(&guest, &image, sizeof image, &options, &entry, NULL) < 0)
            continue;
        loaded++;
        ck_assert_uint_ge(entry.address, MIB);
        ck_assert_uint_lt(entry.address, 16 * MIB);
        ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_LOADER), 0xff);
    }
    ck_assert_uint_gt(loaded, 500);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("boot_bzimage");
    TCase *tests = tcase_create("bzimage");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, fields_are_where_linux_has_them);
    tcase_add_test(tests, a_kernel_goes_where_it_prefers);
    tcase_add_test(tests, boot_params_are_the_header_and_what_the_loader_says);
    tcase_add_test(tests, memory_is_told_by_e820);
    tcase_add_test(tests, the_first_4_gib_are_mapped_to_themselves);
    tcase_add_test(tests, a_kernel_that_can_move_goes_low_where_memory_is_short);
    tcase_add_test(tests, what_a_kernel_needs_counts_and_not_its_file);
    tcase_add_test(tests, an_old_kernel_has_four_sectors_of_setup);
    tcase_add_test(tests, each_field_is_checked);
    tcase_add_test(tests, a_file_cut_anywhere_is_refused);
    tcase_add_test(tests, no_change_of_a_few_bytes_does_harm);
    suite_add_tcase(suite, tests);
    return suite;
}
