/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into memory besides the kernel: initrds, the command line; and where files come from.
 */
#include "harness.h"
#include "kernels.h"
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct guest guest;
static struct bzimage image;

static void
setup(void)
{
    guest = guest_make(16 * MIB);
    image = bzimage_make();
}

static void
teardown(void)
{
    guest_free(&guest);
}

static void
put(struct vmk_setup_field field, uint64_t value)
{
    vmk_setup_put(image.bytes, field, value);
}

START_TEST(initrds_follow_each_other_padded_to_four)
{
    struct vmk_boot_file initrds[4];
    vmk_boot_file_open_memory("abcde", 5, "one", &initrds[0]);
    vmk_boot_file_open_memory("", 0, "two", &initrds[1]);
    vmk_boot_file_open_memory("fghi", 4, "three", &initrds[2]);
    vmk_boot_file_open_memory("j", 1, "four", &initrds[3]);
    struct vmk_boot_options options = {.initrds = initrds, .initrd_count = 4};
    guest_must_load(&guest, &image, sizeof image, &options);
    uint64_t start = 16 * MIB - 4096;
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_IMAGE), start);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_SIZE), 16);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_EXT_RAMDISK_IMAGE), 0);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_EXT_RAMDISK_SIZE), 0);
    ck_assert_mem_eq(guest.bytes + start, "abcde\0\0\0fghij\0\0\0\xaa", 17);
}
END_TEST

/* Reads as if it were as long as it says. */
static ssize_t
read_zeros(void *user_data, void *buffer, size_t size, uint64_t offset)
{
    memset(buffer, 0, size);
    return (ssize_t)size;
}

START_TEST(an_initrd_lies_between_the_kernel_and_its_limit)
{
    struct vmk_boot_file initrd = {.read = read_zeros, .name = "initrd", .size = 10 * MIB};
    struct vmk_boot_options options = {.initrds = &initrd, .initrd_count = 1};
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_IMAGE), 6 * MIB);
    initrd.size = 10 * MIB + 1;
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG,
                 "initrd of 10485764 bytes does not fit between the kernel's end at 0x600000 and "
                 "0x1000000");
    initrd.size = UINT64_MAX - 1;
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "does not fit");
    initrd.size = UINT64_MAX / 2;
    struct vmk_boot_file many[] = {initrd, initrd, initrd};
    options = (struct vmk_boot_options){.initrds = many, .initrd_count = 3};
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "does not fit");

    /* A kernel that cannot be above 4 GiB says where its initrd may end. */
    put(VMK_SETUP_XLOADFLAGS, 1);
    put(VMK_SETUP_INITRD_ADDR_MAX, 8 * MIB - 1);
    initrd.size = 2 * MIB;
    options = (struct vmk_boot_options){.initrds = &initrd, .initrd_count = 1};
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_IMAGE), 6 * MIB);
    put(VMK_SETUP_INITRD_ADDR_MAX, 8 * MIB - 2);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "0x7fffff");
    put(VMK_SETUP_INITRD_ADDR_MAX, 0);
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "and 0x1");
    put(VMK_SETUP_INITRD_ADDR_MAX, UINT32_MAX);
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_IMAGE), 14 * MIB);
}
END_TEST

START_TEST(an_initrd_that_became_shorter_is_refused)
{
    char path[] = "/tmp/vmkit-boot-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    ck_assert_int_eq(ftruncate(fd, 8192), 0);
    struct vmk_boot_file initrd;
    ck_assert_int_eq(vmk_boot_file_open_fd(fd, "sample", &initrd, NULL), 0);
    ck_assert_uint_eq(initrd.size, 8192);
    ck_assert_int_eq(ftruncate(fd, 100), 0);
    struct vmk_boot_options options = {.initrds = &initrd, .initrd_count = 1};
    guest_refuse(&guest, &image, sizeof image, &options, -ENOEXEC,
                 "ends before the 8192 bytes at offset 0");
    vmk_boot_file_close(&initrd);
    close(fd);
}
END_TEST

START_TEST(a_command_line_has_the_kernels_limit)
{
    char line[BZIMAGE_COMMAND_LINE + 2];
    memset(line, 'x', sizeof line);
    line[BZIMAGE_COMMAND_LINE] = '\0';
    struct vmk_boot_options options = {.command_line = line};
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_str_eq((char *)guest.bytes + VMK_X86_COMMAND_LINE, line);
    line[BZIMAGE_COMMAND_LINE] = 'x';
    line[BZIMAGE_COMMAND_LINE + 1] = '\0';
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "101 bytes");
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "limit of 100");
    /* A kernel that promises more than there is room for. */
    static char large[VMK_X86_COMMAND_LINE_ROOM + 1];
    put(VMK_SETUP_CMDLINE_SIZE, UINT32_MAX);
    memset(large, 'y', sizeof large - 1);
    options.command_line = large;
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "limit of 65535");
    large[VMK_X86_COMMAND_LINE_ROOM - 1] = '\0';
    guest_must_load(&guest, &image, sizeof image, &options);
    options.command_line = NULL;
    guest_must_load(&guest, &image, sizeof image, &options);
    ck_assert_uint_eq(guest.bytes[VMK_X86_COMMAND_LINE], 0);
}
END_TEST

START_TEST(memory_has_to_be_large_enough)
{
    struct vmk_boot_options options = {0};
    for (uint64_t size = 1; size < 2 * MIB; size = size * 3 + 4095) {
        guest.memory.low_size = size;
        guest_refuse(&guest, &image, sizeof image, &options, -EINVAL, "is below the 2097152");
    }
    guest.memory.low_size = 2 * MIB;
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "[0x100000, 0x200000)");
    guest.memory.low_size = (UINT64_C(3) << 30) + 4096;
    guest_refuse(&guest, &image, sizeof image, &options, -EINVAL, "limit of 3221225472");
    ck_assert_uint_eq(vmk_x86_low_ram(UINT64_C(5) << 30), UINT64_C(3) << 30);
    ck_assert_uint_eq(vmk_x86_high_ram(UINT64_C(5) << 30), UINT64_C(2) << 30);
    ck_assert_uint_eq(vmk_x86_low_ram(MIB), MIB);
    ck_assert_uint_eq(vmk_x86_high_ram(MIB), 0);
}
END_TEST

/* Nothing but the first half. */
static void *
map_half(void *user_data, uint64_t gpa, uint64_t size)
{
    return gpa + size <= 8 * MIB ? guest.bytes + gpa : NULL;
}

START_TEST(memory_that_is_not_there_is_an_error)
{
    struct vmk_boot_file initrd;
    vmk_boot_file_open_memory("initrd", 6, "initrd", &initrd);
    struct vmk_boot_options options = {.initrds = &initrd, .initrd_count = 1};
    guest.memory.map = map_half;
    guest_refuse(&guest, &image, sizeof image, &options, -EFAULT,
                 "no memory for the 6 bytes of initrd at 0xfff000");
    options.acpi_size = VMK_X86_ACPI_ROOM + 1;
    options.acpi = guest.bytes;
    options.initrd_count = 0;
    guest_refuse(&guest, &image, sizeof image, &options, -E2BIG, "131073 bytes");
    options = (struct vmk_boot_options){.format = (enum vmk_boot_format)9};
    guest_refuse(&guest, &image, sizeof image, &options, -EINVAL, "9 is no format");
}
END_TEST

static void
refuse_path(const char *path, int result, const char *word)
{
    struct vmk_boot_file file = {.size = 77};
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_boot_file_open(path, &file, &error), result);
    ck_assert_uint_eq(file.size, 77);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "%s",
                  vmkit_error_get_message(error));
    vmkit_error_unref(error);
}

START_TEST(files_come_from_paths_descriptors_and_memory)
{
    char folder[] = "/tmp/vmkit-boot-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char path[64], fifo[64];
    snprintf(path, sizeof path, "%s/kernel", folder);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, &image, sizeof image), sizeof image);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);

    struct vmk_boot_file file;
    uint8_t bytes[16];
    ck_assert_int_eq(vmk_boot_file_open(path, &file, NULL), 0);
    ck_assert_uint_eq(file.size, sizeof image);
    ck_assert_str_eq(file.name, path);
    ck_assert_int_eq(vmk_boot_file_read(&file, bytes, 16, 500), 0);
    ck_assert_mem_eq(bytes, image.bytes + 500, 16);
    ck_assert_int_eq(vmk_boot_file_read(&file, bytes, 16, sizeof image - 15), -ENODATA);
    ck_assert_int_eq(vmk_boot_file_read(&file, bytes, 16, UINT64_MAX - 7), -ENODATA);
    vmk_boot_file_close(&file);
    vmk_boot_file_close(&file);

    ck_assert_int_eq(vmk_boot_file_open_fd(fd, "of fd", &file, NULL), 0);
    close(fd);
    ck_assert_int_eq(vmk_boot_file_read(&file, bytes, 16, 500), 0);
    ck_assert_mem_eq(bytes, image.bytes + 500, 16);
    vmk_boot_file_close(&file);
    ck_assert_int_eq(vmk_boot_file_open_fd(fd, "closed", &file, NULL), -EINVAL);

    refuse_path("/nowhere/at/all", -ENOENT, "/nowhere/at/all");
    refuse_path(folder, -EISDIR, "is a folder");
    refuse_path(fifo, -EINVAL, "no regular file");
    unlink(path);
    unlink(fifo);
    rmdir(folder);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("boot_load");
    TCase *tests = tcase_create("load");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, initrds_follow_each_other_padded_to_four);
    tcase_add_test(tests, an_initrd_lies_between_the_kernel_and_its_limit);
    tcase_add_test(tests, an_initrd_that_became_shorter_is_refused);
    tcase_add_test(tests, a_command_line_has_the_kernels_limit);
    tcase_add_test(tests, memory_has_to_be_large_enough);
    tcase_add_test(tests, memory_that_is_not_there_is_an_error);
    tcase_add_test(tests, files_come_from_paths_descriptors_and_memory);
    suite_add_tcase(suite, tests);
    return suite;
}
